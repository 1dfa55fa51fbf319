package coverage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Filter narrows streams to those that an answer is about; nil lists don't.
// Sources may lack ".amazonaws.com".
type Filter struct{ Accounts, Regions, Sources []string }

// Match reports whether a stream is among them.
func (f Filter) Match(s Stream) bool {
	in := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	return in(f.Accounts, s.AccountID) && in(f.Regions, s.Region) &&
		(in(f.Sources, s.Source) || slices.Contains(f.Sources, strings.TrimSuffix(s.Source, domain)))
}

// StreamGap is a gap in the time that an answer is about, as JSON shows it.
type StreamGap struct {
	Stream
	From   time.Time `json:"from,omitzero"` // zero: from the beginning
	To     time.Time `json:"to"`            // exclusive
	Reason Reason    `json:"reason"`
	Detail string    `json:"detail,omitempty"` // may hold text of AWS: escape it
}

// Fresh is how many seconds before now may be missing without a word: CloudTrail
// itself delivers events some minutes after they happened, at times 15.
//
// Source: AWS CloudTrail User Guide, "Getting and viewing your CloudTrail log
// files".
const Fresh = 15 * 60

// trim cuts what came after the last run off a window, if it is no more than Fresh,
// or if nothing is owed since.
func (l *Ledger) trim(window Span) Span {
	if l.Ended != 0 {
		window.To = max(min(window.To, max(l.Ended, l.Newest())), window.From)
		return window
	}
	if end := max(l.Until, l.Newest()); window.To > end && window.To-end <= Fresh {
		window.To = max(end, window.From)
	}
	return window
}

// AnswerGaps returns what the streams that match lack of a window, by stream,
// then time. A window from 0 has no beginning; it must end at now at the latest.
// Of what came after the last run only more than Fresh is a gap.
func AnswerGaps(ledgers []*Ledger, window Span, f Filter) []StreamGap {
	var out []StreamGap
	for _, l := range ledgers {
		if !f.Match(l.Stream) {
			continue
		}
		for _, g := range l.Gaps(l.trim(window)) {
			from, to := g.Times()
			if g.From == 0 {
				from = time.Time{}
			}
			out = append(out, StreamGap{l.Stream, from, to, g.Reason, g.Detail})
		}
	}
	slices.SortStableFunc(out, func(a, b StreamGap) int { return cmp.Or(a.Compare(b.Stream), a.From.Compare(b.From)) })
	return out
}

// Lowest is the lowest level in a window, as AnswerGaps sees it, among the streams
// that match; Verified when there are none.
func Lowest(ledgers []*Ledger, window Span, f Filter) Level {
	lowest := Verified
	for _, l := range ledgers {
		if f.Match(l.Stream) {
			lowest = min(lowest, l.Level(l.trim(window)))
		}
	}
	return lowest
}

// LineOptions shape Lines; the zero value is good.
type LineOptions struct {
	Max  int                    // lines; 0: 8
	Name func(id string) string // of an account; "" or nil: the id alone
	Zone *time.Location         // to show times in; nil: UTC
}

// sameGap is what gaps of one line have in common.
type sameGap struct {
	from, to time.Time
	reason   Reason
	detail   string
}

// Lines puts gaps in sentences, the largest first: "eu-west-3 sts: 2026-08-24 to
// 2026-09-01 not collected: access denied". Equal gaps of streams that can be named
// together share a line; for that bounds are rounded outwards, to minutes, or hours where the gap
// is longer than a day. ledgers are those that the gaps came from.
//
// A line may hold text of AWS and names of accounts: escape it where it's shown.
func Lines(gaps []StreamGap, ledgers []*Ledger, o LineOptions) []string {
	groups := map[sameGap][]Stream{}
	for _, g := range gaps {
		grain := time.Minute
		if g.To.Sub(g.From) > 24*time.Hour {
			grain = time.Hour
		}
		to := g.To.Truncate(grain)
		if to.Before(g.To) {
			to = to.Add(grain)
		}
		key := sameGap{g.From.Truncate(grain), to, g.Reason, g.Detail}
		if n := len(groups[key]); n == 0 || groups[key][n-1] != g.Stream {
			groups[key] = append(groups[key], g.Stream)
		}
	}
	var said []sentence
	for key, group := range groups {
		for _, p := range sentences(group, ledgers, o) {
			p.sameGap = key
			said = append(said, p)
		}
	}
	slices.SortFunc(said, func(a, b sentence) int {
		weight := func(p sentence) float64 { return p.to.Sub(p.from).Seconds() * float64(p.streams) }
		return cmp.Or(cmp.Compare(weight(b), weight(a)), a.from.Compare(b.from), a.to.Compare(b.to),
			cmp.Compare(a.reason, b.reason), cmp.Compare(a.detail, b.detail), cmp.Compare(a.subject, b.subject))
	})
	most := cmp.Or(o.Max, 8)
	var lines []string
	for i, p := range said {
		if i == most-1 && len(said) > most {
			return append(lines, fmt.Sprintf("%d more gaps: iamtrack status shows all", len(said)-i))
		}
		lines = append(lines, p.subject+": "+p.when(o)+" "+p.why())
	}
	return lines
}

// sentence is about streams with the same gap that a few words can name exactly.
type sentence struct {
	sameGap
	subject string
	streams int
}

// Names that a line lists at most; more are counted.
const (
	fewAccounts = 3
	fewRegions  = 6
	fewSources  = 8
)

// sentences parts streams with the same gap so that each part is all of some accounts,
// or the same sources in the same regions of some accounts: a reader is told which
// region of which account is missing, not how many streams.
func sentences(group []Stream, ledgers []*Ledger, o LineOptions) []sentence {
	if len(group) > 1 && len(group) == len(ledgers) {
		return []sentence{{subject: fmt.Sprintf("all %d streams", len(group)), streams: len(group)}}
	}
	total, lost := map[string]int{}, map[string]int{}
	for _, l := range ledgers {
		total[l.Stream.AccountID]++
	}
	for _, s := range group {
		lost[s.AccountID]++
	}
	var parts []sentence
	whole, n := map[string]bool{}, 0
	type place struct{ account, region string }
	sources := map[place]map[string]bool{}
	for _, s := range group {
		if lost[s.AccountID] > 1 && lost[s.AccountID] == total[s.AccountID] {
			whole[s.AccountID] = true
			n++
			continue
		}
		at := place{s.AccountID, s.Region}
		if sources[at] == nil {
			sources[at] = map[string]bool{}
		}
		sources[at][strings.TrimSuffix(s.Source, domain)] = true
	}
	if n > 0 {
		parts = append(parts, sentence{subject: fmt.Sprintf("%s all %d streams", few(whole, fewAccounts, "accounts", o.account), n), streams: n})
	}
	// Accounts by sources and region, then regions by sources and accounts.
	type where struct{ sources, region string }
	type block struct{ sources, accounts string }
	names := func(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), " ") }
	accounts, regions := map[where]map[string]bool{}, map[block]map[string]bool{}
	note := func(set map[string]bool, name string) map[string]bool {
		if set == nil {
			set = map[string]bool{}
		}
		set[name] = true
		return set
	}
	for at, set := range sources {
		w := where{names(set), at.region}
		accounts[w] = note(accounts[w], at.account)
	}
	for w, set := range accounts {
		b := block{w.sources, names(set)}
		regions[b] = note(regions[b], w.region)
	}
	for b, in := range regions {
		who, what := setOf(b.accounts), setOf(b.sources)
		text := few(in, fewRegions, "regions", nil) + " " + few(what, fewSources, "sources", nil)
		if len(total) > 1 {
			text = few(who, fewAccounts, "accounts", o.account) + " " + text
		}
		parts = append(parts, sentence{subject: text, streams: len(who) * len(in) * len(what)})
	}
	return parts
}

// setOf is the words of a text.
func setOf(text string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(text) {
		set[w] = true
	}
	return set
}

func (o LineOptions) account(id string) string {
	if o.Name != nil {
		if name := o.Name(id); name != "" {
			return name + " (" + id + ")"
		}
	}
	return id
}

// few lists up to most names, else says how many there are.
func few(names map[string]bool, most int, plural string, show func(string) string) string {
	if len(names) > most {
		return fmt.Sprintf("%d %s", len(names), plural)
	}
	list := slices.Sorted(maps.Keys(names))
	if show != nil {
		for i := range list {
			list[i] = show(list[i])
		}
	}
	return strings.Join(list, ", ")
}

func (k sameGap) when(o LineOptions) string {
	zone := o.Zone
	if zone == nil {
		zone = time.UTC
	}
	format := "2006-01-02"
	for _, t := range []time.Time{k.from, k.to} {
		if local := t.In(zone); !t.IsZero() && (local.Hour() != 0 || local.Minute() != 0) {
			format = "2006-01-02 15:04"
		}
	}
	if k.from.IsZero() {
		return "before " + k.to.In(zone).Format(format)
	}
	return k.from.In(zone).Format(format) + " to " + k.to.In(zone).Format(format)
}

func (k sameGap) why() string {
	because := func(otherwise string) string { return "not collected: " + cmp.Or(k.detail, otherwise) }
	switch k.reason {
	case Denied:
		return because("access denied")
	case NotEnabled:
		return because("the region is not enabled")
	case Failed:
		return because("the last try failed")
	case Removed:
		return "removed by retention (lake_days)"
	case Expired:
		if k.detail == beforeCollection {
			return because("")
		}
		text := "not collected, and gone from CloudTrail after 90 days"
		if k.detail != "" {
			text += ": " + k.detail
		}
		return text
	}
	return "not collected yet"
}
