package laketest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/lake"
)

var errInjected = errors.New("injected")

// failAt lets the n-th fault point that is reached fail; n 0 is none. points are
// the names of those reached so far.
func failAt(n int) (restore func(), points *[]string) {
	points = new([]string)
	return fault.Set(func(p string) error {
		*points = append(*points, p)
		if len(*points) == n {
			return fmt.Errorf("%s: %w", p, errInjected)
		}
		return nil
	}), points
}

func empty(t *testing.T, b lake.Bucket) {
	t.Helper()
	for _, key := range names(t, b, "") {
		if err := b.Delete(context.Background(), key); err != nil {
			t.Fatal(err)
		}
	}
}

// converges runs work with a fault at each of its points in turn, on a bucket
// that prepare has made, and then again without: check must always hold then,
// and the key index must cover the files even in between.
func converges(t *testing.T, b lake.Bucket, want []string, prepare, work func(*lake.Lake) error, check func(*lake.Lake)) {
	run := func(fail int) (*lake.Lake, []string, error) {
		empty(t, b)
		l := lake.New(b, lake.Options{})
		if err := prepare(l); err != nil {
			t.Fatal(err)
		}
		restore, points := failAt(fail)
		defer restore()
		err := work(l)
		return l, *points, err
	}
	l, points, err := run(0)
	if err != nil {
		t.Fatal(err)
	}
	check(l)
	for _, p := range want {
		if !slices.Contains(points, p) {
			t.Errorf("fault point %s was never reached", p)
		}
	}
	for n := range points {
		l, _, err := run(n + 1)
		if !errors.Is(err, errInjected) {
			t.Fatalf("fault at %s: got %v", points[n], err)
		}
		indexComplete(t, b)
		for _, l := range []*lake.Lake{l, lake.New(b, lake.Options{})} { // went on, or was killed
			if again := work(l); again != nil {
				t.Fatalf("repeated after a fault at %s: %v", points[n], again)
			}
			check(l)
		}
		indexComplete(t, b)
	}
}

func lakeFaults(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	old := Traffic(1, Day, 40)
	newer := conflicting(old[7], "2.0", "Newer")
	add := append(Traffic(2, Day, 20), newer)
	noise := Traffic(3, Day, 3)
	thin := []event.Filtered{Thin(noise[0]), Thin(noise[1]), Thin(add[0])}
	want := slices.Concat(old[:7], old[8:], add)
	slices.SortFunc(want, func(a, b event.Event) int { return a.Compare(&b) })
	converges(t, b, []string{"lake.merge.before", "lake.index.before", "lake.index.after", "lake.commit.before",
		"lake.commit.after", "lake.commit.filtered.before", "lake.commit.filtered.after", "lake.remove.before", "lake.remove.after"},
		func(l *lake.Lake) error {
			_, _, err := l.Merge(ctx, Day, Input(old, thin))
			if err == nil {
				_, _, err = l.Merge(ctx, Day+1, Input(Traffic(4, Day+1, 2), nil))
			}
			return err
		},
		func(l *lake.Lake) error {
			_, _, err := l.Merge(ctx, Day, Input(add, []event.Filtered{Thin(noise[2])}))
			if err == nil {
				err = l.Remove(ctx, []event.Date{Day + 1})
			}
			return err
		},
		func(l *lake.Lake) {
			t.Helper()
			if diff := cmp.Diff(want, events(t, l, Day)); diff != "" {
				t.Error(diff)
			}
			if got := Collect(t, l.Filtered(ctx, Day)); len(got) != 3 {
				t.Errorf("%d filtered rows, want 3: %v", len(got), got)
			}
			if d, err := l.Dates(ctx); err != nil || len(d) != 1 {
				t.Errorf("dates %v, %v", d, err)
			}
		})
}

// largeMonth is so many events that a merge of their month does not rewrite the
// main run, but adds a small one.
const largeMonth = 11_500

// foldedAt is the number of small runs at which they are folded into a large one.
const foldedAt = 32

func lakeFoldFaults(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	batch := func(i int) lake.Input { return Input(Traffic(uint64(i), Day, 2), nil) }
	ready := lake.OpenMem() // made once, and copied
	Merge(t, lake.New(ready, lake.Options{}), Day+1, Traffic(1000, Day+1, largeMonth), nil)
	for i := range foldedAt {
		if _, _, err := lake.New(ready, lake.Options{}).Merge(ctx, Day, batch(i)); err != nil {
			t.Fatal(err)
		}
	}
	converges(t, b, []string{"lake.index.fold.before", "lake.index.fold.after"},
		func(*lake.Lake) error {
			for _, key := range names(t, ready, "") {
				data, _ := Get(t, ready, key)
				Put(t, b, key, data, "")
			}
			return nil
		},
		func(l *lake.Lake) error {
			_, _, err := l.Merge(ctx, Day, batch(foldedAt))
			return err
		},
		func(l *lake.Lake) {
			t.Helper()
			if got := len(events(t, l, Day)); got != 2*(foldedAt+1) {
				t.Errorf("%d events, want %d", got, 2*(foldedAt+1))
			}
		})
}
