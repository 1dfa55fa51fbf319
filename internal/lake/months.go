package lake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
)

// Opening a file costs a reader more than reading a small one, so a query over
// ten years of days mostly opens files. A roll-up is a copy of all events of a
// month in one file. It is derived: the day files stay the truth, and it may be
// deleted at any time. Its name tells which day files it was made of, in which
// versions, so whoever has listed the day files knows without opening anything
// whether a roll-up stands for exactly these; if not, it is of no use and the day
// files are read. A roll-up is never changed, so no crash and no race between a
// reader and a writer can give an answer that mixes or misses days.
const (
	monthsPrefix = "months/"
	monthSuffix  = ".parquet"
)

// monthLayout is in the names of roll-ups; it rises when one made before must
// not be used any more.
const monthLayout = 1

// minRollUpDays is from how many day files on a roll-up is worth it.
const minRollUpDays = 2

// RollUpKey returns the key of the roll-up of some day files: all those that a
// month has, by key. It is empty when they make no roll-up: too few, of several
// months, or not files of events.
func RollUpKey(days []Object) string {
	if len(days) < minRollUpDays {
		return ""
	}
	list, m, ok := rollUpList(days)
	if !ok {
		return ""
	}
	sum := sha256.Sum256([]byte(list))
	return monthsPrefix + m.String() + "." + hex.EncodeToString(sum[:8]) + monthSuffix
}

// rollUpList names day files and their versions, a line each. It is what the
// name of a roll-up is made of, and an entry of its footer.
func rollUpList(days []Object) (list string, m month, ok bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "layout %d, schema %d\n", monthLayout, schemaVersion)
	for i, o := range days {
		d, ok := dateOfKey(o.Key, eventsPrefix)
		if !ok || i > 0 && monthOf(d) != m {
			return "", 0, false
		}
		m = monthOf(d)
		fmt.Fprintf(&b, "%v %s %d\n", d, o.ETag, o.Size)
	}
	return b.String(), m, true
}

// rollUpMonth returns the month that a roll-up's name tells; false for any other
// object.
func rollUpMonth(key string) (month, bool) {
	rest, ok := strings.CutPrefix(key, monthsPrefix)
	if !ok || !strings.HasSuffix(rest, monthSuffix) {
		return 0, false
	}
	name, hash, ok := strings.Cut(strings.TrimSuffix(rest, monthSuffix), ".")
	if !ok || len(hash) != 16 {
		return 0, false
	}
	d, err := event.ParseDate(name + "-01")
	return monthOf(d), err == nil
}

// rollUps are the roll-ups and day files of one month.
type rollUps struct {
	days   []Object
	have   []Object
	wanted string // the key of the roll-up that would be used; may be empty
}

// listRollUps returns those of each month that has any; prefix narrows it to
// months whose name starts so.
func (l *Lake) listRollUps(ctx context.Context, prefix string) (map[month]*rollUps, error) {
	// Day files first: a roll-up that is made meanwhile isn't missed then.
	days, err := l.bucket.List(ctx, eventsPrefix+partition+prefix)
	if err != nil {
		return nil, err
	}
	have, err := l.bucket.List(ctx, monthsPrefix+prefix)
	if err != nil {
		return nil, err
	}
	all := map[month]*rollUps{}
	of := func(m month) *rollUps {
		if all[m] == nil {
			all[m] = new(rollUps)
		}
		return all[m]
	}
	for _, o := range days {
		if d, ok := dateOfKey(o.Key, eventsPrefix); ok {
			r := of(monthOf(d))
			r.days = append(r.days, o)
		}
	}
	for _, o := range have {
		if m, ok := rollUpMonth(o.Key); ok {
			r := of(m)
			r.have = append(r.have, o)
		}
	}
	for _, r := range all {
		r.wanted = RollUpKey(r.days)
	}
	return all, nil
}

// useless are the roll-ups that nobody will read.
func (r *rollUps) useless() []string {
	var keys []string
	for _, o := range r.have {
		if o.Key != r.wanted {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

// missing tells whether the month could have a roll-up and has none.
func (r *rollUps) missing() bool {
	return r.wanted != "" && !slices.ContainsFunc(r.have, func(o Object) bool { return o.Key == r.wanted })
}

// RollUpsDue returns, by their first day, the months that RollUp has something
// to do for: those that end before the given day and have no roll-up of their day
// files as these are now, and those with a roll-up that is of no use any more. It
// lists names and opens nothing.
func (l *Lake) RollUpsDue(ctx context.Context, before event.Date) ([]event.Date, error) {
	all, err := l.listRollUps(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list roll-ups: %w", err)
	}
	var due []event.Date
	for m, r := range all {
		if len(r.useless()) > 0 || r.missing() && over(m, before) {
			due = append(due, m.date(1))
		}
	}
	slices.Sort(due)
	return due, nil
}

// over tells whether all days of a month lie before the given one.
func over(m month, before event.Date) bool { return (m + 1).date(1) <= before }

// RollUp makes the roll-up of the month that has the given day, if the month
// ends before the other one and has none, and then removes those that are of no
// use. It reports whether anything was changed. It may be repeated after any
// failure. While it runs memory holds one row group, compressed, and a page of
// each column.
func (l *Lake) RollUp(ctx context.Context, date, before event.Date) (bool, error) {
	m := monthOf(date)
	all, err := l.listRollUps(ctx, m.String())
	if err != nil {
		return false, fmt.Errorf("roll up %v: %w", m, err)
	}
	r := all[m]
	if r == nil {
		return false, nil
	}
	changed := false
	if over(m, before) && r.missing() {
		if err := l.makeRollUp(ctx, r); err != nil {
			return false, fmt.Errorf("roll up %v: %w", m, err)
		}
		changed = true
	}
	for _, key := range r.useless() {
		if err := l.removeRollUp(ctx, key); err != nil {
			return changed, fmt.Errorf("roll up %v: remove %s: %w", m, key, err)
		}
		changed = true
	}
	return changed, nil
}

func (l *Lake) removeRollUp(ctx context.Context, key string) error {
	if err := fault.At("lake.month.remove.before"); err != nil {
		return err
	}
	if err := l.bucket.Delete(ctx, key); err != nil {
		return err
	}
	return fault.At("lake.month.remove.after")
}

// removeRollUps removes all roll-ups of some months.
func (l *Lake) removeRollUps(ctx context.Context, months map[month]bool) error {
	for m := range months {
		have, err := l.bucket.List(ctx, monthsPrefix+m.String())
		if err != nil {
			return fmt.Errorf("list roll-ups: %w", err)
		}
		for _, o := range have {
			if err := l.removeRollUp(ctx, o.Key); err != nil {
				return fmt.Errorf("remove %s: %w", o.Key, err)
			}
		}
	}
	return nil
}

// makeRollUp writes a month's roll-up.
func (l *Lake) makeRollUp(ctx context.Context, r *rollUps) error {
	out, err := l.bucket.Create(ctx, r.wanted)
	if err != nil {
		return err
	}
	defer func() { _ = out.Abort() }() // nothing is left to do after Commit
	list, _, _ := rollUpList(r.days)
	w := newMonthWriter(out, l.version, list)
	for _, o := range r.days {
		if err := l.copyDay(ctx, w, o); err != nil {
			return err
		}
	}
	if err := w.close(); err != nil {
		return fmt.Errorf("write %s: %w", r.wanted, err)
	}
	if err := fault.At("lake.month.before"); err != nil {
		return err
	}
	if _, err := out.Commit(""); err != nil {
		return err
	}
	return fault.At("lake.month.after")
}

// copyDay adds a day file, in the version that was listed.
func (l *Lake) copyDay(ctx context.Context, w *monthWriter, o Object) error {
	r, err := l.bucket.Open(ctx, o.Key)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("read %s: %w", o.Key, ErrChanged)
	}
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read from
	if r.Object().ETag != o.ETag {
		return fmt.Errorf("read %s: %w", o.Key, ErrChanged)
	}
	if r, err = inMemory(r); err != nil {
		return fmt.Errorf("read %s: %w", o.Key, err)
	}
	f, err := readFooter(r, parquet.ReadBufferSize(4<<10))
	if err != nil {
		return fmt.Errorf("read %s: %w", o.Key, err)
	}
	d, _ := dateOfKey(o.Key, eventsPrefix)
	return w.add(ctx, d, f)
}

// inMemoryBytes is up to which size a day file is read in one go.
const inMemoryBytes = 4 << 20

// inMemory reads a small file in one go: forty columns, each with a buffer of its
// own, take longer.
func inMemory(r Reader) (Reader, error) {
	o := r.Object()
	if o.Size > inMemoryBytes {
		return r, nil
	}
	data := make([]byte, o.Size)
	if n, err := r.ReadAt(data, 0); int64(n) < o.Size {
		return nil, err
	}
	return memoryFile{bytes.NewReader(data), o}, nil
}

type memoryFile struct {
	*bytes.Reader
	o Object
}

func (f memoryFile) Object() Object { return f.o }
func (f memoryFile) Close() error   { return nil }

// RollUpBytes is the size of all roll-ups.
func (l *Lake) RollUpBytes(ctx context.Context) (int64, error) {
	have, err := l.bucket.List(ctx, monthsPrefix)
	if err != nil {
		return 0, fmt.Errorf("list roll-ups: %w", err)
	}
	var sum int64
	for _, o := range have {
		sum += o.Size
	}
	return sum, nil
}
