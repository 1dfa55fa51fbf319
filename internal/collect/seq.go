package collect

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

// compareFiltered is the total order of filtered rows.
func compareFiltered(a, b *event.Filtered) int {
	if c := strings.Compare(a.AccountID, b.AccountID); c != 0 {
		return c
	}
	if a.EventTime != b.EventTime {
		return cmp.Compare(a.EventTime, b.EventTime)
	}
	return strings.Compare(a.EventID, b.EventID)
}

// sliceSeq yields the elements of a slice.
func sliceSeq[T any](rows []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for i := range rows {
			if !yield(rows[i], nil) {
				return
			}
		}
	}
}

// mergeSeq merges two ordered sequences into one; either may be nil. It stops
// after the first error.
func mergeSeq[T any](a, b iter.Seq2[T, error], compare func(*T, *T) int) iter.Seq2[T, error] {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return func(yield func(T, error) bool) {
		next, stop := iter.Pull2(b)
		defer stop()
		other, otherErr, more := next()
		for row, err := range a {
			if err != nil {
				yield(row, err)
				return
			}
			for more && (otherErr != nil || compare(&other, &row) <= 0) {
				if !yield(other, otherErr) || otherErr != nil {
					return
				}
				other, otherErr, more = next()
			}
			if !yield(row, nil) {
				return
			}
		}
		for more {
			if !yield(other, otherErr) || otherErr != nil {
				return
			}
			other, otherErr, more = next()
		}
	}
}

// sortRows is slices.SortFunc for rows that are large: it moves each once.
func sortRows[T any](rows []T, compare func(a, b *T) int) {
	order := make([]int32, len(rows)) // which row belongs at an index
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return compare(&rows[a], &rows[b]) })
	for i := range rows {
		if int(order[i]) == i {
			continue
		}
		first, at := rows[i], i
		for int(order[at]) != i {
			from := int(order[at])
			rows[at], order[at] = rows[from], int32(at)
			at = from
		}
		rows[at], order[at] = first, int32(at)
	}
}
