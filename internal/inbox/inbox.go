// Package inbox keeps rows that wait to be merged into the lake, as objects in the
// lake's bucket: who collects writes each batch there, and who exports merges them
// into the day files without asking the hot store for any row.
//
//	inbox/YYYY-MM-DD/ID-e12f345.zst    rows of one day (object.go): 12 events and 345
//	                                   filtered rows; a kind without rows isn't named
//	inbox-bad/…                        what was found there and isn't readable
//
// The id is made of the rows, so that what is written again is the same object. A day
// file's footer lists the ids that were merged into it (lake.Input.Sources), so an
// object that a killed exporter left behind is known, and removed, without being
// read; were it merged again, nothing would change either.
//
// Nothing in an object is trusted: one that isn't what its name says is set aside and
// told of, and the others are merged. One that a newer program wrote stays where it
// is.
package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/lake"
)

const (
	folder    = "inbox/"
	badFolder = "inbox-bad/"
)

// Inbox is the inbox of a lake.
type Inbox struct {
	b        lake.Bucket
	codec    codec
	readOnly bool
}

// New returns the inbox in a lake's bucket. Nothing is read yet.
func New(b lake.Bucket) *Inbox { return &Inbox{b: b, codec: newCodec()} }

// ReadOnly is the same inbox for somebody who may only read: what an exporter would
// remove stays, and what it would set aside is told of and stays, too.
func (in *Inbox) ReadOnly() *Inbox { return &Inbox{b: readOnly{in.b}, codec: in.codec, readOnly: true} }

// readOnly is a bucket from which nothing is removed.
type readOnly struct{ lake.Bucket }

func (readOnly) Delete(context.Context, string) error { return nil }

// Put keeps rows of one day, in the order that lake.Input asks for, durably: after an
// error some of them may be kept. It may be repeated.
func (in *Inbox) Put(ctx context.Context, date event.Date, events []event.Event, filtered []event.Filtered) error {
	for len(events)+len(filtered) > 0 {
		w := in.codec.newObject(date)
		for len(events) > 0 && w.raw < objectBytes {
			if err := w.events.add(&events[0], w); err != nil {
				return fmt.Errorf("write event %s to the inbox: %w", events[0].EventID, err)
			}
			events = events[1:]
		}
		w.events.flush(w) // all of the events' blocks come before the others
		for len(filtered) > 0 && w.raw < objectBytes {
			if err := w.filtered.add(&filtered[0], w); err != nil {
				return fmt.Errorf("write filtered event %s to the inbox: %w", filtered[0].EventID, err)
			}
			filtered = filtered[1:]
		}
		name, data, err := w.finish()
		if err != nil {
			return fmt.Errorf("write to the inbox: %w", err)
		}
		if err := in.create(ctx, name.key(), data); err != nil {
			return fmt.Errorf("write to the inbox: %w", err)
		}
	}
	return nil
}

// create writes an object whose name says what is in it; that it is there is no error.
func (in *Inbox) create(ctx context.Context, key string, data []byte) error {
	if err := fault.At("inbox.put.before"); err != nil {
		return err
	}
	w, err := in.b.Create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return errors.Join(err, w.Abort())
	}
	if _, err := w.Commit(""); err != nil && !errors.Is(err, lake.ErrChanged) {
		return err
	}
	return fault.At("inbox.put.after")
}

// name is the name of an object.
type name struct {
	date             event.Date
	id               string // 20 hex digits
	events, filtered int    // rows
	object           lake.Object
}

func (n name) key() string {
	count := ""
	if n.events > 0 {
		count = "e" + strconv.Itoa(n.events)
	}
	if n.filtered > 0 {
		count += "f" + strconv.Itoa(n.filtered)
	}
	return folder + n.date.String() + "/" + n.id + "-" + count + ".zst"
}

var nameForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^inbox/([0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9a-f]{20})-(?:e([1-9][0-9]{0,8}))?(?:f([1-9][0-9]{0,8}))?\.zst$`)
})

func parseName(o lake.Object) (name, bool) {
	m := nameForm().FindStringSubmatch(o.Key)
	if m == nil || m[3]+m[4] == "" {
		return name{}, false
	}
	n := name{id: m[2], object: o}
	n.events, _ = strconv.Atoi(m[3]) // "" is none
	n.filtered, _ = strconv.Atoi(m[4])
	var err error
	n.date, err = event.ParseDate(m[1])
	return n, err == nil
}

// Waiting is what the lake doesn't have yet.
type Waiting struct {
	Objects          int
	Events, Filtered int64 // rows, as the objects' names say
	// Since is when the oldest object was written; zero when there is none.
	Since time.Time
}

// Waiting tells what waits for the export. Permission: s3:ListBucket.
func (in *Inbox) Waiting(ctx context.Context) (Waiting, error) {
	objects, err := in.b.List(ctx, folder)
	if err != nil {
		return Waiting{}, fmt.Errorf("list the inbox: %w", err)
	}
	var w Waiting
	for _, o := range objects {
		n, ok := parseName(o)
		if !ok {
			continue // the export tells of it
		}
		w.Objects++
		w.Events += int64(n.events)
		w.Filtered += int64(n.filtered)
		if w.Since.IsZero() || o.ModTime.Before(w.Since) {
			w.Since = o.ModTime
		}
	}
	return w, nil
}

// Problem is an object that could not be merged.
type Problem struct {
	Object string `json:"object"` // its key
	Reason string `json:"reason"`
	// SetAside: it was moved to inbox-bad/; else it is where it was, and met again.
	SetAside bool `json:"set_aside"`
}

// Days lists the days that have objects, ascending. report is told of objects that
// can't be merged, here and by Day.Next.
func (in *Inbox) Days(ctx context.Context, report func(Problem)) ([]*Day, error) {
	objects, err := in.b.List(ctx, folder)
	if err != nil {
		return nil, fmt.Errorf("list the inbox: %w", err)
	}
	byDate := map[event.Date]*Day{}
	for _, o := range objects {
		n, ok := parseName(o)
		if !ok {
			if err := in.setAside(ctx, o.Key, o.Size, errors.New("it hasn't the name of an object of the inbox"), report); err != nil {
				return nil, err
			}
			continue
		}
		d := byDate[n.date]
		if d == nil {
			d = &Day{Date: n.date, in: in, report: report}
			byDate[n.date] = d
		}
		d.objects = append(d.objects, n)
	}
	days := make([]*Day, 0, len(byDate))
	for _, d := range byDate {
		days = append(days, d)
	}
	slices.SortFunc(days, func(a, b *Day) int { return int(a.Date) - int(b.Date) })
	return days, nil
}

func (in *Inbox) delete(ctx context.Context, key string) error {
	if err := fault.At("inbox.delete.before"); err != nil {
		return err
	}
	if err := in.b.Delete(ctx, key); err != nil {
		return fmt.Errorf("remove from the inbox what is merged: %w", err)
	}
	return fault.At("inbox.delete.after")
}

// setAside moves an object that isn't readable to inbox-bad/, unless it is too large
// for that.
func (in *Inbox) setAside(ctx context.Context, key string, size int64, why error, report func(Problem)) error {
	p := Problem{Object: key, Reason: why.Error()}
	if in.readOnly {
		report(p)
		return nil
	}
	if size > maxObject {
		p.Reason += fmt.Sprintf("; it has %d bytes, which is too much to move it: look at it, and delete it", size)
		report(p)
		return nil
	}
	r, err := in.b.Open(ctx, key)
	if errors.Is(err, lake.ErrNotFound) {
		return nil // somebody else did it
	}
	if err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	data, err := readAll(r)
	if err != nil {
		return fmt.Errorf("set aside %s: %w", key, err)
	}
	sum := sha256.Sum256(data)
	to := badFolder + strings.TrimPrefix(key, folder) + "." + hex.EncodeToString(sum[:4])
	if err := in.create(ctx, to, data); err != nil {
		return fmt.Errorf("set aside %s: %w", key, err)
	}
	if err := in.delete(ctx, key); err != nil {
		return err
	}
	p.SetAside = true
	report(p)
	return nil
}

// readAll reads and closes an object of at most maxObject bytes.
func readAll(r lake.Reader) ([]byte, error) {
	data := make([]byte, r.Object().Size)
	n, err := r.ReadAt(data, 0)
	if n == len(data) {
		err = nil // io.EOF may come with the last bytes
	} else if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return data, errors.Join(err, r.Close())
}
