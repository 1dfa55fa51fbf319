package collect_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/source"
)

// days is a listing of one file a day, and of late files.
type days struct {
	etag  string // of all files
	t     *testing.T
	files map[event.Date][]string
	since []event.Date // as asked for
	fail  event.Date   // the day that can't be listed
}

func (d *days) list(_ context.Context, since event.Date, yield func(source.Batch) error) error {
	d.since = append(d.since, since)
	first := event.DateOf(now.UnixMilli()) - 60
	for day := max(first, since); day <= event.DateOf(now.UnixMilli()); day++ {
		if day == d.fail {
			return errInjected
		}
		var files []source.File
		if paths := d.files[day]; len(paths) > 0 {
			list, _, err := source.Expand(paths)
			if err != nil {
				d.t.Fatal(err)
			}
			files = list
			for i := range files {
				files[i].ETag = d.etag
			}
		}
		if err := yield(source.Batch{Files: files, From: day, To: day + 1}); err != nil {
			return err
		}
	}
	return nil
}

func (d *days) add(ago int, name string) {
	at := now.Add(-time.Duration(ago) * 24 * time.Hour)
	path := writeLines(d.t, filepath.Join(d.t.TempDir(), name+".json"), encode(d.t, rec(name, at)))
	day := event.DateOf(at.UnixMilli())
	d.files[day] = append(d.files[day], path)
}

func TestImportListed(t *testing.T) {
	d := &days{t: t, files: map[event.Date][]string{}}
	for i := range 60 {
		d.add(i, fmt.Sprintf("day-%02d", i))
	}
	p := newPipeline(t)
	do := func(onlyNew bool) (collect.Summary, error) {
		t.Helper()
		sum, err := p.ImportListed(t.Context(), collect.ImportOptions{OnlyNew: onlyNew}, "bucket", d.list)
		if err == nil {
			checkSum(t, sum)
		}
		return sum, err
	}
	// Interrupted on the 31st day before now: what was read is stored, and is
	// not read again.
	today := event.DateOf(now.UnixMilli())
	d.fail = today - 30
	if sum, err := do(false); err == nil || sum.Stored != 29 {
		t.Fatalf("%+v, %v", sum, err)
	}
	d.fail = 0
	d.add(50, "late-1") // meanwhile, in a day that was finished
	sum, err := do(false)
	if err != nil || sum.Files != 32 || sum.Stored != 32 {
		t.Errorf("resumed: %+v, %v", sum, err)
	}
	if want := int64(61); int64(len(stateOf(t, p).Events)) != want {
		t.Errorf("%d events", len(stateOf(t, p).Events))
	}
	// Finished: all is read again, unless only new files are asked for.
	if sum, err = do(false); err != nil || sum.Files != 61 || sum.Duplicates != 61 {
		t.Errorf("again: %+v, %v", sum, err)
	}
	d.add(34, "late-2")
	if sum, err = do(true); err != nil || sum.Files != 1 || sum.Stored != 1 {
		t.Errorf("only new: %+v, %v", sum, err)
	}
	if got := d.since[len(d.since)-1]; got != today-35 {
		t.Errorf("listed since %s: days that are settled need no look", got)
	}
}

// An object that was replaced within a second by one of the same size is read
// again, and so are the days that an import of other sources has settled.
func TestImportListedAgain(t *testing.T) {
	d := &days{t: t, etag: "one", files: map[event.Date][]string{}}
	d.add(3, "new")
	d.add(50, "old")
	p := newPipeline(t)
	do := func(files int) {
		t.Helper()
		sum, err := p.ImportListed(t.Context(), collect.ImportOptions{OnlyNew: true}, "bucket", d.list)
		if err != nil || sum.Files != files {
			t.Errorf("%d files, want %d, %v", sum.Files, files, err)
		}
	}
	var err error
	if p.Filter, err = filter.New(filter.Config{Sources: []string{"sts"}}); err != nil {
		t.Fatal(err)
	}
	do(2)
	do(0)
	if p.Filter, err = filter.New(filter.Config{}); err != nil {
		t.Fatal(err)
	}
	do(2)
	do(0)
	d.etag = "two"
	do(1) // the old one is settled
}

// A file that can't be read keeps its day from being settled.
func TestImportListedWithAFailure(t *testing.T) {
	d := &days{t: t, files: map[event.Date][]string{}}
	d.add(50, "good")
	d.files[event.DateOf(now.UnixMilli())-50] = append(d.files[event.DateOf(now.UnixMilli())-50],
		writeLines(t, filepath.Join(t.TempDir(), "bad.json.gz"), []byte("\x1f\x8b broken")))
	p := newPipeline(t)
	for range 2 {
		sum, err := p.ImportListed(t.Context(), collect.ImportOptions{OnlyNew: true}, "bucket", d.list)
		if err != nil || len(sum.FailedFiles) != 1 {
			t.Errorf("%+v, %v", sum, err)
		}
	}
	if d.since[1] != 0 {
		t.Errorf("listed since %s", d.since[1])
	}
}
