package source

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/event"
)

// Bucket is what is needed of an S3 bucket; *awsapi.Bucket is one.
type Bucket interface {
	Name() string
	List(ctx context.Context, in awsapi.ListInput) (awsapi.Listing, error)
	Get(ctx context.Context, key string) (io.ReadCloser, error)
}

// S3Scheme begins the paths of objects.
const S3Scheme = "s3://"

// ParseS3 splits s3://bucket/prefix; ok is false for other paths.
func ParseS3(path string) (bucket, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(path, S3Scheme)
	if !ok {
		return "", "", false
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	return bucket, prefix, true
}

// S3Options bound a listing.
type S3Options struct {
	// Since and Until are the UTC days, inclusive, whose log files are listed, by
	// the day in their folder or name; 0: no bound. Files without are listed always.
	Since, Until event.Date
	Now          time.Time
}

// Batch is a part of a bucket's files: those of some days, in order of the day.
type Batch struct {
	Files   []File
	Skipped Skipped
	// From and To are the days that are complete with this batch, [From, To);
	// equal for files that don't lie in folders of days.
	From, To event.Date
}

const (
	listers    = 16     // listings at once
	fewFiles   = 5_000  // a batch with fewer is followed by one over more days
	manyFiles  = 50_000 // and with more by one over fewer
	maxDays    = 64
	maxFolders = 20_000 // of one folder; with more it is listed as a whole
)

// ListS3 lists the event files below a prefix, and gives them to yield in
// batches, so that memory doesn't grow with the bucket: folders of days, which
// CloudTrail makes for each account and region, are listed some days at a time,
// in order, whatever lies above them; everything else as a whole. Files are told
// from others by name, as Expand does; a trail's other folders (digests, Insights,
// …) count as one skipped file each, without being listed.
//
// A prefix that is an object's key means that object, any other the folder of
// that name. Nothing below it at all is an error.
func ListS3(ctx context.Context, b Bucket, prefix string, o S3Options, yield func(Batch) error) error {
	l := &lister{b: b, o: o, yield: yield}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		if strings.ContainsAny(prefix, "*?[{") {
			return fmt.Errorf("import %s%s/%s: patterns don't work in S3: name a folder", S3Scheme, b.Name(), prefix)
		}
		page, err := b.List(ctx, awsapi.ListInput{Prefix: prefix, Max: 1})
		if err != nil {
			return err
		}
		if len(page.Objects) > 0 && page.Objects[0].Key == prefix {
			f := l.file(page.Objects[0])
			f.Named = true
			return yield(Batch{Files: []File{f}})
		}
		prefix += "/"
	}
	if err := l.discover(ctx, prefix); err != nil {
		return err
	}
	if !l.any {
		return fmt.Errorf("import %s%s/%s: nothing lies there", S3Scheme, b.Name(), prefix)
	}
	slices.Sort(l.days)
	slices.Sort(l.flat)
	if err := l.dayFolders(ctx); err != nil {
		return err
	}
	for _, p := range l.flat {
		if err := l.whole(ctx, p); err != nil {
			return err
		}
	}
	return l.flush(0, 0)
}

// lister is one run of ListS3.
type lister struct {
	b     Bucket
	o     S3Options
	yield func(Batch) error

	mu   sync.Mutex // guards what follows while folders are walked
	any  bool       // something lies there
	days []string   // folders that hold folders of days: …/CloudTrail/REGION/
	flat []string   // folders of any other layout
	next Batch      // being gathered
}

var (
	regionFolder = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z]{2,5}(-[a-z]+)+-\d{1,2}$`) })
	dayLayout    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(^|/)CloudTrail/([^/]+)/$`) })
)

// discover walks down to the folders of regions, level by level.
func (l *lister) discover(ctx context.Context, prefix string) error {
	for level := []string{prefix}; len(level) > 0; {
		var (
			mu   sync.Mutex
			deep []string
		)
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(listers)
		for _, p := range level {
			if isDayLayout(p) {
				l.mu.Lock()
				l.days, l.any = append(l.days, p), true
				l.mu.Unlock()
				continue
			}
			g.Go(func() error {
				below, err := l.folder(gctx, p)
				mu.Lock()
				defer mu.Unlock()
				deep = append(deep, below...)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		level = deep
	}
	return nil
}

func isDayLayout(prefix string) bool {
	m := dayLayout().FindStringSubmatch(prefix)
	return m != nil && regionFolder().MatchString(m[2])
}

// folder lists what lies directly in a folder, keeps the files, and returns the
// folders to look into.
func (l *lister) folder(ctx context.Context, prefix string) ([]string, error) {
	var (
		below []string
		files []awsapi.Object
		ask   = awsapi.ListInput{Prefix: prefix, Delimiter: "/"}
		skip  Skipped
	)
	for {
		page, err := l.b.List(ctx, ask)
		if err != nil {
			return nil, err
		}
		files = append(files, page.Objects...)
		for _, p := range page.Prefixes {
			if c := sibling("/" + p); c != nil {
				*c(&skip)++
				continue
			}
			below = append(below, p)
		}
		if len(below) > maxFolders || len(files) > manyFiles || slices.ContainsFunc(below, isYear) {
			// No tree to walk, or days in an order that names don't tell.
			l.mu.Lock()
			defer l.mu.Unlock()
			l.flat, l.any = append(l.flat, prefix), true
			return nil, nil
		}
		if ask.Token = page.Token; page.Token == "" {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.any = l.any || len(files) > 0 || len(below) > 0 || skip.Total() > 0
	l.next.Skipped.add(skip)
	for _, o := range files {
		l.take(&l.next, o)
	}
	return below, nil
}

// isYear tells a folder of a year, such as prefix/2026/.
func isYear(prefix string) bool {
	name := strings.TrimSuffix(prefix, "/")
	name = name[strings.LastIndexByte(name, '/')+1:]
	return len(name) == 4 && (strings.HasPrefix(name, "20") || strings.HasPrefix(name, "19")) && strings.Trim(name, "0123456789") == ""
}

// take adds an object to a batch, or counts it as skipped.
func (l *lister) take(b *Batch, o awsapi.Object) {
	if c := sibling("/" + o.Key); c != nil {
		*c(&b.Skipped)++
		return
	}
	if strings.HasSuffix(o.Key, "/") { // what consoles make for an empty folder
		return
	}
	if !eventFileName(o.Key) {
		b.Skipped.Other++
		return
	}
	f := l.file(o)
	if f.Dated && (l.o.Since != 0 && f.Date < l.o.Since || l.o.Until != 0 && f.Date > l.o.Until) {
		return
	}
	b.Files = append(b.Files, f)
}

func (l *lister) file(o awsapi.Object) File {
	f := File{Path: S3Scheme + l.b.Name() + "/" + o.Key, Size: o.Size, ModTime: o.Modified, ETag: o.ETag, remote: l.b}
	f.Date, f.Dated = dateInName(o.Key)
	if o.Archived {
		f.Err = fmt.Errorf("it is archived in S3 Glacier: restore it first (`aws s3api restore-object`)")
	}
	return f
}

// dayFolders lists the folders of days, some days of all at a time.
func (l *lister) dayFolders(ctx context.Context) error {
	if len(l.days) == 0 {
		return nil
	}
	from := l.o.Since
	if from == 0 {
		var err error
		if from, err = l.firstDay(ctx); err != nil {
			return err
		}
	}
	last := event.DateOf(l.o.Now.UnixMilli()) + 1
	if l.o.Until != 0 {
		last = l.o.Until
	}
	start := l.o.Since == 0 // what lies before the first day isn't to be missed
	for span := event.Date(1); from <= last; start = false {
		to := min(from+span, last+1)
		batch := Batch{From: from, To: to}
		var mu sync.Mutex
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(listers)
		for _, p := range l.days {
			g.Go(func() error {
				part, err := l.between(gctx, p, from, to, start, to == last+1 && l.o.Until == 0)
				mu.Lock()
				defer mu.Unlock()
				batch.Files = append(batch.Files, part.Files...)
				batch.Skipped.add(part.Skipped)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		n := len(batch.Files)
		sortFiles(batch.Files)
		if err := l.yield(batch); err != nil {
			return err
		}
		switch {
		case n < fewFiles:
			span = min(span*2, maxDays)
		case n > manyFiles:
			span = max(span/2, 1)
		}
		from = to
	}
	return nil
}

// firstDay finds the first day that any folder has. A folder that starts with
// something else than a day counts from the beginning of CloudTrail.
func (l *lister) firstDay(ctx context.Context) (event.Date, error) {
	var (
		mu    sync.Mutex
		first event.Date
		found bool
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(listers)
	for _, p := range l.days {
		g.Go(func() error {
			page, err := l.b.List(ctx, awsapi.ListInput{Prefix: p, After: p + "2", Max: 1})
			if err != nil || len(page.Objects) == 0 {
				return err
			}
			day, ok := dayOf(page.Objects[0].Key[len(p):])
			if !ok {
				day = beginning
			}
			mu.Lock()
			defer mu.Unlock()
			if !found || day < first {
				first, found = day, true
			}
			return nil
		})
	}
	err := g.Wait()
	if !found {
		return event.DateOf(l.o.Now.UnixMilli()), err
	}
	return first, err
}

// beginning is when CloudTrail came to be: nothing is older.
var beginning = event.DateOf(time.Date(2013, 11, 1, 0, 0, 0, 0, time.UTC).UnixMilli())

// dayOf reads YYYY/MM/DD at the start of a key's rest.
func dayOf(rest string) (event.Date, bool) {
	if len(rest) < 10 {
		return 0, false
	}
	d, err := event.ParseDate(strings.ReplaceAll(rest[:10], "/", "-"))
	return d, err == nil
}

// between lists a region's folders of the days [from, to), with all that comes
// before or after them when start or open says so: a file of the future is
// strange, but not to be missed.
func (l *lister) between(ctx context.Context, prefix string, from, to event.Date, start, open bool) (Batch, error) {
	var part Batch
	slashed := func(d event.Date) string { return strings.ReplaceAll(d.String(), "-", "/") }
	end := prefix + slashed(to)
	ask := awsapi.ListInput{Prefix: prefix}
	if !start {
		ask.After = prefix + slashed(from)
	}
	for {
		page, err := l.b.List(ctx, ask)
		if err != nil {
			return part, err
		}
		for _, o := range page.Objects {
			if !open && o.Key >= end {
				return part, nil
			}
			l.take(&part, o)
		}
		if ask.Token = page.Token; page.Token == "" {
			return part, nil
		}
	}
}

// whole lists all that lies below a folder.
func (l *lister) whole(ctx context.Context, prefix string) error {
	ask := awsapi.ListInput{Prefix: prefix}
	for {
		page, err := l.b.List(ctx, ask)
		if err != nil {
			return err
		}
		for _, o := range page.Objects {
			l.take(&l.next, o)
		}
		if len(l.next.Files) >= manyFiles/2 {
			if err := l.flush(0, 0); err != nil {
				return err
			}
		}
		if ask.Token = page.Token; page.Token == "" {
			return nil
		}
	}
}

// flush yields what was gathered outside of days.
func (l *lister) flush(from, to event.Date) error {
	b := l.next
	l.next = Batch{}
	b.From, b.To = from, to
	if len(b.Files) == 0 && b.Skipped.Total() == 0 {
		return nil
	}
	sortFiles(b.Files)
	return l.yield(b)
}

func (s *Skipped) add(o Skipped) {
	s.Digest += o.Digest
	s.Insight += o.Insight
	s.NetworkActivity += o.NetworkActivity
	s.Aggregated += o.Aggregated
	s.Other += o.Other
}

// ListTrail lists all that lies below a folder of a bucket, digests too, as keys,
// one day after the other or not. Only folders of days outside of o are left out.
func ListTrail(ctx context.Context, b Bucket, prefix string, o S3Options, visit func(key string) error) error {
	var list func(prefix string) error
	keys := func(ask awsapi.ListInput, end string) error {
		for {
			page, err := b.List(ctx, ask)
			if err != nil {
				return err
			}
			for _, obj := range page.Objects {
				if end != "" && obj.Key > end {
					return nil
				}
				if err := visit(obj.Key); err != nil {
					return err
				}
			}
			if ask.Token = page.Token; page.Token == "" {
				return nil
			}
		}
	}
	slashed := func(d event.Date) string { return strings.ReplaceAll(d.String(), "-", "/") }
	list = func(prefix string) error {
		if m := trailLayout().FindStringSubmatch(prefix); m != nil && regionFolder().MatchString(m[3]) {
			ask, end := awsapi.ListInput{Prefix: prefix}, ""
			if o.Since != 0 {
				ask.After = prefix + slashed(o.Since-1) // files of the day before may be listed by this day's digests
			}
			if o.Until != 0 {
				end = prefix + slashed(o.Until+2)
			}
			return keys(ask, end)
		}
		ask := awsapi.ListInput{Prefix: prefix, Delimiter: "/"}
		var below []string
		for {
			page, err := b.List(ctx, ask)
			if err != nil {
				return err
			}
			below = append(below, page.Prefixes...)
			if len(below) > maxFolders || slices.ContainsFunc(page.Prefixes, isYear) {
				return keys(awsapi.ListInput{Prefix: prefix}, "")
			}
			for _, obj := range page.Objects {
				if err := visit(obj.Key); err != nil {
					return err
				}
			}
			if ask.Token = page.Token; page.Token == "" {
				break
			}
		}
		for _, p := range below {
			if err := list(p); err != nil {
				return err
			}
		}
		return nil
	}
	return list(prefix)
}

var trailLayout = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(^|/)(CloudTrail|CloudTrail-Digest)/([^/]+)/$`) })
