package digest

import (
	"cmp"
	"context"
	"crypto/rsa"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Kind says what a finding is about.
type Kind string

// What Verify finds. Gap, NoDigest, Unsigned and Unreadable prove no change; all
// others are faults.
const (
	ChangedLog      Kind = "log file changed"
	MissingLog      Kind = "log file missing"
	AddedLog        Kind = "log file added"
	RenamedLog      Kind = "log file renamed"
	AlteredDigest   Kind = "digest altered"
	RemovedDigest   Kind = "digest removed"
	ReorderedDigest Kind = "digest re-ordered"
	RenamedDigest   Kind = "digest renamed"
	WrongKey        Kind = "wrong key"
	UnknownKey      Kind = "unknown key"
	Gap             Kind = "gap"
	NoDigest        Kind = "no digest"
	Unsigned        Kind = "no signature"
	Unreadable      Kind = "unreadable"
)

// Fault tells whether the finding speaks against the files, instead of only
// leaving something unproven.
func (k Kind) Fault() bool {
	return k != Gap && k != NoDigest && k != Unsigned && k != Unreadable
}

// Finding is something that is not as it should be.
type Finding struct {
	Kind      Kind   `json:"kind"`
	Path      string `json:"path"` // of the file; of one that isn't there: its key
	Detail    string `json:"detail"`
	AccountID string `json:"account_id"`
	Region    string `json:"aws_region"`
}

// Span is a time in which every log file that was delivered is there, unchanged,
// and no other. It is about delivery: see Events.
type Span struct {
	AccountID string    `json:"account_id"`
	Region    string    `json:"aws_region"`
	From      time.Time `json:"from"` // inclusive
	To        time.Time `json:"to"`   // exclusive
}

// DeliveryDelay is what is granted to CloudTrail between an event and the
// delivery of its log file: a few minutes in general, not guaranteed (AWS
// CloudTrail User Guide, "How CloudTrail works").
const DeliveryDelay = time.Hour

// Events returns the time of events that the span proves: the last ones before
// its end may have been delivered after it. Empty spans have From = To.
func (s Span) Events() Span {
	if s.To = s.To.Add(-DeliveryDelay); s.To.Before(s.From) {
		s.To = s.From
	}
	return s
}

// Result is what Verify found.
type Result struct {
	Digests   int       `json:"digests"`   // read
	Proven    int       `json:"proven"`    // of them: signature and place in the chain are right
	Logs      int       `json:"logs"`      // log files that are as a proven digest says
	Uncovered int       `json:"uncovered"` // log files that no proven digest tells of: too new, too old, or in a gap
	Foreign   int       `json:"foreign"`   // files that are neither
	Findings  []Finding `json:"findings"`  // by account, region, path
	Verified  []Span    `json:"verified"`  // by account, region, time
}

// Faults counts the findings that speak against the files.
func (r *Result) Faults() int {
	n := 0
	for _, f := range r.Findings {
		if f.Kind.Fault() {
			n++
		}
	}
	return n
}

// Options say how to verify.
type Options struct {
	// Key finds the public key of a region's digests by its fingerprint; at is
	// when it was in use. No such key: nil and no error.
	Key func(ctx context.Context, region, fingerprint string, at time.Time) (*rsa.PublicKey, error)
	// Since and Until bound the time of delivery; zero: no bound.
	Since, Until time.Time
	// Workers is how many log files are read at once; 0: one for each processor.
	Workers int
	// Progress, when set, is told how many files were read, from one goroutine
	// at a time.
	Progress func(files int)
}

// Known is a Key for Options from given keys.
func (k Keys) Known(_ context.Context, _, fingerprint string, _ time.Time) (*rsa.PublicKey, error) {
	return k[fingerprint], nil
}

// early is how long before the asked time a digest's log files may be named.
const early = 24 * time.Hour

// group is the files of one account and region.
type group struct {
	account, region string
	chains          map[string][]*file // by trail, standard and backfill apart
	logs            map[string]*logFile
}

// file is a digest file, with its copies.
type file struct {
	name  Name
	stem  string
	paths []string
}

// logFile is a log file, with its copies.
type logFile struct {
	paths  []string
	at     time.Time
	listed bool // in a proven digest
}

// Verify checks all that the trail holds. Findings are in the result; the error
// is only for what kept it from listing, from keys, and from going on (the
// context). A file that can't be read is a finding, Unreadable.
func Verify(ctx context.Context, t Trail, o Options) (Result, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	groups, strangers, foreign, err := gather(ctx, t, o)
	if err != nil {
		return Result{}, fmt.Errorf("list the trail's files: %w", err)
	}
	v := &verifier{t: t, o: o, good: map[string]bool{}}
	v.r.Foreign = foreign
	v.r.Findings, v.r.Verified = []Finding{}, []Span{}
	v.strangers = strangers
	newest := newestDigest(groups)
	for _, g := range groups {
		if err := v.group(ctx, g); err != nil {
			return v.r, err
		}
		v.undigested(g, newest)
	}
	slices.SortFunc(v.r.Findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.AccountID, b.AccountID), strings.Compare(a.Region, b.Region), strings.Compare(a.Path, b.Path),
			strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Detail, b.Detail))
	})
	return v.r, nil
}

// gather lists the files by account and region, sorted, and the event files
// whose names say nothing.
func gather(ctx context.Context, t Trail, o Options) (groups []*group, strangers []string, foreign int, err error) {
	byPlace := map[[2]string]*group{}
	err = t.List(ctx, func(p string) error {
		n, ok := ParseName(p)
		if !ok {
			if strings.HasSuffix(stem(p), ".json") {
				strangers = append(strangers, p)
			}
			if !strings.HasSuffix(p, SignatureSuffix) {
				foreign++
			}
			return nil
		}
		low, high := o.Since, o.Until
		if !n.Digest && !low.IsZero() {
			low = low.Add(-early)
		}
		if !low.IsZero() && n.Time.Before(low) || !high.IsZero() && n.Time.After(high.Add(2*time.Hour)) {
			return nil
		}
		place := [2]string{n.AccountID, n.Region}
		g := byPlace[place]
		if g == nil {
			g = &group{account: n.AccountID, region: n.Region, chains: map[string][]*file{}, logs: map[string]*logFile{}}
			byPlace[place] = g
		}
		s := stem(p)
		if !n.Digest {
			if l := g.logs[s]; l != nil {
				l.paths = append(l.paths, p)
			} else {
				g.logs[s] = &logFile{paths: []string{p}, at: n.Time}
			}
			return nil
		}
		chain := n.Trail
		if n.Backfill {
			chain += " backfill"
		}
		g.chains[chain] = append(g.chains[chain], &file{name: n, stem: s, paths: []string{p}})
		return nil
	})
	if err != nil {
		return nil, nil, 0, err
	}
	for _, g := range byPlace {
		for name, files := range g.chains {
			slices.SortFunc(files, func(a, b *file) int {
				return cmp.Or(a.name.Time.Compare(b.name.Time), strings.Compare(a.stem, b.stem), strings.Compare(a.paths[0], b.paths[0]))
			})
			whole := files[:0]
			for _, f := range files {
				if n := len(whole); n > 0 && whole[n-1].stem == f.stem {
					whole[n-1].paths = append(whole[n-1].paths, f.paths...)
				} else {
					whole = append(whole, f)
				}
			}
			g.chains[name] = whole
		}
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *group) int {
		return cmp.Or(strings.Compare(a.account, b.account), strings.Compare(a.region, b.region))
	})
	slices.Sort(strangers)
	return groups, strangers, foreign, nil
}

// verifier is one run of Verify.
type verifier struct {
	t         Trail
	o         Options
	strangers []string
	good      map[string]bool // fingerprints under which a signature was right

	mu    sync.Mutex // guards r, files and what workers note in hours and groups
	r     Result
	files int
}

// hour is a proven digest, and what became of its log files.
type hour struct {
	start, end time.Time
	backfill   bool
	faults     int
}

// absent is a log file that a proven digest lists, and that isn't there.
type absent struct {
	log  Log
	hour *hour
}

func (v *verifier) find(g *group, k Kind, path, detail string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.r.Findings = append(v.r.Findings, Finding{Kind: k, Path: path, Detail: fmt.Sprintf(detail, args...), AccountID: g.account, Region: g.region})
}

func (v *verifier) read() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.files++
	if v.o.Progress != nil {
		v.o.Progress(v.files)
	}
}

// group verifies the chains of an account and region, then what no digest lists.
func (v *verifier) group(ctx context.Context, g *group) error {
	var (
		hours   []*hour
		missing []absent
		broken  []failure
	)
	workers, wctx := errgroup.WithContext(ctx)
	workers.SetLimit(v.o.Workers)
	for _, name := range sortedKeys(g.chains) {
		c := chain{v: v, g: g, files: g.chains[name], logs: workers, hours: &hours, missing: &missing, broken: &broken}
		if err := c.verify(wctx); err != nil {
			if werr := workers.Wait(); werr != nil {
				return werr // the cause: err is then only the end of wctx
			}
			return err
		}
	}
	if err := workers.Wait(); err != nil {
		return err
	}
	v.judge(g, broken)
	if err := v.unlisted(ctx, g, hours, missing); err != nil {
		return err
	}
	v.r.Verified = append(v.r.Verified, spans(g, hours)...)
	return nil
}

// newestDigest is the time of the newest digest of the whole trail; zero without
// one.
func newestDigest(groups []*group) time.Time {
	var newest time.Time
	for _, g := range groups {
		for _, files := range g.chains {
			if last := files[len(files)-1].name.Time; last.After(newest) {
				newest = last
			}
		}
	}
	return newest
}

// undigested finds a group that has log files and no digest, unless all of them
// are newer than the newest digest of any group: then its first may be to come.
func (v *verifier) undigested(g *group, newest time.Time) {
	if len(g.chains) > 0 {
		return
	}
	n, first := 0, ""
	for _, s := range sortedKeys(g.logs) {
		l := g.logs[s]
		if l.at.Before(v.o.Since) || !newest.IsZero() && l.at.After(newest) {
			continue
		}
		if n++; first == "" {
			first = l.paths[0]
		}
	}
	if n > 0 {
		v.find(g, NoDigest, first, "no digest file of account %s in %s: nothing is proven of this and %d more log files of that account and region", g.account, g.region, n-1)
	}
}

// spans joins the hours that are in order.
func spans(g *group, hours []*hour) []Span {
	slices.SortFunc(hours, func(a, b *hour) int { return cmp.Or(a.start.Compare(b.start), a.end.Compare(b.end)) })
	var list []Span
	for _, h := range hours {
		if h.backfill || h.faults > 0 || !h.start.Before(h.end) {
			continue
		}
		if n := len(list); n > 0 && !h.start.After(list[n-1].To) {
			if h.end.After(list[n-1].To) {
				list[n-1].To = h.end
			}
			continue
		}
		list = append(list, Span{g.account, g.region, h.start, h.end})
	}
	// A fault in one trail's hour, or in a backfill, takes the time from all.
	for _, h := range hours {
		if h.faults > 0 {
			list = Without(list, h.start, h.end)
		}
	}
	return list
}

// Without cuts the time from from to to out of spans.
func Without(list []Span, from, to time.Time) []Span {
	var left []Span
	for _, s := range list {
		if !from.Before(s.To) || !s.From.Before(to) {
			left = append(left, s)
			continue
		}
		if s.From.Before(from) {
			head := s
			head.To = from
			left = append(left, head)
		}
		if to.Before(s.To) {
			tail := s
			tail.From = to
			left = append(left, tail)
		}
	}
	return left
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
