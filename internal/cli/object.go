package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/iamtrack/iamtrack/internal/render"
)

// object prints one value: as JSON, as text that people read, or, in the
// formats that have only rows, as rows of field and value ("filtered.service").
func (e *env) object(v any, text func() string) error {
	switch e.format() {
	case render.JSON:
		return e.document(func(w io.Writer) error { return render.WriteJSON(w, v) })
	case render.CSV, render.Markdown:
		fields, err := flatten(v)
		if err != nil {
			return err
		}
		return e.answer(render.Columns("field", "value"), func(p render.Printer) error {
			for _, f := range fields {
				if err := p.Row([]any{f.name, f.value}); err != nil {
					return err
				}
			}
			return nil
		})
	default:
		return e.document(func(w io.Writer) error {
			_, err := io.WriteString(w, text())
			return err
		})
	}
}

// objects prints several values like object does: JSON has the one object, or an
// array of them; text i is that of the i-th.
func (e *env) objects(values []any, text func(i int) string) error {
	all := func() string {
		var b strings.Builder
		for i := range values {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(text(i))
		}
		return b.String()
	}
	if len(values) == 1 {
		return e.object(values[0], all)
	}
	return e.object(values, all)
}

type flatField struct {
	name  string
	value any
}

// flatten lists the leaves of a value's JSON, in order; arrays stay JSON text.
func flatten(v any) ([]flatField, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out []flatField
	var walk func(name string, raw json.RawMessage) error
	walk = func(name string, raw json.RawMessage) error {
		if name == "" && raw[0] == '[' { // several objects: number them
			var list []json.RawMessage
			if err := json.Unmarshal(raw, &list); err != nil {
				return err
			}
			for i, e := range list {
				if err := walk(strconv.Itoa(i+1), e); err != nil {
					return err
				}
			}
			return nil
		}
		if raw[0] != '{' {
			var leaf any
			if raw[0] == '[' {
				leaf = string(raw)
			} else {
				d := json.NewDecoder(bytes.NewReader(raw))
				d.UseNumber()
				if err := d.Decode(&leaf); err != nil {
					return err
				}
			}
			if n, ok := leaf.(json.Number); ok {
				if i, err := n.Int64(); err == nil {
					leaf = i
				} else if leaf, err = n.Float64(); err != nil {
					return err
				}
			}
			out = append(out, flatField{name, leaf})
			return nil
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		if _, err := d.Token(); err != nil {
			return err
		}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return err
			}
			var value json.RawMessage
			if err := d.Decode(&value); err != nil {
				return err
			}
			full, _ := key.(string) // keys of an object are strings
			if name != "" {
				full = name + "." + full
			}
			if err := walk(full, value); err != nil {
				return err
			}
		}
		return nil
	}
	return out, walk("", text)
}
