package collect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/source"
)

// Listing yields the files to import bit by bit, such as a bucket's: those from
// the day since on; 0: all. It returns yield's error at once.
type Listing func(ctx context.Context, since event.Date, yield func(source.Batch) error) error

// settleDays is how old a day's folder must be to be complete: CloudTrail tries
// for 30 days to deliver a log file (AWS CloudTrail User Guide, "Getting and
// viewing your CloudTrail log files").
const settleDays = 35

// ImportListed imports what a listing yields, one batch after the other, so that
// memory doesn't grow with the listing; name is what is listed, with its bounds,
// and the same for the next import of the same.
//
// Interrupted, it goes on when it is run again: of the days that were finished
// only files that are new, or changed, are read. With OnlyNew that holds for all
// days, as sets of files, since new ones appear among old ones; days that were
// settled when an earlier import of the same name ended are not listed any more.
func (p *Pipeline) ImportListed(ctx context.Context, o ImportOptions, name string, list Listing) (Summary, error) {
	start := time.Now()
	total := Summary{Categories: map[string]int64{}, FailedFiles: []FileError{}}
	var before Progress
	progress := o.Progress
	if progress != nil {
		o.Progress = func(now Progress) { progress(before.plus(now, time.Since(start))) }
	}
	if s := p.Filter.Selection(); s != "" {
		name += "\x00" + string(s) // days that an import of fewer records has settled are not settled for others
	}
	hash := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(hash[:8])
	finished, err := p.day(ctx, "import_finished:"+id)
	if err != nil {
		return total, err
	}
	var since event.Date
	if o.OnlyNew {
		if since, err = p.day(ctx, "import_settled:"+id); err != nil {
			return total, err
		}
	}
	var last *importer
	err = list(ctx, since, func(b source.Batch) error {
		each := o
		inDays := b.From < b.To
		each.OnlyNew = o.OnlyNew || inDays && b.To-1 <= finished
		im, err := p.importFiles(ctx, each, time.Now(), b.Files, b.Skipped)
		total.add(im.sum)
		before.FilesDone, before.Files = before.FilesDone+len(im.files), before.Files+len(im.files)
		before.Bytes, before.BytesDone, before.Records = before.Bytes+im.bytes, before.BytesDone+im.bytes, before.Records+im.records.Load()
		last = im
		if err == nil && inDays && b.To-1 > finished {
			finished = b.To - 1
			err = p.setDay(ctx, "import_finished:"+id, finished)
		}
		return err
	})
	total.Seconds = time.Since(start).Seconds()
	slices.SortFunc(total.FailedFiles, func(a, b FileError) int { return strings.Compare(a.Path, b.Path) })
	if err != nil {
		return total, err
	}
	if !total.Incomplete() {
		if err := p.setDay(ctx, "import_settled:"+id, event.DateOf(p.Now().UnixMilli())-settleDays); err != nil {
			return total, err
		}
	}
	if err := p.Store.SetMeta(ctx, "import_finished:"+id, ""); err != nil {
		return total, err
	}
	if last != nil {
		last.rollUp(ctx)
		total.NotRolledUp = last.sum.NotRolledUp
	}
	total.Seconds = time.Since(start).Seconds()
	return total, nil
}

// day reads a day that setDay kept; 0 when there is none.
func (p *Pipeline) day(ctx context.Context, key string) (event.Date, error) {
	text, err := p.Store.Meta(ctx, key)
	if err != nil || text == "" {
		return 0, err
	}
	d, err := event.ParseDate(text)
	if err != nil {
		return 0, fmt.Errorf("read %s from the store: %w", key, err)
	}
	return d, nil
}

func (p *Pipeline) setDay(ctx context.Context, key string, d event.Date) error {
	return p.Store.SetMeta(ctx, key, d.String())
}

// plus is the progress of an import of which p was done before.
func (p Progress) plus(now Progress, elapsed time.Duration) Progress {
	now.Files, now.FilesDone = now.Files+p.Files, now.FilesDone+p.FilesDone
	now.Bytes, now.BytesDone = now.Bytes+p.Bytes, now.BytesDone+p.BytesDone
	now.Records, now.Elapsed = now.Records+p.Records, elapsed
	return now
}

// add counts another part of the same import in.
func (s *Summary) add(o Summary) {
	s.Files += o.Files
	s.Records += o.Records
	s.Stored += o.Stored
	s.Duplicates += o.Duplicates
	s.Conflicts += o.Conflicts
	s.Filtered.Service += o.Filtered.Service
	s.Filtered.Role += o.Filtered.Role
	s.Rejected += o.Rejected
	s.Alerts += o.Alerts
	s.NotSelected += o.NotSelected
	s.Kept += o.Kept
	s.ResumedFiles += o.ResumedFiles
	s.SkippedFiles += o.SkippedFiles
	s.Bytes += o.Bytes
	s.Seconds += o.Seconds
	for c, n := range o.Categories {
		s.Categories[c] += n
	}
	if s.FirstEvent == nil || o.FirstEvent != nil && o.FirstEvent.Before(*s.FirstEvent) {
		s.FirstEvent = o.FirstEvent
	}
	if s.LastEvent == nil || o.LastEvent != nil && o.LastEvent.After(*s.LastEvent) {
		s.LastEvent = o.LastEvent
	}
	s.FailedFiles = append(s.FailedFiles, o.FailedFiles...)
}

// Join is the summary of two imports, one after the other.
func Join(a, b Summary) Summary {
	if a.Categories == nil {
		return b
	}
	a.add(b)
	if a.NotRolledUp == "" {
		a.NotRolledUp = b.NotRolledUp
	}
	return a
}
