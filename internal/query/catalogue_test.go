package query_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/query"
)

var update = flag.Bool("update", false, "rewrite golden files")

func catalogue(t *testing.T) *query.Catalogue {
	t.Helper()
	c, err := query.LoadCatalogue("")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var now = time.Date(2026, 3, 31, 15, 30, 0, 0, time.UTC)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// The queries of the earlier tool, with their look-back in days and their rows.
func TestTheFifteenAreThere(t *testing.T) {
	c := catalogue(t)
	for _, want := range []struct {
		name        string
		days, limit int
	}{
		{"user_lookup", 30, 25}, {"failed_auth", 7, 100}, {"root_usage", 90, 100}, {"off_hours", 90, 100},
		{"active_users", 30, 30}, {"permission_changes", 90, 100}, {"role_assumptions", 90, 100}, {"daily_summary", 30, 0},
		{"hourly_activity", 7, 0}, {"sso_permission_sets", 30, 100}, {"sso_account_assignments", 30, 100},
		{"sso_admin_policies", 30, 100}, {"sso_applications", 90, 100}, {"sso_admin_users", 90, 100}, {"sso_activity_summary", 30, 0},
	} {
		q, err := c.Get(want.name)
		if err != nil {
			t.Error(err)
			continue
		}
		if q.LookBackDays != want.days || q.Limit != want.limit {
			t.Errorf("%s: look-back %d d and %d rows, want %d and %d", q.Name, q.LookBackDays, q.Limit, want.days, want.limit)
		}
	}
	if n := len(c.List()); n < 15+18 {
		t.Errorf("%d queries", n)
	}
}

func TestEveryQueryIsDescribed(t *testing.T) {
	groups := []string{"activity", "credentials", "filters", "identity-center", "investigation", "permissions", "roles", "sign-in"}
	for _, q := range catalogue(t).List() {
		if q.Title == "" || len(q.Description) < 40 || !strings.HasSuffix(q.Description, ".") || len(q.Table) == 0 || !slices.Contains(groups, q.Group) {
			t.Errorf("%s: title %q, description %q, group %q, table %v", q.Name, q.Title, q.Description, q.Group, q.Table)
		}
		if q.File != "" {
			t.Errorf("%s is built in, and has a file %s", q.Name, q.File)
		}
	}
}

// What DuckDB and Trino understand differently must not be in a query. (That
// each runs on DuckDB and answers rightly is tested there.)
func TestQueriesArePortable(t *testing.T) {
	for _, q := range catalogue(t).List() {
		sql := q.SQL()
		for name, form := range map[string]string{
			"a cast by ::":                     `::`,
			"AT TIME ZONE":                     `(?i)at\s+time\s+zone`,
			"now() or a current date":          `(?i)\b(now\(\)|current_(date|time|timestamp))`,
			"ILIKE, QUALIFY, EXCLUDE, REPLACE": `(?i)\b(ilike|qualify|exclude|replace)\b`,
			"GROUP BY ALL or ORDER BY ALL":     `(?i)\bby\s+all\b`,
			"FROM first":                       `(?i)^\s*from`,
			"a double-quoted text":             `"`,
			"a list or struct in brackets":     `[\[{]'`,
			"arrow or JSON path operators":     `->`,
			"DuckDB's names of functions":      `(?i)\b(json_extract_string|regexp_matches|list_\w+|strftime|epoch\w*|date_sub|datediff|ifnull|len)\(`,
			"an equality of two signs":         `==`,
		} {
			text := regexp.MustCompile(`(?s)regexp_like\(.*?'\)|\$\{\w+\}`).ReplaceAllString(sql, "") // patterns have brackets
			if m := regexp.MustCompile(form).FindString(text); m != "" {
				t.Errorf("%s has %s: %q", q.Name, name, m)
			}
		}
		// A division must be of doubles on both sides.
		for _, m := range regexp.MustCompile(`.*[^*]/[^*].*`).FindAllString(sql, -1) {
			if !strings.Contains(m, "AS DOUBLE) * 100 / CAST(") && !strings.Contains(m, "'") {
				t.Errorf("%s divides: %s", q.Name, m)
			}
		}
		if !strings.Contains(sql, "${range}") && !strings.Contains(sql, "${history}") {
			t.Errorf("%s is not bound to a range", q.Name)
		}
		// Each FROM of a table of ours has its range.
		from := len(regexp.MustCompile(`(?m)FROM (events|filtered)\b`).FindAllString(sql, -1))
		bound := strings.Count(sql, "${range}") + strings.Count(sql, "${history}")
		if from != bound {
			t.Errorf("%s reads the lake %d times and binds it %d times", q.Name, from, bound)
		}
		if !regexp.MustCompile(`(?s)ORDER BY [^()]*\n\$\{limit\}\n$`).MatchString(sql) {
			t.Errorf("%s does not end in ORDER BY and the limit", q.Name)
		}
		// GROUP BY names columns of the table or places in the list, no aliases.
		for _, m := range regexp.MustCompile(`(?m)^\s*GROUP BY (.*)$`).FindAllStringSubmatch(sql, -1) {
			for _, item := range strings.Split(m[1], ", ") {
				if regexp.MustCompile(`(?m)(\)|END) AS `+item+`\b`).MatchString(sql) && !strings.Contains(sql, "WITH ") {
					t.Errorf("%s groups by the alias %s", q.Name, item)
				}
			}
		}
	}
}

func TestAthenaExport(t *testing.T) {
	var b bytes.Buffer
	if err := catalogue(t).ExportAthena(&b, query.Params{Now: now, TZ: zone(t, "Europe/Berlin")}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "athena.golden.sql")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("the export changed (-want +got); if it should, run with -update:\n%s", d)
	}
	if strings.Contains(b.String(), "${range}") || strings.Count(b.String(), "CREATE EXTERNAL TABLE") != 2 {
		t.Error("the export has a placeholder left, or not two tables")
	}
}

func TestRender(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "mine.sql", `-- title: Mine
-- param: who pattern: whom
-- param: key text required: which
-- param: n int = 7: how many
-- param: day date = 2026-01-02: when
SELECT ${since}, ${until}, ${n}, ${day}
FROM events
WHERE ${range}
  AND lower(actor) LIKE ${who}
  AND access_key_id = ${key}
ORDER BY 1
${limit}
`)
	c, err := query.LoadCatalogue(dir)
	if err != nil {
		t.Fatal(err)
	}
	q, err := c.Get("mine")
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.Render(query.Params{
		Since: time.Date(2026, 3, 1, 23, 0, 0, 0, time.FixedZone("", -2*3600)), Until: time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC),
		Limit: 5, Now: now, Values: map[string]string{"who": `a_b%*\`, "key": `it's '); DROP TABLE x --`},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `SELECT TIMESTAMP '2026-03-02 01:00:00.000', TIMESTAMP '2026-03-04 00:00:00.000', 7, DATE '2026-01-02'
FROM events
WHERE event_date BETWEEN DATE '2026-03-02' AND DATE '2026-03-03' AND event_time >= TIMESTAMP '2026-03-02 01:00:00.000' AND event_time < TIMESTAMP '2026-03-04 00:00:00.000'
  AND lower(actor) LIKE lower('a\_b\%%\\') ESCAPE '\'
  AND access_key_id = 'it''s ''); DROP TABLE x --'
ORDER BY 1
LIMIT 5
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got, err := q.Render(query.Params{Now: now, Values: map[string]string{"key": "a\x00b"}}); err != nil || !strings.Contains(got, "= ('a' || chr(0) || 'b')") {
		t.Errorf("NUL: %v in %s", err, got)
	}
	for name, p := range map[string]query.Params{
		"needs the parameter key": {Now: now},
		`no parameter "nonsense"`: {Now: now, Values: map[string]string{"nonsense": "1"}},
		"no whole number":         {Now: now, Values: map[string]string{"key": "", "n": "1; DROP"}},
		"no date":                 {Now: now, Values: map[string]string{"key": "", "day": "2026-02-30"}},
		"UTF-8":                   {Now: now, Values: map[string]string{"key": "a\xff"}},
		"range ends":              {Now: now, Since: now, Until: now, Values: map[string]string{"key": ""}},
		"time of day":             {Now: now, OffStart: "25:00", Values: map[string]string{"key": ""}},
	} {
		if _, err := q.Render(p); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want an error with %q, got %v", name, err)
		}
	}
}

func TestRangeDefaults(t *testing.T) {
	q, err := catalogue(t).Get("new_actors") // 7 days after 90
	if err != nil {
		t.Fatal(err)
	}
	berlin := zone(t, "Europe/Berlin")
	for name, c := range map[string]struct {
		p            query.Params
		since, until string
	}{
		"look-back to the start of its day, a day beyond now": {query.Params{Now: now}, "2025-12-24", "2026-04-01"},
		"the day starts in the zone":                          {query.Params{Now: now, TZ: berlin}, "2025-12-23", "2026-04-01"},
		"until bounds, and moves the look-back":               {query.Params{Now: now, Until: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}, "2025-10-27", "2026-01-31"},
		"since is kept":                                       {query.Params{Now: now, Since: now}, "2025-12-31", "2026-04-01"},
	} {
		since, until, bounded, err := q.Dates(c.p)
		if err != nil || !bounded || since.String() != c.since || until.String() != c.until {
			t.Errorf("%s: %s to %s (%v), %v; want %s to %s", name, since, until, bounded, err, c.since, c.until)
		}
	}
}

func TestLimits(t *testing.T) {
	q, _ := catalogue(t).Get("user_lookup")
	for n, want := range map[int]string{0: "\nLIMIT 25\n", 3: "\nLIMIT 3\n", -1: "identity_account_id\n"} {
		sql, err := q.Render(query.Params{Now: now, Limit: n})
		if err != nil || !strings.HasSuffix(sql, want) {
			t.Errorf("limit %d: %v\n%s", n, err, sql)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOwnQueries(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "root_usage.sql", "-- title: My root\n-- description: one\n--   two\n-- limit: 3\r\nSELECT 1 -- it's fine\nFROM events ORDER BY 1;\n")
	write(t, dir, "bare.sql", "SELECT 1;\n")
	write(t, dir, "notes.txt", "not a query")
	c, err := query.LoadCatalogue(dir)
	if err != nil {
		t.Fatal(err)
	}
	q, _ := c.Get("root_usage")
	if q.Title != "My root" || q.Description != "one two" || q.Limit != 3 || q.File != filepath.Join(dir, "root_usage.sql") {
		t.Errorf("%+v", q)
	}
	if n := c.Notes(); len(n) != 1 || !strings.Contains(n[0], "replaces the built-in query root_usage") {
		t.Errorf("notes: %v", n)
	}
	bare, err := c.Get("bare")
	if err != nil {
		t.Fatal(err)
	}
	if sql, err := bare.Render(query.Params{Now: now}); err != nil || sql != "SELECT 1\n" {
		t.Errorf("%q, %v", sql, err)
	}
	if _, _, bounded, err := bare.Dates(query.Params{Now: now}); err != nil || bounded {
		t.Errorf("a query without a range is bounded: %v, %v", bounded, err)
	}
}

func TestBadQueriesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"-- titel: x\nSELECT 1":                              `x.sql:1: unknown key "titel"`,
		"-- title: x\n-- what is this\nSELECT 1":             `x.sql:2: "-- what is this" is neither`,
		"-- title: x\n":                                      "no SQL after the comments",
		"-- look-back: 3\nSELECT 1":                          `x.sql:1: look-back: "3" is no number of days`,
		"-- limit: many\nSELECT 1":                           `x.sql:1: limit: "many" is no number`,
		"-- limit: -1\nSELECT 1":                             "x.sql:1: limit",
		"-- param: x\nSELECT 1":                              "x.sql:1: param",
		"-- param: x float = 1: y\nSELECT 1":                 "x.sql:1: param",
		"-- param: x int: y\nSELECT 1":                       "write required",
		"-- param: x int = z: y\nSELECT 1":                   `"z" is no whole number`,
		"-- param: limit int = 1: y\nSELECT 1":               "the name is taken",
		"-- name: Bad Name\nSELECT 1":                        "is no name for a query",
		"-- title: x\nSELECT 1\nWHERE ${rang}":               "x.sql:3: unknown placeholder ${rang}; did you mean range?",
		"SELECT ${range":                                     "x.sql:1: unknown placeholder ${range",
		"-- param: a text = b: c\nSELECT '${a}'":             "x.sql:2: placeholder ${a} is within quotes",
		"-- param: a text = b: c\nSELECT 'it''s', '\n ${a}'": "x.sql:3: placeholder ${a} is within quotes",
		"-- param: a text = b: c\nSELECT 1 -- ${a}":          "x.sql:2: placeholder ${a} is within quotes or a comment",
		"-- param: a text = b: c\nSELECT 1 /* \n\n ${a} */":  "x.sql:4: placeholder ${a} is within quotes or a comment",
		"-- param: a text = b: c\nSELECT \"x\n${a}\"":        "x.sql:3: placeholder",
	} {
		dir := t.TempDir()
		write(t, dir, "x.sql", text)
		if _, err := query.LoadCatalogue(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%q: want %q with the folder, got %v", text, want, err)
		}
	}
	dir := t.TempDir()
	write(t, dir, "a.sql", "-- name: same\nSELECT 1")
	write(t, dir, "b.sql", "-- name: same\nSELECT 1")
	if _, err := query.LoadCatalogue(dir); err == nil || !strings.Contains(err.Error(), "a.sql") || !strings.Contains(err.Error(), "b.sql") {
		t.Errorf("two of one name: %v", err)
	}
	if _, err := query.LoadCatalogue(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a folder that isn't there: %v", err)
	}
}

func TestUnknownNamesSuggest(t *testing.T) {
	c := catalogue(t)
	for name, want := range map[string]string{"root_usages": "root_usage", "actors": "new_actors", "Root": "root_usage", "off-hours": "off_hours"} {
		if _, err := c.Get(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want a hint at %s, got %v", name, want, err)
		}
	}
	if _, err := c.Get("zzzzzzzzzz"); err == nil || strings.Contains(err.Error(), "did you mean") {
		t.Errorf("nothing is near: %v", err)
	}
}
