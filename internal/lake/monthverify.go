package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/iamtrack/iamtrack/internal/event"
)

// VerifyRollUps reads all roll-ups that would be used for answers and reports
// where one differs from its day files. stale is how many others there are. The
// error is for what kept it from looking.
func (l *Lake) VerifyRollUps(ctx context.Context, report func(Problem)) (used, stale int, err error) {
	all, err := l.listRollUps(ctx, "")
	if err != nil {
		return 0, 0, fmt.Errorf("verify roll-ups: %w", err)
	}
	for _, m := range slices.Sorted(maps.Keys(all)) {
		r := all[m]
		stale += len(r.useless())
		if r.wanted == "" || r.missing() {
			continue
		}
		used++
		err := l.verifyRollUp(ctx, r)
		var wrong *rollUpError
		switch {
		case errors.As(err, &wrong), errors.Is(err, ErrDamaged), errors.Is(err, ErrNewer):
			report(Problem{Date: m.date(1), File: r.wanted, Row: -1, Text: err.Error() +
				": delete the file, answers can do without it; the next export makes it again"})
		case errors.Is(err, ErrNotFound):
			used-- // replaced or removed since it was listed
		case err != nil:
			return used, stale, fmt.Errorf("verify %s: %w", r.wanted, err)
		}
	}
	return used, stale, nil
}

// rollUpError says where a roll-up differs from its day files.
type rollUpError struct{ text string }

func (e *rollUpError) Error() string { return e.text }

// verifyRollUp compares a month's roll-up with its day files, row by row.
func (l *Lake) verifyRollUp(ctx context.Context, r *rollUps) error {
	f, err := l.openDay(ctx, r.wanted)
	if err != nil {
		return err
	}
	if f == nil {
		return ErrNotFound
	}
	defer f.close()
	if err := checkSeal(ctx, f); err != nil {
		return err
	}
	made, _ := f.Lookup(metaDays)
	if list, _, _ := rollUpList(r.days); made != list {
		return &rollUpError{"its name and its footer tell of different day files"}
	}
	month, err := eventTable.read(f)
	if err != nil {
		return err
	}
	defer month.close()
	n := 0
	counts := map[string]int64{}
	var dates []event.Date // of each row
	for _, o := range r.days {
		d, _ := dateOfKey(o.Key, eventsPrefix)
		for e, err := range l.Events(ctx, d) {
			if err != nil {
				return fmt.Errorf("compare with %v: %w", d, err)
			}
			row, err := month.next(ctx)
			if errors.Is(err, io.EOF) {
				return &rollUpError{fmt.Sprintf("it ends after %d rows, before the end of %v", n, d)}
			}
			if err != nil {
				return err
			}
			if *row != e {
				return &rollUpError{fmt.Sprintf("row %d isn't that of %v", n, d)}
			}
			counts[e.Category]++
			dates = append(dates, d)
			n++
		}
	}
	if _, err := month.next(ctx); !errors.Is(err, io.EOF) {
		return &rollUpError{"it has more rows than its day files"}
	}
	if !maps.Equal(counts, f.counts) {
		return &rollUpError{fmt.Sprintf("its footer says %v, it has %v", f.counts, counts)}
	}
	return checkDates(f, dates)
}

// checkDates compares a roll-up's column event_date, which is no field of an
// event, with what it should be.
func checkDates(f *file, want []event.Date) (err error) {
	defer damageOf(&err)
	leaf, ok := f.Schema().Lookup(eventDate)
	if !ok || leaf.Node.Type().Kind() != parquet.Int32 {
		return &rollUpError{"it has no column " + eventDate}
	}
	n := 0
	values := make([]parquet.Value, 1024)
	for _, g := range f.RowGroups() {
		from := monthSource{field: &field{kind: integer}, pages: g.ColumnChunks()[leaf.ColumnIndex].Pages()}
		defer from.close()
		for left := int(g.NumRows()); left > 0; {
			k, err := from.read(values[:min(left, len(values))])
			if err != nil {
				return err
			}
			for _, v := range values[:k] {
				if n == len(want) || v.Int32() != int32(want[n]) {
					return &rollUpError{fmt.Sprintf("row %d has a wrong %s", n, eventDate)}
				}
				n++
			}
			left -= k
		}
	}
	return nil
}
