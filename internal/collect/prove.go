package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/digest"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/source"
)

// Proof is what a trail's digests prove, to be booked by Prove.
type Proof struct {
	Spans []digest.Span // digest.Result.Verified
	// List yields the trail's log files, others too, as an import would list them;
	// in any case those of the spans and of a day around them.
	List func(ctx context.Context, yield func([]source.File) error) error
	// Sources are collected; nil: coverage.DefaultSources.
	Sources []string
	// Global returns the region in which the global services of a region's
	// partition are recorded.
	Global func(region string) string
}

// Proven is what Prove booked.
type Proven struct {
	Streams     int `json:"streams"`      // whose coverage is verified, as far as the spans go
	NotImported int `json:"not_imported"` // log files of the spans that are not stored as they are now
	Unclear     int `json:"unclear"`      // streams of which the trail may leave events out, or have none
}

// Prove books spans that are proven complete as verified in the ledgers. A proof
// is about files, and coverage about what is stored, so a time counts only
//
//   - if all log files delivered then, and around it, were imported as they are
//     now, with the stream's events among what was selected;
//   - if the log files of the month show that the trail records what the stream
//     holds, since its settings, which no digest tells, may leave events out: both
//     management events that read and such that write, and, for a region that
//     records global services, one of IAM;
//   - after the last day that retention ever removed.
//
// The streams are those that have ledgers, and those that collection would read
// in the regions of the spans, but for Identity Center's.
func (p *Pipeline) Prove(ctx context.Context, proof Proof) (Proven, error) {
	v := &prover{proof: proof, p: p, places: map[place]*proofPlace{}, signs: map[signKey]*signs{}}
	for _, s := range proof.Spans {
		at := place{s.AccountID, s.Region}
		if v.places[at] == nil {
			v.places[at] = &proofPlace{holes: map[hole]bool{}}
		}
		v.places[at].spans = append(v.places[at].spans, s)
	}
	if len(proof.Spans) == 0 {
		return v.res, nil
	}
	if err := proof.List(ctx, func(files []source.File) error { return v.look(ctx, files) }); err != nil {
		return v.res, err
	}
	// What retention removes meanwhile must not be claimed.
	err := p.withLease(ctx, true, v.book)
	return v.res, err
}

type place struct{ account, region string }

// proofPlace is what is known of an account and region.
type proofPlace struct {
	spans []digest.Span
	owner string        // see signKey; "" without log files
	holes map[hole]bool // what is not stored
}

// hole is an hour with a log file of which not all is stored.
type hole struct {
	hour int64 // of the file's name
	// absent: it was not imported; else selection is what was taken of it.
	absent    bool
	selection filter.Selection
}

// signKey is a trail, as far as a path tells, and a month. An organization's trail
// has one folder with all its accounts; other accounts have trails of their own.
type signKey struct {
	owner string
	month string // 2006-01
}

// signs is what a trail's log files show that it records.
type signs struct {
	reads, writes, global   bool
	looked, lookedForGlobal int // files
}

// maxLooked is how many files of a month are read to learn what a trail records.
const maxLooked = 50

type prover struct {
	p      *Pipeline
	proof  Proof
	places map[place]*proofPlace
	signs  map[signKey]*signs
	res    Proven
}

var organizationFolder = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`/AWSLogs/(o-[a-z0-9]+)/`) })

func ownerOf(path, account string) string {
	if m := organizationFolder().FindStringSubmatch(path); m != nil {
		return m[1]
	}
	return account
}

// look takes note of files: which are not stored, and what they show.
func (v *prover) look(ctx context.Context, files []source.File) error {
	const chunk = 10_000 // paths to ask the store for
	for part := range slices.Chunk(files, chunk) {
		paths := make([]string, len(part))
		for i := range part {
			paths[i] = part[i].Path
		}
		imported, err := v.p.Store.Imported(ctx, paths)
		if err != nil {
			return err
		}
		for _, f := range part {
			n, ok := digest.ParseName(f.Path)
			at := v.places[place{n.AccountID, n.Region}]
			if !ok || n.Digest || at == nil {
				continue
			}
			at.owner = ownerOf(f.Path, n.AccountID)
			s, ok := imported[f.Path]
			here := hole{hour: n.Time.Unix() / 3600, absent: !ok || !sameContent(s, f)}
			if !here.absent {
				here.selection = filter.Selection(s.Selection)
			}
			if here.absent || here.selection != "" {
				at.holes[here] = true
			}
			if here.absent {
				if slices.ContainsFunc(at.spans, func(s digest.Span) bool { return !n.Time.Before(s.From) && n.Time.Before(s.To) }) {
					v.res.NotImported++
				}
				continue
			}
			if err := v.sniff(ctx, f, signKey{at.owner, n.Time.Format("2006-01")}, n.Region == v.proof.Global(n.Region)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sniff reads a file, if it may show something that isn't known yet.
func (v *prover) sniff(ctx context.Context, f source.File, key signKey, global bool) error {
	s := v.signs[key]
	if s == nil {
		s = &signs{}
		v.signs[key] = s
	}
	either := s.looked < maxLooked && (!s.reads || !s.writes)
	if !either && (!global || s.global || s.lookedForGlobal >= maxLooked) {
		return nil
	}
	s.looked++
	if global {
		s.lookedForGlobal++
	}
	r, err := source.Open(ctx, f, nil)
	if err != nil {
		return ctx.Err() // it shows nothing
	}
	const most = 256 << 20 // bytes; a log file of CloudTrail has far fewer
	var log struct {
		Records []struct {
			EventSource     string `json:"eventSource"`
			ReadOnly        *bool  `json:"readOnly"`
			ManagementEvent *bool  `json:"managementEvent"`
			EventCategory   string `json:"eventCategory"`
		}
	}
	err = errors.Join(json.NewDecoder(io.LimitReader(r, most)).Decode(&log), r.Close())
	if err != nil {
		return ctx.Err()
	}
	for _, e := range log.Records {
		if e.ReadOnly == nil || e.ManagementEvent != nil && !*e.ManagementEvent || e.EventCategory != "" && e.EventCategory != "Management" {
			continue
		}
		s.reads, s.writes = s.reads || *e.ReadOnly, s.writes || !*e.ReadOnly
		s.global = s.global || global && e.EventSource == "iam.amazonaws.com"
	}
	return nil
}

// book marks what is proven in the ledgers.
func (v *prover) book(ctx context.Context) error {
	kept, err := v.p.keptSince(ctx)
	if err != nil {
		return err
	}
	streams, err := v.streams(ctx)
	if err != nil {
		return err
	}
	for _, s := range streams {
		spans, unclear := v.spans(s, kept)
		if unclear {
			v.res.Unclear++
		}
		if len(spans) == 0 {
			continue
		}
		err := v.p.Store.UpdateStream(ctx, s, func(l *coverage.Ledger) error {
			for _, span := range spans {
				l.Verify(span)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("record what is proven of %s: %w", s, err)
		}
		v.res.Streams++
	}
	return nil
}

// streams are those that the spans may say something of, in order.
func (v *prover) streams(ctx context.Context) ([]coverage.Stream, error) {
	ledgers, err := v.p.Store.Streams(ctx)
	if err != nil {
		return nil, err
	}
	all := map[coverage.Stream]bool{}
	for _, l := range ledgers {
		if v.places[place{l.Stream.AccountID, l.Stream.Region}] != nil {
			all[l.Stream] = true
		}
	}
	for at := range v.places {
		there := coverage.Place{AccountID: at.account, Global: v.proof.Global(at.region), Regions: []string{at.region}}
		for _, s := range coverage.Streams(there, v.proof.Sources) {
			if s.Region == at.region {
				all[s] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(all), coverage.Stream.Compare), nil
}

// aroundHole is how far before and after the hour of a log file that isn't stored
// its events may lie: digest.DeliveryDelay before, and as much for what its name
// and the digests' times may differ by.
const aroundHole = 2 * digest.DeliveryDelay

// spans are the times of a stream that are proven and stored; unclear tells that
// some are left out because the trail doesn't show that it records the stream.
func (v *prover) spans(s coverage.Stream, kept event.Date) (proven []coverage.Span, unclear bool) {
	at := v.places[place{s.AccountID, s.Region}]
	list := slices.Clone(at.spans)
	for h := range at.holes {
		if h.absent || !h.selection.Management(s.Source) {
			hour := time.Unix(h.hour*3600, 0)
			list = digest.Without(list, hour.Add(-aroundHole), hour.Add(time.Hour+digest.DeliveryDelay))
		}
	}
	for _, whole := range list {
		whole = whole.Events()
		for from := whole.From; from.Before(whole.To); {
			from = from.UTC()
			to := time.Date(from.Year(), from.Month()+1, 1, 0, 0, 0, 0, time.UTC)
			if to.After(whole.To) {
				to = whole.To
			}
			span := coverage.SpanOf(from, to).Cut(coverage.Span{From: int64(kept) * 24 * 3600, To: to.Unix()})
			switch {
			case span.Empty():
			case v.recorded(s, at, from):
				proven = append(proven, span)
			default:
				unclear = true
			}
			from = to
		}
	}
	return proven, unclear
}

// recorded tells whether the trail shows that it records a stream in the month of a
// time.
func (v *prover) recorded(s coverage.Stream, at *proofPlace, t time.Time) bool {
	owner := at.owner
	if owner == "" { // a region without any log file belongs to the account's trail
		for other, there := range v.places {
			if other.account == s.AccountID && there.owner != "" {
				owner = there.owner
			}
		}
	}
	shown := v.signs[signKey{owner, t.Format("2006-01")}]
	return shown != nil && shown.reads && shown.writes && (shown.global || s.Region != v.proof.Global(s.Region))
}

// metaKept is the store's key for the first day that no retention has removed.
const metaKept = "kept_since"

// keptSince returns the first day that no retention has removed; 0: all are there.
func (p *Pipeline) keptSince(ctx context.Context) (event.Date, error) {
	return p.day(ctx, metaKept)
}

// keepSince notes, before days are removed, from which one on they stay.
func (p *Pipeline) keepSince(ctx context.Context, d event.Date) error {
	before, err := p.keptSince(ctx)
	if err != nil || d <= before {
		return err
	}
	return p.setDay(ctx, metaKept, d)
}
