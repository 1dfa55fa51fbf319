package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{` { "b" : 1 , "a" : [ true , null ] } `, `{"a":[true,null],"b":1}`},
		{`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		{`{"a":1,"\u0061":2}`, `{"a":2}`},
		{`{"a":{"z":1,"y":2},"B":0,"":5}`, `{"":5,"B":0,"a":{"y":2,"z":1}}`},
		{`{"eventName":1,"event":2,"eventNam":3,"eventNamf":4}`, `{"event":2,"eventNam":3,"eventName":1,"eventNamf":4}`},
		{`{"bytesTransferredOut":1,"bytesTransferredIn":2,"bytesTr":3}`, `{"bytesTr":3,"bytesTransferredIn":2,"bytesTransferredOut":1}`},
		{`{"a\u0000":1,"a":2}`, `{"a":2,"a\u0000":1}`},
		{`[1.0,1e5,-0,1E+2,0.10]`, `[1.0,1e5,-0,1E+2,0.10]`},
		{`"\u0041\/\u00e9\n\u001F\"\\\b\f\r\t"`, `"A/é\n\u001f\"\\\b\f\r\t"`},
		{`"\ud83d\ude00"`, `"😀"`},
		{`"\ud83d\ud83d\ude00\ude00x"`, `"` + "\uFFFD😀\uFFFD" + `x"`},
		{`"\u0000\u007f\u2028"`, `"\u0000` + "\u007f\u2028" + `"`},
		{"\"a\xffb\xc3\"", `"a` + "\uFFFDb\uFFFD" + `"`},
		{"{\"\xff\":1}", "{\"\uFFFD\":1}"},
		{`{}`, `{}`}, {`[]`, `[]`}, {` null `, `null`}, {`{"a":{}}`, `{"a":{}}`},
	} {
		got, err := Canonical([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{
		``, ` `, `{`, `[`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `[1,]`, `[1 2]`, `{"a" 1}`, `{a:1}`, `{"a":1 "b":2}`,
		`01`, `1.`, `.5`, `+1`, `1e`, `-`, `tru`, `nul`, `truee`, `"`, `"a`, `"\x"`, `"\u12"`, `"\u12g4"`, `"a` + "\n" + `"`,
		"\"\x00\"", `{} {}`, `1 2`, `NaN`, `{"a":1}x`, `"\`,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
	} {
		if got, err := Canonical([]byte(in)); err == nil {
			t.Errorf("%q: got %s, want an error", in, got)
		}
	}
	if _, err := Canonical([]byte(strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth))); err != nil {
		t.Error(err)
	}
}

// TestCanonicalManyKeys: objects of any size, in any order, more than once with
// one canon, so that remembered orders are used.
func TestCanonicalManyKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	c := canon{known: new(memory)}
	for n := range 120 {
		var keys []string
		for i := range n {
			keys = append(keys, fmt.Sprintf("%skey%d", strings.Repeat("p", i%11), i))
		}
		var want []string
		for _, k := range slices.Sorted(slices.Values(keys)) {
			want = append(want, `"`+k+`":"`+k+`"`)
		}
		for range 3 {
			rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			for range 2 {
				var in []string
				for _, k := range keys {
					in = append(in, `"`+k+`":"`+k+`"`)
				}
				if err := c.run([]byte("{"+strings.Join(in, ",")+"}"), false); err != nil {
					t.Fatal(err)
				}
				if got := string(c.out); got != "{"+strings.Join(want, ",")+"}" {
					t.Fatalf("%d keys: got %s", n, got)
				}
			}
		}
	}
}

// FuzzCanonical compares with encoding/json, which agrees on what is valid, on
// what it means, and on the order of keys.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		`{"b":1,"a":[true,null,"x"],"a":{"z":1}}`, `"\ud800\u0041"`, "\"\xff\xc3\"", `{"\u0061":1,"a":2}`, `-0.10e+5`, `[[[]]]`,
		typical[0], typical[3],
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Canonical(in)
		if valid := json.Valid(in); valid != (err == nil) {
			if err != nil && strings.Contains(err.Error(), "nested too deeply") {
				return
			}
			t.Fatalf("valid %v, error %v", valid, err)
		}
		if err != nil {
			return
		}
		if !utf8.Valid(got) {
			t.Fatalf("not UTF-8: %q", got)
		}
		again, err := Canonical(got)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("not stable: %s, then %s, %v", got, again, err)
		}
		if a, b := oracle(t, in), oracle(t, got); a != b {
			t.Fatalf("%s\nhas another meaning than\n%s", b, a)
		}
		if want := oracle(t, in); !bytes.Equal(plainForm(t, got), []byte(want)) {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

// oracle is encoding/json's sorted, compact form of a value.
func oracle(t testing.TB, in []byte) string {
	dec := json.NewDecoder(bytes.NewReader(in))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// plainForm is canonical text in the spelling of encoding/json, which escapes
// U+2028 and U+2029.
func plainForm(t testing.TB, canonical []byte) []byte {
	s := strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`).Replace(string(canonical))
	return []byte(s + "\n")
}
