package query

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed queries/*.sql
var builtin embed.FS

// Query is a question with a name: SQL in which ${placeholders} stand for the
// time range, the zone and the parameters, and what a person needs to know to
// ask it. queries/README.md tells how a file is written.
type Query struct {
	Name        string `json:"name"`
	Title       string `json:"title"`
	Group       string `json:"group"` // what it is about, for listing
	Description string `json:"description"`
	// LookBackDays is how far back the range reaches when none is given.
	LookBackDays int `json:"look_back_days"`
	// BaselineDays is how much further ${history} reaches, for questions about
	// what is new.
	BaselineDays int `json:"baseline_days,omitempty"`
	// Limit is how many rows are shown when no number is given; 0 means all.
	Limit  int     `json:"limit"`
	Params []Param `json:"params"`
	// Table names the columns that a person wants to see in a table; machine
	// formats have all. Empty means all.
	Table []string `json:"table"`
	// File is where a query of the user's own comes from.
	File string `json:"file,omitempty"`

	body string // SQL with placeholders
}

// Param is a value that a query takes by name.
type Param struct {
	Name string `json:"name"`
	// Type is text (compared as it is), pattern (a name in which * stands for
	// any text, ignoring case), int, or date.
	Type        string `json:"type"`
	Default     string `json:"default"`
	Required    bool   `json:"required"`
	Description string `json:"description"`
}

// SQL returns the query as it is written, placeholders and all.
func (q Query) SQL() string { return q.body }

// Catalogue is a set of queries by name.
type Catalogue struct {
	queries []Query // by name
	notes   []string
}

// LoadCatalogue reads the built-in queries and then, unless userDir is empty,
// every *.sql in that folder. A query of the user's replaces the built-in one
// of the same name, which Notes tells. The error names file and line.
func LoadCatalogue(userDir string) (*Catalogue, error) {
	c := &Catalogue{}
	if err := c.load(builtin, "queries", ""); err != nil {
		return nil, fmt.Errorf("load built-in queries: %w", err)
	}
	if userDir != "" {
		if err := c.load(os.DirFS(userDir), ".", userDir); err != nil {
			return nil, fmt.Errorf("load queries: %w", err)
		}
	}
	slices.SortFunc(c.queries, func(a, b Query) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

// load adds a folder's queries; shown is the folder's name for errors, empty
// for the built-in ones.
func (c *Catalogue) load(fsys fs.FS, dir, shown string) error {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return fmt.Errorf("read %s: %w", shown, errors.Unwrap(err))
	}
	seen := map[string]string{}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".sql") {
			continue
		}
		text, err := fs.ReadFile(fsys, path.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("read %s: %w", filepath.Join(shown, e.Name()), errors.Unwrap(err))
		}
		file := e.Name()
		if shown != "" {
			file = filepath.Join(shown, file)
		}
		q, err := parseQuery(strings.TrimSuffix(e.Name(), ".sql"), string(text))
		if err != nil {
			return fmt.Errorf("%s:%w", file, err)
		}
		if other, ok := seen[q.Name]; ok {
			return fmt.Errorf("%s: query %s is also in %s", file, q.Name, other)
		}
		seen[q.Name] = file
		if shown != "" {
			q.File = file
		}
		if i := slices.IndexFunc(c.queries, func(o Query) bool { return o.Name == q.Name }); i >= 0 {
			c.notes = append(c.notes, fmt.Sprintf("%s replaces the built-in query %s", file, q.Name))
			c.queries[i] = q
			continue
		}
		c.queries = append(c.queries, q)
	}
	return nil
}

// List returns the queries by name.
func (c *Catalogue) List() []Query { return slices.Clone(c.queries) }

// Notes tells which built-in queries the user's own replaced.
func (c *Catalogue) Notes() []string { return slices.Clone(c.notes) }

// Get returns a query by name; the error for an unknown one suggests names.
func (c *Catalogue) Get(name string) (Query, error) {
	names := make([]string, len(c.queries))
	for i, q := range c.queries {
		if q.Name == name {
			return q, nil
		}
		names[i] = q.Name
	}
	return Query{}, fmt.Errorf("unknown query %q%s (the command query list shows all)", name, didYouMean(name, names))
}

var (
	nameForm        = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	placeholderForm = regexp.MustCompile(`\$\{([^}\n]*)\}?`)
	headerForm      = regexp.MustCompile(`^-- ?([a-z-]+):(?: +(.*))?$`)
	paramForm       = regexp.MustCompile(`^([a-z][a-z0-9_]*) (text|pattern|int|date)( required| = \S*)?: (.+)$`)
)

// standard are the placeholders that every query may use.
var standard = []string{"range", "history", "since", "until", "as_of", "local_time", "local_date", "local_hour", "off_hours", "limit"}

// parseQuery reads a query's file. Errors start with the line number.
func parseQuery(name, text string) (Query, error) {
	q := Query{Name: name, Title: strings.ReplaceAll(name, "_", " "), Group: "own", LookBackDays: 30, Params: []Param{}, Table: []string{}}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	n := 0
	last := ""
	for ; n < len(lines) && (strings.HasPrefix(lines[n], "--") || strings.TrimSpace(lines[n]) == ""); n++ {
		line := strings.TrimRight(lines[n], " \t")
		m := headerForm.FindStringSubmatch(line)
		switch {
		case m != nil:
			last = m[1]
			if err := q.header(m[1], m[2]); err != nil {
				return Query{}, fmt.Errorf("%d: %w", n+1, err)
			}
		case last == "description" && strings.HasPrefix(line, "--   "):
			q.Description += " " + strings.TrimSpace(line[2:])
		case line != "" && line != "--" && last != "":
			return Query{}, fmt.Errorf("%d: %q is neither \"-- key: value\" nor the next line of a description", n+1, line)
		}
	}
	if !nameForm.MatchString(q.Name) {
		return Query{}, fmt.Errorf("1: %q is no name for a query: use a-z, 0-9 and _", q.Name)
	}
	q.body = strings.TrimRight(strings.Join(lines[n:], "\n"), " \t\n;") + "\n"
	if strings.TrimSpace(q.body) == "" {
		return Query{}, fmt.Errorf("%d: there is no SQL after the comments", len(lines))
	}
	if line, err := q.checkPlaceholders(); err != nil {
		return Query{}, fmt.Errorf("%d: %w", n+line, err)
	}
	return q, nil
}

// header takes one "-- key: value".
func (q *Query) header(key, value string) error {
	value = strings.TrimSpace(value)
	number := func(unit string, to *int) error {
		v, err := strconv.Atoi(strings.TrimSuffix(value, unit))
		if err != nil || v < 0 || v > 1_000_000 || unit != "" && !strings.HasSuffix(value, unit) {
			return fmt.Errorf("%s: %q is no number%s", key, value, map[string]string{"d": " of days, as 30d"}[unit])
		}
		*to = v
		return nil
	}
	switch key {
	case "name":
		q.Name = value
	case "title":
		q.Title = value
	case "group":
		q.Group = value
	case "description":
		q.Description = value
	case "look-back":
		return number("d", &q.LookBackDays)
	case "baseline":
		return number("d", &q.BaselineDays)
	case "limit":
		return number("", &q.Limit)
	case "table":
		for c := range strings.SplitSeq(value, ",") {
			q.Table = append(q.Table, strings.TrimSpace(c))
		}
	case "param":
		m := paramForm.FindStringSubmatch(value)
		if m == nil {
			return fmt.Errorf("param: %q: write NAME TYPE [required | = DEFAULT]: what it is; TYPE is text, pattern, int or date", value)
		}
		p := Param{Name: m[1], Type: m[2], Required: m[3] == " required", Description: m[4]}
		if d, ok := strings.CutPrefix(m[3], " = "); ok {
			p.Default = d
		} else if !p.Required {
			if p.Type != "pattern" {
				return fmt.Errorf("param %s: write required, or a default as = 5", p.Name)
			}
			p.Default = "*"
		}
		if slices.Contains(standard, p.Name) || slices.ContainsFunc(q.Params, func(o Param) bool { return o.Name == p.Name }) {
			return fmt.Errorf("param %s: the name is taken", p.Name)
		}
		if !p.Required {
			if _, err := p.render(p.Default); err != nil {
				return fmt.Errorf("param %s: %w", p.Name, err)
			}
		}
		q.Params = append(q.Params, p)
	default:
		return fmt.Errorf("unknown key %q: use name, title, group, description, look-back, baseline, limit, table or param", key)
	}
	return nil
}

// checkPlaceholders finds unknown placeholders, and those within quotes or
// comments, where a value could end what it stands in. The line counts from 1.
func (q *Query) checkPlaceholders() (line int, err error) {
	names := slices.Clone(standard)
	for _, p := range q.Params {
		names = append(names, p.Name)
	}
	line = 1
	within := "" // what ends the quotes or comment that we are in
	for rest := q.body; rest != ""; {
		switch {
		case within != "" && strings.HasPrefix(rest, within):
			if within == "\n" {
				line++
			}
			rest, within = rest[len(within):], ""
			continue
		case strings.HasPrefix(rest, "${"):
			m := placeholderForm.FindStringSubmatch(rest)
			if within != "" {
				return line, fmt.Errorf("placeholder %s is within quotes or a comment: it brings its own quotes", m[0])
			}
			if !strings.HasSuffix(m[0], "}") || !slices.Contains(names, m[1]) {
				return line, fmt.Errorf("unknown placeholder %s%s", m[0], didYouMean(m[1], names))
			}
			rest = rest[len(m[0]):]
			continue
		case rest[0] == '\n':
			line++
		case within != "":
		case rest[0] == '\'' || rest[0] == '"':
			within = rest[:1]
		case strings.HasPrefix(rest, "--"):
			within = "\n"
		case strings.HasPrefix(rest, "/*"):
			within = "*/"
		}
		rest = rest[1:]
	}
	return 0, nil
}

// days is a number of days as a duration of 24 hours each.
func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
