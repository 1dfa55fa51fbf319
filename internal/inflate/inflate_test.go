package inflate_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/iamtrack/iamtrack/internal/inflate"
)

func pack(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		z := gzip.NewWriter(&b)
		if _, err := z.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func named(t testing.TB, head gzip.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Header = head
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// works tells whether this build unpacks at all.
func works(t testing.TB) bool {
	t.Helper()
	_, ok := inflate.Gzip(nil, pack(t, []byte("x")), 10)
	return ok
}

func TestGzip(t *testing.T) {
	if !works(t) {
		t.Skip("a build without cgo")
	}
	text := bytes.Repeat([]byte(`{"eventName":"ListUsers"},`), 5000)
	one := pack(t, text)
	lying := bytes.Clone(one)
	copy(lying[len(lying)-4:], []byte{1, 0, 0, 0})
	wrong := bytes.Clone(one)
	wrong[len(wrong)-6] ^= 1
	for name, c := range map[string]struct {
		packed []byte
		limit  int
		want   []byte
		ok     bool
	}{
		"a member":                   {one, 1 << 20, text, true},
		"as much as is permitted":    {one, len(text), text, true},
		"a byte more than permitted": {one, len(text) - 1, nil, false},
		"an empty member":            {pack(t, nil), 1 << 20, nil, true},
		"nothing":                    {nil, 1 << 20, nil, false},
		"a large and a small member": {pack(t, text, []byte("x")), 1 << 20, append(bytes.Clone(text), 'x'), true},
		"empty ones between":         {pack(t, nil, text, nil, nil, text), 1 << 20, append(bytes.Clone(text), text...), true},
		"two members, too large":     {pack(t, text, text), 2*len(text) - 1, nil, false},
		"a name":                     {named(t, gzip.Header{Name: "trail.json"}), 1 << 20, nil, true},
		"a comment":                  {named(t, gzip.Header{Comment: "x"}), 1 << 20, nil, false},
		"a wrong size":               {lying, 1 << 20, nil, false},
		"a wrong checksum":           {wrong, 1 << 20, nil, false},
		"cut off":                    {one[:len(one)-1], 1 << 20, nil, false},
		"something behind it":        {append(bytes.Clone(one), 0), 1 << 20, nil, false},
		"no gzip":                    {text, 1 << 20, nil, false},
	} {
		for _, room := range []int{0, 1, 4096, 8 << 20} {
			got, ok := inflate.Gzip(make([]byte, 7, room+7), c.packed, c.limit)
			if ok != c.ok || ok && !bytes.Equal(got, c.want) {
				t.Errorf("%s, with %d bytes at hand: %d bytes, %v", name, room, len(got), ok)
			}
		}
	}
}

// Whatever it takes, the streaming reader takes too, and gives the same.
func FuzzGzip(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 3000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	f.Add(pack(f, []byte("hello")), 100)
	f.Add(pack(f, noise, bytes.Repeat([]byte("ab"), 999), nil), 10_000)
	f.Add(pack(f, noise)[:100], 10_000)
	f.Fuzz(func(t *testing.T, packed []byte, limit int) {
		limit = min(max(limit, 0), 1<<20)
		got, ok := inflate.Gzip(nil, packed, limit)
		if !ok {
			return
		}
		if len(got) > limit {
			t.Fatalf("%d bytes, limit %d", len(got), limit)
		}
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(z)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("streaming gives %d bytes, %v; got %d", len(want), err, len(got))
		}
	})
}
