package source_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/iamtrack/iamtrack/internal/source"
)

func write(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, n := range names {
		path := filepath.Join(dir, filepath.FromSlash(n))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func relative(t *testing.T, dir string, files []source.File) []string {
	t.Helper()
	var names []string
	for _, f := range files {
		rel, err := filepath.Rel(dir, f.Path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.ToSlash(rel))
	}
	return names
}

const (
	day1  = "AWSLogs/o-abc/111111111111/CloudTrail/us-east-1/2026/03/01/111111111111_CloudTrail_us-east-1_20260301T0005Z_AAAAAAAAAAAAAAAA.json.gz"
	day2  = "AWSLogs/o-abc/111111111111/CloudTrail/eu-west-1/2026/03/02/111111111111_CloudTrail_eu-west-1_20260302T0005Z_BBBBBBBBBBBBBBBB.json.gz"
	day3  = "hand/made/111111111111_CloudTrail_ap-south-1_20260303T2355Z_CCCCCCCCCCCCCCCC.json"
	other = "aaa/export.jsonl"
)

// Files come in order of the day in their names, whatever the layout, and the
// trail's other files are known by folder or name, and counted.
func TestExpandTrail(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, day3, other, day2, day1,
		"AWSLogs/o-abc/111111111111/CloudTrail-Digest/us-east-1/2026/03/01/111111111111_CloudTrail-Digest_us-east-1_trail_us-east-1_20260301T000500Z.json.gz",
		"AWSLogs/111111111111/CloudTrail-Insight/us-east-1/2026/03/01/111111111111_CloudTrail-Insight_us-east-1_20260301T0005Z_x.json.gz",
		"flat/111111111111_CloudTrail-NetworkActivity_us-east-1_20260301T0005Z_x.json.gz",
		"AWSLogs/111111111111/CloudTrail-Aggregated/x.json.gz",
		"README.md", ".hidden/x.json", "notes.txt")
	files, skipped, err := source.Expand([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{day1, day2, day3, other}, relative(t, dir, files)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	want := source.Skipped{Digest: 1, Insight: 1, NetworkActivity: 1, Aggregated: 1, Other: 2}
	if diff := cmp.Diff(want, skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	if got := files[0].Date.String(); got != "2026-03-01" {
		t.Errorf("date of %s: got %s", day1, got)
	}
}

func TestExpandNamesEachFileOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, day1, other)
	files, _, err := source.Expand([]string{dir, filepath.Join(dir, other), filepath.Join(dir, "**", "*.jsonl"), "-", "-"})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Fatalf("got %d files, want the two and standard input: %v", len(files), files)
	}
}

// A file that is named is read whatever it's called.
// Links to folders are followed, each file is listed once, and no circle is
// walked for ever.
func TestExpandFollowsLinksToFolders(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "root/a.json", "root/sub/b.json", "far/deep/c.json", "far/d.json", "beside.json")
	for name, to := range map[string]string{
		"link": "root", "root/1": "../far/deep", "root/2": "../far", "root/inside": "sub", "root/above": "..",
		"far/back": "../root", "far/deep/self": ".", "root/.hidden": "../far",
	} {
		if err := os.Symlink(to, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Skip(err)
		}
	}
	for _, root := range []string{"root", "link", "lin?"} {
		files, _, err := source.Expand([]string{filepath.Join(dir, root)})
		if err != nil {
			t.Fatal(err)
		}
		base := strings.Replace(root, "?", "k", 1)
		want := []string{base + "/1/c.json", base + "/2/d.json", base + "/a.json", base + "/sub/b.json"}
		if got := relative(t, dir, files); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", root, got, want)
		}
	}
}

func TestExpandNamedFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "events.txt")
	files, skipped, err := source.Expand([]string{filepath.Join(dir, "events.txt")})
	if err != nil || len(files) != 1 || skipped.Total() != 0 || !files[0].Named {
		t.Fatalf("got %v, %v, %v", files, skipped, err)
	}
}

func TestExpandErrorsNameThePath(t *testing.T) {
	dir := t.TempDir()
	for _, arg := range []string{"missing.json", "*.nothing", "[", "missing/*.json"} {
		path := filepath.Join(dir, arg)
		if _, _, err := source.Expand([]string{path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Expand(%q): got %v, want an error that names it", path, err)
		}
	}
}

func packGzip(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	for _, p := range parts { // one member each
		z := gzip.NewWriter(&buf)
		if _, err := z.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

func packZstd(t testing.TB, p []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(p, nil)
}

// readAll reads a file as one of known size, and as one whose size isn't known,
// which must give the same.
func readAll(t *testing.T, stored []byte) ([]byte, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "named-misleadingly.json")
	if err := os.WriteFile(path, stored, 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(size int64) ([]byte, error) {
		r, err := source.Open(t.Context(), source.File{Path: path, Size: size}, nil)
		if err != nil {
			return nil, err
		}
		defer r.Close() //nolint:errcheck // a test's reader
		whole := bytes.Clone(r.Whole())
		got, err := io.ReadAll(r)
		if len(whole) > 0 && !bytes.Equal(got, whole) {
			t.Errorf("%d bytes read, %d bytes as a whole", len(got), len(whole))
		}
		return got, err
	}
	streamed, streamedErr := read(0)
	got, err := read(int64(len(stored)))
	if !bytes.Equal(got, streamed) || fmt.Sprint(err) != fmt.Sprint(streamedErr) {
		t.Errorf("by its size: %d bytes, %v; streamed: %d bytes, %v", len(got), err, len(streamed), streamedErr)
	}
	return got, err
}

// A file that unpacks to more than is held in memory, and one that grew since it
// was listed, are read to their end.
func TestOpenLarge(t *testing.T) {
	text := bytes.Repeat([]byte(`{"a":1} `), 2<<20)
	if got, err := readAll(t, packGzip(t, text)); err != nil || !bytes.Equal(got, text) {
		t.Errorf("16 MB: got %d bytes, %v", len(got), err)
	}
	noise := make([]byte, 3<<20)
	if _, err := rand.NewChaCha8([32]byte{}).Read(noise); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "grown.gz")
	if err := os.WriteFile(path, packGzip(t, noise), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := source.Open(t.Context(), source.File{Path: path, Size: 100}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, noise) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenTellsFormatByContent(t *testing.T) {
	text := []byte(`{"Records":[]}`)
	for name, stored := range map[string][]byte{
		"plain": text, "gzip": packGzip(t, text), "zstd": packZstd(t, text),
		"gzip of two members": packGzip(t, text[:5], text[5:]), "empty": nil, "one byte": []byte("1"),
	} {
		want := text
		if len(stored) <= 1 {
			want = stored
		}
		got, err := readAll(t, stored)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestOpenTruncated(t *testing.T) {
	whole := packGzip(t, bytes.Repeat([]byte(`{"a":1} `), 10000))
	if _, err := readAll(t, whole[:len(whole)/2]); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a gzip file: got %v, want io.ErrUnexpectedEOF", err)
	}
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-6] ^= 0xff // the checksum
	if _, err := readAll(t, damaged); err == nil {
		t.Error("a gzip file with a wrong checksum was read without an error")
	}
	if _, err := readAll(t, packZstd(t, []byte("hello"))[:6]); err == nil {
		t.Error("a truncated zstd file was read without an error")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestOpenStopsABomb(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := io.CopyN(z, zeros{}, 600<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := source.Open(t.Context(), source.File{Path: source.Stdin}, &bomb)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if !errors.Is(err, source.ErrBomb) {
		t.Fatalf("read %d bytes of a bomb: got %v, want ErrBomb", n, err)
	}
	if n > 300<<20 {
		t.Errorf("stopped after %d bytes only", n)
	}
}

// What can't be read below a folder, or among the matches of a glob, is listed
// with its error; only what is named itself fails at once.
func TestExpandUnreadable(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, day1, "sub/a.json")
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	link("loop.json", "loop.json")
	link("nowhere", "sub/dangling.json.gz")
	link("nowhere", "sub/notes.txt")
	link(filepath.Join(dir, "sub", "a.json"), "sub/b.json")
	want := []string{day1, "loop.json", "sub/a.json", "sub/b.json", "sub/dangling.json.gz"}
	closed := filepath.Join(dir, "sub", "closed")
	write(t, dir, "sub/closed/hidden.json")
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(closed, 0o700) }) // so that it can be removed
	if _, err := os.ReadDir(closed); err == nil {     // a superuser reads it all the same
		want = append(want[:4], "sub/closed/hidden.json", "sub/dangling.json.gz")
	} else {
		want = append(want[:4], "sub/closed", "sub/dangling.json.gz")
	}
	for _, arg := range []string{dir, filepath.Join(dir, "*")} {
		files, _, err := source.Expand([]string{arg})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, relative(t, dir, files)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", arg, diff)
		}
		for _, f := range files {
			unreadable := strings.Contains(f.Path, "loop") || strings.Contains(f.Path, "dangling") || strings.HasSuffix(f.Path, "closed")
			if (f.Err != nil) != unreadable {
				t.Errorf("%s: error %v", f.Path, f.Err)
			}
			if f.Err == nil {
				continue
			}
			if strings.Contains(f.Err.Error(), dir) {
				t.Errorf("%s: the error repeats the path: %v", f.Path, f.Err)
			}
			if _, err := source.Open(t.Context(), f, nil); !errors.Is(err, f.Err) {
				t.Errorf("Open(%s): %v", f.Path, err)
			}
		}
	}
	for _, name := range []string{"loop.json", "sub/dangling.json.gz"} {
		path := filepath.Join(dir, name)
		if _, _, err := source.Expand([]string{dir, path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Expand(%s): got %v, want an error that names it", path, err)
		}
	}
}

func TestOpenMissing(t *testing.T) {
	if _, err := source.Open(t.Context(), source.File{Path: filepath.Join(t.TempDir(), "x")}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := source.Open(t.Context(), source.File{Path: source.Stdin}, nil); err == nil {
		t.Error("standard input that isn't there opened")
	}
}
