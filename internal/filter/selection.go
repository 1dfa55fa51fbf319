package filter

import (
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Selection says which records a Filter selects, in a form to keep: "" all, else
// the sources, with commas, and the word "management" for management events only.
type Selection string

const onlyManagement = "management"

func newSelection(sources []string, managementOnly bool) Selection {
	words := slices.Clone(sources)
	slices.Sort(words)
	words = slices.Compact(words)
	if managementOnly {
		words = append(words, onlyManagement)
	}
	return Selection(strings.Join(words, ","))
}

// Selection tells what the filter selects.
func (f *Filter) Selection() Selection { return f.selection }

// Includes reports whether all that other selects is surely selected too.
func (s Selection) Includes(other Selection) bool { return s == "" || s == other }

// Management reports whether all management events of an event source, such as
// "iam.amazonaws.com", are selected.
func (s Selection) Management(source string) bool {
	narrowed := false
	for word := range strings.SplitSeq(string(s), ",") {
		if word == "" || word == onlyManagement {
			continue
		}
		if g := event.NewGlob(word); g.Match(source) {
			return true
		}
		narrowed = true
	}
	return !narrowed
}
