package duckdb_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
)

// words are what generated events and filters are made of: few, so that they
// meet, and hostile.
var words = []string{"alice", "Alice", "bob", "svc%", "svc_1", "svcx1", `back\slash`, "o'brien", "role/alice", "é ö", "${range}", "a?b", "--", "arn:x", ""}

func drawEvent(t *rapid.T, i int) event.Event {
	word := func(name string) string { return rapid.SampledFrom(words).Draw(t, name) }
	e := event.Event{
		EventID:     fmt.Sprintf("id-%03d", i),
		AccountID:   rapid.SampledFrom([]string{"000000000001", "000000000002"}).Draw(t, "account"),
		EventTime:   time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli() + rapid.Int64Range(0, 5*24*60*60).Draw(t, "second")*1000 + rapid.SampledFrom([]int64{0, 1, 999}).Draw(t, "ms"),
		EventSource: rapid.SampledFrom([]string{"iam.amazonaws.com", "sts.amazonaws.com", "iam.example"}).Draw(t, "source"),
		EventName:   rapid.SampledFrom([]string{"CreateUser", "ListUsers", "AssumeRole"}).Draw(t, "name"),
		Category:    rapid.SampledFrom([]string{"iam", "sts"}).Draw(t, "category"),
		Outcome:     rapid.SampledFrom([]string{"ok", "denied", "failed"}).Draw(t, "outcome"),
		Actor:       word("actor"), IdentityARN: word("arn"), UserName: word("user"), RoleName: word("role"),
		AccessKeyID: word("key"), IssuedAccessKeyID: word("issued"), SourceIP: word("ip"), AWSRegion: word("region"),
		TargetName: word("target"), TargetARN: word("target arn"), ErrorCode: word("error"),
		RequestParameters: `{"x":"` + word("parameter") + `"}`, Rest: word("rest"),
	}
	return e
}

func drawFilter(t *rapid.T) query.EventFilter {
	names := func(name string) []string {
		if rapid.IntRange(0, 4).Draw(t, name+"?") > 0 {
			return nil
		}
		word := rapid.SampledFrom(append([]string{"*", "*alice*", "svc*", "SVC_*", `*\*`, "*'*", "iam", "CreateUser", "createuser", "*.amazonaws.com", "sts.amazonaws.com", "List*", "arn:x", "arn:*"}, words...))
		return rapid.SliceOfN(word, 1, 2).Draw(t, name)
	}
	some := func(name string, of ...string) []string {
		if rapid.IntRange(0, 4).Draw(t, name+"?") > 0 {
			return nil
		}
		return rapid.SliceOfN(rapid.SampledFrom(of), 1, 2).Draw(t, name)
	}
	instant := func(name string) time.Time {
		if rapid.Bool().Draw(t, name+"?") {
			return time.Time{}
		}
		return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 5*24*60*60).Draw(t, name)) * time.Second).
			Add(time.Duration(rapid.SampledFrom([]int{0, 1, 1_000_000, 999_999_999}).Draw(t, name+" ns")))
	}
	return query.EventFilter{
		EventIDs: some("ids", "id-001", "id-002", "nothing"), Since: instant("since"), Until: instant("until"),
		Actors: names("actors"), Users: names("users"), Roles: names("roles"), Keys: some("keys", "alice", "bob", "Alice"), IPs: names("ips"),
		EventNames: names("event names"), EventSources: names("sources"), Targets: names("targets"), Accounts: some("accounts", "000000000001", "1"),
		Regions: names("regions"), Outcomes: some("outcomes", "ok", "denied", "failed"), Errors: names("errors"),
		Categories: some("categories", "iam", "sts", "sso"), Grep: some("grep", "alice", "ALICE", "%", "_", `\`, "'", `"x"`, "", "é"),
		// With all columns, the walk looks for keys first.
		Columns: rapid.SampledFrom([][]string{nil, {"event_id", "account_id"}}).Draw(t, "columns"), Limit: rapid.IntRange(0, 12).Draw(t, "limit"),
	}
}

// reference is what a filter means, in Go.
func reference(f query.EventFilter, events []event.Event) [][]any {
	like := func(pattern, value string) bool {
		// path.Match knows * as we mean it, once its other signs are escaped and / is none.
		quote := strings.NewReplacer(`\`, `\\`, `?`, `\?`, `[`, `\[`, `/`, "\x01").Replace(strings.ToLower(pattern))
		ok, err := path.Match(quote, strings.ReplaceAll(strings.ToLower(value), "/", "\x01"))
		if err != nil {
			panic(err)
		}
		return ok && value != "" // "" is NULL in the lake
	}
	anyLike := func(patterns []string, values ...string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
			return slices.ContainsFunc(values, func(v string) bool { return like(p, v) })
		})
	}
	anyLikeOrARN := func(patterns []string, name, arn string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
			if strings.HasPrefix(p, "arn:") {
				return like(p, arn)
			}
			return like(p, name)
		})
	}
	anyOf := func(wanted []string, values ...string) bool {
		return len(wanted) == 0 || slices.ContainsFunc(values, func(v string) bool { return v != "" && slices.Contains(wanted, v) })
	}
	var sources []string
	for _, s := range f.EventSources {
		if !strings.ContainsAny(s, ".*") || (!strings.Contains(s, ".") && !strings.HasSuffix(s, "*")) {
			s += ".amazonaws.com"
		}
		sources = append(sources, s)
	}
	var found []event.Event
	for _, e := range events {
		grep := true
		for _, g := range f.Grep {
			grep = grep && slices.ContainsFunc([]string{e.EventName, e.EventSource, e.Actor, e.IdentityARN, e.SourceIP, e.ErrorCode, e.TargetName, e.TargetARN,
				e.AccessKeyID, e.RequestParameters, e.Rest}, func(v string) bool {
				return v != "" && strings.Contains(strings.ToLower(v), strings.ToLower(g))
			})
		}
		if grep && anyOf(f.EventIDs, e.EventID) && (f.Since.IsZero() || !e.Time().Before(f.Since)) && (f.Until.IsZero() || e.Time().Before(f.Until)) &&
			anyLikeOrARN(f.Actors, e.Actor, e.IdentityARN) && anyLike(f.Users, e.UserName) && anyLike(f.Roles, e.RoleName) &&
			anyOf(f.Keys, e.AccessKeyID, e.IssuedAccessKeyID) && anyLike(f.IPs, e.SourceIP) && anyLike(f.EventNames, e.EventName) &&
			anyLike(sources, e.EventSource) && anyLikeOrARN(f.Targets, e.TargetName, e.TargetARN) && anyOf(f.Accounts, e.AccountID) &&
			anyLike(f.Regions, e.AWSRegion) && anyOf(f.Outcomes, e.Outcome) && anyLike(f.Errors, e.ErrorCode) && anyOf(f.Categories, e.Category) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b event.Event) int {
		if a.EventTime != b.EventTime {
			return int(b.EventTime - a.EventTime)
		}
		return a.Key().Compare(b.Key())
	})
	if f.Limit > 0 {
		found = found[:min(len(found), f.Limit)]
	}
	var rows [][]any
	for _, e := range found {
		rows = append(rows, []any{e.EventID, e.AccountID})
	}
	return rows
}

// keysOf is id and account of rows, which have all columns or just these.
func keysOf(f query.EventFilter, rows [][]any) [][]any {
	if f.Columns != nil {
		return rows
	}
	var keys [][]any
	for _, r := range rows {
		keys = append(keys, []any{r[0], r[3]})
	}
	return keys
}

// The SQL of a filter, and the walk over the lake, give the rows that the
// filter means, whatever the events and the filter.
func TestEventsMeanWhatTheySay(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		// Each check writes a lake and asks it eight times: a hundred take too long.
		if err := f.Value.Set("15"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Value.Set(f.DefValue) }()
	}
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		lake := filepath.Join(root, fmt.Sprint(n))
		var events []event.Event
		for i := range rapid.IntRange(0, 25).Draw(rt, "events") {
			events = append(events, drawEvent(rt, i))
		}
		writeLake(t, lake, events, nil)
		e := open(t, duckdb.Options{LakeDir: lake, Threads: 1})
		for range 4 {
			f := drawFilter(rt)
			sql, err := query.EventsSQL(f)
			if err != nil {
				rt.Fatal(err)
			}
			want := reference(f, events)
			got, err := all(e.Query(t.Context(), sql))
			if err != nil {
				rt.Fatalf("%s: %v", sql, err)
			}
			if d := cmp.Diff(want, keysOf(f, got)); d != "" {
				rt.Fatalf("%+v\n%s(-want +got):\n%s", f, sql, d)
			}
			got, err = all(query.Events(t.Context(), e, f))
			if err != nil {
				rt.Fatalf("walk: %v", err)
			}
			if d := cmp.Diff(want, keysOf(f, got)); d != "" {
				rt.Fatalf("the walk over %+v (-want +got):\n%s", f, d)
			}
		}
		if err := os.RemoveAll(lake); err != nil {
			rt.Fatal(err)
		}
	})
}

// The walk's steps join without a seam, and it stops as soon as it has enough.
func TestEventsWalk(t *testing.T) {
	lake := t.TempDir()
	end := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	writeLake(t, lake, simulate(1200, 400, end), nil)
	e := open(t, duckdb.Options{LakeDir: lake})
	columns := []string{"event_time", "account_id", "event_id"}
	for n, f := range []query.EventFilter{
		{}, {Limit: 1}, {Limit: 90}, {Limit: 91}, {Limit: 460}, {Limit: 5000},
		{Actors: []string{"user7"}}, {Actors: []string{"user7"}, Limit: 3}, {Actors: []string{"nobody"}, Limit: 3}, {Actors: []string{"nobody"}},
		{Since: end.Add(-50 * 24 * time.Hour), Until: end.Add(-20*24*time.Hour + time.Second)},
		{Since: end.Add(-50 * 24 * time.Hour), Until: end.Add(-20 * 24 * time.Hour), Limit: 80},
		{Since: end.Add(24 * time.Hour)},
		{Accounts: []string{"111111111111", "111111111112", "111111111113", "111111111114", "111111111115"}}, // more than are looked up by key
	} {
		if n%2 == 0 {
			f.Columns = columns
		}
		sql, err := query.EventsSQL(f)
		if err != nil {
			t.Fatal(err)
		}
		want, err := all(e.Query(t.Context(), sql))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := query.Events(t.Context(), e, f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := all(rows, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%+v (-want +got):\n%s", f, d)
		}
		stats := rows.Stats()
		if (f.Columns != nil && len(rows.Columns()) != 3) || stats.Rows != int64(len(want)) || (len(want) > 0 && stats.BytesScanned == 0) {
			t.Errorf("%+v: %v, %+v", f, rows.Columns(), stats)
		}
		if f.Limit == 1 && stats.Files > 30 {
			t.Errorf("one row took %d files", stats.Files)
		}
	}
	if rows, err := query.Events(t.Context(), e, query.EventFilter{Limit: 100}); err != nil {
		t.Error(err)
	} else if err := rows.Close(); err != nil {
		t.Errorf("close before the end: %v", err)
	}
}

func TestEventsColumnsAndErrors(t *testing.T) {
	e := open(t, duckdb.Options{LakeDir: packLake(t)})
	rows, err := query.Events(t.Context(), e, query.EventFilter{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var got, want []string
	for _, c := range rows.Columns() {
		got = append(got, c.Name+" "+c.Type)
	}
	for _, c := range query.EventColumns() {
		want = append(want, c.Name+" "+c.Type)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for message, f := range map[string]query.EventFilter{
		`unknown column "actr"; did you mean actor?`: {Columns: []string{"actr"}},
		`unknown outcome "good"`:                     {Outcomes: []string{"good"}},
		`unknown category "ec2"`:                     {Categories: []string{"ec2"}},
		"UTF-8":                                      {Actors: []string{"\xff*"}},
	} {
		if _, err := query.Events(t.Context(), e, f); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%+v: want %q, got %v", f, message, err)
		}
	}
}

// A result written as Parquet, read back, is the result.
func TestWriteParquet(t *testing.T) {
	e := open(t, duckdb.Options{LakeDir: packLake(t)})
	sql := `SELECT event_time AS z, event_date, actor, mfa, actor AS "actor", 1.5::DOUBLE AS "a,b", [1, NULL] AS list, NULL AS none, count(*) OVER () AS n,
		{'k': actor} AS s, 12.25::DECIMAL(9,2) AS price FROM events ORDER BY event_time, event_id`
	want, err := all(e.Query(t.Context(), sql))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := e.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var b bytes.Buffer
	n, err := query.WriteParquet(&b, rows)
	if err != nil || n != int64(len(want)) {
		t.Fatalf("%d rows, %v", n, err)
	}
	file, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range file.Schema().Columns() {
		names = append(names, strings.Join(c, "."))
	}
	if d := cmp.Diff([]string{"z", "event_date", "actor", "mfa", "actor_1", "a,b", "list", "none", "n", "s", "price"}, names); d != "" {
		t.Errorf("columns (-want +got):\n%s", d)
	}
	reader := parquet.NewReader(file)
	buf := make([]parquet.Row, 1)
	for i := range want {
		if n, _ := reader.ReadRows(buf); n != 1 {
			t.Fatalf("row %d is not there", i)
		}
		r := buf[0]
		w := want[i]
		day, _ := time.Parse(time.DateOnly, string(w[1].(query.Date)))
		if r[0].Int64() != w[0].(time.Time).UnixMicro() || int64(r[1].Int32())*86400 != day.Unix() || r[2].String() != w[2] || r[4].String() != w[2] ||
			r[3].IsNull() != (w[3] == nil) || r[5].Double() != 1.5 || r[6].String() != "[1,null]" || !r[7].IsNull() || r[8].Int64() != int64(len(want)) ||
			r[9].String() != w[9] || r[10].Double() != 12.25 {
			t.Errorf("row %d: %v, want %v", i, r, w)
		}
	}
	// DuckDB, too, can read what we wrote, as a lake's file even.
	lake := t.TempDir()
	if err := os.MkdirAll(filepath.Join(lake, "events/event_date=2026-03-01"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lake, "events/event_date=2026-03-01/events.parquet"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, open(t, duckdb.Options{LakeDir: lake}), "SELECT count(*), count(DISTINCT actor) FROM events"); got != fmt.Sprintf("%d|9\n", len(want)) {
		t.Errorf("DuckDB reads %s", got)
	}
	rows2, err := e.Query(t.Context(), "SELECT 170141183460469231731687303715884105727 AS big")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows2.Close() }()
	if _, err := query.WriteParquet(&b, rows2); err == nil || !strings.Contains(err.Error(), "column big, row 1") {
		t.Errorf("a number that doesn't fit: %v", err)
	}
}

// Trino's functions mean on DuckDB what they mean there.
func TestMacros(t *testing.T) {
	e := open(t, duckdb.Options{LakeDir: t.TempDir()})
	for sql, want := range map[string]string{
		`json_extract_scalar('{"a":{"b":"x"}}', '$.a.b')`:                                       "x",
		`json_extract_scalar('{"a":{"b":"x"}}', '$.a')`:                                         "NULL",
		`json_extract_scalar('{"a":[1,2]}', '$.a')`:                                             "NULL",
		`json_extract_scalar('{"a":[1,2]}', '$.a[1]')`:                                          "2",
		`json_extract_scalar('{"a":true}', '$.a')`:                                              "true",
		`json_extract_scalar('{"a":null}', '$.a')`:                                              "NULL",
		`json_extract_scalar('{}', '$.a')`:                                                      "NULL",
		`json_extract_scalar('not json', '$.a')`:                                                "NULL",
		`json_extract_scalar(NULL, '$.a')`:                                                      "NULL",
		`json_size('{"a":[1,2,3]}', '$.a')`:                                                     "3",
		`json_format(json_parse('{"a":1}'))`:                                                    `{"a":1}`,
		`regexp_like('CreateUser', '^Create')`:                                                  "true",
		`regexp_like('ListUsers', '^Create')`:                                                   "false",
		`approx_distinct(7)`:                                                                    "1",
		`date_diff('day', TIMESTAMP '2026-01-01 23:00:00', TIMESTAMP '2026-01-02 01:00:00')`:    "0",
		`date_diff('day', DATE '2026-01-01', DATE '2026-03-01')`:                                "59",
		`date_diff('minute', TIMESTAMP '2026-01-01 00:00:59', TIMESTAMP '2026-01-01 00:01:58')`: "0",
		`date_diff('hour', TIMESTAMP '2026-01-02 00:00:00', TIMESTAMP '2026-01-01 00:00:00')`:   "-24",
		`from_unixtime(1767225600.5)`:                                                           "2026-01-01T00:00:00.5Z",
		`to_unixtime(TIMESTAMP '2026-01-01 00:00:00')`:                                          "1.7672256e+09",
		`from_iso8601_timestamp('2026-01-01T02:00:00+02:00')`:                                   "2026-01-01T00:00:00Z",
		`from_iso8601_date('2026-01-01')`:                                                       "2026-01-01",
		`to_iso8601(TIMESTAMP '2026-01-01 02:03:04.005')`:                                       "2026-01-01T02:03:04.005",
		`day_of_week(DATE '2026-03-01')`:                                                        "7",
		`date_format(TIMESTAMP '2026-01-01 02:03:04', '%Y-%m-%d %H:%i:%s')`:                     "2026-01-01 02:03:04",
		`element_at([5, 6], 2)`:                                                                 "6",
		`element_at(MAP {'a': 1}, 'a')`:                                                         "1",
		`array_join([1, 2], '-')`:                                                               "1-2",
		`array_max([1, 3, 2])`:                                                                  "3",
		`arrays_overlap([1, 2], [2, 3])`:                                                        "true",
		`sequence(1, 3)`:                                                                        "[1 2 3]",
		`every(true)`:                                                                           "true",
		`url_extract_host('https://user@console.example.com:8443/x')`:                           "console.example.com",
		`count_if(true)`:                                                                        "1",
		`arbitrary(3)`:                                                                          "3",
		`max_by('x', 3)`:                                                                        "x",
		`split_part('arn:aws:iam::111111111111:role/x', ':', 5)`:                                "111111111111",
		`try_cast('x' AS INTEGER)`:                                                              "NULL",
		`date_trunc('hour', TIMESTAMP '2026-01-01 02:03:04')`:                                   "2026-01-01T02:00:00Z",
	} {
		if got := ask(t, e, "SELECT "+sql); got != want+"\n" {
			t.Errorf("%s is %swant %s", sql, got, want)
		}
	}
}
