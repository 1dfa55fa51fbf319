package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/store"
)

// covered is what collection has read. It is asked for before the data is: what
// it claims is there then.
type covered struct {
	ledgers []*coverage.Ledger // of streams that were ever collected
	proven  []*coverage.Ledger // of those that weren't, and of which a trail proves something
	names   map[string]string  // of accounts, by id
	unread  []string           // accounts that collection was to read, and never has
}

// unreadWeek is for how long after an account was last asked for an answer tells
// that nothing of it was ever read.
const unreadWeek = 7 * 24 * time.Hour

func (e *env) readCovered(ctx context.Context, a *app.App) (*covered, error) {
	ledgers, err := a.Store.Streams(ctx)
	if err != nil {
		return nil, err
	}
	list, err := a.Store.AccountNames(ctx)
	if err != nil {
		return nil, err
	}
	// A trail may have proven a stream that no run has read: it promises nothing.
	var proven []*coverage.Ledger
	ledgers = slices.DeleteFunc(ledgers, func(l *coverage.Ledger) bool {
		if l.Began == 0 && l.Newest() != 0 {
			proven = append(proven, l)
		}
		return l.Began == 0
	})
	for _, l := range ledgers {
		l.Expire(e.now().Unix()) // what CloudTrail dropped since the last run
	}
	return &covered{ledgers, proven, accountNames(list), unreadAccounts(list, ledgers)}, nil
}

func accountNames(list []store.AccountName) map[string]string {
	names := make(map[string]string, len(list))
	for _, n := range list {
		if n.Name != n.AccountID {
			names[n.AccountID] = n.Name
		}
	}
	return names
}

// unreadAccounts are those that collection was to read of late and that have no
// stream, because they could never be asked for their regions: no ledger tells of
// them.
func unreadAccounts(list []store.AccountName, ledgers []*coverage.Ledger) []string {
	read := map[string]bool{}
	for _, l := range ledgers {
		read[l.Stream.AccountID] = true
	}
	var newest time.Time
	for _, n := range list {
		if n.Source == app.ToCollect && n.Seen.After(newest) {
			newest = n.Seen
		}
	}
	var unread []string
	for _, n := range list {
		if n.Source == app.ToCollect && !read[n.AccountID] && newest.Sub(n.Seen) < unreadWeek {
			unread = append(unread, n.AccountID)
		}
	}
	slices.Sort(unread)
	return unread
}

// named is an account in a sentence: "prod (111122223333)".
func named(names map[string]string, id string) string {
	if name := names[id]; name != "" {
		return name + " (" + id + ")"
	}
	return id
}

// namedCell is an account in a table: ids stay one below the other.
func namedCell(names map[string]string, id string) string {
	if name := names[id]; name != "" {
		return id + " " + render.Shorten(render.Text(name), 20)
	}
	return id
}

// question is the time and the streams that an answer is about.
type question struct {
	// since and until are as asked for, [since, until); zero: no bound. Without
	// since, an answer begins where collection does: what was before, and what
	// retention has removed, goes without saying.
	since, until time.Time
	// back is where an answer begins by itself: at a query's look-back, or, before
	// since, at its baseline. Zero: at since.
	back    time.Time
	streams func(coverage.Stream) bool // nil: all
}

// window is the part of the time that an answer owes of a stream.
func (q *question) window(l *coverage.Ledger, now time.Time) coverage.Span {
	to := now
	if !q.until.IsZero() && q.until.Before(now) {
		to = q.until.Add(time.Second - 1) // a second that is touched
	}
	w := coverage.Span{From: l.Since, To: to.Unix()}
	if !q.back.IsZero() {
		w.From = max(w.From, q.back.Unix())
	}
	if !q.since.IsZero() && (q.back.IsZero() || q.since.Unix() < w.From) {
		w.From = q.since.Unix()
	}
	return w
}

// answerCoverage says how complete an answer is: what --coverage adds to rows, and
// the field "coverage" of objects.
type answerCoverage struct {
	// Collected: streams are collected that the answer is about. Files that are
	// imported claim no coverage.
	Collected bool `json:"collected"`
	// AsOf and Newer are about an answer from a stack's lake: it has all that was
	// stored before, and so many events wait to be added.
	AsOf  *time.Time `json:"as_of,omitempty"`
	Newer *int64     `json:"newer_events,omitempty"`
	// Until is when the last run ended, of the streams the earliest; null when the
	// answer's time ends before.
	Until *time.Time `json:"until"`
	// Provisional is from when on CloudTrail may still deliver late; null when all
	// was read again a day later, or was proven.
	Provisional *time.Time           `json:"provisional_from"`
	Gaps        []coverage.StreamGap `json:"gaps"`

	lines []string // the gaps in words; not escaped
}

// answer finds what an answer to q lacks.
func (c *covered) answer(e *env, q question) *answerCoverage {
	v := &answerCoverage{Gaps: []coverage.StreamGap{}}
	var about []*coverage.Ledger
	var until, provisional int64
	for _, l := range c.ledgers {
		if q.streams != nil && !q.streams(l.Stream) {
			continue
		}
		about = append(about, l)
		w := q.window(l, e.now())
		if w.Empty() {
			continue
		}
		for _, g := range coverage.AnswerGaps([]*coverage.Ledger{l}, w, coverage.Filter{}) {
			if !q.since.IsZero() || g.Reason != coverage.Removed {
				v.Gaps = append(v.Gaps, g)
			}
		}
		if end := max(l.Until, l.Newest()); l.Ended == 0 && end < w.To && (until == 0 || end < until) {
			until = end
		}
		for _, part := range l.Covered(w) {
			if part.Level == coverage.Collected && (provisional == 0 || part.From < provisional) {
				provisional = part.From
			}
		}
	}
	var unread []string
	for _, id := range c.unread {
		if !q.aboutAccount(id, c.ledgers) {
			continue
		}
		to := e.now().UTC()
		if !q.until.IsZero() && q.until.Before(to) {
			to = q.until.UTC()
		}
		v.Gaps = append(v.Gaps, coverage.StreamGap{Stream: coverage.Stream{AccountID: id}, To: to, Reason: coverage.Pending, Detail: neverRead})
		unread = append(unread, c.unreadLine(id))
	}
	v.Collected = len(about) > 0
	v.Until, v.Provisional = unixOrNull(until), unixOrNull(provisional)
	v.lines = slices.Concat(unread, e.gapLines(v.Gaps[:len(v.Gaps)-len(unread)], about, c.names, 0))
	if len(c.ledgers) > 0 && len(about) == 0 && len(unread) == 0 {
		v.lines = []string{"nothing that was asked for is collected: only imported files tell of it"}
	}
	if f := e.fresh; f != nil && !f.AsOf.IsZero() {
		v.AsOf, v.Newer = &f.AsOf, &f.Newer
		if f.Newer > 0 {
			v.lines = append(v.lines, fmt.Sprintf("%s not in the lake yet, which is as of %s: --fresh adds what is stored since", count(f.Newer, "event is|events are"), e.timeText(f.AsOf.UnixMilli())))
		}
	}
	return v
}

const neverRead = "no run has read anything of the account"

func (c *covered) unreadLine(id string) string {
	return named(c.names, id) + ": not collected: " + neverRead + ", `iamtrack collect` says why"
}

// aboutAccount tells whether the answer is about an account of which no stream is
// known: it may have those that others have.
func (q *question) aboutAccount(id string, ledgers []*coverage.Ledger) bool {
	if q.streams == nil {
		return true
	}
	for _, source := range coverage.DefaultSources() {
		if q.streams(coverage.Stream{AccountID: id, Region: "us-east-1", Source: source}) {
			return true
		}
	}
	return slices.ContainsFunc(ledgers, func(l *coverage.Ledger) bool {
		return q.streams(coverage.Stream{AccountID: id, Region: l.Stream.Region, Source: l.Stream.Source})
	})
}

// gapLines puts gaps in sentences, at most so many (0: as many as an answer has).
func (e *env) gapLines(gaps []coverage.StreamGap, about []*coverage.Ledger, names map[string]string, most int) []string {
	brief := slices.Clone(gaps)
	for i := range brief {
		g := &brief[i]
		// The sentence names the place already.
		for _, place := range []string{" of account " + g.AccountID + ": ", " in " + g.Region + ": "} {
			if _, reason, ok := strings.Cut(g.Detail, place); ok {
				g.Detail = reason
				break
			}
		}
		g.Detail = render.Shorten(render.Text(g.Detail), 160)
	}
	return coverage.Lines(brief, about, coverage.LineOptions{
		Max: most, Name: func(id string) string { return names[id] }, Zone: e.config.Zone,
	})
}

func unixOrNull(seconds int64) *time.Time {
	if seconds == 0 {
		return nil
	}
	t := time.Unix(seconds, 0).UTC()
	return &t
}

// missingText is what stands under an answer that people read: a blank line and the
// gaps, or nothing; v may be nil.
func (e *env) missingText(v *answerCoverage) string {
	if v == nil {
		return ""
	}
	var b strings.Builder
	for i, line := range v.lines {
		if i == 0 {
			b.WriteByte('\n')
		}
		if e.format() == render.Markdown {
			b.WriteString("- missing: " + render.MarkdownText(line) + "\n")
		} else {
			b.WriteString("missing: " + render.Text(line) + "\n")
		}
	}
	return b.String()
}

// rowsDocument writes rows with what is missing: below them in formats that people
// read, beside them with --coverage.
func (e *env) rowsDocument(w io.Writer, v *answerCoverage, rows func(io.Writer) error) error {
	if e.flags.coverage && v != nil {
		head, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "{\"coverage\": %s,\n\"rows\": ", render.EscapeJSON(head)); err != nil {
			return err
		}
		if err := rows(w); err != nil {
			return err
		}
		_, err = io.WriteString(w, "}\n")
		return err
	}
	if err := rows(w); err != nil {
		return err
	}
	if e.programs() {
		return nil
	}
	_, err := io.WriteString(w, e.missingText(v))
	return err
}

// coveredAnswer is answer, with what is missing there; v may be nil.
func (e *env) coveredAnswer(cols []render.Column, v *answerCoverage, f func(render.Printer) error) error {
	return e.document(func(w io.Writer) error {
		return e.rowsDocument(w, v, func(w io.Writer) error {
			p := e.printer(w, cols)
			if err := f(p); err != nil {
				return err
			}
			return p.Close()
		})
	})
}

// programs reports whether programs, rather than people, read this run's output.
func (e *env) programs() bool { return e.format().Machine() || e.parquet() }

// tellCoverage says on standard error what rows for programs can't say, even with
// --quiet, and how fresh the answer is.
func (e *env) tellCoverage(v *answerCoverage) {
	if v == nil {
		return
	}
	if e.programs() && !e.flags.coverage {
		for _, line := range v.lines {
			e.say("missing: " + line)
		}
	}
	if v.AsOf != nil && *v.Newer == 0 {
		e.note("as of %s", e.timeText(v.AsOf.UnixMilli()))
	}
	switch {
	case v.Until != nil && v.Provisional != nil:
		e.note("collected until %s; events since %s may still arrive late", e.timeText(v.Until.UnixMilli()), e.timeText(v.Provisional.UnixMilli()))
	case v.Until != nil:
		e.note("collected until %s", e.timeText(v.Until.UnixMilli()))
	case v.Provisional != nil:
		e.note("events since %s may still arrive late", e.timeText(v.Provisional.UnixMilli()))
	}
}

// coverageFlag adds --coverage to a command that prints rows.
func coverageFlag(e *env, cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&e.flags.coverage, "coverage", false, "with --format json: an object of coverage and rows instead of the array")
	return cmd
}

// checkCoverage refuses --coverage where there is no place for it.
func (e *env) checkCoverage() error {
	if e.flags.coverage && (e.parquet() || e.format() != render.JSON) {
		return withHint(usagef("--coverage goes with --format json"), "other formats tell what is missing below the rows, or on standard error")
	}
	return nil
}

// eventStreams tells which streams hold events that a filter lets through, as far
// as account, region and service say.
func eventStreams(f *query.EventFilter) func(coverage.Stream) bool {
	matches := func(patterns []string, text string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
			g := event.NewGlob(strings.ReplaceAll(p, "?", "\x00")) // only * is special here
			return g.Match(text)
		})
	}
	sources := make([]string, len(f.EventSources))
	for i, s := range f.EventSources {
		if sources[i] = s; !strings.Contains(s, ".") && !strings.HasSuffix(s, "*") {
			sources[i] += ".amazonaws.com"
		}
	}
	return func(s coverage.Stream) bool {
		return (len(f.Accounts) == 0 || slices.Contains(f.Accounts, s.AccountID)) &&
			matches(f.Regions, s.Region) && matches(sources, s.Source) &&
			(len(f.Categories) == 0 || slices.Contains(f.Categories, categoryOf(s.Source)))
	}
}

// categoryOf is the category of a service's events.
func categoryOf(source string) string {
	name := strings.TrimSuffix(source, ".amazonaws.com")
	return cmp.Or(map[string]string{
		"iam": event.CategoryIAM, "sts": event.CategorySTS, "signin": event.CategorySignin, "sso": event.CategorySSO,
		"sso-directory": event.CategorySSO, "sso-oauth": event.CategorySSO, "identitystore": event.CategorySSO,
	}[name], event.CategoryOther)
}
