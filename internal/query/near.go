package query

import (
	"cmp"
	"slices"
	"strings"
)

// near returns up to three of names that word may have meant: those that hold
// it, and those within a third of its length in edits.
func near(word string, names []string) []string {
	type match struct {
		name     string
		distance int
	}
	word = strings.ToLower(word)
	var found []match
	for _, n := range names {
		low := strings.ToLower(n)
		d := editDistance(word, low)
		if len(word) >= 3 && strings.Contains(low, word) {
			d = min(d, 1)
		}
		if d <= max(2, len(word)/3) {
			found = append(found, match{n, d})
		}
	}
	slices.SortFunc(found, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	var out []string
	for _, m := range found[:min(3, len(found))] {
		out = append(out, m.name)
	}
	return out
}

// didYouMean returns a hint to append to an error, or "".
func didYouMean(word string, names []string) string {
	if n := near(word, names); n != nil {
		return "; did you mean " + strings.Join(n, ", ") + "?"
	}
	return ""
}

// editDistance is Levenshtein's, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next := min(row[j]+1, row[j-1]+1, diagonal+cost)
			diagonal, row[j] = row[j], next
		}
	}
	return row[len(b)]
}
