package simulate

import (
	"bytes"
	"cmp"
	"slices"
)

// planner plans the background of one hour. What it plans may lie up to maxSpan
// seconds behind the hour.
type planner struct {
	w      *World
	r      rng
	hour   int64
	lo, hi int64 // the part of the hour that is in the window
	out    []*plan
	arena  []plan
}

// planHour plans all background sessions that begin in an hour: a pure function
// of seed and hour.
func (w *World) planHour(hour int64) []*plan {
	p := &planner{w: w, r: seeded(w.cfg.Seed, label("hour"), uint64(hour)), hour: hour}
	p.lo, p.hi = w.calendar.bounds(hour)
	for range w.budget[classPeople].in(w.calendar, hour) {
		p.person()
	}
	for range w.budget[classPipelines].in(w.calendar, hour) {
		p.pipeline()
	}
	for range w.budget[classWorkloads].in(w.calendar, hour) {
		if p.r.chance(0.55) {
			p.instance()
		} else {
			p.function()
		}
	}
	for range w.budget[classScanner].in(w.calendar, hour) {
		p.scan()
	}
	for range w.budget[classRobots].in(w.calendar, hour) {
		p.robot()
	}
	noise := len(p.out) + w.budget[classNoise].in(w.calendar, hour)
	for len(p.out) < noise {
		p.noise(noise - len(p.out))
	}
	return p.out
}

// begin draws the time at which a session begins.
func (p *planner) begin() int64 { return p.lo + int64(p.r.intn(int(p.hi-p.lo))) }

// later moves a session's clock by 1 to most seconds; at the end of the window
// time stands still, so that sessions are not cut in two.
func (p *planner) later(at *int64, most int) {
	*at = min(*at+int64(p.r.between(1, most)), p.w.end-1)
}

func (p *planner) account() uint8 {
	// Production is the busiest.
	switch n := p.r.intn(10); {
	case n < 4:
		return production
	case n < 7:
		return development
	case n < 8:
		return management
	}
	return uint8(p.r.intn(len(p.w.accounts)))
}

// emit plans one event.
func (p *planner) emit(at int64, s *session, k *call, region uint8) *plan {
	if len(p.arena) == cap(p.arena) {
		p.arena = make([]plan, 0, 256)
	}
	if k.global {
		region = p.w.global
	}
	p.arena = append(p.arena, plan{at: at, id: p.r.newUUID(), req: p.r.next(), call: k, sess: s, acct: s.acct, region: region})
	e := &p.arena[len(p.arena)-1]
	p.out = append(p.out, e)
	return e
}

// issue plans an event that hands out the credentials of child. When the role
// is another account's, that account gets its own copy.
func (p *planner) issue(at int64, s *session, k *call, region uint8, child *session) *plan {
	e := p.emit(at, s, k, region)
	e.child = child
	if child.acct != s.acct {
		other := p.emit(at, s, k, region)
		other.acct, other.child, other.copied = child.acct, child, true
		other.req = e.req
		e.shared, other.shared = true, true
	}
	return e
}

// work plans up to n calls of a session, some of which go wrong.
func (p *planner) work(at *int64, s *session, calls []*call, n, gap int, region uint8) {
	for range n {
		p.later(at, gap)
		e := p.emit(*at, s, pick(&p.r, calls), region)
		switch p.r.intn(100) {
		case 0, 1, 2:
			e.failed = denied
		case 3:
			e.failed = notFound
		case 4:
			e.failed = throttled
		}
		if e.call == callCallerIdentity || s.noise {
			e.failed = fine
		}
	}
}

func byTime(a, b *plan) int {
	return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(a.id[:], b.id[:]))
}

// walk calls visit with the plans of [from, to), Unix seconds, hour by hour, each
// hour sorted by time and id. It stops when visit returns false.
func (w *World) walk(from, to int64, visit func([]*plan) bool) {
	from, to = max(from, w.start), min(to, w.end)
	if from >= to {
		return
	}
	var ahead []*plan // planned already, but of later hours
	first := max(w.calendar.first, (from-maxSpan)/3600)
	for h := first; h <= (to-1)/3600; h++ {
		var now, next []*plan
		for _, p := range slices.Concat(ahead, w.planHour(h), w.scripted[h]) {
			switch {
			case p.at >= (h+1)*3600:
				next = append(next, p)
			case p.at >= from && p.at < to:
				now = append(now, p)
			}
		}
		ahead = next
		slices.SortFunc(now, byTime)
		if len(now) > 0 && !visit(now) {
			return
		}
	}
}
