package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/inbox"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// ExportOptions say what to export.
type ExportOptions struct {
	// Rebuild rewrites every day's files, clean ones too, and records what the
	// rules find in them.
	Rebuild bool
	// Wait for another exporter to end; otherwise its presence is *store.HeldError.
	Wait bool
	// Progress, when set, is told after each day.
	Progress func(done, total int)
}

// ExportResult says what an export did.
type ExportResult struct {
	Days    int   `json:"days"`    // dirty days looked at (all days for a rebuild)
	Written int   `json:"written"` // of these, the ones whose files changed
	Pruned  int64 `json:"pruned"`  // hot rows that left the hot window
	Removed int   `json:"removed"` // days removed by retention
	// Unreadable are objects of the inbox that could not be merged.
	Unreadable []inbox.Problem `json:"unreadable,omitempty"`
}

// ErrNoLake is Export's error where there is no lake.
var ErrNoLake = errors.New("there is no lake: the store keeps all events")

// Export brings the lake up to date: each dirty day's hot rows are merged into
// its files, or what the inbox has of each day, hot rows older than the hot window
// are pruned, days beyond retention removed. A day dirtied meanwhile stays dirty.
// With nothing new it writes nothing.
func (p *Pipeline) Export(ctx context.Context, o ExportOptions) (ExportResult, error) {
	var res ExportResult
	if p.NoLake {
		return res, ErrNoLake
	}
	done := map[event.Date]bool{}
	for more := true; more; {
		if len(done) > 0 {
			select { // others are at work now
			case <-ctx.Done():
				return res, context.Cause(ctx)
			case <-time.After(leasePause):
			}
		}
		err := p.withLease(ctx, o.Wait || len(done) > 0, func(ctx context.Context) (err error) {
			if err := p.learnLineage(ctx); err != nil {
				return err
			}
			if o.Rebuild && len(done) == 0 {
				if err := p.rebuild(ctx, o.Progress, &res); err != nil {
					return err
				}
			}
			if more, err = p.exportSome(ctx, o, &res, done); err != nil || more {
				return err
			}
			return p.retain(ctx, &res)
		})
		if err != nil {
			return res, err
		}
	}
	return res, nil
}

// Of a store that several share, an export lets go of the lease after leaseHeld, for
// leasePause: whoever stores an event waits for it.
const (
	leaseHeld  = 10 * time.Second
	leasePause = 2 * leaseRetryMost
)

// exportSome exports the days that aren't done, until the lease has been held for so long
// that there is to be more after others had it.
func (p *Pipeline) exportSome(ctx context.Context, o ExportOptions, res *ExportResult, done map[event.Date]bool) (more bool, err error) {
	began := time.Now()
	days, err := p.waiting(ctx, func(pr inbox.Problem) {
		if !slices.ContainsFunc(res.Unreadable, func(old inbox.Problem) bool { return old.Object == pr.Object }) {
			res.Unreadable = append(res.Unreadable, pr)
		}
	})
	if err != nil {
		return false, err
	}
	// A day that was dirtied meanwhile is the next export's.
	days = slices.DeleteFunc(days, func(d waitingDay) bool { return done[d.Date] })
	if len(days) == 0 && len(done) == 0 {
		return false, nil
	}
	lost, err := p.losers(ctx)
	if err != nil {
		return false, err
	}
	only, over, err := p.tableOnly(ctx)
	if err != nil {
		return false, err
	}
	before := len(done)
	for i, d := range days {
		if p.Inbox != nil && i > 0 && time.Since(began) >= leaseHeld {
			return true, nil
		}
		if only {
			if _, err := p.exportDay(ctx, store.DirtyDay{Date: d.Date}, p.hotRows(ctx, d.Date), lost, nil); err != nil {
				return false, err
			}
		}
		changed, err := p.exportWaiting(ctx, d, lost)
		if changed {
			res.Written++
		}
		if err != nil {
			return false, err
		}
		res.Days++
		done[d.Date] = true
		if o.Progress != nil {
			o.Progress(len(done), before+len(days))
		}
	}
	if over {
		if err := p.Store.SetMeta(ctx, metaTableOnly, ""); err != nil {
			return false, err
		}
	}
	res.Pruned, err = p.Store.Prune(ctx, p.hotSince())
	return false, err
}

// metaTableOnly is the store's key for when rows were put of which the inbox has nothing,
// in seconds since 1970, to the hour: there was no lake then.
const metaTableOnly = "table_only"

// noteTableOnly notes that a row is about to be put that is in the table only, so that an
// export, should there be a lake one day, takes it from there.
func (p *Pipeline) noteTableOnly(ctx context.Context) error {
	now := p.Now().Unix()
	if was := p.noted.Load(); !p.NoLake || was != 0 && now-was < 3600 {
		return nil
	}
	if err := p.Store.SetMeta(ctx, metaTableOnly, strconv.FormatInt(now, 10)); err != nil {
		return err
	}
	p.noted.Store(now)
	return nil
}

// tableOnly reports whether dirty days have rows that are in the table only, and whether
// no more of them come: whoever put them, before there was a lake, is at work no more.
func (p *Pipeline) tableOnly(ctx context.Context) (only, over bool, err error) {
	if p.Inbox == nil {
		return false, false, nil
	}
	text, err := p.Store.Meta(ctx, metaTableOnly)
	if err != nil || text == "" {
		return false, false, err
	}
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return false, false, fmt.Errorf("the store's %s is %q, which is no time: %w", metaTableOnly, text, err)
	}
	return true, p.Now().Unix()-at > 24*3600, nil
}

// waitingDay is a day to export.
type waitingDay struct {
	store.DirtyDay            // Mark 0: the store doesn't know that it is dirty
	inbox          *inbox.Day // nil: nothing
}

// waiting returns the days to export, ascending: those that are dirty, and those of
// which the inbox has rows, since who wrote them may have been killed before it could
// make the day dirty.
func (p *Pipeline) waiting(ctx context.Context, report func(inbox.Problem)) ([]waitingDay, error) {
	dirty, err := p.Store.DirtyDays(ctx)
	if err != nil {
		return nil, err
	}
	days := make([]waitingDay, len(dirty))
	at := map[event.Date]int{}
	for i, d := range dirty {
		days[i].DirtyDay, at[d.Date] = d, i
	}
	if p.Inbox == nil {
		return days, nil
	}
	// After the marks were read: what comes meanwhile leaves its day dirty.
	arrived, err := p.Inbox.Days(ctx, report)
	if err != nil {
		return nil, err
	}
	for _, d := range arrived {
		if i, ok := at[d.Date]; ok {
			days[i].inbox = d
		} else {
			days = append(days, waitingDay{store.DirtyDay{Date: d.Date}, d})
		}
	}
	slices.SortFunc(days, func(a, b waitingDay) int { return int(a.Date) - int(b.Date) })
	return days, nil
}

// exportWaiting merges what waits of a day.
func (p *Pipeline) exportWaiting(ctx context.Context, d waitingDay, lost *losers) (changed bool, err error) {
	switch {
	case p.Inbox == nil:
		return p.exportDay(ctx, d.DirtyDay, p.hotRows(ctx, d.Date), lost, nil)
	case d.inbox == nil:
		return p.exportDay(ctx, d.DirtyDay, lake.Input{}, lost, nil)
	}
	for {
		batch, err := d.inbox.Next(ctx, p.Lake)
		if err != nil {
			return changed, fmt.Errorf("export %v: %w", d.Date, err)
		}
		part := store.DirtyDay{Date: d.Date}
		if batch.Last {
			part.Mark = d.Mark
		}
		if batch.Empty() && part.Mark == 0 {
			return changed, nil // it was merged before
		}
		c, err := p.exportDay(ctx, part, lake.Input{Events: batch.Events, Filtered: batch.Filtered, Sources: batch.IDs}, lost, nil)
		changed = changed || c
		if err == nil {
			err = batch.Done(ctx)
		}
		if err != nil || batch.Last {
			return changed, err
		}
	}
}

// hotRows are what the hot store has of a day.
func (p *Pipeline) hotRows(ctx context.Context, d event.Date) lake.Input {
	return lake.Input{Events: p.Store.Day(ctx, d), Filtered: p.Store.DayFiltered(ctx, d)}
}

// exportDay merges rows into the lake with their actors as they are known now, and
// records the day as clean, if its mark is still that. nodes are what the events need
// for that, as far as it is known.
func (p *Pipeline) exportDay(ctx context.Context, d store.DirtyDay, in lake.Input, lost *losers, nodes []lineage.Use) (bool, error) {
	fill, err := p.filler(ctx, nodes)
	if err != nil {
		return false, err
	}
	drop, was, dropErr := p.dropper(ctx, d.Date, lost)
	in.Drop, in.Was, in.Fill = drop, was, fill
	in.Lost = func(lost []event.Event) error {
		return errors.Join(*dropErr, p.recordConflicts(ctx, lost))
	}
	stats, changed, err := p.Lake.Merge(ctx, d.Date, in)
	if err = errors.Join(err, *dropErr); err != nil {
		return false, err
	}
	return changed, p.Store.DayExported(ctx, d.Mark, store.LakeDay(stats))
}

func (p *Pipeline) recordConflicts(ctx context.Context, lost []event.Event) error {
	_, err := p.Store.Record(ctx, store.Findings{Conflicts: lost}, p.Rules.Settle)
	return err
}

// rebuild rewrites all days, and with them what the store knows of the lake.
func (p *Pipeline) rebuild(ctx context.Context, progress func(int, int), res *ExportResult) error {
	dates, err := p.Lake.Dates(ctx)
	if err != nil {
		return err
	}
	for i, d := range dates {
		if err := p.relearn(ctx, d); err != nil {
			return err
		}
		fill, err := p.filler(ctx, nil)
		if err != nil {
			return err
		}
		stats, err := p.Lake.Rebuild(ctx, d, fill)
		if err != nil {
			return err
		}
		if err := p.Store.DayExported(ctx, 0, store.LakeDay(stats)); err != nil {
			return err
		}
		res.Days++
		res.Written++
		if progress != nil {
			progress(i+1, len(dates))
		}
	}
	return nil
}

// relearn records what the rules find in a day of the lake, and who was given
// which credentials: all of it for a store that was made anew, else nothing.
func (p *Pipeline) relearn(ctx context.Context, d event.Date) error {
	if err := p.observeDay(ctx, d); err != nil {
		return err
	}
	const enough = 1000 // facts for one transaction
	var facts []rule.Fact
	parser := event.NewParser()
	record := func() error {
		_, err := p.Store.Record(ctx, store.Findings{Facts: facts}, p.Rules.Settle)
		facts = nil
		return err
	}
	for e, err := range p.Lake.Events(ctx, d) {
		if err != nil {
			return err
		}
		found, err := p.evaluateAgain(parser, &e)
		if err != nil {
			return err
		}
		if facts = append(facts, found...); len(facts) >= enough {
			if err := record(); err != nil {
				return err
			}
		}
	}
	return record()
}

// evaluateAgain is what the rules found in an event of the lake when it came: the
// lake's actor is known since, and would make other findings of the same.
func (p *Pipeline) evaluateAgain(parser *event.Parser, e *event.Event) ([]rule.Fact, error) {
	e.Actor = ""
	if len(p.Rules.Evaluate(e)) == 0 {
		return nil, nil
	}
	raw, err := e.Record()
	if err != nil {
		return nil, fmt.Errorf("read event %s again: %w", e.EventID, err)
	}
	fresh, err := parser.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("read event %s again: %w", e.EventID, err)
	}
	fresh.FilteredBy = e.FilteredBy
	return p.Rules.Evaluate(&fresh), nil
}

// retain removes the days that are older than LakeDays.
func (p *Pipeline) retain(ctx context.Context, res *ExportResult) error {
	if p.LakeDays <= 0 {
		return nil
	}
	oldest := event.DateOf(p.Now().UnixMilli()) - event.Date(p.LakeDays)
	days, err := p.Store.LakeDays(ctx)
	if err != nil {
		return err
	}
	var old []event.Date
	for _, d := range days {
		if d.Date < oldest {
			old = append(old, d.Date)
		}
	}
	// Coverage first, so that it never claims what is gone; of days without any
	// event too, since nothing tells them from removed ones.
	if err := p.uncover(ctx, oldest); err != nil {
		return err
	}
	if len(old) == 0 {
		return nil
	}
	if err := p.keepSince(ctx, oldest); err != nil {
		return err
	}
	// The lake before the store: a crash in between leaves days listed that are
	// gone, which the next run removes again.
	if err := p.Lake.Remove(ctx, old); err != nil {
		return err
	}
	res.Removed = len(old)
	return p.Store.DropLakeDays(ctx, old)
}

// uncover takes back from all ledgers what lies before the first day that is kept.
func (p *Pipeline) uncover(ctx context.Context, oldest event.Date) error {
	ledgers, err := p.Store.Streams(ctx)
	if err != nil {
		return err
	}
	gone := coverage.Span{To: int64(oldest) * 24 * 3600}
	for _, l := range ledgers {
		if len(l.Covered(gone)) == 0 {
			continue
		}
		err := p.Store.UpdateStream(ctx, l.Stream, func(l *coverage.Ledger) error {
			l.Invalidate(gone, coverage.Removed, "", p.Now().Unix())
			return nil
		})
		if err != nil {
			return fmt.Errorf("take back what is covered of %s: %w", l.Stream, err)
		}
	}
	return nil
}

// VerifyResult says what was checked.
type VerifyResult struct {
	Days     int   `json:"days"`
	Events   int64 `json:"events"`
	Filtered int64 `json:"filtered"`
	Problems int   `json:"problems"`
	// Months is how many files by month were compared with their days; Stale
	// how many others there are, which no answer is read from.
	Months int `json:"months"`
	Stale  int `json:"stale_months"`
}

// Problem is something that verification found.
type Problem struct {
	Where string `json:"where"` // a file of the lake, or "store"
	What  string `json:"what"`
}

// Verify checks that the lake is readable, in order and unchanged since it was
// written, and that store and lake agree: every clean day as the store recorded
// it, every hot row of a clean day in the lake in the same content. Nobody may
// change the lake meanwhile, which a lease sees to; a store that was opened for
// reading only has none to give.
func (p *Pipeline) Verify(ctx context.Context, report func(Problem)) (VerifyResult, error) {
	var res VerifyResult
	problem := func(where, what string) {
		res.Problems++
		report(Problem{where, what})
	}
	check := func(ctx context.Context) error {
		known, err := p.Store.LakeDays(ctx)
		if err != nil {
			return err
		}
		dirtyDays, err := p.Store.DirtyDays(ctx)
		if err != nil {
			return err
		}
		dirty := map[event.Date]bool{}
		for _, d := range dirtyDays {
			dirty[d.Date] = true
		}
		dates, err := p.Lake.Dates(ctx)
		if err != nil {
			return err
		}
		recorded := map[event.Date]store.LakeDay{}
		for _, d := range known {
			recorded[d.Date] = d
		}
		for _, d := range dates {
			stats, err := p.Lake.Verify(ctx, d, func(pr lake.Problem) { problem(pr.File, pr.Text) })
			if err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				problem(d.String(), err.Error())
			}
			res.Days++
			res.Events += stats.Events
			res.Filtered += stats.Filtered
			rec, ok := recorded[d]
			delete(recorded, d)
			switch {
			case dirty[d]: // the next export settles it
			case !ok:
				problem("store", "no record of lake day "+d.String()+": run `iamtrack export --rebuild`")
			case rec.Events != stats.Events || rec.Filtered != stats.Filtered:
				problem(d.String(), "the day's files hold other counts than were recorded")
			}
			if err := p.verifyHot(ctx, d, dirty[d], problem); err != nil {
				return err
			}
		}
		for d := range recorded {
			if rec := recorded[d]; rec.Events+rec.Filtered > 0 && !dirty[d] {
				problem(d.String(), "the day's files are gone")
			}
		}
		res.Months, res.Stale, err = p.Lake.VerifyRollUps(ctx, func(pr lake.Problem) { problem(pr.File, pr.Text) })
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			problem("months", err.Error())
		}
		return nil
	}
	err := p.withLease(ctx, true, check)
	if errors.Is(err, store.ErrReadOnly) {
		err = check(ctx)
	}
	return res, err
}

// verifyHot checks that the hot rows of a clean day are in the lake.
func (p *Pipeline) verifyHot(ctx context.Context, d event.Date, dirty bool, problem func(string, string)) error {
	if dirty {
		return nil
	}
	var versions map[event.Key]event.Version
	for e, err := range p.Store.Day(ctx, d) {
		if err != nil {
			return err
		}
		if versions == nil {
			if versions, err = p.Lake.Versions(ctx, d); err != nil {
				problem(d.String(), err.Error())
				return nil
			}
		}
		if v, ok := versions[e.Key()]; !ok {
			problem(d.String(), "event "+e.EventID+" is in the store and not in the lake")
		} else if v.Compare(e.Version()) != 0 {
			problem(d.String(), "event "+e.EventID+" differs between store and lake")
		}
	}
	return nil
}
