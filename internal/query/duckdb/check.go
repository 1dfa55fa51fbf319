package duckdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// What may be run is one statement that reads: what DuckDB's own parser calls a
// SELECT (WITH, VALUES, FROM, DESCRIBE, SHOW and SUMMARIZE are), or EXPLAIN of
// one. That alone is not enough, since a SELECT can call functions: some table
// functions read files (which the lock of the instance also refuses) or change
// the session (enable_logging and enable_profiling write files). So table
// functions must be on a list. Nothing here looks at the text, but for EXPLAIN:
// its rest is checked like any statement, and put together with a prefix of
// our own.

// tableFunctions are those that touch neither files nor settings.
var tableFunctions = map[string]bool{
	"unnest": true, "generate_series": true, "range": true, "repeat": true,
	"json_each": true, "json_tree": true, "histogram": true, "histogram_values": true,
	"duckdb_columns": true, "duckdb_functions": true, "duckdb_keywords": true, "duckdb_tables": true,
	"duckdb_types": true, "duckdb_views": true, "pragma_table_info": true, "pragma_version": true,
}

// scalarFunctions are those that are refused: they tell what is no business of
// a query (settings, paths), leave something behind, or only take time.
var scalarFunctions = map[string]bool{
	"current_setting": true, "getvariable": true, "getenv": true, "write_log": true,
	"nextval": true, "currval": true, "sleep_ms": true, "setseed": true,
}

// maxStatement bounds a statement's text, in bytes.
const maxStatement = 1 << 20

// explainForm is EXPLAIN at the start of a statement.
var explainForm = regexp.MustCompile(`(?is)^\s*explain\s+(analyze\s+)?`)

// check returns the statement to run, or says why it isn't run.
func (i *instance) check(sql string) (string, error) {
	if len(sql) > maxStatement {
		return "", fmt.Errorf("the statement has %d bytes, more than %d", len(sql), maxStatement)
	}
	if strings.IndexByte(sql, 0) >= 0 {
		return "", errors.New("the statement contains a NUL byte")
	}
	if strings.TrimSpace(sql) == "" {
		return "", errNoStatement
	}
	prefix := ""
	if m := explainForm.FindStringSubmatch(sql); m != nil {
		prefix = "EXPLAIN "
		if m[1] != "" {
			prefix = "EXPLAIN ANALYZE "
		}
		sql = sql[len(m[0]):]
	}
	if err := i.checkSelect(sql); err != nil {
		return "", err
	}
	return prefix + sql, nil
}

// checkSelect asks DuckDB's parser whether the text is one statement that only
// reads, and looks at each function that it calls.
func (i *instance) checkSelect(sql string) error {
	text, err := i.text("SELECT CAST(json_serialize_sql(CAST($1 AS VARCHAR)) AS VARCHAR)", sql)
	if err != nil {
		return fmt.Errorf("parse the statement: %w", err)
	}
	var tree struct {
		Error      bool              `json:"error"`
		Type       string            `json:"error_type"`
		Message    string            `json:"error_message"`
		Statements []json.RawMessage `json:"statements"`
	}
	if err := json.Unmarshal(finite(text), &tree); err != nil {
		return fmt.Errorf("parse the statement: %w", err)
	}
	switch {
	case tree.Error && tree.Type == "parser":
		// DuckDB's own message shows the place; its parser says it when asked again.
		if err := i.parseError(sql); err != nil {
			return err
		}
		return errors.New("Parser Error: " + tree.Message) //nolint:staticcheck // DuckDB's own words
	case tree.Error:
		// It stops at the first statement that is no query.
		if n := i.count(sql); n > 1 {
			if strings.Contains(strings.TrimRight(sql, "; \t\r\n"), ";") {
				return severalStatements(n)
			}
			// DuckDB makes two statements of it: the first finds the values.
			return errors.New("only queries can be run: a PIVOT must name its values, as in PIVOT events ON outcome IN ('ok', 'denied') USING count(*)")
		}
		return fmt.Errorf("only queries can be run (SELECT, WITH, VALUES, FROM, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN), not %s", firstWord(sql))
	case len(tree.Statements) == 0:
		return errNoStatement
	case len(tree.Statements) != 1:
		return severalStatements(len(tree.Statements))
	}
	var statement any
	if err := json.Unmarshal(tree.Statements[0], &statement); err != nil {
		return fmt.Errorf("parse the statement: %w", err)
	}
	return checkTree(statement)
}

var errNoStatement = errors.New("there is no statement")

func severalStatements(n int) error {
	return fmt.Errorf("one statement at a time: there are %d", n)
}

// notFinite are numbers that DuckDB writes into the tree and JSON doesn't have.
// Strings are matched to pass over them.
var notFinite = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?(?:Infinity|NaN)`)

// finite makes valid JSON of a serialized statement: no number matters here.
func finite(text string) []byte {
	if !strings.Contains(text, "Infinity") && !strings.Contains(text, "NaN") {
		return []byte(text)
	}
	return notFinite.ReplaceAllFunc([]byte(text), func(token []byte) []byte {
		if token[0] == '"' {
			return token
		}
		return []byte("0")
	})
}

// count returns how many statements a text has; 0 when it can't be parsed.
func (i *instance) count(sql string) int {
	var statements mapping.ExtractedStatements
	defer mapping.DestroyExtracted(&statements)
	return int(mapping.ExtractStatements(i.conn, sql, &statements))
}

// parseError returns the parser's complaint about a text, with the line shown.
func (i *instance) parseError(sql string) error {
	var statements mapping.ExtractedStatements
	defer mapping.DestroyExtracted(&statements)
	if mapping.ExtractStatements(i.conn, sql, &statements) != 0 {
		return nil
	}
	return errors.New(mapping.ExtractStatementsError(statements))
}

// checkTree looks for functions anywhere in a serialized statement.
func checkTree(node any) error {
	switch node := node.(type) {
	case []any:
		for _, n := range node {
			if err := checkTree(n); err != nil {
				return err
			}
		}
	case map[string]any:
		if node["type"] == "TABLE_FUNCTION" {
			name := functionName(node["function"])
			if !tableFunctions[name] {
				return fmt.Errorf("the table function %s can't be used: the tables are events and filtered", name)
			}
		} else if name := functionName(node); scalarFunctions[name] {
			return fmt.Errorf("the function %s can't be used", name)
		}
		for _, n := range node {
			if err := checkTree(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// functionName returns the name of a function node, or "".
func functionName(node any) string {
	m, _ := node.(map[string]any)
	name, _ := m["function_name"].(string)
	return strings.ToLower(name)
}

var wordForm = regexp.MustCompile(`^(?:\s|--[^\n]*\n|/\*(?s:.*?)\*/)*([A-Za-z]+)`)

// firstWord names what a statement does, for a message.
func firstWord(sql string) string {
	if m := wordForm.FindStringSubmatch(sql); m != nil {
		return strings.ToUpper(m[1])
	}
	return "this"
}

// prepare turns a checked statement into one that can be run. What it is and
// that it is one is asked again, of the statement that will really run.
func (i *instance) prepare(sql string) (mapping.PreparedStatement, error) {
	var stmt mapping.PreparedStatement
	var statements mapping.ExtractedStatements
	n := mapping.ExtractStatements(i.conn, sql, &statements)
	defer mapping.DestroyExtracted(&statements)
	if n != 1 {
		if message := mapping.ExtractStatementsError(statements); message != "" {
			return stmt, errors.New(message)
		}
		return stmt, severalStatements(int(n))
	}
	if mapping.PrepareExtractedStatement(i.conn, statements, 0, &stmt) == mapping.StateError {
		err := errors.New(mapping.PrepareError(stmt))
		mapping.DestroyPrepare(&stmt)
		return stmt, err
	}
	switch mapping.PreparedStatementType(stmt) {
	case mapping.StatementTypeSelect, mapping.StatementTypeExplain:
	default:
		mapping.DestroyPrepare(&stmt)
		return stmt, errors.New("only queries can be run")
	}
	if n := mapping.NParams(stmt); n > 0 {
		mapping.DestroyPrepare(&stmt)
		return stmt, errors.New("the statement has parameters (? or $1) and nothing to put in their place")
	}
	return stmt, nil
}
