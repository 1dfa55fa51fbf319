package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/render"
)

// maxRegionLines bounds the lines that progress takes on a terminal.
const maxRegionLines = 15

// regionProgress shows how far a collection is: on a terminal a line for each
// region under way and a total, drawn in place; elsewhere the total, now and then.
type regionProgress struct {
	e        *env
	terminal bool
	width    int
	drawn    int // lines to go up
	said     time.Time
}

func (e *env) newRegionProgress() *regionProgress {
	p := &regionProgress{e: e, said: time.Now()}
	p.width, p.terminal = render.Terminal(e.stderr)
	return p
}

// show is lookup.Collector.Progress.
func (p *regionProgress) show(s lookup.Progress) {
	switch {
	case !p.e.logs("info"):
	case p.terminal:
		p.draw(regionLines(s, maxRegionLines))
	default:
		if now := time.Now(); now.Sub(p.said) >= progressEvery {
			p.said = now
			p.e.note("%s", regionTotal(s))
		}
	}
}

// draw replaces the lines that were drawn before.
func (p *regionProgress) draw(lines []string) {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	b.WriteString("\x1b[J") // what is below was drawn by an earlier call
	for _, l := range lines {
		if r := []rune(l); len(r) >= p.width && p.width > 0 {
			l = string(r[:p.width-1]) // a line that wraps would be two
		}
		b.WriteString(render.Text(l) + "\n")
	}
	p.drawn = len(lines)
	_, _ = fmt.Fprint(p.e.stderr, b.String()) // progress that can't be shown is no error
}

// done takes the lines away.
func (p *regionProgress) done() {
	if p.drawn > 0 {
		p.draw(nil)
	}
}

// regionLines are the regions under way, at most that many, those with most left
// to read, and the total.
func regionLines(s lookup.Progress, most int) []string {
	several, width := false, 0
	under := make([]int, 0, len(s.Regions)) // way
	for i, r := range s.Regions {
		several = several || r.AccountID != s.Regions[0].AccountID
		if !r.Done {
			under = append(under, i)
			width = max(width, len(r.Region))
		}
	}
	more := max(0, len(under)-most)
	slices.SortStableFunc(under, func(a, b int) int { return cmp.Compare(s.Regions[b].PagesLeft, s.Regions[a].PagesLeft) })
	under = under[:len(under)-more]
	slices.Sort(under)
	var lines []string
	for _, i := range under {
		r := s.Regions[i]
		name := r.Region + strings.Repeat(" ", width-len(r.Region))
		if several {
			name = r.AccountID + " " + name
		}
		line := fmt.Sprintf("  %s  %14s  %14s  %7s/s", name, count(r.Requests, "request"), count(r.Events, "event"), oneDecimal(r.PerSecond()))
		if left := r.Left(); left > 0 {
			line += "  " + leftText(left) + " left"
		}
		lines = append(lines, line)
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("  and %s", count(more, "more region")))
	}
	return append(lines, regionTotal(s))
}

// leftText is an estimate: no finer than it deserves.
func leftText(left time.Duration) string { return lagText(int64(left.Round(time.Second).Seconds())) }

// regionTotal is the state of a collection in one line.
func regionTotal(s lookup.Progress) string {
	var requests, events, stored, done int
	var left time.Duration
	for _, r := range s.Regions {
		requests += r.Requests
		events += r.Events
		stored += r.Stored
		if r.Done {
			done++
		}
		left = max(left, r.Left())
	}
	text := fmt.Sprintf("%d of %s, %s, %s, %s new", done, count(len(s.Regions), "region"), count(requests, "request"), count(events, "event"), number(stored))
	if sec := s.Elapsed.Seconds(); sec > 0 {
		text += fmt.Sprintf(", %s/s", oneDecimal(float64(events)/sec))
	}
	if left > 0 {
		text += ", " + leftText(left) + " left"
	}
	return text
}

// oneDecimal prints a rate as people read it.
func oneDecimal(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
