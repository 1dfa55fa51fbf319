package rule

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text of alerts is made of hostile text: names, agents and messages that an
// attacker may choose. It is kept raw (escaping is the business of whoever
// shows it) but cut, so that a name of 5,000 characters cannot drown the rest.
const (
	pieceRunes  = 200  // of one name inside a sentence
	detailRunes = 1500 // of a whole sentence
	targetRunes = 1024 // of one target; longer than any ARN
	listItems   = 10   // named in a sentence before "and N more"
)

// clip cuts s to n runes, ending in an ellipsis when it was longer.
func clip(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	i, count := 0, 0
	for i = range s {
		if count == n-1 {
			break
		}
		count++
	}
	return s[:i] + "…"
}

// name is s as a piece of a sentence.
func name(s string) string {
	if s == "" {
		return "(not recorded)"
	}
	return clip(s, pieceRunes)
}

// list joins names for a sentence: "a, b and 3 more".
func list(items []string) string {
	shown := items
	if len(items) > listItems {
		shown = items[:listItems]
	}
	cut := make([]string, len(shown))
	for i, s := range shown {
		cut[i] = name(s)
	}
	text := strings.Join(cut, ", ")
	if more := len(items) - len(shown); more > 0 {
		text += " and " + strconv.Itoa(more) + " more"
	}
	return text
}
