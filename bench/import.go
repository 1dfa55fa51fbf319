package main

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// timed runs a command and returns its wall time.
func (b *bench) timed(args ...string) (time.Duration, []byte, error) {
	cmd := exec.CommandContext(b.ctx, args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	out, err := cmd.Output()
	if err != nil {
		return 0, nil, fmt.Errorf("%v: %w", args, err)
	}
	return time.Since(start), out, nil
}

func median(d []time.Duration) time.Duration {
	s := slices.Clone(d)
	slices.Sort(s)
	return s[len(s)/2]
}

func medianRatio(a, b []time.Duration) float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i].Seconds() / b[i].Seconds()
	}
	slices.Sort(r)
	return r[len(r)/2]
}

func (b *bench) importArgs(w world, data string) []string {
	return []string{b.bin, "--data-dir", data, "--quiet", "import", w.trail, "--format", "json"}
}

// imports compares the import of trail files with DuckDB's read_json into
// Parquet and with gunzip plus parse, over the same files.
func (b *bench) imports(w world) error {
	var ours, duck, days, parse []time.Duration
	var sum struct {
		Records, Stored int64
		Filtered        struct{ Service, Role int64 }
	}
	// What a pair writes stays to the end: file systems take longer to make files
	// right after some thousand were removed.
	earlier := func(i int) string { return fmt.Sprintf("%s-%d", w.data, i) }
	daily := func(i int) string { return filepath.Join(b.dir, fmt.Sprintf("duck-days-%d", i)) }
	remove := func() error {
		var errs []error
		for i := range b.pairs {
			errs = append(errs, os.RemoveAll(earlier(i)), os.RemoveAll(daily(i)))
		}
		return errors.Join(errs...)
	}
	if err := remove(); err != nil { // of another run in the same scratch folder
		return err
	}
	for i := range b.pairs {
		if err := os.Rename(w.data, earlier(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d, out, err := b.timed(b.importArgs(w, w.data)...)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(out, &sum); err != nil {
			return err
		}
		ours = append(ours, d)
		parquet := filepath.Join(b.dir, "duck.parquet")
		if d, _, err = b.timed(b.self, "peer", "duckdb", w.trail, parquet); err != nil {
			return err
		}
		duck = append(duck, d)
		if err := os.Remove(parquet); err != nil {
			return err
		}
		folder := daily(i)
		if d, _, err = b.timed(b.self, "peer", "duckdb-days", w.trail, folder); err != nil {
			return err
		}
		days = append(days, d)
		if d, _, err = b.timed(b.self, "peer", "parse", w.trail); err != nil {
			return err
		}
		parse = append(parse, d)
	}
	rate := func(d []time.Duration) float64 { return float64(sum.Records) / median(d).Seconds() }
	b.printf("\n## Import\n\n%d records in trail files over %d days: `iamtrack import TRAIL` (parse, redact, filter, rules, deduplicate, Parquet day files) against DuckDB reading the same files with `read_json` (schema given) into Parquet, as one file and as a file a day (which is what the lake has), and against unpacking and parsing alone (klauspost gzip, valyala/fastjson, all processors). %d records were service noise.\n\n", sum.Records, w.days, sum.Filtered.Service)
	b.printf("| | seconds (median) | records a second | ratio | budget |\n|---|---|---|---|---|\n")
	b.printf("| iamtrack import | %.1f | %.0f | | |\n", median(ours).Seconds(), rate(ours))
	b.printf("| DuckDB `read_json` to Parquet | %.1f | %.0f | %.2f times its speed | ≥ 1.5 |\n", median(duck).Seconds(), rate(duck), medianRatio(duck, ours))
	b.printf("| DuckDB `read_json` to a Parquet file a day | %.1f | %.0f | %.2f times its speed | |\n", median(days).Seconds(), rate(days), medianRatio(days, ours))
	b.printf("| gunzip and parse | %.1f | %.0f | %.2f of its speed | ≥ 0.5 |\n", median(parse).Seconds(), rate(parse), medianRatio(parse, ours))
	return remove()
}

func (b *bench) importOnce(w world) error {
	if err := os.RemoveAll(w.data); err != nil {
		return err
	}
	group, err := newCgroup(memoryLimit)
	if err != nil {
		d, _, err := b.timed(b.importArgs(w, w.data)...)
		if err != nil {
			return err
		}
		b.printf("\n## %d events over %d days\n\nImported in %.1f s (%.0f events a second).\n", w.events, w.days, d.Seconds(), float64(w.events)/d.Seconds())
		return nil
	}
	defer group.remove()
	start := time.Now()
	peak, err := group.run(b.ctx, b.self, b.bin, b.importArgs(w, w.data)[1:])
	if err != nil {
		return err
	}
	d := time.Since(start)
	b.printf("\n## %d events over %d days\n\nImported in %.1f s (%.0f events a second) in a memory cgroup of 512 MB, with a peak of %d MB resident.\n",
		w.events, w.days, d.Seconds(), float64(w.events)/d.Seconds(), peak>>20)
	return nil
}

// denseDays is the length of the trail of bytesPerEvent's second lake: as many
// events a day as ten millions in two years are.
const denseDays = 45

// bytesPerEvent states what the lake takes, by column, and against the columns
// that the earlier tool kept, in snappy: in this lake, and in one with more
// events a day, since what a file costs is shared by the events of its day.
func (b *bench) bytesPerEvent(w world) error {
	dense, err := b.world("dense", 10_000_000/730*denseDays, denseDays)
	if err != nil {
		return err
	}
	for _, w := range []world{w, dense} {
		if _, err := os.Stat(w.data); err == nil {
			continue // an earlier step, or run in the same scratch folder, has imported it
		}
		if _, _, err := b.timed(b.importArgs(w, w.data)...); err != nil {
			return err
		}
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // in memory
	var lakes [2]lakeBytes
	for i, w := range []world{w, dense} {
		if lakes[i], err = b.measure(db, filepath.Join(w.data, "lake")); err != nil {
			return err
		}
	}
	b.printf("\n## Bytes per event in the lake\n\nOf a lake with a file for each of its days, and of one that has as many events a day as 10 million records in two years make. The columns that the earlier tool kept are id, date, time, name, source, region, user, address, agent, request, response and error; its files are in snappy with row groups of 10,000, one for each day and region.\n\n")
	row := func(name string, value func(lakeBytes) string) {
		b.printf("| %s | %s | %s |\n", name, value(lakes[0]), value(lakes[1]))
	}
	row("", func(l lakeBytes) string { return fmt.Sprintf("%.0f events a day", l.events/l.days) })
	b.printf("|---|---|---|\n")
	row("whole files", func(l lakeBytes) string { return fmt.Sprintf("%.1f", l.files) })
	row("all columns", func(l lakeBytes) string { return fmt.Sprintf("%.1f", l.all) })
	row("without `rest`", func(l lakeBytes) string { return fmt.Sprintf("%.1f", l.all-l.column["rest"]) })
	row("the earlier tool's columns, here", func(l lakeBytes) string { return fmt.Sprintf("%.1f", l.kept()) })
	row("the earlier tool's columns, there", func(l lakeBytes) string { return fmt.Sprintf("%.1f", l.earlier) })
	row("ratio without `rest` (budget: ≤ 0.5)", func(l lakeBytes) string { return fmt.Sprintf("%.2f", (l.all-l.column["rest"])/l.earlier) })
	row("ratio of the same columns", func(l lakeBytes) string { return fmt.Sprintf("%.2f", l.kept()/l.earlier) })
	row("filtered records, whole files", func(l lakeBytes) string { return fmt.Sprintf("%.1f", l.filtered) })
	b.printf("\nBy column:\n\n| column | | |\n|---|---|---|\n")
	names := slices.SortedFunc(maps.Keys(lakes[0].column), func(x, y string) int {
		return cmp.Compare(lakes[0].column[y], lakes[0].column[x])
	})
	for _, name := range names {
		row(name, func(l lakeBytes) string { return fmt.Sprintf("%.1f", l.column[name]) })
	}
	return nil
}

// lakeBytes are the bytes per event of a lake.
type lakeBytes struct {
	events, days float64
	files, all   float64            // with footers; columns only
	column       map[string]float64 // of all
	earlier      float64            // of the earlier tool's columns in its files
	filtered     float64            // per filtered record
}

// kept is the sum of the columns that hold what the earlier tool kept.
func (l lakeBytes) kept() float64 {
	var sum float64
	for _, c := range []string{"event_id", "event_time", "event_name", "event_source", "aws_region", "user_name", "role_name",
		"source_ip", "user_agent", "request_parameters", "response_elements", "error_code", "error_message"} {
		sum += l.column[c]
	}
	return sum
}

func (b *bench) measure(db *sql.DB, lake string) (lakeBytes, error) {
	l := lakeBytes{column: map[string]float64{}}
	glob := filepath.Join(lake, "events", "*", "*.parquet")
	if err := db.QueryRowContext(b.ctx, fmt.Sprintf(`SELECT count(*), count(DISTINCT event_date) FROM read_parquet('%s', hive_partitioning = true)`, glob)).
		Scan(&l.events, &l.days); err != nil {
		return l, err
	}
	rows, err := db.QueryContext(b.ctx, fmt.Sprintf(`SELECT path_in_schema, sum(total_compressed_size)::DOUBLE FROM parquet_metadata('%s') GROUP BY 1`, glob))
	if err != nil {
		return l, err
	}
	defer rows.Close() //nolint:errcheck // read to its end
	for rows.Next() {
		var name string
		var bytes float64
		if err := rows.Scan(&name, &bytes); err != nil {
			return l, err
		}
		l.column[name] = bytes / l.events
		l.all += bytes / l.events
	}
	if err := rows.Err(); err != nil {
		return l, err
	}
	var size, thin float64
	if size, err = fileBytes(glob); err != nil {
		return l, err
	}
	l.files = size / l.events
	filtered := filepath.Join(lake, "filtered", "*", "*.parquet")
	if thin, err = fileBytes(filtered); err != nil {
		return l, err
	}
	var n float64
	if err := db.QueryRowContext(b.ctx, fmt.Sprintf(`SELECT count(*) FROM read_parquet('%s')`, filtered)).Scan(&n); err != nil {
		return l, err
	}
	l.filtered = thin / n
	l.earlier, err = earlierColumns(b.ctx, db, glob, filepath.Join(b.dir, "earlier"))
	return l, err
}

func fileBytes(glob string) (float64, error) {
	names, err := filepath.Glob(glob)
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		sum += float64(info.Size())
	}
	return sum, nil
}

// earlierColumns writes what the earlier tool kept of the same events, in its
// format and partitions, and returns its bytes per event.
func earlierColumns(ctx context.Context, db *sql.DB, glob, out string) (float64, error) {
	if err := os.RemoveAll(out); err != nil {
		return 0, err
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf(`COPY (
		SELECT event_id, strftime(event_date, '%%Y-%%m-%%d') AS date, strftime(event_time, '%%Y-%%m-%%dT%%H:%%M:%%SZ') AS event_time,
		       event_name, event_source, coalesce(user_name, role_name) AS user_name, source_ip, user_agent,
		       request_parameters, response_elements, error_code, error_message,
		       year(event_date) AS y, month(event_date) AS m, day(event_date) AS d, aws_region AS region
		FROM read_parquet('%s', hive_partitioning = true))
		TO '%s' (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 10000, PARTITION_BY (y, m, d, region))`, glob, out))
	if err != nil {
		return 0, err
	}
	var bytes, n float64
	err = db.QueryRowContext(ctx, fmt.Sprintf(`SELECT sum(total_compressed_size)::DOUBLE, (SELECT count(*)::DOUBLE FROM read_parquet('%s/**/*.parquet')) FROM parquet_metadata('%s/**/*.parquet')`, out, out)).Scan(&bytes, &n)
	return bytes / n, err
}
