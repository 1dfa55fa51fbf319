package collect

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/event"
)

// rollUpAfter is how many days a month must be over before its days are copied
// into one file: until then events still arrive for it all the time.
const rollUpAfter = 2

// rollUpTogether is how many months are copied at once, each in some 50 MB.
const rollUpTogether = 2

// RollUp makes the lake's files by month right (package lake, RollUpKey): for the
// months that are over and whose day files have changed since, or never had one.
// It belongs after whatever changes many days, and not before an answer, which is
// right without it and must not wait. A month that can't be copied doesn't keep
// others from it; nothing needs to be undone after an error, and the next call
// tries again. It returns how many months it changed; with nothing to do it
// writes nothing. Progress, if not nil, is called after each month, by one
// goroutine at a time.
func (p *Pipeline) RollUp(ctx context.Context, progress func(done, total int)) (int, error) {
	before := event.DateOf(p.Now().UnixMilli()) - rollUpAfter
	due, err := p.Lake.RollUpsDue(ctx, before)
	if err != nil {
		return 0, err
	}
	var (
		changed atomic.Int64
		failed  []error
	)
	// The lease is let go of in between, for whoever waits for it.
	together := min(rollUpTogether, runtime.GOMAXPROCS(0))
	for done := 0; done < len(due); {
		months := due[done:min(done+together, len(due))]
		errs := make([]error, len(months))
		err := p.withLease(ctx, true, func(ctx context.Context) error {
			var g errgroup.Group
			for i, m := range months {
				g.Go(func() error {
					var did bool
					if did, errs[i] = p.Lake.RollUp(ctx, m, before); did {
						changed.Add(1)
					}
					return nil
				})
			}
			return g.Wait()
		})
		if err == nil {
			err = ctx.Err()
		}
		failed = append(failed, errs...)
		if err != nil {
			failed = append(failed, err)
			break
		}
		done += len(months)
		if progress != nil {
			progress(done, len(due))
		}
	}
	failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil })
	switch len(failed) {
	case 0:
		return int(changed.Load()), nil
	case 1:
		return int(changed.Load()), failed[0]
	}
	return int(changed.Load()), fmt.Errorf("%w (and %d more errors of other months)", failed[0], len(failed)-1)
}
