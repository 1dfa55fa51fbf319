package collect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/source"
	"github.com/iamtrack/iamtrack/internal/store"
)

// ImportOptions say what to import.
type ImportOptions struct {
	Paths []string  // files, folders, globs, "-"
	Stdin io.Reader // for "-"
	// OnlyNew passes over files that an earlier import has finished and that
	// have the same size and time since.
	OnlyNew bool
	// Progress, when set, is called about ten times a second, and at the end.
	Progress func(Progress)
	// MemoryBytes bounds the events held before they are written; 0: 64 MiB.
	MemoryBytes int64
}

// Progress is how far an import is.
type Progress struct {
	Files, FilesDone int
	Bytes, BytesDone int64 // as stored; of standard input only BytesDone
	Records          int64 // parsed so far
	// Months is not 0 at the end, when the days of so many are copied into one
	// file each.
	Months, MonthsDone int
	Elapsed            time.Duration
}

// FilteredCount counts records by the reason they were filtered.
type FilteredCount struct {
	Service int64 `json:"service"`
	Role    int64 `json:"role"`
}

// FileError is a file that could not be read to its end.
type FileError struct {
	Path  string `json:"path"`
	Error string `json:"error"`
	// Foreign: the file was read, but holds no CloudTrail record.
	Foreign bool `json:"foreign"`
}

// Summary is the outcome of an import, and the object that `import --format
// json` prints. Stored + Duplicates + Conflicts + Filtered + Rejected = Records.
type Summary struct {
	Files      int           `json:"files"`      // read in this run
	Records    int64         `json:"records"`    // read and selected
	Stored     int64         `json:"stored"`     // new events
	Duplicates int64         `json:"duplicates"` // the same content was known
	Conflicts  int64         `json:"conflicts"`  // known id, other content
	Filtered   FilteredCount `json:"filtered"`
	Rejected   int64         `json:"rejected"` // could not be parsed
	Alerts     int           `json:"alerts"`   // new ones
	Seconds    float64       `json:"seconds"`

	NotSelected  int64            `json:"not_selected"`  // outside --sources, --management-only
	Kept         int64            `json:"kept"`          // stored although filtered: a critical rule fired
	ResumedFiles int              `json:"resumed_files"` // finished by the interrupted run before
	SkippedFiles int              `json:"skipped_files"` // digests, other formats, imported before
	Bytes        int64            `json:"bytes"`         // read, as stored
	Categories   map[string]int64 `json:"categories"`    // stored, by category
	FirstEvent   *time.Time       `json:"first_event"`   // of those stored
	LastEvent    *time.Time       `json:"last_event"`
	FailedFiles  []FileError      `json:"failed_files"`
	// NotRolledUp is why the lake's files by month could not be made; answers
	// are right without them, and take longer.
	NotRolledUp string `json:"not_rolled_up,omitempty"`
}

// Incomplete reports whether some input could not be read.
func (s *Summary) Incomplete() bool {
	for _, f := range s.FailedFiles {
		if !f.Foreign {
			return true
		}
	}
	return false
}

const (
	defaultMemory = 64 << 20
	batchRecords  = 256
	batchBytes    = 512 << 10
	// maxForeign is how many values without any CloudTrail field a file may
	// start with before it is taken for something else.
	maxForeign      = 1000
	maxForeignBytes = 16 << 20
)

// Import reads files into store and lake. It may be interrupted at any point
// and run again: files that were finished are not read again by the next
// import of the same paths, and reading them all again is safe.
func (p *Pipeline) Import(ctx context.Context, o ImportOptions) (Summary, error) {
	start := time.Now()
	files, skipped, err := source.Expand(o.Paths)
	if err != nil {
		return Summary{}, err
	}
	im, err := p.importFiles(ctx, o, start, files, skipped)
	if err != nil {
		return im.sum, err
	}
	im.rollUp(ctx)
	return im.sum, nil
}

// importFiles imports the files that a listing gave; the importer that did it is
// returned in any case.
func (p *Pipeline) importFiles(ctx context.Context, o ImportOptions, start time.Time, files []source.File, skipped source.Skipped) (_ *importer, err error) {
	im := &importer{p: p, o: o, start: start, job: jobName(files), staged: map[event.Date]bool{}}
	im.sum.SkippedFiles = skipped.Total()
	im.total.categories = map[string]int64{}
	im.sum.FailedFiles = []FileError{}
	if o.MemoryBytes > 0 {
		im.memory = o.MemoryBytes
	} else {
		im.memory = defaultMemory
	}
	if files, err = im.remaining(ctx, files); err != nil {
		return im, err
	}
	ahead, cancel := context.WithCancel(ctx)
	defer cancel()
	source.Ahead(ahead, files, im.memory/2)
	im.files = make([]fileProgress, len(files))
	for i, f := range files {
		im.files[i].File = f
		im.bytes += f.Size
	}
	err = im.run(ctx)
	im.summarize()
	if err != nil {
		return im, err
	}
	if o.Progress != nil {
		o.Progress(im.progress())
	}
	return im, p.Store.EndJob(ctx, im.job)
}

// rollUp copies months into one file each, now that many days may have changed.
// All that was read is stored: that this fails is no more than a note.
func (im *importer) rollUp(ctx context.Context) {
	_, err := im.p.RollUp(ctx, func(done, total int) {
		if im.o.Progress != nil {
			state := im.progress()
			state.MonthsDone, state.Months = done, total
			im.o.Progress(state)
		}
	})
	if err != nil {
		im.sum.NotRolledUp = err.Error()
	}
	im.sum.Seconds = time.Since(im.start).Seconds()
}

// summarize completes the summary from the totals of all flushes.
func (im *importer) summarize() {
	s, t := &im.sum, &im.total
	s.Seconds = time.Since(im.start).Seconds()
	s.Bytes = im.bytesDone.Load()
	s.Stored, s.Duplicates, s.Conflicts, s.Kept, s.Alerts = t.stored, t.duplicates, t.conflicts, t.kept, t.alerts
	s.Categories = t.categories
	slices.SortFunc(s.FailedFiles, func(a, b FileError) int { return strings.Compare(a.Path, b.Path) })
	if t.stored > 0 {
		first, last := time.UnixMilli(t.first).UTC(), time.UnixMilli(t.last).UTC()
		s.FirstEvent, s.LastEvent = &first, &last
	}
}

// jobName identifies an import by the set of files that it reads.
func jobName(files []source.File) string {
	h := sha256.New()
	for _, f := range files {
		_, _ = io.WriteString(h, f.Path+"\n") // a hash's Write does not fail
	}
	return "import-" + hex.EncodeToString(h.Sum(nil)[:8])
}

// importer is one run of Import. Workers read and parse; the collector
// goroutine (run) owns memory, files' pending counts and the summary.
type importer struct {
	p     *Pipeline
	o     ImportOptions
	start time.Time
	job   string

	files  []fileProgress
	memory int64
	bytes  int64

	bytesDone atomic.Int64
	records   atomic.Int64
	filesDone atomic.Int64
	spare     sync.Pool // of *parsed

	sum  Summary
	held heap

	flushed []*part // taken, to be booked by finished
	staged  map[event.Date]bool
	total   tally
}

// fileProgress is an input file and what of it is not yet durable.
type fileProgress struct {
	source.File
	ended   bool // nothing more comes of it
	read    bool // to its end, without error
	done    bool // recorded as such
	pending int  // days in memory that hold rows of it, and unrecorded rejects
}

// remaining drops the files that need no reading.
func (im *importer) remaining(ctx context.Context, files []source.File) ([]source.File, error) {
	done, err := im.p.Store.Job(ctx, im.job)
	if err != nil {
		return nil, err
	}
	var before map[string]store.FileState
	if im.o.OnlyNew {
		paths := make([]string, len(files))
		for i, f := range files {
			paths[i] = f.Path
		}
		if before, err = im.p.Store.Imported(ctx, paths); err != nil {
			return nil, err
		}
	}
	same := func(set map[string]store.FileState, f source.File) bool {
		s, ok := set[f.Path]
		return ok && f.Path != source.Stdin && sameContent(s, f) && filter.Selection(s.Selection).Includes(im.p.Filter.Selection())
	}
	var left []source.File
	for _, f := range files {
		switch {
		case same(done, f):
			im.sum.ResumedFiles++
		case same(before, f):
			im.sum.SkippedFiles++
		default:
			left = append(left, f)
		}
	}
	return left, nil
}

// fileState identifies a version of a file, and what of it is imported; times to
// the millisecond, as the store keeps them.
func (im *importer) fileState(f source.File) store.FileState {
	return store.FileState{
		Path: f.Path, Size: f.Size, ModTime: f.ModTime.Truncate(time.Millisecond), ETag: f.ETag,
		Selection: string(im.p.Filter.Selection()),
	}
}

// sameContent tells whether a file is still as it was when it was imported. An
// ETag that isn't known, as of an import by an older version, says nothing.
func sameContent(s store.FileState, f source.File) bool {
	return s.Size == f.Size && s.ModTime.Equal(f.ModTime.Truncate(time.Millisecond)) &&
		(s.ETag == "" || f.ETag == "" || s.ETag == f.ETag)
}

// batch is a run of raw values of one file.
type batch struct {
	file    int
	data    []byte // the values, one after the other
	raws    []event.Raw
	last    bool  // the file's end
	err     error // why the file could not be read to its end
	foreign bool  // the file has held nothing but foreign values so far
	blank   bool  // it was nothing but white space
}

// parsed is what a batch became.
type parsed struct {
	file        int
	events      []event.Event
	filtered    []event.Filtered
	rejected    []store.Rejected
	service     int64
	role        int64
	notSelected int64
	last        bool
	err         error
	foreign     bool
	lineage     *lineage.Observer // of filtered events; nil: nothing
}

// empty returns a parsed without rows, in the memory of one that was taken.
func (im *importer) empty(file int) parsed {
	if old, ok := im.spare.Get().(*parsed); ok {
		return parsed{file: file, events: old.events, filtered: old.filtered}
	}
	return parsed{file: file}
}

// reuse takes the memory of a parsed whose rows were copied.
func (im *importer) reuse(r *parsed) {
	clear(r.events)
	clear(r.filtered)
	im.spare.Put(&parsed{events: r.events[:0], filtered: r.filtered[:0]})
}

// run reads, parses and collects. With a file for each worker, a worker reads
// and parses its file by itself, which is the least work; a few large files are
// cut by readers and parsed by all workers, so that one file uses all cores.
func (im *importer) run(ctx context.Context) error {
	stop := im.reportProgress()
	defer stop()
	workers := runtime.GOMAXPROCS(0)
	g, ctx := errgroup.WithContext(ctx)
	results := make(chan parsed, workers)
	if len(im.files) >= workers {
		im.fused(ctx, g, workers, results)
	} else {
		im.pipelined(ctx, g, workers, results)
	}
	g.Go(func() error { return im.collect(ctx, results) })
	return g.Wait()
}

// fused starts workers that read and parse a file each.
func (im *importer) fused(ctx context.Context, g *errgroup.Group, workers int, results chan<- parsed) {
	var (
		next atomic.Int64
		all  sync.WaitGroup
	)
	all.Add(workers)
	for range workers {
		g.Go(func() error {
			defer all.Done()
			w := worker{im: im, parser: event.NewParser(), split: event.NewSplitter(nil), out: results}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(im.files) {
					return nil
				}
				if err := w.file(ctx, i); err != nil {
					return err
				}
			}
		})
	}
	g.Go(func() error { all.Wait(); close(results); return nil })
}

// pipelined starts readers, which cut files into batches, and parsers.
func (im *importer) pipelined(ctx context.Context, g *errgroup.Group, workers int, results chan<- parsed) {
	var (
		batches = make(chan batch, workers)
		readers sync.WaitGroup
		parsers sync.WaitGroup
	)
	readers.Add(len(im.files))
	parsers.Add(workers)
	for i := range im.files {
		g.Go(func() error {
			defer readers.Done()
			return im.readFile(ctx, i, batches)
		})
	}
	for range workers {
		g.Go(func() error {
			defer parsers.Done()
			parser := event.NewParser()
			for b := range batches {
				if err := send(ctx, results, im.parse(parser, b)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error { readers.Wait(); close(batches); return nil })
	g.Go(func() error { parsers.Wait(); close(results); return nil })
}

// send is out <- v, unless the context ends first.
func send[T any](ctx context.Context, out chan<- T, v T) error {
	if ctx.Err() != nil { // also when out is ready: v may tell of the same end
		return context.Cause(ctx)
	}
	select {
	case out <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// input is a file being read, in either way.
type input struct {
	im      *importer
	r       *source.Reader
	told    int64
	foreign bool // it has held nothing but foreign values so far
	count   int  // of them
	broken  error
}

func (im *importer) open(ctx context.Context, i int) (*input, error) {
	r, err := source.Open(ctx, im.files[i].File, im.o.Stdin)
	return &input{im: im, r: r, foreign: true}, err
}

// close closes a file that was only read: its error says nothing that reading
// did not.
func (in *input) close() { _ = in.r.Close() }

// advance tells the progress how far the file was read.
func (in *input) advance() {
	now := in.r.Packed()
	in.im.bytesDone.Add(now - in.told)
	in.told = now
}

// judge looks at a value while the file has held nothing but foreign ones, of
// held bytes. It reports whether the file is to be given up.
func (in *input) judge(raw event.Raw, held int) bool {
	bad := notJSON(raw)
	if bad && in.broken == nil {
		in.broken = fmt.Errorf("not JSON at byte %d", raw.Offset)
	}
	if !bad && !isForeign(raw.Data) {
		in.foreign = false
		return false
	}
	in.count++
	return in.count > maxForeign || held > maxForeignBytes
}

// end notes that the file was read to its end, or up to err or, with nil, as
// far as needed; it returns what is wrong with the file.
func (in *input) end(err error) error {
	in.advance()
	in.im.filesDone.Add(1)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, io.EOF):
		return err
	case in.foreign:
		return in.broken
	}
	return nil
}

// worker reads and parses files, one after the other.
type worker struct {
	im     *importer
	parser *event.Parser
	split  *event.Splitter
	out    chan<- parsed
}

// file reads and parses a file. An error of the file goes with its last batch;
// only the end of the context is returned.
func (w *worker) file(ctx context.Context, i int) error {
	im := w.im
	in, err := im.open(ctx, i)
	if err != nil {
		return send(ctx, w.out, parsed{file: i, last: true, err: err})
	}
	defer in.close()
	if whole := in.r.Whole(); whole != nil {
		w.split.ResetWhole(whole)
	} else {
		w.split.Reset(in.r)
	}
	out, records, held, now := im.empty(i), 0, 0, im.p.Now()
	drop := im.noise(&out)
	e := new(event.Event) // one for all, since it is large, and most records are noise
	for {
		var (
			raw     event.Raw
			dropped bool
			err     error
			reject  *event.RejectError
		)
		*e, raw, dropped, err = w.parser.NextUnless(w.split, im.p.Filter.MayBeNoise, drop)
		ended := err != nil && !errors.As(err, &reject)
		giveUp := !ended && in.foreign && in.judge(raw, held)
		if ended || giveUp {
			if giveUp {
				err = nil
			}
			if in.foreign {
				// It isn't a CloudTrail file, unless it is damaged or empty.
				out = parsed{file: i, foreign: records > 0 || giveUp || w.split.Blank()}
				records = 0
			}
			out.last, out.err = true, in.end(err)
			im.records.Add(int64(records))
			return send(ctx, w.out, out)
		}
		if err != nil {
			out.rejected = append(out.rejected, rejected(im.files[i].Path, raw, err, now))
		} else if !dropped {
			im.take(e, &out)
		}
		records++
		held += len(raw.Data)
		if !in.foreign && (records >= batchRecords || held >= batchBytes) {
			in.advance()
			im.records.Add(int64(records))
			if err := send(ctx, w.out, out); err != nil {
				return err
			}
			out, records, held, now = im.empty(i), 0, 0, im.p.Now()
		}
	}
}

// noise returns what tells noise, which most of a trail is, by a record's first
// fields, and counts it in out.
func (im *importer) noise(out *parsed) func(*event.Head) bool {
	return func(h *event.Head) bool {
		reason := im.p.Filter.HeadReason(h)
		if reason == "" || im.p.Rules.MayBeGrave(h.EventSource, h.EventName, h.IdentityType) {
			return false
		}
		if withLineage && issuesByHead(h) {
			out.observer().ObserveService(h)
		}
		out.drop(h.Filtered(reason))
		return true
	}
}

// readFile cuts a file into batches, as file does otherwise.
func (im *importer) readFile(ctx context.Context, i int, out chan<- batch) error {
	b := batch{file: i, foreign: true}
	in, err := im.open(ctx, i)
	if err != nil {
		b.last, b.err = true, err
		return send(ctx, out, b)
	}
	defer in.close()
	split := event.NewSplitter(in.r)
	for {
		raw, err := split.Next()
		giveUp := err == nil && in.foreign && in.judge(raw, len(b.data))
		b.foreign = in.foreign
		if err != nil || giveUp {
			b.last, b.err, b.blank = true, in.end(err), split.Blank()
			return send(ctx, out, b)
		}
		at := len(b.data)
		b.data = append(b.data, raw.Data...)
		raw.Data = b.data[at:len(b.data):len(b.data)]
		b.raws = append(b.raws, raw)
		if !in.foreign && (len(b.raws) >= batchRecords || len(b.data) >= batchBytes) {
			in.advance()
			if err := send(ctx, out, b); err != nil {
				return err
			}
			b = batch{file: i}
		}
	}
}

// isForeign reports whether a value has none of the fields by which a
// CloudTrail record, or a damaged one, is known.
func isForeign(raw []byte) bool {
	// Values without any come in files of other kinds, which are short in
	// general; records are told by their first bytes.
	s := strings.ToLower(string(raw[:min(len(raw), 64<<10)]))
	for _, field := range [...]string{"eventversion", "useridentity", "eventname", "eventtime", "eventsource", "cloudtrailevent", "eventid"} {
		if strings.Contains(s, field) {
			return false
		}
	}
	return true
}

// notJSON reports whether a value was not even JSON. A file of nothing else is
// reported as a whole, not value by value.
func notJSON(raw event.Raw) bool {
	return raw.Err == nil && !json.Valid(raw.Data) || raw.Err != nil && raw.Length <= event.MaxRecord
}

func (im *importer) parse(parser *event.Parser, b batch) parsed {
	out := im.empty(b.file)
	out.last, out.err = b.last, b.err
	if b.foreign {
		// The file's only batch: it isn't a CloudTrail file, unless it is
		// damaged or empty, which err and an empty list say.
		out.foreign = len(b.raws) > 0 || b.blank
		return out
	}
	now, drop := im.p.Now(), im.noise(&out)
	for _, raw := range b.raws {
		var err error
		if raw.Err != nil {
			err = raw.Err
		} else {
			var e event.Event
			var dropped bool
			if e, dropped, err = parser.ParseUnless(raw.Data, im.p.Filter.MayBeNoise, drop); err == nil {
				if !dropped {
					im.take(&e, &out)
				}
				continue
			}
		}
		out.rejected = append(out.rejected, rejected(im.files[b.file].Path, raw, err, now))
	}
	im.records.Add(int64(len(b.raws)))
	return out
}

// take selects and filters an event.
func (im *importer) take(e *event.Event, out *parsed) {
	if !im.p.Filter.Selected(e) {
		out.notSelected++
		return
	}
	reason := im.p.Filter.Reason(e)
	if reason == "" {
		out.events = append(out.events, *e)
		return
	}
	// What a critical rule fires on is never hidden by a filter.
	if rule.Grave(im.p.Rules.Evaluate(e)) {
		e.FilteredBy = reason
		out.events = append(out.events, *e)
		return
	}
	out.issues(e)
	out.drop(event.Filtered{
		EventID: e.EventID, EventTime: e.EventTime, AccountID: e.AccountID, AWSRegion: e.AWSRegion,
		EventSource: e.EventSource, EventName: e.EventName, Reason: reason,
	})
}

// drop counts and keeps the thin row of a filtered event.
func (out *parsed) drop(row event.Filtered) {
	if row.Reason == filter.Role {
		out.role++
	} else {
		out.service++
	}
	out.filtered = append(out.filtered, row)
}

func rejected(path string, raw event.Raw, err error, now time.Time) store.Rejected {
	r := raw.Reject(err)
	return store.Rejected{
		File: path, Offset: r.Offset, Length: r.Length, SHA256: r.SHA256, Reason: r.Reason, Excerpt: r.Excerpt, Seen: now,
	}
}

func (im *importer) progress() Progress {
	return Progress{
		Files: len(im.files), FilesDone: int(im.filesDone.Load()), Bytes: im.bytes, BytesDone: im.bytesDone.Load(),
		Records: im.records.Load(), Elapsed: time.Since(im.start),
	}
}

// reportProgress calls the option's Progress until the returned stop.
func (im *importer) reportProgress() (stop func()) {
	if im.o.Progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				im.o.Progress(im.progress())
			}
		}
	}()
	return func() { close(done); <-ended }
}

// fail notes a file that was not read to its end.
func (im *importer) fail(f source.File, err error, foreign bool) {
	text := "no CloudTrail record in it"
	if err != nil {
		text, foreign = fmt.Sprint(err), false
	}
	im.sum.FailedFiles = append(im.sum.FailedFiles, FileError{Path: f.Path, Error: text, Foreign: foreign && !f.Named})
}
