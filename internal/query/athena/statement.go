package athena

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
)

// statement is a SELECT (or another one that reads) in its words.
type statement struct {
	sql   string
	words []word
}

// word is a name, number or sign of a statement, in lower case; what is in quotes is
// there with its quotes, comments are left out.
type word struct {
	text       string
	start, end int // in the statement
}

// parse cuts a statement into words and refuses one that does more than read. The
// rights of the caller decide what can be read; this is so that a slip, or a query
// file of somebody else's, makes and drops nothing.
func parse(sql string) (*statement, error) {
	s := &statement{sql: sql}
	for at := 0; at < len(sql); {
		start := at
		switch c := sql[at]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			at++
			continue
		case strings.HasPrefix(sql[at:], "--"):
			at = endOf(sql, at, "\n")
			continue
		case strings.HasPrefix(sql[at:], "/*"):
			at = endOf(sql, at+2, "*/")
			continue
		case c == '\'' || c == '"' || c == '`':
			at = endOf(sql, at+1, string(c)) // a doubled quote starts another one, to the same end
		case nameByte(c):
			for at < len(sql) && nameByte(sql[at]) {
				at++
			}
		default:
			at++
			if at < len(sql) && slices.Contains([]string{"<=", ">=", "<>", "!="}, sql[start:at+1]) {
				at++
			}
		}
		s.words = append(s.words, word{strings.ToLower(sql[start:at]), start, at})
	}
	for n := len(s.words); n > 0 && s.words[n-1].text == ";"; n-- {
		s.sql, s.words = sql[:s.words[n-1].start], s.words[:n-1]
	}
	if len(s.words) == 0 {
		return nil, errors.New("query: there is no statement")
	}
	for _, w := range s.words {
		if w.text == ";" {
			return nil, errors.New("query: there is more than one statement")
		}
	}
	at := 0
	if s.word(0) == "explain" && s.word(1) == "analyze" { // which runs the statement
		if at = 2; s.word(at) == "verbose" {
			at++
		}
	}
	for s.word(at) == "(" {
		at++
	}
	first := s.word(at)
	if first == "" {
		return nil, errors.New("query: the statement ends before it says what to read")
	}
	if !slices.Contains([]string{"select", "with", "values", "explain", "show", "describe", "desc"}, first) {
		return nil, fmt.Errorf("query: only statements that read are run (SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE), this one starts with %s", strings.ToUpper(first))
	}
	return s, nil
}

// endOf is where what ends with a mark has ended.
func endOf(sql string, from int, mark string) int {
	i := strings.Index(sql[min(from, len(sql)):], mark)
	if i < 0 {
		return len(sql)
	}
	return from + i + len(mark)
}

func nameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// word is the i-th word, empty beyond the end.
func (s *statement) word(i int) string {
	if i < 0 || i >= len(s.words) {
		return ""
	}
	return s.words[i].text
}

// names tells whether the statement names a table.
func (s *statement) names(table string) bool {
	return slices.ContainsFunc(s.words, func(w word) bool { return w.text == table || w.text == `"`+table+`"` })
}

// unbounded tells whether a SELECT of the tables compares event_date with nothing.
func (s *statement) unbounded() bool {
	switch s.word(0) {
	case "explain":
		if s.word(1) != "analyze" {
			return false
		}
	case "show", "describe", "desc":
		return false
	}
	if !s.names("events") && !s.names("filtered") {
		return false
	}
	compares := []string{"=", "<", ">", "<=", ">=", "between", "in"}
	for i, w := range s.words {
		if w.text != query.PartitionColumn && w.text != `"`+query.PartitionColumn+`"` {
			continue
		}
		before := i - 1
		for s.word(before) == "." { // with its table: e.event_date
			before -= 2
		}
		if slices.Contains(compares, s.word(i+1)) || slices.Contains(compares, s.word(before)) {
			return false
		}
	}
	return true
}

// during is the statement over some days, both inclusive: each table that it names
// is replaced by one in front of it that holds only these days.
func (s *statement) during(database string, since, until event.Date) string {
	first, last := max(since, minDate), min(until, maxDate)
	var tables []string
	for _, t := range []string{"events", "filtered"} {
		if s.names(t) {
			tables = append(tables, fmt.Sprintf("%s AS (SELECT * FROM \"%s\".%s WHERE %s BETWEEN DATE '%s' AND DATE '%s')",
				t, strings.ReplaceAll(database, `"`, `""`), t, query.PartitionColumn, first, last))
		}
	}
	if len(tables) == 0 {
		return s.sql
	}
	with := "WITH " + strings.Join(tables, ",\n")
	switch {
	case s.word(0) == "with" && s.word(1) == "recursive":
		return "WITH RECURSIVE " + strings.TrimPrefix(with, "WITH ") + ",\n" + s.sql[s.words[1].end:]
	case s.word(0) == "with":
		return with + ",\n" + s.sql[s.words[0].end:]
	case s.word(0) == "select" || s.word(0) == "(" || s.word(0) == "values":
		return with + "\n" + s.sql
	}
	return s.sql // SHOW and the like
}

// Dates that SQL can write.
var (
	minDate = event.DateOf(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	maxDate = event.DateOf(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMilli())
)
