package duckdb

import (
	_ "embed"
	"regexp"
	"strings"
)

//go:embed macros.sql
var macros string

// Macros returns the SQL that defines the functions which DuckDB lacks and the
// packs use, for whoever runs a query of the packs on DuckDB without this engine
// (the benchmarks, a user's own DuckDB).
func Macros() string { return macros }

// macroForm is a macro's statement, a line, with its name.
var macroForm = regexp.MustCompile(`(?m)^CREATE MACRO ([a-z0-9_]+)\(.*;$`)

// macroList has name and statement of each macro.
var macroList = macroForm.FindAllStringSubmatch(macros, -1)

// macrosFor defines the macros that a statement may use: making all of them
// takes DuckDB 8 ms. None uses another one.
func macrosFor(sql string) string {
	var b strings.Builder
	for _, m := range macroList {
		if mentions(sql, m[1]) {
			b.WriteString(m[0] + "\n")
		}
	}
	return b.String()
}

// mentions tells whether a statement may use a name, given in lower case. DuckDB
// has no escapes in names, so one that is used is there as it is.
func mentions(sql, name string) bool { return strings.Contains(strings.ToLower(sql), name) }
