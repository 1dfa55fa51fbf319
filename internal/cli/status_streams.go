package cli

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/render"
)

// Bounds of what status tells people; JSON has all.
const (
	maxStatusRows  = 40
	maxStatusLines = 30
)

// streamsRow is what status tells of some regions of an account.
type streamsRow struct {
	account     string
	regions     []string
	streams     int
	from, to    int64 // covered, by every stream that is covered at all; 0: nothing is
	provisional int64 // from when on it is only collected; 0: nowhere
	verified    bool
	complete    bool // without gaps
	proven      bool // by a trail alone: never collected
	parts       bool // of what is proven: with times between that are not
}

// statusStreams writes the part of status about collection, and what trails prove;
// nothing when there is neither.
func (e *env) statusStreams(t *page, c *covered) {
	if len(c.ledgers) == 0 && len(c.unread) == 0 && len(c.proven) == 0 {
		return
	}
	t.heading("Coverage")
	rows := append(e.streamsRows(c.ledgers), e.streamsRows(c.proven)...)
	if len(rows) > 0 {
		e.streamsTable(t, c, rows)
	}
	e.statusGaps(t, c)
	e.statusErrors(t, c)
	e.statusEnded(t, c)
	var late, latest int64
	for _, l := range c.ledgers {
		late, latest = late+l.Late, max(latest, l.LateMax)
	}
	if late > 0 {
		t.field("late", fmt.Sprintf("%s came after their time had been read, the latest by %s or more", count(late, "event"), lagText(latest)))
	}
}

func (e *env) streamsTable(t *page, c *covered, rows []streamsRow) {
	var b strings.Builder
	p := render.New(&b, []render.Column{
		{Name: "account", Whole: true}, {Name: "region"}, {Name: "streams"}, {Name: "covered from"}, {Name: "to"}, {Name: "lag"}, {Name: "level"},
	}, render.Options{Format: render.Table, Zone: e.config.Zone, Colour: e.colour()})
	minute := func(at int64) string { return time.Unix(at, 0).In(e.config.Zone).Format("2006-01-02 15:04") }
	for _, r := range rows[:min(len(rows), maxStatusRows)] {
		values := []any{namedCell(c.names, r.account), few(r.regions), r.streams, nil, nil, nil, "nothing read"}
		if r.to != 0 {
			values[3], values[4], values[5] = minute(r.from), minute(r.to), lagText(e.now().Unix()-r.to)
			switch {
			case r.parts:
				values[6] = "verified in parts, not collected"
			case r.proven:
				values[6] = "verified, not collected"
			case r.verified:
				values[6] = "verified"
			case r.provisional > r.from:
				values[6] = "settled to " + minute(r.provisional)
			case r.provisional != 0:
				values[6] = "collected"
			default:
				values[6] = "settled"
			}
		}
		if err := p.Row(values); err != nil { // of our own making
			t.line("  " + render.Text(err.Error()))
		}
	}
	_ = p.Close() // a strings.Builder takes everything
	for line := range strings.Lines(b.String()) {
		t.b.WriteString("  " + line)
	}
	if more := len(rows) - maxStatusRows; more > 0 {
		t.line("  and " + count(more, "more row") + ": --format json has all")
	}
}

// streamsRows sums streams up by account and region; regions of an account that
// lack nothing share a row when there are more than three.
func (e *env) streamsRows(ledgers []*coverage.Ledger) []streamsRow {
	var rows []streamsRow
	for _, l := range ledgers { // by account, then region
		if l.Ended != 0 {
			continue // statusEnded tells of it
		}
		one := e.streamsRow(l)
		if n := len(rows) - 1; n >= 0 && rows[n].account == one.account && rows[n].regions[0] == one.regions[0] {
			rows[n].join(one)
			continue
		}
		rows = append(rows, one)
	}
	complete := map[string]int{} // rows, by account
	for _, r := range rows {
		if r.complete {
			complete[r.account]++
		}
	}
	var out []streamsRow
	shared := map[string]int{} // where they share a row
	for _, r := range rows {
		at, ok := shared[r.account]
		switch {
		case !r.complete || complete[r.account] <= 3:
			out = append(out, r)
		case ok:
			out[at].join(r)
		default:
			shared[r.account] = len(out)
			out = append(out, r)
		}
	}
	return out
}

func (e *env) streamsRow(l *coverage.Ledger) streamsRow {
	r := streamsRow{account: l.Stream.AccountID, regions: []string{l.Stream.Region}, streams: 1}
	all := l.Covered(coverage.Span{From: math.MinInt64, To: math.MaxInt64})
	if l.Began == 0 {
		r.proven, r.parts, r.complete = true, len(all) > 1, true
	} else {
		r.complete = len(e.streamGaps(l)) == 0
		r.verified = l.Level(l.Promised()) == coverage.Verified
	}
	if len(all) == 0 {
		return r
	}
	r.from, r.to = all[0].From, l.Newest()
	if i := slices.IndexFunc(all, func(p coverage.Cover) bool { return p.Level == coverage.Collected }); i >= 0 {
		r.provisional = all[i].From
	}
	return r
}

// streamGaps is what a stream lacks now.
func (e *env) streamGaps(l *coverage.Ledger) []coverage.StreamGap {
	window := coverage.Span{From: l.Since, To: max(e.now().Unix(), l.Until)}
	return coverage.AnswerGaps([]*coverage.Ledger{l}, window, coverage.Filter{})
}

// join adds other streams: what holds for all of them.
func (r *streamsRow) join(o streamsRow) {
	r.streams += o.streams
	r.complete = r.complete && o.complete
	r.verified = r.verified && o.verified
	r.parts = r.parts || o.parts
	for _, region := range o.regions {
		if !slices.Contains(r.regions, region) {
			r.regions = append(r.regions, region)
		}
	}
	switch {
	case o.to == 0:
	case r.to == 0:
		r.from, r.to, r.provisional = o.from, o.to, o.provisional
	default:
		r.from, r.to = max(r.from, o.from), min(r.to, o.to)
		if r.provisional == 0 || o.provisional != 0 && o.provisional < r.provisional {
			r.provisional = o.provisional
		}
	}
}

// statusGaps lists all that is missing.
func (e *env) statusGaps(t *page, c *covered) {
	var gaps []coverage.StreamGap
	for _, l := range c.ledgers {
		gaps = append(gaps, e.streamGaps(l)...)
	}
	var lines []string
	for _, id := range c.unread {
		lines = append(lines, c.unreadLine(id))
	}
	lines = append(lines, e.gapLines(gaps, c.ledgers, c.names, len(gaps)+1)...)
	for i, line := range lines {
		if i == maxStatusLines {
			t.field("missing", "and "+count(len(lines)-i, "more gap")+": --format json has all")
			break
		}
		t.field("missing", line)
	}
}

// statusErrors lists the last errors that the gaps don't tell of already.
func (e *env) statusErrors(t *page, c *covered) {
	type group struct {
		first   *coverage.Ledger
		streams int
	}
	groups := map[string]*group{}
	var order []string
	for _, l := range c.ledgers {
		told := slices.ContainsFunc(e.streamGaps(l), func(g coverage.StreamGap) bool {
			return l.LastError == string(g.Reason)+": "+g.Detail || l.LastError == string(g.Reason)
		})
		if l.LastError == "" || told {
			continue
		}
		if groups[l.LastError] == nil {
			groups[l.LastError] = &group{first: l}
			order = append(order, l.LastError)
		}
		groups[l.LastError].streams++
	}
	for i, text := range order {
		if i == maxStatusLines {
			break
		}
		g := groups[text]
		who := g.first.Stream.Region + " " + strings.TrimSuffix(g.first.Stream.Source, ".amazonaws.com")
		if g.streams > 1 {
			who = count(g.streams, "stream")
		}
		t.field("last error", who+", "+e.timeText(g.first.LastErrorAt*1000)+": "+text)
	}
}

// statusEnded lists what is no longer collected because nothing happens there.
func (e *env) statusEnded(t *page, c *covered) {
	type ended struct {
		account, region, why string
		minute               int64
	}
	groups := map[ended][]string{} // sources
	var order []ended
	for _, l := range c.ledgers {
		if l.Ended == 0 {
			continue
		}
		g := ended{l.Stream.AccountID, l.Stream.Region, l.EndedWhy, l.Ended / 60}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], strings.TrimSuffix(l.Stream.Source, ".amazonaws.com"))
	}
	for i, g := range order {
		if i == maxStatusLines {
			t.field("ended", "and "+count(len(order)-i, "more group")+" of streams: --format json has all")
			break
		}
		t.field("ended", named(c.names, g.account)+" "+g.region+" "+strings.Join(groups[g], ", ")+": no longer collected since "+e.timeText(g.minute*60_000)+": "+g.why)
	}
}

// few names up to two of a list, else says how many there are.
func few(regions []string) string {
	if len(regions) > 2 {
		return count(len(regions), "region")
	}
	return strings.Join(regions, ", ")
}

// lagText is a number of seconds as people say it.
func lagText(seconds int64) string {
	seconds = max(seconds, 0)
	for _, u := range []struct {
		size, until int64
		name        string
	}{{1, 120, "s"}, {60, 120 * 60, "min"}, {3600, 48 * 3600, "h"}} {
		if seconds < u.until {
			return number(seconds/u.size) + " " + u.name
		}
	}
	return count(seconds/86400, "day")
}
