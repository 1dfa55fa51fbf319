package render

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/iamtrack/iamtrack/internal/query"
)

// jsonPrinter writes an array with one object a line, keys in column order, as
// the rows come. No rows give "[]".
type jsonPrinter struct {
	w    io.Writer
	cols []Column
	keys [][]byte // encoded, with the colon
	buf  []byte
	rows int
}

func newJSON(w io.Writer, cols []Column) *jsonPrinter {
	p := &jsonPrinter{w: w, cols: cols}
	for _, c := range cols {
		p.keys = append(p.keys, append(AppendString(nil, c.Name), ':'))
	}
	return p
}

func (p *jsonPrinter) Row(values []any) error {
	if err := checkRow(p.cols, values); err != nil {
		return err
	}
	p.buf = append(p.buf[:0], ",\n{"...)
	if p.rows == 0 {
		p.buf = append(p.buf[:0], "[\n{"...)
	}
	for i, v := range values {
		if i > 0 {
			p.buf = append(p.buf, ',')
		}
		p.buf = append(p.buf, p.keys[i]...)
		var err error
		if p.buf, err = appendValue(p.buf, v); err != nil {
			return fmt.Errorf("print column %s: %w", p.cols[i].Name, err)
		}
	}
	p.buf = append(p.buf, '}')
	p.rows++
	_, err := p.w.Write(p.buf)
	return err
}

func (p *jsonPrinter) Close() error {
	end := "\n]\n"
	if p.rows == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(p.w, end)
	return err
}

// WriteJSONLine writes one value as one line, as streams of values have it, as
// safe as WriteJSON.
func WriteJSONLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(EscapeJSON(b), '\n'))
	return err
}

// WriteJSON writes one value, indented, and a line end. Text in it is as safe
// as a Printer's.
func WriteJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(EscapeJSON(b), '\n'))
	return err
}

// EscapeJSON makes valid JSON text safe for a terminal without changing its
// meaning: whatever Text would escape becomes \uXXXX. White space between
// tokens stays. Bytes that aren't UTF-8 become U+FFFD, as JSON has no bytes.
func EscapeJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			out = append(out, text[0]) // only ever between tokens in valid JSON
		default:
			out = appendRune(out, r)
		}
		text = text[n:]
	}
	return out
}

// appendRune appends a character of a JSON string other than " and \.
func appendRune(b []byte, r rune) []byte {
	switch {
	case r == utf8.RuneError: // also what a bad byte decodes to
		return append(b, "\ufffd"...)
	case harmless(r):
		return utf8.AppendRune(b, r)
	case r < 0x10000:
		return appendU(b, r)
	default:
		r -= 0x10000
		return appendU(appendU(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
}

func appendU(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// AppendString appends s as a JSON string that is safe on a terminal.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		r, n := utf8.DecodeRuneInString(s[i:])
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = appendRune(b, r)
		}
		i += n
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// appendValue appends a value. Times are RFC 3339 in UTC; numbers that JSON
// doesn't have ("NaN", "+Inf", "-Inf") are strings; integers are written in full
// (beyond 2^53 some readers round them).
func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case string:
		return AppendString(b, v), nil
	case query.Date:
		return AppendString(b, string(v)), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return AppendString(b, strconv.FormatFloat(v, 'g', -1, 64)), nil
		}
		return append(b, floatText(v)...), nil
	case time.Time:
		return AppendString(b, v.UTC().Format(time.RFC3339Nano)), nil
	case []string:
		return appendList(b, v)
	case []any:
		return appendList(b, v)
	case json.Marshaler:
		return appendMarshalled(b, v)
	case fmt.Stringer:
		return AppendString(b, v.String()), nil
	default:
		return appendMarshalled(b, v)
	}
}

func appendList[T any](b []byte, list []T) ([]byte, error) {
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValue(b, e); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendMarshalled(b []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(b, EscapeJSON(text)...), nil
}
