package collect

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSortRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOf(rapid.IntRange(-50, 50)).Draw(t, "rows")
		want := slices.Sorted(slices.Values(rows))
		if sortRows(rows, func(a, b *int) int { return cmp.Compare(*a, *b) }); !slices.Equal(rows, want) {
			t.Fatalf("got %v, want %v", rows, want)
		}
	})
}
