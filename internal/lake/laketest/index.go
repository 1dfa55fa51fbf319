package laketest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
)

func keysOf(rows []event.Event) []event.Key {
	var out []event.Key
	for i := range rows {
		out = append(out, rows[i].Key())
	}
	return out
}

func lakeElsewhere(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	const n = 50
	for d := range event.Date(n) { // three months
		rows := Traffic(1, Day+d, 20)
		if d == 40 {
			moved := conflicting(Traffic(1, Day+3, 20)[5], "1.02", "Moved")
			moved.EventTime += int64(d-3) * 24 * 3600 * 1000
			rows = append(rows, moved)
		}
		Merge(t, l, Day+d, rows, nil)
	}
	third := Traffic(1, Day+3, 20)
	strangers := keysOf(Traffic(99, Day, 2000))
	for _, l := range []*lake.Lake{l, lake.New(b, lake.Options{})} {
		for round := range 3 { // without the filter, then with it
			got, err := l.Elsewhere(ctx, append(keysOf(third), strangers...), Day+3)
			if err != nil {
				t.Fatal(err)
			}
			moved := third[5].Key()
			if len(got) != 1 || len(got[moved]) != 1 || got[moved][0].Date != Day+40 || got[moved][0].Version.Minor != 2 {
				t.Errorf("round %d: got %v, want one key on %v", round, got, Day+40)
			}
			got, err = l.Elsewhere(ctx, keysOf(third), Day+9)
			if err != nil || len(got) != 20 || len(got[moved]) != 2 {
				t.Errorf("round %d: got %v, %v, want 20 keys, one of them twice", round, got, err)
			}
		}
	}
	// What another Lake merges is seen.
	late := Traffic(5, Day+60, 3)
	Merge(t, lake.New(b, lake.Options{}), Day+60, late, nil)
	if got, err := l.Elsewhere(ctx, keysOf(late), Day); err != nil || len(got) != 3 {
		t.Errorf("keys of another process: %v, %v", got, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func lakeIndexRepair(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	for d := range event.Date(30) {
		Merge(t, l, Day+d, Traffic(1, Day+d, 10), nil)
	}
	runs, err := b.List(ctx, "keys/")
	if err != nil || len(runs) < 2 {
		t.Fatalf("%d key runs, %v", len(runs), err)
	}
	damage := func(o lake.Object, f func([]byte) []byte) {
		data, now := Get(t, b, o.Key)
		Put(t, b, o.Key, f(slices.Clone(data)), now.ETag)
	}
	for what, f := range map[string]func([]byte) []byte{
		"one bit":   func(d []byte) []byte { d[3] ^= 4; return d },
		"trailer":   func(d []byte) []byte { d[len(d)-12] ^= 1; return d },
		"cut short": func(d []byte) []byte { return d[:len(d)/2] },
		"empty":     func([]byte) []byte { return nil },
		"garbage":   func(d []byte) []byte { return []byte(strings.Repeat("x", len(d))) },
	} {
		t.Run(what, func(t *testing.T) {
			runs, err := b.List(ctx, "keys/")
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range runs {
				damage(o, f)
			}
			indexComplete(t, b)
			Merge(t, lake.New(b, lake.Options{}), Day, nil, nil)
		})
	}
	for _, o := range names(t, b, "keys/2026-02") {
		if err := b.Delete(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	indexComplete(t, b)
	// An index that is whole but wrong is Rebuild's business.
	for _, o := range names(t, b, "keys/") {
		if strings.Count(o, ".") > 1 {
			if err := b.Delete(ctx, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	for d := range event.Date(30) {
		if _, err := l.Rebuild(ctx, Day+d, nil); err != nil {
			t.Fatal(err)
		}
	}
	indexComplete(t, b)
}

func lakeFold(t *testing.T, b lake.Bucket) {
	l := lake.New(b, lake.Options{})
	var all []event.Event
	Merge(t, l, Day+1, Traffic(1000, Day+1, largeMonth), nil)
	most := 0
	for i := range 60 {
		rows := Traffic(uint64(i), Day, 5)
		all = append(all, rows...)
		Merge(t, l, Day, rows, nil)
		n := len(names(t, b, "keys/"))
		most = max(most, n)
		if n > foldedAt+2 {
			t.Fatalf("%d key runs after %d merges", n, i+1)
		}
	}
	if most < foldedAt {
		t.Errorf("at most %d key runs: none was folded", most)
	}
	if got := len(events(t, l, Day)); got != len(all) {
		t.Errorf("%d events, want %d", got, len(all))
	}
	if diff := cmp.Diff(1, strings.Count(strings.Join(names(t, b, "keys/"), " "), "keys/2026-02.keys")); diff != "" {
		t.Errorf("main runs: %s", diff)
	}
	indexComplete(t, b)
}
