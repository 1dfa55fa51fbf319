package query

import (
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
)

// unquote reads a string literal as SQL does, or several with chr(0) between
// them in brackets, and tells what follows.
func unquote(t *testing.T, sql string) (value, rest string) {
	t.Helper()
	if inner, ok := strings.CutPrefix(sql, "("); ok {
		for {
			var part string
			part, inner = unquote(t, inner)
			value += part
			if after, ok := strings.CutPrefix(inner, " || chr(0) || "); ok {
				value, inner = value+"\x00", after
				continue
			}
			rest, ok := strings.CutPrefix(inner, ")")
			if !ok {
				t.Fatalf("%q never ends", sql)
			}
			return value, rest
		}
	}
	if !strings.HasPrefix(sql, "'") {
		t.Fatalf("%q is no literal", sql)
	}
	var b strings.Builder
	for i := 1; i < len(sql); i++ {
		if sql[i] != '\'' {
			b.WriteByte(sql[i])
			continue
		}
		if i+1 < len(sql) && sql[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), sql[i+1:]
	}
	t.Fatalf("%q never ends", sql)
	return "", ""
}

// A literal, read back, is the value, and nothing follows it.
func FuzzLiteral(f *testing.F) {
	for _, s := range []string{"", "a", "it's", "''", "'; DROP TABLE x; --", `\'`, `\`, "%_*", "é\u2028", "\n", "a\x00b", "\xff", "${range}", "$1", "?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sql, err := literal(s)
		bad := strings.ToValidUTF8(s, "") != s
		if strings.Contains(sql, "\x00") {
			t.Errorf("literal(%q) holds a NUL", s)
		}
		if (err != nil) != bad {
			t.Fatalf("literal(%q): %v", s, err)
		}
		if err != nil {
			return
		}
		if got, rest := unquote(t, sql); got != s || rest != "" {
			t.Errorf("%q reads as %q, followed by %q", sql, got, rest)
		}
		pattern, err := likeLiteral(s)
		if err != nil {
			t.Fatal(err)
		}
		like, rest := unquote(t, pattern)
		if rest != "" || unlike(like) != s {
			t.Errorf("pattern %q of %q means %q, followed by %q", pattern, s, unlike(like), rest)
		}
	})
}

// unlike reads a LIKE pattern with escape character \ as a name with *; a %
// that stands for any text can only come from a *.
func unlike(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		switch {
		case p[i] == '\\' && i+1 < len(p):
			i++
			b.WriteByte(p[i])
		case p[i] == '%':
			b.WriteByte('*')
		case p[i] == '_':
			b.WriteString("(any)")
		default:
			b.WriteByte(p[i])
		}
	}
	return b.String()
}

func TestLiterals(t *testing.T) {
	if got := dateLiteral(event.DateOf(-1)); got != "DATE '1969-12-31'" {
		t.Error(got)
	}
	if got := timestampLiteral(time.Date(2026, 3, 1, 1, 2, 3, 999_999_999, time.FixedZone("", 3600))); got != "TIMESTAMP '2026-03-01 00:02:03.999'" {
		t.Error(got)
	}
	if got := intLiteral(-9223372036854775808); got != "-9223372036854775808" {
		t.Error(got)
	}
}

func TestLocalTime(t *testing.T) {
	load := func(name string) *time.Location {
		z, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02T15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ zone, since, until, want string }{
		{"UTC", "2026-01-01T00:00", "2027-01-01T00:00", "t"},
		{"Europe/Berlin", "2026-01-01T00:00", "2026-03-29T01:00", "t + INTERVAL '60' MINUTE"},
		{"Europe/Berlin", "2026-01-01T00:00", "2026-03-29T01:01",
			"CASE WHEN t < TIMESTAMP '2026-03-29 01:00:00.000' THEN t + INTERVAL '60' MINUTE ELSE t + INTERVAL '120' MINUTE END"},
		{"America/New_York", "2026-10-31T00:00", "2026-11-02T00:00",
			"CASE WHEN t < TIMESTAMP '2026-11-01 06:00:00.000' THEN t - INTERVAL '240' MINUTE ELSE t - INTERVAL '300' MINUTE END"},
		{"Asia/Kolkata", "2026-01-01T00:00", "2027-01-01T00:00", "t + INTERVAL '330' MINUTE"},
		{"Europe/London", "2026-01-01T00:00", "2026-10-26T00:00",
			"CASE WHEN t < TIMESTAMP '2026-03-29 01:00:00.000' THEN t WHEN t < TIMESTAMP '2026-10-25 01:00:00.000' THEN t + INTERVAL '60' MINUTE ELSE t END"},
	} {
		if got := localTime("t", load(c.zone), at(c.since), at(c.until)); got != c.want {
			t.Errorf("%s from %s to %s:\ngot  %s\nwant %s", c.zone, c.since, c.until, got, c.want)
		}
	}
}

func TestParseClock(t *testing.T) {
	for text, want := range map[string]int{"22:00": 1320, "6": 360, "06:30": 390, "0:00": 0, "24:00": 0, " 7:05 ": 425, "23:59": 1439} {
		if got, err := ParseClock(text); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "24:01", "25", "12:60", "12:5x", "-1:00", "12:", ":30", "1:2:3", "012:00", "noon"} {
		if got, err := ParseClock(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}
