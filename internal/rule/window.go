package rule

import "time"

// A rule that looks at several events (a key activated after it was disabled)
// puts them into one group, and a group is settled as a whole. So that no group
// grows for ever, its key has a calendar period: the event that may raise the
// alert goes into the period of its time, and evidence is stated once in each
// period that it can still matter in. Which group a fact is in then depends on
// nothing but its own event.
type window struct {
	layout string // of the period, for time.Format
	years  int    // how far evidence reaches, inclusive
	days   int
}

var (
	dayWindow = window{layout: "2006-01-02", days: 1}
	// monthWindow is for evidence that is rare, about events that may be many.
	monthWindow = window{layout: "2006-01", years: 3}
	// yearWindow is for evidence that may be frequent, about few events. Two
	// more calendar years see it.
	yearWindow = window{layout: "2006", years: 2}
)

// period returns the period of a time in milliseconds since the epoch.
func (w window) period(ms int64) string { return time.UnixMilli(ms).UTC().Format(w.layout) }

// periods returns the periods that evidence of that time reaches, its own first.
func (w window) periods(ms int64) []string {
	t := time.UnixMilli(ms).UTC()
	last := t.AddDate(w.years, 0, w.days).Format(w.layout)
	out := []string{t.Format(w.layout)}
	for out[len(out)-1] != last {
		switch w.layout {
		case "2006":
			t = time.Date(t.Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
		case "2006-01":
			t = time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		default:
			t = time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, time.UTC)
		}
		out = append(out, t.Format(w.layout))
	}
	return out
}

// reaches reports whether evidence at from still counts for an event at to; an
// event of the same second does, since CloudTrail's clock ticks in seconds and
// says nothing of the order inside one.
func (w window) reaches(from, to int64) bool {
	if to < from {
		return false
	}
	limit := time.UnixMilli(from).UTC().AddDate(w.years, 0, w.days)
	return !time.UnixMilli(to).UTC().After(limit)
}

// evidence states m in the groups of all periods that it reaches; the first
// has the given kind, the later ones the kind for copies.
func evidence(v *view, rule string, w window, first, later string, m match, parts ...string) []match {
	periods := w.periods(v.EventTime)
	out := make([]match, 0, len(periods))
	for i, p := range periods {
		c := m
		c.kind = later
		if i == 0 {
			c.kind = first
		}
		c.group = group(rule, append(append([]string{v.AccountID}, parts...), p)...)
		out = append(out, c)
	}
	return out
}

// inPeriod is the group of an event that may raise an alert.
func inPeriod(v *view, rule string, w window, parts ...string) string {
	return group(rule, append(append([]string{v.AccountID}, parts...), w.period(v.EventTime))...)
}
