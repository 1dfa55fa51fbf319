package config

import "strings"

// Near returns the known name that a misspelt one probably means, or "": the
// one of least edit distance (case ignored, - and _ alike), if that is at most
// a third of its length, or the only one that starts with it.
func Near(name string, known []string) string {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	want := fold(name)
	best, bestDistance := "", max(1, len(want)/3)+1
	prefixed, prefixes := "", 0
	for _, k := range known {
		f := fold(k)
		if d := distance(want, f); d < bestDistance && d <= max(1, len(f)/3) {
			best, bestDistance = k, d
		}
		if len(want) >= 3 && strings.HasPrefix(f, want) {
			prefixed = k
			prefixes++
		}
	}
	if best == "" && prefixes == 1 {
		return prefixed
	}
	return best
}

// distance is the number of inserted, removed, changed and swapped bytes.
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
