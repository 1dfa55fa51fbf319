package query

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Values get into SQL through these functions only, each by its type. The
// literals mean the same to DuckDB and to Trino: neither knows backslash
// escapes in a plain string.

// literal returns a string literal. A NUL would end the statement for an engine
// with C strings, and text that is not UTF-8 is none, so both are refused.
func literal(s string) (string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("%q contains a NUL byte", s)
	}
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%q is not UTF-8 text", s)
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'", nil
}

// dateLiteral returns a DATE literal.
func dateLiteral(d event.Date) string { return "DATE '" + d.String() + "'" }

// timestampLiteral returns a TIMESTAMP literal in milliseconds, UTC.
func timestampLiteral(t time.Time) string {
	return "TIMESTAMP '" + t.UTC().Format("2006-01-02 15:04:05.000") + "'"
}

func intLiteral(n int64) string { return strconv.FormatInt(n, 10) }

// likeEscape is the escape character of every pattern.
const likeEscape = `\`

var likeQuoter = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// likeLiteral returns the LIKE pattern (a string literal, escape character \)
// of a name in which * stands for any text.
func likeLiteral(pattern string) (string, error) {
	return literal(strings.ReplaceAll(likeQuoter.Replace(pattern), "*", "%"))
}

// matches returns the condition that a column, ignoring case, equals a name in
// which * stands for any text. A NULL column never matches.
func matches(column, pattern string) (string, error) {
	if !strings.Contains(pattern, "*") {
		lit, err := literal(pattern)
		if err != nil {
			return "", err
		}
		return "lower(" + column + ") = lower(" + lit + ")", nil
	}
	lit, err := likeLiteral(pattern)
	if err != nil {
		return "", err
	}
	return "lower(" + column + ") LIKE lower(" + lit + ") ESCAPE '" + likeEscape + "'", nil
}
