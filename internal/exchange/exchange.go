// Package exchange makes what is known in one place known in another: events, what was
// filtered, rejected or contradicted, who is behind sessions, alerts with their
// acknowledgements, and coverage; from a data directory to a stack and back.
//
// Afterwards the receiver has the union. Everything that is moved is a set with a rule
// for what counts of two (package store), so any order, any split and any repetition
// ends the same, and a transfer may be interrupted anywhere and begun again. What was
// read is claimed last, when all of its events are stored, and no more than the giver
// claimed before its events were listed.
//
// Alerts that somebody was told of, or that are history, are told by nobody again. One
// that is news, and that the giver told nobody of, is left to be told by the receiver.
package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Options of Transfer.
type Options struct {
	// Since and Until bound the events, alerts and coverage, [Since, Until); zero
	// times don't. Records that could not be parsed have no time, and all go.
	Since, Until time.Time
	// DryRun: nothing is written; what would be is counted.
	DryRun bool
	// Horizon is how old an event may be for its alert to be news.
	Horizon time.Duration
	// Lost are days whose files the giver should have and hasn't: nothing is claimed
	// of them.
	Lost []event.Date
	// Marks, when set, keeps which days were moved, so that they need not be read
	// again while neither side's files change.
	Marks *Marks
	// MemoryBytes bounds the rows that are held; 0: a default.
	MemoryBytes int64
	// Progress, when set, is called after each day.
	Progress func(done, total int)
	Now      func() time.Time
}

// Result is what a transfer did, or with DryRun would do.
type Result struct {
	Days        int   `json:"days"`         // that the giver has, in the range
	DaysRead    int   `json:"days_read"`    // of these, the ones that had to be looked into
	DaysExpired int   `json:"days_expired"` // left out: the receiver's retention would remove them
	EventsNew   int64 `json:"events_new"`
	EventsKnown int64 `json:"events_known"` // in the days that were read
	Conflicts   int64 `json:"conflicts"`    // contents kept beside another one of their event
	Filtered    int64 `json:"filtered"`     // rows of filtered events, new
	Rejected    int64 `json:"rejected"`     // records that could not be parsed, new
	// Alerts are new to the receiver; AlertsMissing those of the giver that it still
	// hasn't: the giver has their events no more, or the receiver's rules differ.
	Alerts        int `json:"alerts"`
	AlertsMissing int `json:"alerts_missing"`
	Acknowledged  int `json:"acknowledged"` // acknowledgements that were newer
	// Intervals of coverage that were new, or of a greater level, in how many streams.
	Intervals int     `json:"coverage_intervals"`
	Streams   int     `json:"coverage_streams"`
	Seconds   float64 `json:"seconds"`
	DryRun    bool    `json:"dry_run"`
}

// Nothing reports whether the receiver had all of it.
func (r *Result) Nothing() bool {
	return r.EventsNew+r.Conflicts+r.Filtered+r.Rejected == 0 && r.Alerts+r.Acknowledged+r.Streams == 0
}

// Transfer moves to the receiver what it lacks of what the giver has. The giver is only
// read. Both may be at work meanwhile.
func Transfer(ctx context.Context, from, to *collect.Pipeline, o Options) (Result, error) {
	start := time.Now()
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &transfer{from: from, to: to, o: o}
	t.sum.DryRun = o.DryRun
	// The order counts: what is claimed is read before what it is claimed of.
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"read what was collected", t.readCoverage},
		{"read the alerts", t.readAlerts},
		{"rejected records", t.rejected},
		{"account names", t.names},
		{"events", t.events},
		{"alerts", t.alerts},
		{"coverage", t.coverage},
	} {
		if err := fault.At("exchange.step.before"); err != nil {
			return t.sum, err
		}
		if err := step.do(ctx); err != nil {
			return t.sum, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	t.sum.Seconds = time.Since(start).Seconds()
	return t.sum, nil
}

type transfer struct {
	from, to *collect.Pipeline
	o        Options
	sum      Result

	ledgers []*coverage.Ledger // the giver's
	given   []rule.Alert
	had     map[string]rule.Alert // the receiver's alerts before
}

func (t *transfer) bounded() bool { return !t.o.Since.IsZero() || !t.o.Until.IsZero() }

// span is the seconds in the range.
func (t *transfer) span() coverage.Span {
	until := time.Unix(1<<40, 0)
	if !t.o.Until.IsZero() {
		until = t.o.Until
	}
	since := time.Unix(0, 0)
	if !t.o.Since.IsZero() {
		since = t.o.Since
	}
	return coverage.SpanOf(since, until)
}

func (t *transfer) readCoverage(ctx context.Context) (err error) {
	t.ledgers, err = t.from.Store.Streams(ctx)
	return err
}

// readAlerts looks at both sides' alerts, and sees to it that nobody is told again.
func (t *transfer) readAlerts(ctx context.Context) (err error) {
	if t.given, err = t.from.Store.Alerts(ctx, store.AlertFilter{Since: t.o.Since, Until: t.o.Until}); err != nil {
		return err
	}
	if t.had, err = alertsOf(ctx, t.to.Store); err != nil {
		return err
	}
	untold, err := untoldIn(ctx, t.from.Store)
	if err != nil {
		return err
	}
	waiting, err := untoldIn(ctx, t.to.Store)
	if err != nil {
		return err
	}
	var told []string
	now := t.o.Now()
	for i := range t.given {
		a := &t.given[i]
		_, here := t.had[a.ID]
		history := now.Sub(time.UnixMilli(a.EventTime)) > t.o.Horizon
		switch {
		case !untold[a.ID] && (!here || waiting[a.ID]), !here && history:
			told = append(told, a.ID)
		}
	}
	if len(told) == 0 || t.o.DryRun {
		return nil
	}
	return t.to.Store.MarkTold(ctx, told)
}

// alertsOf are all alerts of a store, those too that other events contradict.
func alertsOf(ctx context.Context, s store.Store) (map[string]rule.Alert, error) {
	list, err := s.Alerts(ctx, store.AlertFilter{States: []string{rule.StateFinding, rule.StateAcknowledged, rule.StateSuperseded}})
	byID := make(map[string]rule.Alert, len(list))
	for _, a := range list {
		byID[a.ID] = a
	}
	return byID, err
}

// untoldIn are a store's alerts that nobody was told of.
func untoldIn(ctx context.Context, s store.Store) (map[string]bool, error) {
	ids := map[string]bool{}
	for r, err := range s.Unrouted(ctx) {
		if err != nil {
			return nil, err
		}
		ids[r.ID] = true
	}
	return ids, nil
}

func (t *transfer) rejected(ctx context.Context) error {
	have := map[string]store.Rejected{}
	for r, err := range t.to.Store.Rejected(ctx) {
		if err != nil {
			return err
		}
		have[r.SHA256] = r
	}
	var list []store.Rejected
	for r, err := range t.from.Store.Rejected(ctx) {
		if err != nil {
			return err
		}
		old, known := have[r.SHA256]
		if known && store.CompareRejected(r, old) >= 0 {
			continue
		}
		if !known {
			t.sum.Rejected++
		}
		list = append(list, r)
	}
	if len(list) == 0 || t.o.DryRun {
		return nil
	}
	_, err := t.to.Store.Record(ctx, store.Findings{Rejected: list}, t.to.Rules.Settle)
	return err
}

func (t *transfer) names(ctx context.Context) error {
	have, err := t.to.Store.AccountNames(ctx)
	if err != nil {
		return err
	}
	list, err := t.from.Store.AccountNames(ctx)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(n store.AccountName) bool {
		return slices.ContainsFunc(have, func(h store.AccountName) bool { return h.AccountID == n.AccountID && !n.Newer(&h) })
	})
	if len(list) == 0 || t.o.DryRun {
		return nil
	}
	return t.to.Store.PutAccountNames(ctx, list)
}

func (t *transfer) events(ctx context.Context) error {
	h, err := t.from.Holdings(ctx)
	if err != nil {
		return err
	}
	days, err := t.days(ctx, h)
	if err != nil || len(days) == 0 {
		return err
	}
	o := collect.AdoptOptions{DryRun: t.o.DryRun, MemoryBytes: t.o.MemoryBytes, Progress: t.o.Progress}
	if !t.o.Since.IsZero() {
		o.Since = t.o.Since.UnixMilli()
	}
	if !t.o.Until.IsZero() {
		o.Until = t.o.Until.UnixMilli()
	}
	if t.o.Marks != nil && !t.o.DryRun {
		o.Stored = func(ctx context.Context, days []event.Date) error { return t.mark(ctx, h, days) }
	}
	adopted, err := t.to.Adopt(ctx, h, days, o)
	if err == nil && !t.o.DryRun {
		err = t.heal(ctx, o)
	}
	t.sum.DaysRead = adopted.Days
	t.sum.EventsNew, t.sum.EventsKnown, t.sum.Conflicts, t.sum.Filtered = adopted.New, adopted.Known, adopted.Conflicts, adopted.Filtered
	if err != nil || t.o.DryRun {
		return err
	}
	// Groups that wait for it, of a transfer that was interrupted.
	_, err = t.to.Store.Record(ctx, store.Findings{}, t.to.Rules.Settle)
	return err
}

// heal has the receiver look again at the events behind alerts that it lacks although
// it has the events, as when its store was made anew beside its lake.
func (t *transfer) heal(ctx context.Context, o collect.AdoptOptions) error {
	have, err := alertsOf(ctx, t.to.Store)
	if err != nil {
		return err
	}
	days := map[event.Date]bool{}
	o.Again, o.Stored, o.Progress = map[string]bool{}, nil, nil
	for i := range t.given {
		a := &t.given[i]
		if _, ok := have[a.ID]; ok {
			continue
		}
		for _, e := range append([]rule.EventRef{{EventID: a.EventID, EventTime: a.EventTime}}, a.Events...) {
			o.Again[e.EventID] = true
			days[event.DateOf(e.EventTime)] = true
		}
	}
	if len(days) == 0 {
		return nil
	}
	h, err := t.from.Holdings(ctx) // what waits is read once
	if err != nil {
		return err
	}
	_, err = t.to.Adopt(ctx, h, slices.Sorted(maps.Keys(days)), o)
	return err
}

// days returns those that have to be read.
func (t *transfer) days(ctx context.Context, h *collect.Holdings) ([]event.Date, error) {
	first, last := event.Date(-1<<31), event.Date(1<<31-1)
	if !t.o.Since.IsZero() {
		first = event.DateOf(t.o.Since.UnixMilli())
	}
	if !t.o.Until.IsZero() {
		last = event.DateOf(t.o.Until.UnixMilli() - 1)
	}
	kept := event.Date(-1 << 31)
	if t.to.LakeDays > 0 {
		kept = event.DateOf(t.o.Now().UnixMilli()) - event.Date(t.to.LakeDays)
	}
	there, err := t.there(ctx)
	if err != nil {
		return nil, err
	}
	var days []event.Date
	for _, d := range h.Days() {
		switch {
		case d < first || d > last:
			continue
		case d < kept:
			t.sum.DaysExpired++
			continue
		}
		t.sum.Days++
		if t.o.Marks != nil {
			same, err := t.o.Marks.same(ctx, d, markOf(h, d, there(d)))
			if err != nil {
				return nil, err
			}
			if same {
				continue
			}
		}
		days = append(days, d)
	}
	return days, nil
}

// there returns what tells the versions of the receiver's days.
func (t *transfer) there(ctx context.Context) (func(event.Date) string, error) {
	if t.to.NoLake {
		return func(event.Date) string { return "table" }, nil
	}
	versions, err := t.to.Lake.DayVersions(ctx)
	return func(d event.Date) string {
		text := versions[d]
		for next := d + 1; text != "" && next <= d+collect.LinkDays; next++ {
			text += "; " + versions[next]
		}
		return text
	}, err
}

// mark notes that days were moved. A day of which rows waited with the giver gets no
// mark, nor one of which a part was moved.
func (t *transfer) mark(ctx context.Context, h *collect.Holdings, days []event.Date) error {
	if t.bounded() {
		return nil
	}
	there, err := t.there(ctx)
	if err != nil {
		return err
	}
	marks := map[event.Date]string{}
	for _, d := range days {
		if m := markOf(h, d, there(d)); m != "" {
			marks[d] = m
		}
	}
	return t.o.Marks.set(ctx, marks)
}

// markOf is a text that changes when there may be something to move again; empty when
// that can't be told.
func markOf(h *collect.Holdings, d event.Date, there string) string {
	here := h.Version(d)
	if here == "" || there == "" {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d", here, there, h.Losers(d)))
	return hex.EncodeToString(sum[:8])
}

func (t *transfer) alerts(ctx context.Context) error {
	have := t.had
	if !t.o.DryRun {
		var err error
		if have, err = alertsOf(ctx, t.to.Store); err != nil {
			return err
		}
		for id, a := range have {
			if _, had := t.had[id]; !had && a.State != rule.StateSuperseded {
				t.sum.Alerts++
			}
		}
	}
	acks := map[store.Ack][]string{}
	for i := range t.given {
		a := &t.given[i]
		b, ok := have[a.ID]
		switch {
		case !ok && t.o.DryRun:
			t.sum.Alerts++
		case !ok:
			t.sum.AlertsMissing++
			continue
		}
		if mine := ackOf(a); mine != nil {
			if other := ackOf(&b); other == nil || mine.Compare(*other) > 0 {
				acks[*mine] = append(acks[*mine], a.ID)
				t.sum.Acknowledged++
			}
		}
	}
	if t.o.DryRun {
		return nil
	}
	for _, k := range slices.SortedFunc(maps.Keys(acks), store.Ack.Compare) {
		if err := t.to.Store.Ack(ctx, acks[k], k.By, k.Note, time.UnixMilli(k.At)); err != nil {
			return err
		}
	}
	return nil
}

// ackOf is an alert's acknowledgement; nil when it has none.
func ackOf(a *rule.Alert) *store.Ack {
	if a.State != rule.StateAcknowledged {
		return nil
	}
	return &store.Ack{At: a.AckedAt, By: a.AckedBy, Note: a.Note}
}

func (t *transfer) coverage(ctx context.Context) error {
	list, err := t.to.Store.Streams(ctx)
	if err != nil {
		return err
	}
	have := map[coverage.Stream]*coverage.Ledger{}
	for _, l := range list {
		have[l.Stream] = l
	}
	for _, l := range t.ledgers {
		if t.bounded() {
			l = l.Within(t.span())
		}
		for _, d := range t.o.Lost {
			l.Disclaim(dayOf(d, d+1))
		}
		if t.to.LakeDays > 0 {
			oldest := event.DateOf(t.o.Now().UnixMilli()) - event.Date(t.to.LakeDays)
			l = l.Within(coverage.Span{From: dayOf(oldest, oldest+1).From, To: 1 << 40})
		}
		old := have[l.Stream]
		if old == nil {
			old = &coverage.Ledger{Stream: l.Stream}
		}
		gained := old.Gained(l)
		merged, err := coverage.Decode(old.Stream, old.Encode())
		if err != nil {
			return err
		}
		if merged.Merge(l); merged.Equal(old) {
			continue
		}
		t.sum.Streams++
		t.sum.Intervals += gained
		if t.o.DryRun {
			continue
		}
		err = t.to.Store.UpdateStream(ctx, l.Stream, func(mine *coverage.Ledger) error {
			mine.Merge(l)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dayOf is the seconds of the days [from, to).
func dayOf(from, to event.Date) coverage.Span {
	const day = 24 * 60 * 60
	return coverage.Span{From: int64(from) * day, To: int64(to) * day}
}

// Marks are notes, in one of the two stores, of which days were moved in one direction
// between them, by month.
type Marks struct {
	store  store.Store
	name   string
	months map[string]map[event.Date]string
}

// NewMarks returns the marks that a store keeps of transfers in a direction, such as
// "push", to or from what is named by other.
func NewMarks(s store.Store, direction, other string) *Marks {
	sum := sha256.Sum256([]byte(other))
	return &Marks{store: s, name: "exchange:" + direction + ":" + hex.EncodeToString(sum[:8]) + ":", months: map[string]map[event.Date]string{}}
}

func (m *Marks) month(ctx context.Context, d event.Date) (map[event.Date]string, string, error) {
	month := d.String()[:len("2006-01")]
	if have := m.months[month]; have != nil {
		return have, month, nil
	}
	text, err := m.store.Meta(ctx, m.name+month)
	if err != nil {
		return nil, "", err
	}
	have := map[event.Date]string{}
	if text != "" {
		byDay := map[string]string{}
		if err := json.Unmarshal([]byte(text), &byDay); err != nil {
			return nil, "", fmt.Errorf("read which days were moved (%s): %w", m.name+month, err)
		}
		for day, mark := range byDay {
			if d, err := event.ParseDate(month + "-" + day); err == nil { // else it is read again
				have[d] = mark
			}
		}
	}
	m.months[month] = have
	return have, month, nil
}

// same reports whether a day was moved when both sides were as they are.
func (m *Marks) same(ctx context.Context, d event.Date, mark string) (bool, error) {
	have, _, err := m.month(ctx, d)
	return mark != "" && have[d] == mark, err
}

func (m *Marks) set(ctx context.Context, marks map[event.Date]string) error {
	changed := map[string]map[event.Date]string{}
	for d, mark := range marks {
		have, month, err := m.month(ctx, d)
		if err != nil {
			return err
		}
		have[d] = mark
		changed[month] = have
	}
	for month, have := range changed {
		byDay := map[string]string{}
		for d, mark := range have {
			byDay[strings.TrimPrefix(d.String(), month+"-")] = mark
		}
		text, err := json.Marshal(byDay)
		if err == nil {
			err = m.store.SetMeta(ctx, m.name+month, string(text))
		}
		if err != nil {
			return fmt.Errorf("note which days were moved: %w", err)
		}
	}
	return nil
}
