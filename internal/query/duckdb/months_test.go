package duckdb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
)

// monthsLake makes a lake of simulated events over some months, with every month
// rolled up.
func monthsLake(t *testing.T) (dir string, l *lake.Lake, events []event.Event) {
	t.Helper()
	dir = t.TempDir()
	b, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	l = lake.New(b, lake.Options{})
	events = simulate(1000, 100, time.Date(2026, 6, 20, 0, 0, 0, 0, time.UTC))
	days := map[event.Date][]event.Event{}
	for _, e := range events {
		days[e.Date()] = append(days[e.Date()], e)
	}
	for _, rows := range days {
		mergeInto(t, l, rows)
	}
	rollUp(t, l)
	return dir, l, events
}

func mergeInto(t *testing.T, l *lake.Lake, rows []event.Event) {
	t.Helper()
	slices.SortFunc(rows, func(a, b event.Event) int { return a.Compare(&b) })
	seq := func(yield func(event.Event, error) bool) {
		for _, e := range rows {
			if !yield(e, nil) {
				return
			}
		}
	}
	if _, _, err := l.Merge(context.Background(), rows[0].Date(), lake.Input{Events: seq}); err != nil {
		t.Fatal(err)
	}
}

func rollUp(t *testing.T, l *lake.Lake) {
	t.Helper()
	before := event.DateOf(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	due, err := l.RollUpsDue(context.Background(), before)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range due {
		if _, err := l.RollUp(context.Background(), m, before); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever months are rolled up, rightly or not any more, an answer is that of
// the day files.
func TestRollUpsAnswerAsDaysDo(t *testing.T) {
	dir, l, events := monthsLake(t)
	e := open(t, duckdb.Options{LakeDir: dir})
	r := rand.New(rand.NewPCG(1, 2))
	first, last := events[0].Date(), events[len(events)-1].Date()
	compare := func(state string) {
		t.Helper()
		type question struct {
			sql          string
			since, until event.Date
		}
		var asked []question
		var got []string
		for i := range 15 {
			since := first - 3 + event.Date(r.IntN(int(last-first)+6))
			q := question{since: since, until: since + event.Date(r.IntN(80))}
			if i == 0 {
				q.since, q.until = -1<<31, 1<<31-1
			}
			day := event.Date(r.IntN(int(last-first))) + first
			q.sql = []string{
				"SELECT * FROM events ORDER BY event_time, account_id, event_id",
				"SELECT count(*), min(event_date), max(event_date), count(user_name), count(mfa) FROM events",
				fmt.Sprintf("SELECT event_id, event_date FROM events WHERE event_date = DATE '%v' ORDER BY 1", day),
				fmt.Sprintf("SELECT event_date, count(*) FROM events WHERE event_date > DATE '%v' AND category = 'sts' GROUP BY 1 ORDER BY 1", day),
				fmt.Sprintf("SELECT actor FROM Events e WHERE event_time < TIMESTAMP '%v 12:00:00' AND EXISTS (SELECT 1 FROM EVENTS f WHERE f.actor = e.actor AND f.outcome = 'denied') ORDER BY 1", day),
			}[i%5]
			asked = append(asked, q)
			got = append(got, fmt.Sprint(all(e.QueryRange(context.Background(), q.sql, q.since, q.until))))
		}
		away := filepath.Join(t.TempDir(), "months")
		if err := os.Rename(filepath.Join(dir, "months"), away); err != nil {
			t.Fatal(err)
		}
		for i, q := range asked {
			want := fmt.Sprint(all(e.QueryRange(context.Background(), q.sql, q.since, q.until)))
			if got[i] != want {
				t.Fatalf("%s: %+v:\ngot  %.300s\nwant %.300s", state, q, got[i], want)
			}
		}
		if err := os.Rename(away, filepath.Join(dir, "months")); err != nil {
			t.Fatal(err)
		}
	}
	files := func(want int64) {
		t.Helper()
		rows, err := e.Query(context.Background(), "SELECT count(*) FROM events")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		if got := rows.Stats().Files; got != want {
			t.Errorf("%d files, want %d", got, want)
		}
	}
	files(4) // March to June
	compare("all rolled up")

	late := events[len(events)/2] // of May
	late.EventID = "late"
	mergeInto(t, l, []event.Event{late})
	files(3 + 31)
	compare("a day has changed since")

	rollUp(t, l)
	files(4)
	compare("rolled up again")

	if err := l.Remove(context.Background(), []event.Date{first, first + 40}); err != nil {
		t.Fatal(err)
	}
	compare("days were removed")

	// A file that is no roll-up of these days is as if it weren't there.
	for _, name := range []string{"2026-03.0123456789abcdef.parquet", "2026-03.parquet", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, "months", name), []byte("something else"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	compare("other files")
}

// A roll-up that can't be read is named in the error.
func TestDamagedRollUpIsNamed(t *testing.T) {
	dir, _, _ := monthsLake(t)
	names, err := filepath.Glob(filepath.Join(dir, "months", "2026-05.*"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	if err := os.WriteFile(names[0], []byte("PAR1 it was once PAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := open(t, duckdb.Options{LakeDir: dir})
	_, err = all(e.Query(context.Background(), "SELECT max(actor) FROM events"))
	if want := "months/" + filepath.Base(names[0]); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error that names %s", err, want)
	}
}

// A query is given only the macros that it mentions, so none may use another.
func TestMacrosUseNoOther(t *testing.T) {
	form := regexp.MustCompile(`(?m)^CREATE MACRO (\w+)\(.*?\) AS (.*);$`)
	list := form.FindAllStringSubmatch(duckdb.Macros(), -1)
	if n := strings.Count(duckdb.Macros(), "CREATE "); n != len(list) || n == 0 {
		t.Fatalf("%d macros found of %d", len(list), n)
	}
	for _, m := range list {
		for _, other := range list {
			if regexp.MustCompile(`\b` + other[1] + `\(`).MatchString(m[2]) {
				t.Errorf("macro %s uses %s", m[1], other[1])
			}
		}
	}
}
