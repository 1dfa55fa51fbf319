package lookup

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/fault"
)

const (
	// A batch is written when it has this many records or bytes, or is this old: few
	// transactions, and little to read again after a kill.
	batchRecords = 1000
	batchBytes   = 8 << 20
	batchAge     = time.Second
	// waitingBytes bounds the records that are read and not yet written: an event may
	// have 256 KB, and a function 256 MB.
	waitingBytes = 32 << 20
)

// item is one page of a slice: records, and what of the stream has been read once
// they are stored. With flushed it is no page, but asks to write all before it.
type item struct {
	region  *region
	stream  coverage.Stream
	records [][]byte
	read    coverage.Read
	flushed chan<- struct{}
	bytes   int64 // of the records, as they count for waitingBytes
}

// sink makes pages durable, in the order that loses nothing: first the events,
// with their alerts, then what they cover.
type sink struct {
	ingest  func(context.Context, []collect.Live) (collect.Ingested, error)
	ledgers Ledgers

	items chan item
	room  *semaphore.Weighted // of waitingBytes
	ended chan struct{}       // closed when run has returned
	err   error               // why it ended; read it after ended

	total collect.Ingested
}

func newSink(ingest func(context.Context, []collect.Live) (collect.Ingested, error), ledgers Ledgers) *sink {
	return &sink{ingest: ingest, ledgers: ledgers, items: make(chan item, 64), room: semaphore.NewWeighted(waitingBytes), ended: make(chan struct{})}
}

// put hands a page over; it blocks while writing is slower than reading.
func (s *sink) put(ctx context.Context, it item) error {
	for _, r := range it.records {
		it.bytes += int64(len(r))
	}
	it.bytes = min(it.bytes, waitingBytes)
	if s.room.Acquire(ctx, it.bytes) != nil {
		return context.Cause(ctx)
	}
	select {
	case s.items <- it:
		return nil
	case <-s.ended:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// flush waits until all that was put is durable.
func (s *sink) flush(ctx context.Context) error {
	flushed := make(chan struct{})
	if err := s.put(ctx, item{flushed: flushed}); err != nil {
		return err
	}
	select {
	case <-flushed:
		return nil
	case <-s.ended:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run writes until items is closed, or writing fails.
func (s *sink) run(ctx context.Context) {
	defer close(s.ended)
	var (
		batch   []item
		records int
		bytes   int64
		timer   = time.NewTimer(batchAge)
	)
	timer.Stop()
	defer timer.Stop()
	flush := func() bool {
		timer.Stop()
		if s.err = s.write(ctx, batch); s.err != nil {
			return false
		}
		s.room.Release(bytes)
		clear(batch) // of its records
		batch, records, bytes = batch[:0], 0, 0
		return true
	}
	for {
		select {
		case it, more := <-s.items:
			if !more {
				flush()
				return
			}
			if it.flushed != nil {
				if !flush() {
					return
				}
				close(it.flushed)
				continue
			}
			if len(batch) == 0 {
				timer.Reset(batchAge)
			}
			batch = append(batch, it)
			records += len(it.records)
			bytes += it.bytes
			if (records >= batchRecords || bytes >= batchBytes) && !flush() {
				return
			}
		case <-timer.C:
			if !flush() {
				return
			}
		}
	}
}

// write makes a batch durable.
func (s *sink) write(ctx context.Context, batch []item) error {
	if len(batch) == 0 {
		return nil
	}
	var (
		live  []collect.Live
		owner []int
	)
	for i := range batch {
		it := &batch[i]
		from := "LookupEvents " + it.stream.String()
		for _, r := range it.records {
			live = append(live, collect.Live{Data: r, From: from})
			owner = append(owner, i)
		}
	}
	if len(live) > 0 {
		if err := fault.At("lookup.events.before"); err != nil {
			return err
		}
		res, err := s.ingest(ctx, live)
		if err != nil {
			return fmt.Errorf("store what was collected: %w", err)
		}
		if err := fault.At("lookup.events.after"); err != nil {
			return err
		}
		s.count(&res)
		for i, o := range res.Outcomes {
			if it := &batch[owner[i]]; o == collect.Stored {
				it.read.New = append(it.read.New, res.Times[i])
			}
		}
	}
	return s.mark(ctx, batch)
}

func (s *sink) count(res *collect.Ingested) {
	t := &s.total
	t.Records += res.Records
	t.Stored += res.Stored
	t.Duplicates += res.Duplicates
	t.Conflicts += res.Conflicts
	t.Filtered += res.Filtered
	t.Rejected += res.Rejected
	t.NotSelected += res.NotSelected
	t.Alerts += res.Alerts
}

// mark books what a batch has read, a stream at a time.
func (s *sink) mark(ctx context.Context, batch []item) error {
	of := map[coverage.Stream][]item{}
	var order []coverage.Stream
	for _, it := range batch {
		if of[it.stream] == nil {
			order = append(order, it.stream)
		}
		of[it.stream] = append(of[it.stream], it)
	}
	for _, stream := range order {
		if err := fault.At("lookup.ledger.before"); err != nil {
			return err
		}
		pages, late := of[stream], int64(0)
		err := s.ledgers.UpdateStream(ctx, stream, func(l *coverage.Ledger) error {
			before := l.Late
			for _, it := range pages {
				l.Mark(it.read)
			}
			late = l.Late - before
			return nil
		})
		if err != nil {
			return fmt.Errorf("record what was collected of %s: %w", stream, err)
		}
		pages[0].region.booked(pages, late)
		if err := fault.At("lookup.ledger.after"); err != nil {
			return err
		}
	}
	return nil
}
