package simulate

import "math"

// class is a kind of background activity with its own rhythm.
type class int

const (
	classNoise class = iota
	classPeople
	classPipelines
	classWorkloads
	classScanner
	classRobots
	classes
)

// share of the records that are not noise, and how many records one session of
// the class gives on average (measured; the test of the totals holds them to
// within a few percent).
var shares = [classes]struct{ share, records float64 }{
	classPeople:    {0.42, 15.4},
	classPipelines: {0.18, 10.7},
	classWorkloads: {0.16, 5.0},
	classScanner:   {0.16, 16.0},
	classRobots:    {0.08, 5.0},
}

// The most seconds between the first and the last event of a background session.
const maxSpan = 4 * 3600

// calendar knows the hours of the window.
type calendar struct {
	start, end  int64 // Unix seconds
	first, last int64 // Unix hours, inclusive
}

func newCalendar(start, end int64) calendar {
	return calendar{start, end, start / 3600, (end - 1) / 3600}
}

// bounds returns the part of an hour that is in the window.
func (c calendar) bounds(hour int64) (lo, hi int64) {
	return max(c.start, hour*3600), min(c.end, (hour+1)*3600)
}

// weekday counts from Sunday, 0; the epoch was a Thursday.
func weekday(at int64) int { return int((at/86400 + 4) % 7) }

func hourOfDay(at int64) int { return int(at % 86400 / 3600) }

// rhythm is how busy a class is in an hour.
func (cl class) rhythm(hour int64) float64 {
	at := hour * 3600
	h, d := hourOfDay(at), weekday(at)
	weekend := d == 0 || d == 6
	switch cl {
	case classPeople:
		// Sessions begin between 7 and 18 and last at most three hours, so that
		// no ordinary work is off hours (22 to 6).
		if weekend || h < 7 || h > 17 {
			return 0
		}
		return [...]float64{2, 6, 8, 8, 7, 4, 6, 8, 8, 6, 3}[h-7]
	case classPipelines:
		switch {
		case weekend || h < 6 || h > 20:
			return 0.5
		default:
			return 4
		}
	case classNoise:
		if h >= 7 && h <= 18 {
			return 1.2
		}
	}
	return 1
}

// budget spreads a number of sessions (of records, for noise) over the hours.
type budget struct {
	total   float64
	running []float64 // running[i]: weight of all hours before the i-th
}

func (b *budget) in(c calendar, hour int64) int {
	i := hour - c.first
	all := b.running[len(b.running)-1]
	if all == 0 {
		return 0
	}
	return int(b.total*b.running[i+1]/all) - int(b.total*b.running[i]/all)
}

func (w *World) setBudgets() {
	told := 0
	for _, plans := range w.scripted {
		told += len(plans)
	}
	want := 1.005 * float64(w.cfg.Events)
	rest := max(0, want*(1-w.cfg.Noise)-float64(told))
	// Sessions vary in length; four standard deviations of their sum, in noise,
	// which is planned record by record, make Events the least.
	noise := want*w.cfg.Noise + 8*math.Sqrt(rest) + 20
	for cl := range classes {
		b := &w.budget[cl]
		if cl == classNoise {
			b.total = noise
		} else {
			b.total = rest * shares[cl].share / shares[cl].records
		}
		b.running = make([]float64, 1, w.calendar.last-w.calendar.first+2)
		for h := w.calendar.first; h <= w.calendar.last; h++ {
			lo, hi := w.calendar.bounds(h)
			b.running = append(b.running, b.running[len(b.running)-1]+cl.rhythm(h)*float64(hi-lo)/3600)
		}
	}
}
