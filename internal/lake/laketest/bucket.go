// Package laketest holds what every lake.Bucket must do, and every lake over one:
// an implementation's test is a call of Bucket and one of Lake.
package laketest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/lake"
)

// Bucket runs the contract's tests. open returns an empty bucket; it cleans up
// with tb.Cleanup.
func Bucket(t *testing.T, open func(tb testing.TB) lake.Bucket) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, lake.Bucket)
	}{
		{"nothing is there at first", bucketEmpty},
		{"what is committed can be read and listed", bucketRoundTrip},
		{"nothing is visible before commit or after abort", bucketInvisible},
		{"commit asks for the version it replaces", bucketCondition},
		{"a reader keeps its version", bucketReader},
		{"every version has another etag", bucketETag},
		{"delete removes, once or twice", bucketDelete},
		{"list is by prefix and in order", bucketList},
		{"keys that are no paths are refused", bucketKeys},
		{"of many who create one wins", bucketRace},
		{"no update is lost among many", bucketCounter},
		{"a large object is whole", bucketLarge},
		{"a cancelled context stops", bucketCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// Put writes an object, or fails the test.
func Put(tb testing.TB, b lake.Bucket, key string, data []byte, ifMatch string) lake.Object {
	tb.Helper()
	o, err := put(b, key, data, ifMatch)
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

func put(b lake.Bucket, key string, data []byte, ifMatch string) (lake.Object, error) {
	w, err := b.Create(context.Background(), key)
	if err != nil {
		return lake.Object{}, err
	}
	if _, err := w.Write(data); err != nil {
		return lake.Object{}, err
	}
	o, err := w.Commit(ifMatch)
	if err2 := w.Abort(); err == nil {
		err = err2
	}
	return o, err
}

// Get reads an object, or fails the test.
func Get(tb testing.TB, b lake.Bucket, key string) ([]byte, lake.Object) {
	tb.Helper()
	r, err := b.Open(context.Background(), key)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := io.ReadAll(io.NewSectionReader(r, 0, r.Object().Size))
	if err != nil {
		tb.Fatal(err)
	}
	o := r.Object()
	if err := r.Close(); err != nil {
		tb.Fatal(err)
	}
	return data, o
}

func names(tb testing.TB, b lake.Bucket, prefix string) []string {
	tb.Helper()
	list, err := b.List(context.Background(), prefix)
	if err != nil {
		tb.Fatal(err)
	}
	out := []string{}
	for _, o := range list {
		out = append(out, o.Key)
	}
	return out
}

func bucketEmpty(t *testing.T, b lake.Bucket) {
	if got := names(t, b, ""); len(got) > 0 {
		t.Errorf("an empty bucket lists %q", got)
	}
	if got := names(t, b, "a/b/c"); len(got) > 0 {
		t.Errorf("an empty bucket lists %q", got)
	}
	if _, err := b.Open(context.Background(), "a/b"); !errors.Is(err, lake.ErrNotFound) {
		t.Errorf("open: got %v, want ErrNotFound", err)
	}
}

func bucketRoundTrip(t *testing.T, b lake.Bucket) {
	want := []byte("first\x00content")
	put := Put(t, b, "a/b/c.x", want, "")
	got, o := Get(t, b, "a/b/c.x")
	if !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	list, err := b.List(context.Background(), "a/")
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v, want one object", list, err)
	}
	for what, x := range map[string]lake.Object{"commit": put, "open": o, "list": list[0]} {
		if x.Key != "a/b/c.x" || x.Size != int64(len(want)) || x.ETag == "" || x.ETag != o.ETag || x.ModTime.IsZero() {
			t.Errorf("%s says %+v, open says %+v", what, x, o)
		}
	}
	r, err := b.Open(context.Background(), "a/b/c.x")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	part := make([]byte, 3)
	if n, err := r.ReadAt(part, 6); n != 3 || err != nil || string(part) != "con" {
		t.Errorf("read at 6: %d, %v, %q", n, err, part)
	}
	if n, err := r.ReadAt(part, int64(len(want))-2); n != 2 || !errors.Is(err, io.EOF) {
		t.Errorf("read over the end: %d, %v, want 2 and io.EOF", n, err)
	}
}

func bucketInvisible(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	w, err := b.Create(ctx, "a/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"written", "aborted"} {
		if got := names(t, b, ""); len(got) > 0 {
			t.Errorf("%s: lists %q", state, got)
		}
		if _, err := b.Open(ctx, "a/x"); !errors.Is(err, lake.ErrNotFound) {
			t.Errorf("%s: open: got %v, want ErrNotFound", state, err)
		}
		if err := w.Abort(); err != nil {
			t.Errorf("abort: %v", err)
		}
	}
	if _, err := w.Commit(""); err == nil {
		t.Error("commit after abort worked")
	}
	if got := names(t, b, ""); len(got) > 0 {
		t.Errorf("after a commit that came late: lists %q", got)
	}
}

func bucketCondition(t *testing.T, b lake.Bucket) {
	if _, err := put(b, "a", []byte("0"), "no such etag"); !errors.Is(err, lake.ErrChanged) {
		t.Errorf("replace nothing: got %v, want ErrChanged", err)
	}
	first := Put(t, b, "a", []byte("1"), "")
	if _, err := put(b, "a", []byte("2"), ""); !errors.Is(err, lake.ErrChanged) {
		t.Errorf("create over an object: got %v, want ErrChanged", err)
	}
	Put(t, b, "a", []byte("3"), first.ETag)
	if _, err := put(b, "a", []byte("4"), first.ETag); !errors.Is(err, lake.ErrChanged) {
		t.Errorf("replace an older version: got %v, want ErrChanged", err)
	}
	if got, _ := Get(t, b, "a"); string(got) != "3" {
		t.Errorf("got %q, want 3", got)
	}
}

func bucketReader(t *testing.T, b lake.Bucket) {
	old := Put(t, b, "a", []byte("old"), "")
	r, err := b.Open(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	Put(t, b, "a", []byte("new content"), old.ETag)
	if err := b.Delete(context.Background(), "a"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Object().Size))
	if string(got) != "old" || err != nil {
		t.Errorf("got %q, %v, want old", got, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func bucketETag(t *testing.T, b lake.Bucket) {
	seen := map[string]bool{}
	etag := ""
	for i := range 20 { // quick enough for a clock that ticks slowly
		o := Put(t, b, "a", []byte{byte('a' + i)}, etag)
		if _, now := Get(t, b, "a"); now.ETag != o.ETag {
			t.Fatalf("commit gave etag %s, open gives %s", o.ETag, now.ETag)
		}
		if seen[o.ETag] {
			t.Fatalf("etag %s came twice, for other content", o.ETag)
		}
		seen[o.ETag] = true
		etag = o.ETag
	}
}

func bucketDelete(t *testing.T, b lake.Bucket) {
	Put(t, b, "a/b/c", []byte("x"), "")
	Put(t, b, "a/b/d", []byte("x"), "")
	for range 2 {
		if err := b.Delete(context.Background(), "a/b/c"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a/b/d"}, names(t, b, "")); diff != "" {
		t.Error(diff)
	}
	Put(t, b, "a/b/c", []byte("y"), "")
	if got, _ := Get(t, b, "a/b/c"); string(got) != "y" {
		t.Errorf("got %q, want y", got)
	}
}

func bucketList(t *testing.T, b lake.Bucket) {
	for _, k := range []string{"b/c", "a/b/c", "a/b.c", "a/bc/d", "a/b", "ab"} {
		if k == "a/b" {
			continue // a folder on disk
		}
		Put(t, b, k, nil, "")
	}
	for prefix, want := range map[string][]string{
		"":      {"a/b.c", "a/b/c", "a/bc/d", "ab", "b/c"},
		"a":     {"a/b.c", "a/b/c", "a/bc/d", "ab"},
		"a/":    {"a/b.c", "a/b/c", "a/bc/d"},
		"a/b":   {"a/b.c", "a/b/c", "a/bc/d"},
		"a/b/":  {"a/b/c"},
		"a/b/c": {"a/b/c"},
		"c":     {},
	} {
		if diff := cmp.Diff(want, names(t, b, prefix)); diff != "" {
			t.Errorf("prefix %q: %s", prefix, diff)
		}
	}
}

func bucketKeys(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	for _, k := range []string{"", ".", "..", "../x", "a/../b", "/a", "a//b", "a/", `a\b`, "a\x00b", ".hidden", "a/.tmp/b"} {
		if w, err := b.Create(ctx, k); err == nil {
			t.Errorf("create %q worked", k)
			_ = w.Abort()
		}
		if r, err := b.Open(ctx, k); err == nil || errors.Is(err, lake.ErrNotFound) {
			t.Errorf("open %q: got %v", k, err)
			if err == nil {
				_ = r.Close()
			}
		}
		if err := b.Delete(ctx, k); err == nil {
			t.Errorf("delete %q worked", k)
		}
	}
	if _, err := b.List(ctx, "../"); err == nil {
		t.Error("list ../ worked")
	}
}

func bucketRace(t *testing.T, b lake.Bucket) {
	const n = 8
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { _, errs[i] = put(b, "a/b", []byte{byte(i)}, "") })
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won >= 0:
			t.Errorf("both %d and %d won", won, i)
		case err == nil:
			won = i
		case !errors.Is(err, lake.ErrChanged):
			t.Errorf("%d: got %v, want ErrChanged", i, err)
		}
	}
	if won < 0 {
		t.Fatal("nobody won")
	}
	if got, _ := Get(t, b, "a/b"); !bytes.Equal(got, []byte{byte(won)}) {
		t.Errorf("%d won, but the content is %v", won, got)
	}
}

func bucketCounter(t *testing.T, b lake.Bucket) {
	const writers, each = 4, 10
	Put(t, b, "n", nil, "")
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				r, err := b.Open(context.Background(), "n")
				if err != nil {
					t.Error(err)
					return
				}
				o := r.Object()
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				_, err = put(b, "n", make([]byte, o.Size+1), o.ETag)
				switch {
				case err == nil:
					done++
				case !errors.Is(err, lake.ErrChanged):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got, _ := Get(t, b, "n"); len(got) != writers*each {
		t.Errorf("%d updates are left of %d", len(got), writers*each)
	}
}

func bucketLarge(t *testing.T, b lake.Bucket) {
	var want bytes.Buffer
	for i := range 200_000 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	w, err := b.Create(context.Background(), "large")
	if err != nil {
		t.Fatal(err)
	}
	for rest := want.Bytes(); len(rest) > 0; {
		n := min(len(rest), 70_001)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if _, err := w.Commit(""); err != nil {
		t.Fatal(err)
	}
	if got, _ := Get(t, b, "large"); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes came back, not the same as the %d written", len(got), want.Len())
	}
}

func bucketCancelled(t *testing.T, b lake.Bucket) {
	Put(t, b, "a", []byte("x"), "")
	ctx, cancel := context.WithCancel(context.Background())
	w, err := b.Create(ctx, "b")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Commit(""); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: got %v", err)
	}
	_, errList := b.List(ctx, "")
	_, errOpen := b.Open(ctx, "a")
	_, errCreate := b.Create(ctx, "c")
	for what, err := range map[string]error{"list": errList, "open": errOpen, "create": errCreate, "delete": b.Delete(ctx, "a")} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", what, err)
		}
	}
	if diff := cmp.Diff([]string{"a"}, names(t, b, "")); diff != "" {
		t.Error(diff)
	}
}
