package main

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
)

// parityQueries are the fifteen that the earlier tool has.
var parityQueries = []string{
	"user_lookup", "failed_auth", "root_usage", "off_hours", "active_users", "permission_changes", "role_assumptions",
	"daily_summary", "hourly_activity", "sso_permission_sets", "sso_account_assignments", "sso_admin_policies",
	"sso_applications", "sso_admin_users", "sso_activity_summary",
}

// queries times the fifteen queries over the whole range through our engine,
// against bare DuckDB running the same SQL on the same files.
func (b *bench) queries(w world) error {
	engine, err := duckdb.Open(b.ctx, duckdb.Options{LakeDir: filepath.Join(w.data, "lake")})
	if err != nil {
		return err
	}
	defer engine.Close() //nolint:errcheck // in memory
	bare, err := b.bareDuck(w)
	if err != nil {
		return err
	}
	defer bare.Close() //nolint:errcheck // in memory
	catalogue, err := query.LoadCatalogue("")
	if err != nil {
		return err
	}
	b.printf("\n### The fifteen queries over %d events\n\nOver all %d days, not only their usual look-back; bare DuckDB runs the same SQL on the same files. Budget: each under a second, ≤ 1.2 times bare DuckDB.\n\n| query | rows | seconds | ratio to bare DuckDB |\n|---|---|---|---|\n", w.events, w.days)
	for _, name := range parityQueries {
		q, err := catalogue.Get(name)
		if err != nil {
			return err
		}
		text, err := q.Render(query.Params{Since: end.AddDate(0, 0, -w.days), Until: end, TZ: time.UTC, Now: end})
		if err != nil {
			return err
		}
		var ours, theirs []time.Duration
		var rows int
		for range b.pairs {
			d, n, err := engineTime(b, engine, text)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			ours, rows = append(ours, d), n
			start := time.Now()
			if err := drain(b, bare, text); err != nil {
				return fmt.Errorf("%s on bare DuckDB: %w", name, err)
			}
			theirs = append(theirs, time.Since(start))
		}
		b.printf("| %s | %d | %.2f | %.2f |\n", name, rows, median(ours).Seconds(), medianRatio(ours, theirs))
	}
	return nil
}

func engineTime(b *bench, engine query.Engine, text string) (time.Duration, int, error) {
	start := time.Now()
	rows, err := engine.Query(b.ctx, text)
	if err != nil {
		return 0, 0, err
	}
	n := 0
	for {
		if _, err := rows.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, 0, errors.Join(err, rows.Close())
		}
		n++
	}
	d := time.Since(start)
	return d, n, rows.Close()
}

// bareDuck is DuckDB with nothing of ours but the functions that the queries'
// dialect needs.
func (b *bench) bareDuck(w world) (*sql.DB, error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	for _, stmt := range []string{
		duckdb.Macros(),
		fmt.Sprintf("CREATE VIEW events AS SELECT * FROM read_parquet('%s/lake/events/*/*.parquet', hive_partitioning = true)", w.data),
		fmt.Sprintf("CREATE VIEW filtered AS SELECT * FROM read_parquet('%s/lake/filtered/*/*.parquet', hive_partitioning = true)", w.data),
	} {
		if _, err := db.ExecContext(b.ctx, stmt); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

func drain(b *bench, db *sql.DB, text string) error {
	rows, err := db.QueryContext(b.ctx, text)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // read to its end
	cols, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]any, len(cols))
	for i := range values {
		values[i] = new(any)
	}
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return err
		}
	}
	return rows.Err()
}

// interactive times whole commands, from start to the first line of output.
func (b *bench) interactive(w world) error {
	actor, err := b.anActor(w)
	if err != nil {
		return err
	}
	b.printf("\n### Commands over %d events in %d daily files\n\nWhole processes: seconds (median) to the first line of output, and to the end. Budget: the first line within a second.\n\n| command | first line | end |\n|---|---|---|\n", w.events, w.days)
	year := fmt.Sprintf("%dd", int(time.Since(end).Hours()/24)+w.days+2)
	for _, args := range [][]string{
		{"status"},
		{"events", "--limit", "50"},
		{"events", "--actor", actor, "--limit", "50"},
		{"events", "--actor", "nobody-of-this-name", "--since", year},
		{"alerts", "list", "--limit", "50"},
		{"who", "CreateAccessKey", "--since", year},
		{"who", actor, "--since", year},
		{"timeline", actor, "--since", year, "--limit", "50"},
		{"query", "root_usage", "--since", year},
		{"query", "active_users", "--since", year},
		{"sql", "SELECT count(*) FROM events"},
	} {
		var first, whole []time.Duration
		for range b.pairs {
			f, d, err := b.firstLine(append([]string{"--data-dir", w.data, "--format", "csv"}, args...))
			if err != nil {
				return err
			}
			first, whole = append(first, f), append(whole, d)
		}
		b.printf("| `iamtrack")
		for _, a := range args {
			if a == actor {
				a = "ACTOR"
			}
			b.printf(" %s", a)
		}
		b.printf("` | %.2f | %.2f |\n", median(first).Seconds(), median(whole).Seconds())
	}
	return nil
}

func (b *bench) anActor(w world) (string, error) {
	db, err := b.bareDuck(w)
	if err != nil {
		return "", err
	}
	defer db.Close() //nolint:errcheck // in memory
	var actor string
	// Someone with few events: the hard case for an answer that stops early.
	err = db.QueryRowContext(b.ctx, `SELECT actor FROM events WHERE actor_kind = 'iam-user' GROUP BY actor ORDER BY count(*), actor LIMIT 1`).Scan(&actor)
	return actor, err
}

func (b *bench) firstLine(args []string) (first, whole time.Duration, err error) {
	cmd := exec.CommandContext(b.ctx, b.bin, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	cmd.Stderr = nil
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	r := bufio.NewReader(out)
	if _, err := r.ReadString('\n'); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	first = time.Since(start)
	if _, err := io.Copy(io.Discard, r); err != nil {
		return 0, 0, err
	}
	if err := cmd.Wait(); err != nil {
		return 0, 0, fmt.Errorf("%v: %w", args, err)
	}
	return first, time.Since(start), nil
}

// memoryLimit is the promised bound, in bytes.
const memoryLimit = 512 << 20

// memory runs the main commands in a memory cgroup of the promised size.
func (b *bench) memory(w world) error {
	group, err := newCgroup(memoryLimit)
	if err != nil {
		b.printf("\n### Memory\n\nNot measured: %v.\n", err)
		return nil
	}
	defer group.remove()
	year := fmt.Sprintf("%dd", int(time.Since(end).Hours()/24)+w.days+2)
	data := filepath.Join(b.dir, "memory-data")
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	b.printf("\n### Memory, %d events\n\nEach command as a process in a memory cgroup of 512 MB: it ends well, or it would be killed.\n\n| command | peak of resident memory, MB |\n|---|---|\n", w.events)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"import", b.importArgs(w, data)[1:]},
		{"import again (nothing new)", b.importArgs(w, data)[1:]},
		{"export --rebuild", []string{"--data-dir", data, "export", "--rebuild"}},
		{"query active_users", []string{"--data-dir", data, "query", "active_users", "--since", year}},
		{"query permission_changes", []string{"--data-dir", data, "query", "permission_changes", "--since", year, "--limit", "0"}},
		{"events, all of them", []string{"--data-dir", data, "events", "--format", "csv", "--limit", "0"}},
	} {
		peak, err := group.run(b.ctx, b.self, b.bin, c.args)
		if err != nil {
			return fmt.Errorf("%s within %d MB: %w", c.name, memoryLimit>>20, err)
		}
		b.printf("| %s | %d |\n", c.name, peak>>20)
	}
	return os.RemoveAll(data)
}
