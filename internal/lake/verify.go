package lake

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Problem is one thing that Verify found wrong.
type Problem struct {
	Date event.Date
	File string    // object key
	Row  int64     // from 0; -1 for the file as a whole
	Key  event.Key // of the row, if it is known
	Text string
}

// String names file and row, and what is wrong. The event id is quoted, since it
// is whatever a record said.
func (p Problem) String() string {
	if p.Row < 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s: row %d (event %q): %s", p.File, p.Row, p.Key.EventID, p.Text)
}

// Verify reads all of a day and reports what is wrong: a damaged file, a row of
// another day, out of order or there twice, an event whose record doesn't
// reassemble to its hash, counts in the footer that aren't so, a filtered row
// whose event is stored, a key that the index doesn't have. It returns what the
// day's files really hold, as far as they could be read. The error is for what
// kept it from looking; a day without files is no problem.
func (l *Lake) Verify(ctx context.Context, date event.Date, report func(Problem)) (Stats, error) {
	v := &verifier{ctx: ctx, l: l, date: date, report: report, keys: new(keySet)}
	out := Stats{Date: date}
	var err error
	if out.Categories, out.Events, err = verifyTable(v, eventTable, v.event, &out.Bytes); err != nil {
		return out, fmt.Errorf("verify %v: %w", date, err)
	}
	if err := v.index(); err != nil {
		return out, fmt.Errorf("verify %v: %w", date, err)
	}
	events := v.keys
	v.keys = new(keySet)
	_, out.Filtered, err = verifyTable(v, filteredTable, func(f *event.Filtered) string {
		if _, ok := events.find(hashKey(f.Key())); ok {
			return "filtered although its event is stored"
		}
		return ""
	}, &out.Bytes)
	if err != nil {
		return out, fmt.Errorf("verify %v: %w", date, err)
	}
	return out, nil
}

type verifier struct {
	ctx    context.Context
	l      *Lake
	date   event.Date
	report func(Problem)
	keys   *keySet // seen in the table
}

// reported turns what is wrong with a file into a problem, and leaves other
// errors (permissions, cancellation) to the caller.
func (v *verifier) reported(file string, err error) error {
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrNewer) || isDamagedRun(err) {
		v.report(Problem{Date: v.date, File: file, Row: -1, Text: err.Error()})
		return nil
	}
	return err
}

func verifyTable[T any](v *verifier, t *table[T], check func(*T) string, size *int64) (map[string]int64, int64, error) {
	key := t.path(v.date)
	counts := map[string]int64{}
	f, err := v.l.openDay(v.ctx, key)
	if err != nil {
		return counts, 0, v.reported(key, err)
	}
	if f == nil {
		return counts, 0, nil
	}
	defer f.close()
	*size += f.bytes()
	if err := checkSeal(v.ctx, f); err != nil {
		if err := v.reported(key, err); err != nil {
			return counts, 0, err
		}
	}
	rows, err := t.read(f)
	if err != nil {
		return counts, 0, v.reported(key, err)
	}
	defer rows.close()
	var pair [2]T
	n := int64(0)
	for {
		row, err := rows.next(v.ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return counts, n, v.reported(key, err)
		}
		cur, prev := &pair[n&1], &pair[n&1^1]
		*cur = *row
		wrong := func(text string) {
			v.report(Problem{Date: v.date, File: key, Row: n, Key: t.id(cur), Text: text})
		}
		if d := t.date(cur); d != v.date {
			wrong("belongs to " + d.String())
		}
		if n > 0 && t.compare(prev, cur) >= 0 {
			wrong("not in order of account, time and id")
		}
		if _, added := v.keys.add(hashKey(t.id(cur))); !added {
			wrong("the key is there twice")
		}
		if text := check(cur); text != "" {
			wrong(text)
		}
		counts[t.count(cur)]++
		n++
	}
	if n != f.rows() || !maps.Equal(counts, f.counts) {
		v.report(Problem{Date: v.date, File: key, Row: -1,
			Text: fmt.Sprintf("the footer says %d rows %v, the file has %d rows %v", f.rows(), f.counts, n, counts)})
	}
	return counts, n, nil
}

// event checks that an event's columns still make the record they came from.
func (v *verifier) event(e *event.Event) string {
	record, err := e.Record()
	if err != nil {
		return "the record doesn't reassemble: " + err.Error()
	}
	sum := sha256.Sum256(record)
	if int64(binary.BigEndian.Uint64(sum[:8])) != e.RecordHash {
		return "the record doesn't match record_hash"
	}
	return ""
}

// index checks that the key index has every key seen.
func (v *verifier) index() error {
	if v.keys.n == 0 {
		return nil
	}
	m := monthOf(v.date)
	present, err := v.l.bucket.List(v.ctx, keysPrefix+m.String())
	if err != nil {
		return err
	}
	have := make(map[uint64]struct{}, v.keys.n)
	for _, o := range present {
		if _, ok := monthOfRun(o.Key); !ok {
			continue
		}
		r, err := openRun(v.ctx, v.l.bucket, o.Key)
		if errors.Is(err, ErrNotFound) {
			continue // folded since
		}
		if err == nil {
			err = dayEntries(v.ctx, r, v.date, have)
			_ = r.close() // only read from
		}
		if err := v.reported(o.Key, err); err != nil {
			return err
		}
	}
	missing := 0
	for i := range v.keys.n {
		if _, ok := have[entryOf(v.keys.hash(i), v.date)]; !ok {
			missing++
		}
	}
	if missing > 0 {
		v.report(Problem{Date: v.date, File: mainRun(m), Row: -1,
			Text: fmt.Sprintf("the key index lacks %d of %d keys: export --rebuild repairs it", missing, v.keys.n)})
	}
	return nil
}

func dayEntries(ctx context.Context, r *run, d event.Date, into map[uint64]struct{}) error {
	s := r.stream(ctx)
	for {
		e, ok, err := s.next()
		if err != nil || !ok {
			return err
		}
		if int(e&(1<<dayBits-1)) == d.Time().Day() {
			into[e] = struct{}{}
		}
	}
}
