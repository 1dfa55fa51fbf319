package collect

import (
	"context"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/store"
)

// smallDay is how many events of a day go to the hot store rather than straight
// into the day's file: rewriting a file for a handful isn't worth it.
const smallDay = 2000

// writtenAtOnce is how many days are written at once, however few processors
// there are: most of the time of each is spent waiting for the disk.
const writtenAtOnce = 12

// heap is what an import holds in memory: rows by day, not yet durable.
type heap struct {
	days     map[event.Date]*dayRows
	size     int64
	rejected []store.Rejected
	// rejectedOf are the files with rows in rejected.
	rejectedOf map[int]struct{}
	// issued are links of filtered events. The next flush writes them, which none
	// of their files is done before.
	issued []lineage.Link
}

// linkSize estimates the memory that a link holds, in bytes.
const linkSize = 600

type dayRows struct {
	date     event.Date
	events   []event.Event
	filtered []event.Filtered
	size     int64
	files    map[int]struct{}
	// complete: no file still to be read is named for the day, or before.
	complete bool
	// direct: the rows go to the day's file, however few they are.
	direct bool
	// outcome, when set, is told what each key turned out to be, if that isn't a
	// duplicate. Days are classified at the same time.
	outcome func(event.Key, Outcome)
}

// eventSize estimates the memory that an event holds, in bytes.
func eventSize(e *event.Event) int64 {
	const fixed = 640 // the struct
	return fixed + int64(len(e.RequestParameters)+len(e.ResponseElements)+len(e.AdditionalEventData)+
		len(e.Resources)+len(e.Rest)+len(e.ErrorMessage)+len(e.UserAgent)+len(e.EventID)+len(e.IdentityARN))
}

func (h *heap) day(date event.Date) *dayRows {
	d := h.days[date]
	if d == nil {
		if h.days == nil {
			h.days = map[event.Date]*dayRows{}
		}
		d = &dayRows{date: date, files: map[int]struct{}{}}
		h.days[date] = d
	}
	return d
}

// add takes a batch's rows, and returns how many new pending marks its file got.
func (h *heap) add(r *parsed) (pending int) {
	mark := func(set map[int]struct{}) {
		if _, ok := set[r.file]; !ok {
			set[r.file] = struct{}{}
			pending++
		}
	}
	for i := range r.events {
		e := &r.events[i]
		d := h.day(e.Date())
		d.events = append(d.events, *e)
		n := eventSize(e)
		d.size += n
		h.size += n
		mark(d.files)
	}
	for i := range r.filtered {
		const size = 320
		d := h.day(r.filtered[i].Date())
		d.filtered = append(d.filtered, r.filtered[i])
		d.size += size
		h.size += size
		mark(d.files)
	}
	if len(r.rejected) > 0 {
		if h.rejectedOf == nil {
			h.rejectedOf = map[int]struct{}{}
		}
		h.rejected = append(h.rejected, r.rejected...)
		h.size += int64(len(r.rejected)) * 1024
		mark(h.rejectedOf)
	}
	if r.lineage != nil {
		links := r.lineage.Batch().Links
		h.issued = append(h.issued, links...)
		h.size += int64(len(links)) * linkSize
	}
	return pending
}

// collect gathers what the parsers found and flushes it: the days that no file
// left to read is named for when memory is short, then the largest, and
// everything at the end. One flush runs while the next rows are gathered.
func (im *importer) collect(ctx context.Context, results <-chan parsed) error {
	var flushing errgroup.Group
	inFlight := false
	wait := func() error {
		if !inFlight {
			return nil
		}
		inFlight = false
		return flushing.Wait()
	}
	for r := range results {
		f := &im.files[r.file]
		f.pending += im.held.add(&r)
		im.count(&r)
		im.reuse(&r)
		if r.last {
			f.ended = true
			switch {
			case r.err != nil || r.foreign:
				im.fail(f.File, r.err, r.foreign)
			default:
				f.read = true
			}
			im.sum.Files++
		}
		if im.held.size < im.memory {
			continue
		}
		if err := wait(); err != nil {
			return err
		}
		if err := im.finished(ctx); err != nil {
			return err
		}
		part := im.takePart()
		inFlight = true
		flushing.Go(func() error { return im.flush(ctx, part) })
	}
	if err := wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := im.flush(ctx, im.takeAll()); err != nil {
		return err
	}
	if err := im.finished(ctx); err != nil {
		return err
	}
	return im.exportStaged(ctx)
}

func (im *importer) count(r *parsed) {
	im.sum.Records += int64(len(r.events)+len(r.rejected)) + r.service + r.role
	im.sum.Filtered.Service += r.service
	im.sum.Filtered.Role += r.role
	im.sum.Rejected += int64(len(r.rejected))
	im.sum.NotSelected += r.notSelected
}

// part is what one flush writes.
type part struct {
	days       []*dayRows
	rejected   []store.Rejected
	rejectedOf map[int]struct{}

	issued []lineage.Link // of filtered events

	losers func() (*losers, error) // those that the store had; read once

	// results of the flush, for the summary
	mu     sync.Mutex
	tally  tally
	staged []event.Date
}

// tally counts the outcome of events.
type tally struct {
	stored, duplicates, conflicts, kept int64
	alerts                              int
	categories                          map[string]int64
	first, last                         int64 // ms; 0, 0 when nothing was stored
}

func (t *tally) add(o *tally) {
	t.stored += o.stored
	t.duplicates += o.duplicates
	t.conflicts += o.conflicts
	t.kept += o.kept
	t.alerts += o.alerts
	for c, n := range o.categories {
		t.categories[c] += n
	}
	if o.stored > 0 {
		if t.first == 0 || o.first < t.first {
			t.first = o.first
		}
		t.last = max(t.last, o.last)
	}
}

func (im *importer) newPart() *part {
	p := &part{rejected: im.held.rejected, rejectedOf: im.held.rejectedOf, issued: im.held.issued}
	p.tally.categories = map[string]int64{}
	return p
}

func (im *importer) takeAll() *part {
	p := im.newPart()
	for _, d := range im.held.days {
		d.complete = true
		p.days = append(p.days, d)
	}
	im.held = heap{}
	return im.ordered(p)
}

// takePart takes at least half of what is held: first the days that all files
// still to be read are named later than, oldest first; then the largest.
func (im *importer) takePart() *part {
	p := im.newPart()
	im.held.rejected, im.held.rejectedOf, im.held.issued = nil, nil, nil
	im.held.size -= int64(len(p.rejected))*1024 + int64(len(p.issued))*linkSize
	open := event.Date(math.MinInt32)
	for i := range im.files {
		f := &im.files[i]
		if f.ended {
			continue
		}
		if f.Dated {
			// A file's name is of its delivery, its events up to a day earlier.
			open = f.Date - 1
		}
		break // files are in order of date, undated ones last
	}
	days := make([]*dayRows, 0, len(im.held.days))
	for _, d := range im.held.days {
		days = append(days, d)
	}
	slices.SortFunc(days, func(a, b *dayRows) int {
		switch ac, bc := a.date < open, b.date < open; {
		case ac && !bc:
			return -1
		case bc && !ac:
			return 1
		case a.size != b.size:
			return int(b.size - a.size)
		}
		return int(a.date) - int(b.date)
	})
	goal := im.held.size / 2
	for _, d := range days {
		if im.held.size <= goal && d.date >= open {
			break
		}
		d.complete = d.date < open
		p.days = append(p.days, d)
		im.held.size -= d.size
		delete(im.held.days, d.date)
	}
	return im.ordered(p)
}

func (im *importer) ordered(p *part) *part {
	slices.SortFunc(p.days, func(a, b *dayRows) int { return int(a.date) - int(b.date) })
	im.flushed = append(im.flushed, p)
	return p
}

// finished books the flushed parts: the summary, and the files of which nothing
// is pending any more.
func (im *importer) finished(ctx context.Context) error {
	var done []store.FileState
	release := func(files map[int]struct{}) {
		for i := range files {
			im.files[i].pending--
		}
	}
	for _, p := range im.flushed {
		for _, d := range p.days {
			release(d.files)
		}
		release(p.rejectedOf)
		im.total.add(&p.tally)
		for _, d := range p.staged {
			im.staged[d] = true
		}
	}
	im.flushed = nil
	for i := range im.files {
		f := &im.files[i]
		if f.read && f.pending == 0 && !f.done {
			f.done = true
			done = append(done, im.fileState(f.File))
		}
	}
	if len(done) == 0 {
		return nil
	}
	if err := fault.At("collect.filedone.before"); err != nil {
		return err
	}
	return im.p.Store.FileDone(ctx, im.job, done)
}

// flush makes a part durable.
func (im *importer) flush(ctx context.Context, p *part) error {
	if len(p.days) == 0 && len(p.rejected) == 0 && len(p.issued) == 0 {
		return nil
	}
	return im.p.withLease(ctx, true, func(ctx context.Context) error {
		if err := im.p.learnLineage(ctx); err != nil {
			return err
		}
		if len(p.rejected) > 0 {
			if _, err := im.p.Store.Record(ctx, store.Findings{Rejected: p.rejected}, im.p.Rules.Settle); err != nil {
				return err
			}
		}
		dirty, err := im.p.dirtySet(ctx)
		if err != nil {
			return err
		}
		return im.p.writeDays(ctx, p, dirty)
	})
}

// writeDays classifies and stores the days of a part, in parallel where days do
// not share keys.
func (p *Pipeline) writeDays(ctx context.Context, part *part, dirty map[event.Date]int64) error {
	part.losers = sync.OnceValues(func() (*losers, error) { return p.losers(ctx) })
	entangled := part.entangled()
	found := make([]classified, len(part.days))
	parallel := func(atOnce int, f func(ctx context.Context, i int) error) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(atOnce)
		for i, d := range part.days {
			if !entangled[d.date] {
				g.Go(func() error { return f(ctx, i) })
			}
		}
		return g.Wait()
	}
	err := parallel(runtime.GOMAXPROCS(0), func(ctx context.Context, i int) (err error) {
		found[i], err = p.classify(ctx, part.days[i])
		return err
	})
	if err != nil {
		return err
	}
	// Links before the days that need them, so that these are written once.
	links := lineage.Batch{Links: part.issued}
	for i := range found {
		links.Append(&found[i].lineage)
	}
	if err := p.recordLineage(ctx, links); err != nil {
		return err
	}
	// Days whose contents lose now must be exported once the winners are
	// stored; until then whoever writes to such a day must not make it clean.
	stale := map[event.Date]bool{}
	for i := range found {
		for _, d := range found[i].dirty {
			stale[d] = true
		}
	}
	mark := maps.Clone(stale)
	for i, d := range part.days {
		// A day is dirty until its file and the store's record of it agree; and
		// a content that lost takes away the filtered row that its key may have.
		if !entangled[d.date] && (!p.staged(d, &found[i]) || len(found[i].losers) > 0) {
			mark[d.date] = true
		}
	}
	marks, err := p.markDirty(ctx, slices.Sorted(maps.Keys(mark)))
	if err != nil {
		return err
	}
	for d := range stale {
		delete(marks, d)
	}
	err = parallel(max(writtenAtOnce, runtime.GOMAXPROCS(0)), func(ctx context.Context, i int) error {
		return p.writeDay(ctx, part, part.days[i], &found[i], dirty, marks)
	})
	if err != nil {
		return err
	}
	for _, d := range part.days {
		if !entangled[d.date] {
			continue
		}
		c, err := p.classify(ctx, d)
		if err != nil {
			return err
		}
		if err := p.recordLineage(ctx, c.lineage); err != nil {
			return err
		}
		// Days written above may have made this one dirty: it holds a content
		// that lost to one of theirs.
		dirty, err := p.dirtySet(ctx)
		if err != nil {
			return err
		}
		marks, err := p.markDirty(ctx, append(c.dirty, d.date))
		if err != nil {
			return err
		}
		if err := p.writeDay(ctx, part, d, &c, dirty, marks); err != nil {
			return err
		}
	}
	return nil
}

// entangled returns the days that share an event key with another day of the
// part: contents of one id with different times. Each is written before the next
// is classified, so that they see each other; all other days go in parallel.
func (p *part) entangled() map[event.Date]bool {
	n := 0
	for _, d := range p.days {
		n += len(d.events)
	}
	first := make(map[event.Key]event.Date, n)
	days := map[event.Date]bool{}
	for _, d := range p.days {
		for i := range d.events {
			k := d.events[i].Key()
			if other, ok := first[k]; !ok {
				first[k] = d.date
			} else if other != d.date {
				days[other], days[d.date] = true, true
			}
		}
	}
	return days
}

func (p *Pipeline) dirtySet(ctx context.Context) (map[event.Date]int64, error) {
	days, err := p.Store.DirtyDays(ctx)
	if err != nil {
		return nil, err
	}
	set := make(map[event.Date]int64, len(days))
	for _, d := range days {
		set[d.Date] = d.Mark
	}
	return set, nil
}

// writeDay stores what a day's rows turned out to be, findings first: a few
// rows, or part of a day whose rest is still to come, go to the hot store, many
// straight in the day's file, which is clean then if marks has it.
func (p *Pipeline) writeDay(ctx context.Context, part *part, d *dayRows, c *classified, dirty, marks map[event.Date]int64) (err error) {
	if err := fault.At("collect.record.before"); err != nil {
		return err
	}
	if len(c.facts) > 0 || len(c.losers) > 0 {
		if c.tally.alerts, err = p.Store.Record(ctx, store.Findings{Facts: c.facts, Conflicts: c.losers}, p.Rules.Settle); err != nil {
			return err
		}
	}
	if err := fault.At("collect.store.before"); err != nil {
		return err
	}
	staged := p.staged(d, c)
	// The inbox before the hot store: what is found there counts as stored.
	if p.Inbox != nil {
		if err := p.toInbox(ctx, d, c, staged); err != nil {
			return err
		}
	}
	// A key that the hot store has must have the same content there.
	if len(c.hot) > 0 {
		if err := p.Store.Put(ctx, c.hot, nil); err != nil {
			return err
		}
	}
	if staged {
		if err := p.noteTableOnly(ctx); err != nil {
			return err
		}
		err = p.Store.Put(ctx, c.winners, d.filtered)
	} else {
		err = p.mergeDay(ctx, part, d, c, dirty, marks[d.date])
	}
	if err != nil {
		return err
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	part.tally.add(&c.tally)
	if staged {
		part.staged = append(part.staged, d.date)
	}
	d.events, d.filtered, *c = nil, nil, classified{}
	return fault.At("collect.store.after")
}

// toInbox keeps what is about to be put into the hot store for the export, too.
func (p *Pipeline) toInbox(ctx context.Context, d *dayRows, c *classified, staged bool) error {
	if staged {
		return p.Inbox.Put(ctx, d.date, c.winners, d.filtered)
	}
	return p.Inbox.Put(ctx, d.date, c.hot, nil)
}

// staged says whether a day's rows go to the hot store.
func (p *Pipeline) staged(d *dayRows, c *classified) bool {
	return p.NoLake || !d.direct && len(c.winners)+len(d.filtered) <= smallDay && (d.date >= p.hotSince() || !d.complete)
}

// markDirty makes days dirty and returns the marks of all dirty days.
func (p *Pipeline) markDirty(ctx context.Context, dates []event.Date) (map[event.Date]int64, error) {
	if len(dates) > 0 {
		if err := p.Store.MarkDirty(ctx, dates); err != nil {
			return nil, err
		}
	}
	return p.dirtySet(ctx)
}

// mergeDay merges rows into the day's files.
func (p *Pipeline) mergeDay(ctx context.Context, part *part, d *dayRows, c *classified, dirty map[event.Date]int64, mark int64) error {
	var lost *losers
	var err error
	if _, was := dirty[d.date]; was || len(c.losers) > 0 {
		lost, err = p.losers(ctx)
	} else if len(d.filtered) > 0 {
		// Losers of this day that other days of the part bring meanwhile make it
		// dirty, so these will do.
		lost, err = part.losers()
	}
	if err != nil {
		return err
	}
	in := lake.Input{Events: sliceSeq(c.winners), Filtered: sliceSeq(d.filtered)}
	if p.Inbox != nil {
		mark = 0 // what the inbox has of the day still waits
	} else {
		hot := p.hotRows(ctx, d.date)
		in.Events = mergeSeq(in.Events, hot.Events, (*event.Event).Compare)
		in.Filtered = mergeSeq(in.Filtered, hot.Filtered, compareFiltered)
	}
	_, err = p.exportDay(ctx, store.DirtyDay{Date: d.date, Mark: mark}, in, lost, c.lineage.Uses)
	return err
}

// exportStaged merges the days that were put aside in the hot store although
// they lie before the hot window: nobody looks for them there.
func (im *importer) exportStaged(ctx context.Context) error {
	if im.p.NoLake {
		return nil
	}
	hot := im.p.hotSince()
	for d := range im.staged {
		if d < hot {
			_, err := im.p.Export(ctx, ExportOptions{Wait: true})
			return err
		}
	}
	return nil
}
