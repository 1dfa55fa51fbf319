package coverage_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/iamtrack/iamtrack/internal/coverage"
)

// cloud is one stream as CloudTrail answers about it: events, each found from its
// arrival on.
type cloud struct {
	at, arrives []int64 // sorted by at
	stored      []bool
	waits       []int64 // how long after its arrival each was stored, in this watch
	requests    int
}

// newCloud makes events in [from, to): perHour at random, delivered after up to
// delay seconds, one in a thousand two hours late.
func newCloud(seed uint64, from, to int64, perHour float64, delay int64) *cloud {
	rnd := rand.New(rand.NewPCG(seed, 1))
	n := int(perHour * float64(to-from) / hour)
	c := &cloud{at: make([]int64, n), arrives: make([]int64, n), stored: make([]bool, n)}
	for i := range c.at {
		c.at[i] = from + rnd.Int64N(to-from)
	}
	slices.Sort(c.at)
	for i, at := range c.at {
		c.arrives[i] = at + rnd.Int64N(delay+1)
		if rnd.IntN(1000) == 0 {
			c.arrives[i] = at + 2*hour
		}
	}
	return c
}

// read pages through a task as a collector does.
func (c *cloud) read(l *coverage.Ledger, t coverage.Task, now int64) {
	s := coverage.NewSlice(t.Span, t.Need)
	i := sort.Search(len(c.at), func(i int) bool { return c.at[i] >= t.Span.To }) - 1
	next := func() int { // the index of the next event that is found, or -1
		for ; i >= 0 && c.at[i] >= max(t.Span.From, now-90*day); i-- {
			if c.arrives[i] <= now {
				return i
			}
		}
		return -1
	}
	for !s.Done() {
		r := coverage.Read{Begun: now, Requests: 1}
		var oldest int64
		for ; r.Events < 50 && next() >= 0; i-- {
			r.Events++
			oldest = c.at[i]
			if !c.stored[i] {
				c.stored[i] = true
				c.waits = append(c.waits, now-c.arrives[i])
				r.New = append(r.New, oldest)
			}
		}
		c.requests++
		r.Span = s.Page(oldest, next() >= 0)
		l.Mark(r)
	}
}

// run is one run of a collector.
func (c *cloud) run(l *coverage.Ledger, now int64) {
	l.Begin(now)
	ledgers := []*coverage.Ledger{l}
	for _, t := range coverage.Plan(now, ledgers) {
		if t.Kind == coverage.Newest {
			c.read(l, t, now)
		}
	}
	for _, t := range coverage.Plan(now, ledgers) {
		c.read(l, t, now)
	}
}

// A week of watching, at any density: requests stay within 2.5 times one reading
// plus one per run; all is read, settled after a day and a half, and the state is small.
func TestWatchBudget(t *testing.T) {
	for _, perHour := range []float64{0, 0.2, 1, 2.1, 2.5, 3, 10, 25, 60, 100, 200, 300, 600, 1000, 3000} {
		for _, delay := range []int64{0, 300} {
			t.Run(fmt.Sprintf("%v an hour, delay %d", perHour, delay), func(t *testing.T) {
				const days = 7
				c := newCloud(1, t0, t0+days*day, perHour, delay)
				l := &coverage.Ledger{}
				c.run(l, t0) // the 90 days before, which are empty
				c.requests = 0
				runs := 0
				var now int64
				for now = t0 + 300; now <= t0+days*day; now += 300 {
					c.run(l, now)
					runs++
					if n := len(l.Encode()); n > 3000 {
						t.Fatalf("%d bytes of state after %d runs", n, runs)
					}
					if g := l.Gaps(coverage.Span{From: now - 89*day, To: now}); len(g) > 0 {
						t.Fatalf("after run %d: gaps %v", runs, g)
					}
				}
				now -= 300
				if level := l.Level(coverage.Span{From: t0, To: now - 37*hour}); level != coverage.Settled {
					t.Errorf("after 37 hours all is %v", level)
				}
				one := float64(len(c.at))/50 + 1
				spare := 2.5*one + float64(runs) - float64(c.requests)
				t.Logf("%d requests in %d runs, one reading is %.0f: %.2f readings beyond the runs; late %d, at most %ds",
					c.requests, runs, one, (float64(c.requests)-float64(runs))/one, l.Late, l.LateMax)
				if spare < 0 {
					t.Errorf("%d requests in %d runs; one reading is %.0f", c.requests, runs, one)
				}
				slices.Sort(c.waits)
				if n := len(c.waits); n > 0 {
					median, most, all := c.waits[n/2], c.waits[n*95/100], c.waits[n*999/1000]
					t.Logf("from arrival to store: median %ds, 95 %% %ds, 99.9 %% %ds", median, most, all)
					// A dense stream finds its latest events by the re-read after 24 hours,
					// and at 3,000 an hour with slow delivery more than those.
					if median > 300 || most > 300 && perHour <= 1000 || all > 2*hour && perHour <= 100 {
						t.Errorf("from arrival to store: median %ds, 95 %% %ds, 99.9 %% %ds", median, most, all)
					}
				}
				for i, at := range c.at {
					if !c.stored[i] && c.arrives[i] <= now-48*hour {
						t.Fatalf("the event of %d, there from %d, was never stored", at, c.arrives[i])
					}
				}
			})
		}
	}
}

// A year of runs every 5 minutes, with failures, pauses and interrupted runs of
// any kind: the state stays small, and nothing is claimed that was not there to
// be read.
func TestYearStaysSmall(t *testing.T) {
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		c := newCloud(seed, t0, t0+365*day, []float64{0.5, 20, 120}[seed], 300)
		l := &coverage.Ledger{}
		most := 0
		for now := int64(t0 + 300); now < t0+365*day; now += 300 {
			switch rnd.IntN(400) {
			case 0: // asleep
				now += rnd.Int64N(3*day) / 300 * 300
			case 1, 2, 3: // denied
				l.Begin(now)
				for _, task := range coverage.Plan(now, []*coverage.Ledger{l}) {
					l.Fail(task.Need, coverage.Denied, fmt.Sprint("request ", now), now)
				}
			case 4: // interrupted after some of its tasks
				l.Begin(now)
				for _, task := range coverage.Plan(now, []*coverage.Ledger{l}) {
					if rnd.IntN(2) == 0 {
						c.read(l, task, now)
					}
				}
			default:
				c.run(l, now)
			}
			spans := len(l.Covered(coverage.Span{To: 1 << 40})) + len(l.Gaps(coverage.Span{From: t0, To: now}))
			most = max(most, spans)
			if n := len(l.Encode()); spans > 100 || n > 4000 {
				t.Fatalf("seed %d: %d spans, %d bytes", seed, spans, n)
			}
			if rnd.IntN(2000) == 0 {
				for i, at := range c.at {
					if at < now && !c.stored[i] && c.arrives[i] <= now && l.Level(coverage.Span{From: at, To: at + 1}) >= coverage.Settled {
						t.Fatalf("seed %d: the event of %d, there from %d, was not stored though its second is settled", seed, at, c.arrives[i])
					}
				}
			}
		}
		t.Logf("seed %d: at most %d spans", seed, most)
	}
}
