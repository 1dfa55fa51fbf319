package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// split returns all values of a stream, rejected ones as "!" and their length,
// and how the stream ended.
func split(r io.Reader) (values []string, err error) { return drain(NewSplitter(r)) }

// splitWhole is split of a stream in memory, by a splitter that has read another.
func splitWhole(in []byte) (values []string, err error) {
	s := NewSplitter(strings.NewReader(`{"Records":[{"a`))
	_, _ = s.Next() // an error, which is of the other stream
	s.ResetWhole(bytes.Clone(in))
	values, err = drain(s)
	s.Reset(strings.NewReader(`[1]`))
	if after, err := drain(s); err != nil || !slices.Equal(after, []string{"1"}) {
		return after, fmt.Errorf("read after it: %w", err)
	}
	return values, err
}

func drain(s *Splitter) (values []string, err error) {
	for {
		raw, err := s.Next()
		if errors.Is(err, io.EOF) {
			return values, nil
		}
		if err != nil {
			return values, err
		}
		if raw.Err != nil {
			values = append(values, fmt.Sprintf("!%d", raw.Length))
			continue
		}
		if int64(len(raw.Data)) != raw.Length {
			return values, fmt.Errorf("length %d of %q", raw.Length, raw.Data)
		}
		values = append(values, string(raw.Data))
	}
}

var splitCases = []struct {
	name, in string
	want     []string
	err      string // part of the error's text
}{
	{"nothing", "", nil, ""},
	{"white space", " \n\t\r\n", nil, ""},
	{"object", `{"a":1}`, []string{`{"a":1}`}, ""},
	{"byte order mark", "\xef\xbb\xbf{\"a\":1}", []string{`{"a":1}`}, ""},
	{"array", `[{"a":1}, {"b":2}]`, []string{`{"a":1}`, `{"b":2}`}, ""},
	{"empty array", `[ ]`, nil, ""},
	{"scalars in an array", `[1,"x",null,[2]]`, []string{`1`, `"x"`, `null`, `[2]`}, ""},
	{"records", `{"Records":[{"a":1},{"b":"]}"}]}`, []string{`{"a":1}`, `{"b":"]}"}`}, ""},
	{"no records", `{"Records":[]}`, nil, ""},
	{"records between other members", `{"x":{"Records":[9]},"Records": [{"a":1}] ,"y":[1,{"z":"}"}]}`, []string{`{"a":1}`}, ""},
	{"records twice", `{"Records":[{"a":1}],"Records":[{"b":2}]}`, []string{`{"a":1}`, `{"b":2}`}, ""},
	{"records, not a list", `{"Records":{"a":1}}`, []string{`{"Records":{"a":1}}`}, ""},
	{"a value called Records", `{"a":"Records","b":[1]}`, []string{`{"a":"Records","b":[1]}`}, ""},
	{"a record with a list called Records", `{"eventName":"x","Records":[1]}`, []string{`{"eventName":"x","Records":[1]}`}, ""},
	{"look-up events", `{"Events":[{"EventId":"1"}],"NextToken":"n"}`, []string{`{"EventId":"1"}`}, ""},
	{"lines", "{\"a\":1}\n{\"b\":2}\r\n\n{\"c\":3}", []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}, ""},
	{"without line ends", `{"a":1}{"b":2}`, []string{`{"a":1}`, `{"b":2}`}, ""},
	{"indented", "{\n \"a\": [\n  {}\n ]\n}\n{\n\"b\":[\n{}]}", []string{"{\n \"a\": [\n  {}\n ]\n}", "{\n\"b\":[\n{}]}"}, ""},
	{"files behind one another", "{\"Records\":[{\"a\":1}]}\n{\"Records\":[{\"b\":2}]}[{\"c\":3}]", []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}, ""},
	{"escapes", `[{"a":"\\"},{"b":"\"}"}]`, []string{`{"a":"\\"}`, `{"b":"\"}"}`}, ""},
	{"scalars", "1 \"x\" true\n-2e5", []string{"1", `"x"`, "true", "-2e5"}, ""},

	{"text", "hello\nworld", nil, "not JSON at byte 0"},
	{"a comma first", `,{"a":1}`, nil, "not JSON at byte 0"},
	{"html", "<html>\n{}</html>", []string{"!6", "{}"}, "not JSON at byte 9"},
	{"javascript", "{\n  eventName: \"x\"\n}", nil, "not JSON at byte 0"},
	{"javascript in an array", `[{eventName: "x"}]`, []string{`{eventName: "x"}`}, ""},
	{"cut off in a record", `{"a":1}` + "\n" + `{"b":`, []string{`{"a":1}`}, "cut off inside a record at byte 8"},
	{"cut off in a string", `{"a":1}` + "\n" + `{"b":"x`, []string{`{"a":1}`}, "cut off inside a record at byte 8"},
	{"cut off in records", `{"Records":[{"a":1},{"b":`, []string{`{"a":1}`}, "cut off inside a record at byte 20"},
	{"cut off between records", `{"Records":[{"a":1},`, []string{`{"a":1}`}, "cut off inside the list of records at byte 20"},
	{"cut off behind records", `{"Records":[{"a":1}],"x":`, []string{`{"a":1}`}, "cut off after the records"},
	{"mismatched in a list", `[{"a":1},{"b":[}]`, []string{`{"a":1}`}, "malformed record in a list at byte 9"},
	{"no comma in a list", `[{"a":1}{"b":2}]`, []string{`{"a":1}`}, "malformed list of records at byte 8"},
	{"mismatched behind records", `{"Records":[{"a":1}],"x":[}`, []string{`{"a":1}`}, "malformed JSON after the records"},

	{"a bad line", "{\"a\":1}\n{\"b\" 2}\n{\"c\":3}\n", []string{`{"a":1}`, "!7", `{"c":3}`}, ""},
	{"a bad first line", "{\"a\" 1}\n{\"b\":2}\n", []string{"!7", `{"b":2}`}, ""},
	{"a bad last line", "{\"a\":1}\n{\"b\":}\n", []string{`{"a":1}`, "!6"}, ""},
	{"a line that lacks its brace", "{\"a\":{\"b\":1}\n{\"c\":3}\n", []string{"!12", `{"c":3}`}, ""},
	{"a line that lacks its quote", "{\"a\":1}\n{\"b\":\"x}\n{\"c\":3}\n", []string{`{"a":1}`, "!8", `{"c":3}`}, ""},
	{"a line cut off before a value", "{\"a\":1}\n{\"b\":\n{\"c\":3}\n{\"d\":4}\n", []string{`{"a":1}`, "!5", `{"c":3}`, `{"d":4}`}, ""},
	{"a brace too many", "{\"a\":1}}\n{\"b\":2}", []string{`{"a":1}`, "!1", `{"b":2}`}, ""},
	{"text between lines", "{\"a\":1}\nhello\nworld\n{\"b\":2}", []string{`{"a":1}`, "!11", `{"b":2}`}, ""},
	{"a null byte", "{\"a\":1}\n\x00\n{\"b\":2}", []string{`{"a":1}`, "!1", `{"b":2}`}, ""},
}

func TestSplit(t *testing.T) {
	for _, c := range splitCases {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{
				strings.NewReader(c.in),
				iotest.OneByteReader(strings.NewReader(c.in)),
				iotest.DataErrReader(strings.NewReader(c.in)),
			} {
				got, err := split(r)
				if !slices.Equal(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
				if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
					t.Errorf("got error %v, want %q", err, c.err)
				}
			}
		})
	}
}

// TestSplitAnywhere: how a stream is cut into reads doesn't matter.
func TestSplitAnywhere(t *testing.T) {
	all := typicalStream(20)
	inputs := []string{string(all), strings.ReplaceAll(string(all), `},{"eventV`, "}\n,\n{\"eventV")}
	for _, c := range splitCases {
		inputs = append(inputs, c.in)
	}
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SampledFrom(inputs).Draw(t, "input")
		sizes := rapid.SliceOfN(rapid.IntRange(0, 700), 1, 20).Draw(t, "sizes")
		want, wantErr := split(strings.NewReader(in))
		got, gotErr := split(&pieces{data: in, sizes: sizes})
		if !slices.Equal(got, want) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Fatalf("got %q, %v\nwant %q, %v", got, gotErr, want, wantErr)
		}
	})
}

// parsed returns what Parser.Next makes of a stream, or Splitter.Next and
// Parse, one after the other.
func parsed(r io.Reader, together bool) (out []string) {
	s, p := NewSplitter(r), NewParser()
	for {
		var e Event
		var raw Raw
		var err error
		if together {
			e, raw, err = p.Next(s)
		} else if raw, err = s.Next(); err == nil {
			if err = error(raw.Err); raw.Err == nil {
				e, err = p.Parse(raw.Data)
			}
		}
		var rejected *RejectError
		switch {
		case err == nil:
			out = append(out, fmt.Sprintf("%d+%d %s %x", raw.Offset, raw.Length, e.EventID, e.RecordHash))
		case errors.As(err, &rejected):
			out = append(out, fmt.Sprint(raw.Reject(err)))
		default:
			return append(out, err.Error())
		}
	}
}

// TestParserNext: splitting and parsing in one is the same as one by one.
func TestParserNext(t *testing.T) {
	all := string(typicalStream(8))
	records := all[len(`{"Records":[`) : len(all)-2]
	rec := fmt.Sprintf(typical[1], 1)
	inputs := []string{
		all, "[" + records + "]", strings.ReplaceAll(records, `},{"eventV`, "}\n{\"eventV"), rec + rec + all + rec + "\n" + all,
		`{"Events":[{"CloudTrailEvent":` + jsonString(rec) + `}]}`, rec + `{"eventTime":"2026-05-04T09:12:44Z","Records":[1]} {"Records":[` + rec + `,x` + rec,
		rec + `{"Rec\u006frds":[` + rec + `]}`, rec + "{\"a\" 1}\n" + rec, `[` + rec + ` ` + rec + `]`, `[` + rec + `,,` + rec + `]`, `[,` + rec,
		all[:len(all)-500], rec + strings.Repeat(" ", 100) + rec[:300],
	}
	for _, c := range splitCases {
		inputs = append(inputs, c.in, rec+c.in, "["+rec+","+c.in)
	}
	for _, in := range inputs {
		want := parsed(strings.NewReader(in), false)
		for _, r := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in)), iotest.HalfReader(strings.NewReader(in)), &pieces{data: in, sizes: []int{900, 13, 2000}}} {
			if got := parsed(r, true); !slices.Equal(got, want) {
				t.Fatalf("%.300s\ngot  %q\nwant %q", in, got, want)
			}
		}
	}
	big := `{"eventTime":"2026-05-04T09:12:44Z","a":"` + strings.Repeat("z", MaxRecord) + `"}`
	in := rec + "\n" + big + "\n" + rec
	if got, want := parsed(strings.NewReader(in), true), parsed(strings.NewReader(in), false); !slices.Equal(got, want) || len(got) != 4 {
		t.Errorf("got %.1000q, want %.1000q", got, want)
	}
}

// pieces reads in pieces of given sizes, some of them empty.
type pieces struct {
	data  string
	sizes []int
	n     int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.data == "" {
		return 0, io.EOF
	}
	size := min(p.sizes[p.n%len(p.sizes)], len(b), len(p.data))
	if p.n++; p.n%len(p.sizes) == 0 {
		size = max(size, 1)
	}
	copy(b, p.data[:size])
	p.data = p.data[size:]
	return size, nil
}

// generated yields head, then body n times, then tail.
func generated(head, body string, n int, tail string) io.Reader {
	readers := []io.Reader{strings.NewReader(head)}
	for range n {
		readers = append(readers, strings.NewReader(body))
	}
	return io.MultiReader(append(readers, strings.NewReader(tail))...)
}

func TestSplitLargeStreamInSmallMemory(t *testing.T) {
	chunk := strings.Repeat(`{"eventName":"x","padding":"`+strings.Repeat("y", 1000)+`"},`, 1000)
	s := NewSplitter(generated(`{"Records":[`, chunk, 64, `{}]}`))
	n := 0
	for {
		if _, err := s.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 64001 {
		t.Errorf("%d records, want 64001", n)
	}
	if cap(s.buf) > 2*readSize {
		t.Errorf("a buffer of %d bytes for records of 1 KB", cap(s.buf))
	}
}

func TestSplitLargeRecord(t *testing.T) {
	part := strings.Repeat("z", 1<<20)
	big := `{"a":"` + strings.Repeat(part, 5) + `"}`
	sum := sha256.Sum256([]byte(big))
	for name, in := range map[string]string{
		"lines":   "{\"x\":1}\n" + big + "\n{\"y\":2}\n",
		"records": `{"Records":[{"x":1},` + big + `,{"y":2}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSplitter(strings.NewReader(in))
			var got []Raw
			for {
				raw, err := s.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				raw.Data = bytes.Clone(raw.Data)
				got = append(got, raw)
			}
			if len(got) != 3 || got[0].Err != nil || got[2].Err != nil || string(got[2].Data) != `{"y":2}` {
				t.Fatalf("got %d values: %.100v", len(got), got)
			}
			r := got[1]
			if r.Err == nil || r.Length != int64(len(big)) || r.sum != sum || len(r.Data) > excerptSource {
				t.Errorf("err %v, length %d, want %d, %d bytes kept, right sum %v", r.Err, r.Length, len(big), len(r.Data), r.sum == sum)
			}
			if in[r.Offset:r.Offset+r.Length] != big {
				t.Errorf("offset %d", r.Offset)
			}
			if rej := r.Reject(nil); rej.SHA256 != fmt.Sprintf("%x", sum) || rej.Length != r.Length || rej.Reason == "" || rej.Excerpt == "" {
				t.Errorf("rejection %+v", rej)
			}
			if cap(s.buf) > 4*MaxRecord {
				t.Errorf("a buffer of %d bytes", cap(s.buf))
			}
		})
	}
	t.Run("just small enough", func(t *testing.T) {
		fits := `{"a":"` + strings.Repeat("z", MaxRecord-len(`{"a":""}`)) + `"}`
		got, err := split(strings.NewReader(fits + "\n" + fits[:6] + "z" + fits[6:]))
		if err != nil || len(got) != 2 || got[0] != fits || got[1] != fmt.Sprintf("!%d", MaxRecord+1) {
			t.Errorf("%d values, %v", len(got), err)
		}
	})
	t.Run("without an end", func(t *testing.T) {
		s := NewSplitter(strings.NewReader("{\"x\":1}\n" + big[:len(big)-2]))
		_, _ = s.Next()
		_, err := s.Next()
		var stream *StreamError
		if !errors.As(err, &stream) || stream.Offset != 8 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("bad and large line", func(t *testing.T) {
		got, err := split(strings.NewReader("{\"x\":1}\n" + big[:len(big)-2] + "\n{\"y\":2}\n"))
		if err != nil || len(got) != 3 || got[2] != `{"y":2}` {
			t.Errorf("%d values, %v", len(got), err)
		}
	})
	t.Run("large members before the records", func(t *testing.T) {
		got, err := split(strings.NewReader(`{"p":"` + strings.Repeat(part, 6) + `","Records":[{"y":2}]}`))
		if err != nil || !slices.Equal(got, []string{`{"y":2}`}) {
			t.Errorf("%d values, %v", len(got), err)
		}
	})
}

func TestSplitReadError(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, in := range []string{`{"a":1}` + "\n", `{"a":1} {"b":`, `[{"a":1},`, `{"Records":[{"a":1}]`} {
		s := NewSplitter(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)))
		raw, err := s.Next()
		if err != nil || string(raw.Data) != `{"a":1}` {
			t.Fatalf("%s: %q, %v", in, raw.Data, err)
		}
		for range 2 {
			_, err = s.Next()
			var stream *StreamError
			if !errors.As(err, &stream) || !errors.Is(err, broken) {
				t.Errorf("%s: got %v", in, err)
			}
		}
	}
	if _, err := split(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestSplitDeepNesting(t *testing.T) {
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	got, err := split(strings.NewReader(`{"a":` + deep + "}\n{\"b\":1}"))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d values, %v", len(got), err)
	}
	if _, err := NewParser().Parse([]byte(got[0])); err == nil || !strings.Contains(err.Error(), "nested too deeply") {
		t.Errorf("got %v", err)
	}
	if _, err := split(strings.NewReader(strings.Repeat(`{"a":`, maxScanDepth+10))); err == nil {
		t.Error("no error")
	}
}

// FuzzSplitter: on valid input the values are those that encoding/json finds;
// on any input nothing panics, and the reads' sizes don't matter.
func FuzzSplitter(f *testing.F) {
	for _, c := range splitCases {
		f.Add([]byte(c.in))
	}
	f.Add(typicalStream(3))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := split(bytes.NewReader(in))
		again, err2 := split(iotest.OneByteReader(bytes.NewReader(in)))
		if !slices.Equal(got, again) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("one byte at a time: %q, %v\nat once: %q, %v", again, err2, got, err)
		}
		if again, err2 := splitWhole(in); !slices.Equal(got, again) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("in memory: %q, %v\nread: %q, %v", again, err2, got, err)
		}
		if a, b := parsed(bytes.NewReader(in), true), parsed(bytes.NewReader(in), false); !slices.Equal(a, b) {
			t.Fatalf("together %q, one by one %q", a, b)
		}
		want, valid := decodeAll(in)
		if !valid {
			return
		}
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %q, %v\nwant %q", got, err, want)
		}
	})
}

// decodeAll does with encoding/json what a Splitter does; it reports false for
// what that can't tell: invalid input, and keys that are escaped.
func decodeAll(in []byte) (values []string, valid bool) {
	in = bytes.TrimPrefix(in, []byte("\xef\xbb\xbf"))
	dec := json.NewDecoder(bytes.NewReader(in))
	for {
		var v json.RawMessage
		err := dec.Decode(&v)
		if err == io.EOF {
			return values, true
		}
		if err != nil || bytes.Contains(v, []byte(`\u`)) {
			return nil, false
		}
		switch v[0] {
		case '[':
			var list []json.RawMessage
			if json.Unmarshal(v, &list) != nil {
				return nil, false
			}
			for _, e := range list {
				values = append(values, string(e))
			}
		case '{':
			inner, ok := wrapped(v)
			if !ok {
				inner = []string{string(v)}
			}
			values = append(values, inner...)
		default:
			values = append(values, string(v))
			// A word or number must be followed by a delimiter that only this
			// package asks for.
			if rest := in[dec.InputOffset():]; len(rest) > 0 && !strings.ContainsRune(" \t\r\n", rune(rest[0])) {
				return nil, false
			}
		}
	}
}

// wrapped returns the records of an object, and whether it is a list of such.
func wrapped(v []byte) (values []string, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(v))
	_, _ = dec.Token()
	record := false
	for dec.More() {
		key, _ := dec.Token()
		var val json.RawMessage
		if dec.Decode(&val) != nil {
			return nil, false
		}
		switch key {
		case "eventTime", "eventName", "eventSource":
			record = true
		case "Records", "Events":
			var list []json.RawMessage
			if !record && val[0] == '[' && json.Unmarshal(val, &list) == nil {
				ok = true
				for _, e := range list {
					values = append(values, string(e))
				}
			}
		}
	}
	return values, ok
}

// TestSplitHostileLines: lines that each look like the start of all that
// follows are not read over and over.
func TestSplitHostileLines(t *testing.T) {
	in := "{}\n" + strings.Repeat("{\"a\":\n", 200000) + "\n"
	s := NewSplitter(strings.NewReader(in))
	for {
		_, err := s.Next()
		var stream *StreamError
		if errors.As(err, &stream) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if s.wasted > maxWasted+int64(len(in)) {
		t.Errorf("%d bytes looked at again", s.wasted)
	}
}
