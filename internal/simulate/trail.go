package simulate

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
)

// TrailOptions say how WriteTrail lays out its files.
type TrailOptions struct {
	// Compress writes .json.gz, as CloudTrail does, instead of .json.
	Compress bool
	// SecondTrail adds the production account's own trail, which delivers each of
	// its records a second time: the same bytes, but in other files, in another
	// order, and global events in the folder of the trail's home region.
	SecondTrail bool
	// Every is the time that one file of an account and region covers. Zero
	// picks a span from 5 minutes to a day, so that files hold some 150 records
	// at least on average.
	Every time.Duration
	// Digests adds digest files, signed with World.DigestKey, of the organization's
	// trail: see SignatureSuffix for what they leave beside them. It needs Compress.
	Digests bool
	// Bucket is the bucket that digests say the files are in; "" means TrailBucket.
	Bucket string
	// Progress, if set, is told the totals so far after each file. Calls do not
	// overlap.
	Progress func(files, records int)
}

// Summary is what WriteTrail wrote.
type Summary struct {
	Files      int
	Records    int   // all records, duplicates included
	Duplicates int   // records of the second trail
	Bytes      int64 // as written
	Digests    int   // digest files, not counted in Files
}

// trailKey names one file: which trail, account and folder, and which span.
type trailKey struct {
	second bool
	acct   uint8
	region uint8 // the folder's
	span   int64 // number since the epoch
}

type trailFile struct {
	trailKey
	plans []*plan
}

// WriteTrail writes the world's records as an organization trail's files below
// dir, which it makes if need be:
//
//	AWSLogs/ORG/ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/ACCOUNT_CloudTrail_REGION_YYYYMMDDTHHmmZ_RANDOM.json.gz
//
// (AWS CloudTrail User Guide, "Finding your CloudTrail log files"). Names and
// contents are a function of the world and the options alone, so writing again
// gives the same files. It works on all cores and holds no more than one span of
// records (with Digests, also a line for each file). On an error, or when ctx ends,
// the files written so far stay.
func WriteTrail(ctx context.Context, w *World, dir string, opt TrailOptions) (Summary, error) {
	if opt.Digests && !opt.Compress {
		return Summary{}, errors.New("write trail: digests are of compressed files only: set Compress")
	}
	span := int64(opt.Every / time.Second)
	if span <= 0 {
		span = w.trailSpan()
	}
	t := &trailWriter{w: w, dir: dir, opt: opt, span: span, made: map[string]bool{}}
	group, ctx := errgroup.WithContext(ctx)
	jobs := make(chan trailFile, 2*runtime.GOMAXPROCS(0))
	group.Go(func() error {
		defer close(jobs)
		return t.plan(ctx, jobs)
	})
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error { return t.work(jobs) })
	}
	err := group.Wait()
	if err == nil && opt.Digests {
		err = t.digests()
	}
	return t.sum, err
}

// trailSpan picks the seconds a file covers.
func (w *World) trailSpan() int64 {
	const enough = 150
	perSecond := float64(w.cfg.Events) / float64(w.end-w.start) / float64(len(w.accounts)*len(w.active))
	for _, span := range []int64{300, 900, 3600, 6 * 3600} {
		if perSecond*float64(span) >= enough {
			return span
		}
	}
	return 86400
}

type trailWriter struct {
	w    *World
	dir  string
	opt  TrailOptions
	span int64 // seconds

	mu   sync.Mutex // guards what follows, and is held while Progress runs
	sum  Summary
	made map[string]bool // folders

	delivered []logFile // of the organization's trail, in any order
}

func (t *trailWriter) bucket() string { return cmp.Or(t.opt.Bucket, TrailBucket) }

// plan deals the records out to files and sends each file when it is complete.
func (t *trailWriter) plan(ctx context.Context, jobs chan<- trailFile) error {
	open := map[trailKey][]*plan{}
	flush := func(until int64) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var done []trailFile
		for k, plans := range open {
			end := (k.span + 1) * t.span
			if k.second {
				end += t.span / 2
			}
			if end <= until {
				done = append(done, trailFile{k, plans})
				delete(open, k)
			}
		}
		slices.SortFunc(done, func(a, b trailFile) int {
			return cmp.Or(cmp.Compare(a.span, b.span), cmp.Compare(a.acct, b.acct), cmp.Compare(a.region, b.region))
		})
		for _, f := range done {
			select {
			case jobs <- f:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	}
	var err error
	t.w.walk(t.w.start, t.w.end, func(plans []*plan) bool {
		if err = flush(plans[0].at); err != nil {
			return false
		}
		for _, p := range plans {
			k := trailKey{acct: p.acct, region: p.region, span: p.at / t.span}
			open[k] = append(open[k], p)
			if t.opt.SecondTrail && p.acct == production {
				k.second, k.span = true, (p.at-t.span/2)/t.span
				if p.call.global || p.call.source == "signin" {
					k.region = t.w.home
				}
				open[k] = append(open[k], p)
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	return flush(t.w.end + 2*t.span)
}

func (t *trailWriter) work(jobs <-chan trailFile) error {
	c := &renderer{w: t.w}
	var body []byte
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("write trail: %w", err)
	}
	for f := range jobs {
		body = append(body[:0], `{"Records":[`...)
		for i := range f.plans {
			p := f.plans[i]
			if f.second {
				p = f.plans[len(f.plans)-1-i]
			}
			if i > 0 {
				body = append(body, ',')
			}
			body = c.append(body, p)
		}
		body = append(body, `]}`...)
		out := body
		if t.opt.Compress {
			packed.Reset()
			zip.Reset(&packed)
			_, err := zip.Write(body)
			if err := errors.Join(err, zip.Close()); err != nil {
				return fmt.Errorf("write trail: compress: %w", err)
			}
			out = packed.Bytes()
		}
		if err := t.write(f, body, out); err != nil {
			return fmt.Errorf("write trail: %w", err)
		}
	}
	return nil
}

// write writes a file: body as it is, or packed as out.
func (t *trailWriter) write(f trailFile, body, out []byte) error {
	name, delivered := t.name(f)
	path := filepath.Join(t.dir, filepath.FromSlash(name))
	hash := ""
	if t.opt.Digests {
		sum := sha256.Sum256(body)
		hash = hex.EncodeToString(sum[:])
	}
	folder := filepath.Dir(path)
	t.mu.Lock()
	made := t.made[folder]
	t.mu.Unlock()
	if !made {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.made[folder] = true
	t.sum.Files++
	t.sum.Records += len(f.plans)
	t.sum.Bytes += int64(len(out))
	if t.opt.Digests && !f.second {
		t.delivered = append(t.delivered, logFile{f.acct, f.region, name, hash, delivered, f.plans[0].at, f.plans[len(f.plans)-1].at})
	}
	if f.second {
		t.sum.Duplicates += len(f.plans)
	}
	if t.opt.Progress != nil {
		t.opt.Progress(t.sum.Files, t.sum.Records)
	}
	return nil
}

// name is the file's path below the trail's folder. It bears the time of
// delivery, some minutes after the last event, which is returned too.
func (t *trailWriter) name(f trailFile) (string, int64) {
	a, region := t.w.accounts[f.acct], t.w.regions[f.region]
	r := newRNG(t.w.cfg.Seed, label("file"), label(yes(f.second)), uint64(f.acct), uint64(f.region), uint64(f.span), uint64(t.span))
	at := time.Unix(f.plans[len(f.plans)-1].at+int64(r.between(180, 420)), 0).UTC()
	prefix := "AWSLogs/" + t.w.orgID
	if f.second {
		prefix = "production-trail/AWSLogs"
	}
	name := fmt.Sprintf("%s/%s/CloudTrail/%s/%s/%s_CloudTrail_%s_%s_%s.json", prefix, a.id, region, at.Format("2006/01/02"),
		a.id, region, at.Format("20060102T1504Z"), r.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 16))
	if t.opt.Compress {
		name += ".gz"
	}
	return name, at.Unix()
}
