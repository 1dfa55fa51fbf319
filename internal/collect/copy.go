package collect

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/inbox"
	"github.com/iamtrack/iamtrack/internal/lake"
)

// copyRows is how many rows of a day are held at once while it is copied.
const copyRows = 2000

// CopyDay writes a day's hot rows, with their actors as they are known now, into
// another lake, which is to answer in place of a lake that isn't kept: the store
// isn't told. The rows are read once, and pass through an inbox in to's bucket, so
// that a day of any size takes little memory.
func (p *Pipeline) CopyDay(ctx context.Context, d event.Date, bucket lake.Bucket, to *lake.Lake) error {
	box := inbox.New(bucket)
	err := errors.Join(
		inChunks(p.Store.Day(ctx, d), func(rows []event.Event) error { return box.Put(ctx, d, rows, nil) }),
		inChunks(p.Store.DayFiltered(ctx, d), func(rows []event.Filtered) error { return box.Put(ctx, d, nil, rows) }))
	if err != nil {
		return fmt.Errorf("copy %v: %w", d, err)
	}
	lost, err := p.losers(ctx)
	if err != nil {
		return err
	}
	var bad error
	days, err := box.Days(ctx, func(pr inbox.Problem) { bad = fmt.Errorf("copy %v: %s: %s", d, pr.Object, pr.Reason) })
	if err != nil {
		return err
	}
	for _, day := range days {
		for last := false; !last; {
			batch, err := day.Next(ctx, to)
			if err = errors.Join(err, bad); err != nil {
				return err
			}
			if last = batch.Last; batch.Empty() {
				continue
			}
			in := lake.Input{Events: batch.Events, Filtered: batch.Filtered, Sources: batch.IDs}
			if in.Fill, err = p.filler(ctx, nil); err != nil {
				return err
			}
			drop, was, failed := p.dropper(ctx, d, lost)
			in.Drop, in.Was = drop, was
			_, _, err = to.Merge(ctx, d, in)
			if err = errors.Join(err, *failed); err != nil {
				return fmt.Errorf("copy %v: %w", d, err)
			}
			if err := batch.Done(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// inChunks passes rows on, some at a time.
func inChunks[T any](rows iter.Seq2[T, error], f func([]T) error) error {
	var chunk []T
	for r, err := range rows {
		if err != nil {
			return err
		}
		if chunk = append(chunk, r); len(chunk) == copyRows {
			if err := f(chunk); err != nil {
				return err
			}
			chunk = nil
		}
	}
	if len(chunk) == 0 {
		return nil
	}
	return f(chunk)
}
