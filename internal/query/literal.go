package query

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/iamtrack/iamtrack/internal/event"
)

// ErrNotText is wrapped by the error about a value to look for that isn't UTF-8,
// as everything is that the lake holds.
var ErrNotText = errors.New("is not UTF-8 text")

// Values get into SQL through these functions only, each by its type. The
// literals mean the same to DuckDB and to Trino: neither knows backslash
// escapes in a plain string.

// literal returns a string literal, or an expression in brackets when the string
// holds a NUL: that would end the statement for an engine with C strings, so it
// is spelt chr(0). Text that is not UTF-8 is none, and refused.
func literal(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%q %w", s, ErrNotText)
	}
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.IndexByte(s, 0) < 0 {
		return quoted, nil
	}
	return "(" + strings.ReplaceAll(quoted, "\x00", "' || chr(0) || '") + ")", nil
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
