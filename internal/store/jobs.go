package store

import (
	"context"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
)

const startJob = "INSERT INTO jobs (name, started_ms) VALUES (?, ?) ON CONFLICT DO NOTHING"

// Job implements Store.
func (s *sqlite) Job(ctx context.Context, name string) (files map[string]FileState, err error) {
	err = s.write(ctx, "job", "start import", func(tx *writer) error {
		files = map[string]FileState{}
		if _, err := tx.exec(startJob, name, s.now().UnixMilli()); err != nil {
			return err
		}
		return tx.each("SELECT path, size_bytes, modified_s, modified_ns, etag, selection FROM job_files WHERE job = ?", []any{name},
			func(scan func(...any) error) error {
				var f FileState
				var sec, nsec int64
				if err := scan(&f.Path, &f.Size, &sec, &nsec, &f.ETag, &f.Selection); err != nil {
					return err
				}
				f.ModTime = time.Unix(sec, nsec).UTC()
				files[f.Path] = f
				return nil
			})
	})
	return files, err
}

const updateFile = `ON CONFLICT DO UPDATE SET size_bytes = excluded.size_bytes, modified_s = excluded.modified_s,
	modified_ns = excluded.modified_ns, etag = excluded.etag, selection = excluded.selection`

var (
	insertJobFiles = inserting{
		into: "job_files (job, path, size_bytes, modified_s, modified_ns, etag, selection)", columns: 7,
		end: updateFile,
	}
	insertImported = inserting{
		into: "imported_files (path, size_bytes, modified_s, modified_ns, etag, selection)", columns: 6,
		end: updateFile,
	}
	importedByPath = lookup{
		table: "imported_files", by: []string{"path"}, columns: "t.size_bytes, t.modified_s, t.modified_ns, t.etag, t.selection",
	}
)

// FileDone implements Store.
func (s *sqlite) FileDone(ctx context.Context, job string, files []FileState) error {
	return s.write(ctx, "filedone", "record imported files", func(tx *writer) error {
		if _, err := tx.exec(startJob, job, s.now().UnixMilli()); err != nil {
			return err
		}
		state := func(args []any, f *FileState) []any {
			return append(args, f.Path, f.Size, f.ModTime.Unix(), f.ModTime.Nanosecond(), f.ETag, f.Selection)
		}
		if err := tx.insert(&insertJobFiles, len(files), func(args []any, i int) []any {
			return state(append(args, job), &files[i])
		}); err != nil {
			return err
		}
		return tx.insert(&insertImported, len(files), func(args []any, i int) []any { return state(args, &files[i]) })
	})
}

// EndJob implements Store.
func (s *sqlite) EndJob(ctx context.Context, job string) error {
	return s.write(ctx, "endjob", "end import", func(tx *writer) error {
		if _, err := tx.exec("DELETE FROM job_files WHERE job = ?", job); err != nil {
			return err
		}
		_, err := tx.exec("DELETE FROM jobs WHERE name = ?", job)
		return err
	})
}

// Imported implements Store.
func (s *sqlite) Imported(ctx context.Context, paths []string) (map[string]FileState, error) {
	found := map[string]FileState{}
	var size, sec, nsec int64
	var etag, selection string
	err := importedByPath.find(s.reading(ctx, "find imported files"), len(paths), func(args []any, i int) []any {
		return append(args, paths[i])
	}, []any{&size, &sec, &nsec, &etag, &selection}, func(i int) {
		found[paths[i]] = FileState{Path: paths[i], Size: size, ModTime: time.Unix(sec, nsec).UTC(), ETag: etag, Selection: selection}
	})
	return found, err
}

// Meta implements Store.
func (s *sqlite) Meta(ctx context.Context, key string) (value string, err error) {
	err = s.read(ctx, "read setting", "SELECT value FROM meta WHERE key = ?", []any{key},
		func(scan func(...any) error) error { return scan(&value) })
	return value, err
}

// SetMeta implements Store.
func (s *sqlite) SetMeta(ctx context.Context, key, value string) error {
	return s.write(ctx, "setmeta", "write setting", func(tx *writer) error {
		_, err := tx.exec("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value)
		return err
	})
}

// Counts implements Store.
func (s *sqlite) Counts(ctx context.Context) (Counts, error) {
	c := Counts{Alerts: map[string]map[string]int64{}}
	// One statement, so that the numbers are of one moment.
	const totals = `SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM filtered),
		(SELECT count(*) FROM rejected), (SELECT count(*) FROM conflicts)`
	err := s.read(ctx, "count", totals, nil, func(scan func(...any) error) error {
		return scan(&c.HotEvents, &c.HotFiltered, &c.Rejected, &c.Conflicts)
	})
	if err != nil {
		return c, err
	}
	err = s.read(ctx, "count alerts", `SELECT CASE WHEN superseded THEN ? WHEN acked_at_ms IS NOT NULL THEN ? ELSE ? END, severity, count(*)
		FROM alerts GROUP BY 1, 2`, []any{rule.StateSuperseded, rule.StateAcknowledged, rule.StateFinding},
		func(scan func(...any) error) error {
			var state string
			var severity rule.Severity
			var n int64
			err := scan(&state, &severity, &n)
			c.AddAlerts(state, severity, n)
			return err
		})
	if err != nil {
		return c, err
	}
	if err := s.countOutbox(ctx, &c); err != nil {
		return c, err
	}
	c.SizeBytes, err = s.size()
	return c, s.fail("measure", err)
}
