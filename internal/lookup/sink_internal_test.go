package lookup

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
)

type noLedgers struct{ Ledgers }

func (noLedgers) UpdateStream(context.Context, coverage.Stream, func(*coverage.Ledger) error) error {
	return nil
}

// While writing is slow, what waits for it stays within its bounds, and all of it gets
// written, in batches that have their bounds, too.
func TestSinkIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pages, page = 100, 1 << 20
		written := 0
		s := newSink(func(_ context.Context, live []collect.Live) (collect.Ingested, error) {
			bytes := 0
			for _, l := range live {
				bytes += len(l.Data)
			}
			if bytes > batchBytes+page {
				t.Errorf("a batch of %d bytes", bytes)
			}
			written += len(live)
			time.Sleep(time.Hour)
			return collect.Ingested{Outcomes: make([]collect.Outcome, len(live)), Times: make([]int64, len(live))}, nil
		}, noLedgers{})
		go s.run(t.Context())
		var read atomic.Int64 // it goes on while it is looked at
		go func() {
			for range pages {
				it := item{region: &region{}, records: [][]byte{make([]byte, page/2), make([]byte, page/2)}}
				if err := s.put(t.Context(), it); err != nil {
					t.Error(err)
				}
				read.Add(1)
			}
			close(s.items)
		}()
		synctest.Wait()
		if n := read.Load(); n > waitingBytes/page {
			t.Errorf("%d pages of %d bytes are held", n, page)
		}
		<-s.ended
		if s.err != nil || written != 2*pages {
			t.Errorf("%d records are written, %v", written, s.err)
		}
	})
}

// One who can't hand over a page is told why.
func TestSinkIsFull(t *testing.T) {
	s := newSink(nil, nil)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errTimeUp)
	defer cancel()
	for {
		if err := s.put(ctx, item{records: [][]byte{make([]byte, 2*waitingBytes)}}); err != nil {
			if err != errTimeUp { //nolint:errorlint // it is never wrapped here
				t.Error(err)
			}
			return
		}
	}
}
