package simulate

import (
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// CollectSources are the event sources that a full collection reads: the four
// categories (IAM, STS, sign-in, the Identity Center family), and the two services
// whose tampering hides everything else.
var CollectSources = []string{
	"iam.amazonaws.com", "sts.amazonaws.com", "signin.amazonaws.com",
	"sso.amazonaws.com", "sso-directory.amazonaws.com", "sso-oauth.amazonaws.com", "identitystore.amazonaws.com",
	"cloudtrail.amazonaws.com", "organizations.amazonaws.com",
}

// Stream is what an account's region records of one service.
type Stream struct {
	Account string // account id
	Region  string
	Source  string // such as iam.amazonaws.com
}

// Entry is an event with what it can be looked up by; its record is made when it
// is asked for. The zero Entry is not usable.
type Entry struct {
	w *World
	p *plan
}

// Unix returns the event's time in seconds since 1970.
func (e Entry) Unix() int64 { return e.p.at }

// ID returns the event's id, a UUID.
func (e Entry) ID() [16]byte { return e.p.id }

// Stream returns where the event is recorded.
func (e Entry) Stream() Stream {
	return Stream{e.w.accounts[e.p.acct].id, e.w.regions[e.p.region], e.Source()}
}

// Source returns the event's source, such as iam.amazonaws.com.
func (e Entry) Source() string { return e.p.call.source + ".amazonaws.com" }

// Name returns the event's name.
func (e Entry) Name() string { return e.p.call.name }

// ReadOnly tells whether the call only read.
func (e Entry) ReadOnly() bool { return !e.p.call.write }

// AccessKeyID returns the key that signed the call; "" when the record has none.
func (e Entry) AccessKeyID() string {
	if e.p.copied {
		return ""
	}
	return e.p.sess.key
}

// Username returns who called, as LookupEvents names it: the user, "root", or the
// name of the role's session; "" for services and for callers from other accounts.
func (e Entry) Username() string {
	s := e.p.sess
	kind, _, _ := strings.Cut(strings.TrimPrefix(string(s.identity[:min(len(s.identity), 40)]), `{"type":"`), `"`)
	switch {
	case e.p.copied:
		return ""
	case kind == "Root":
		return "root"
	case kind == "IAMUser" && s.arn == "": // who mistyped a name at the sign-in page
		return "HIDDEN_DUE_TO_SECURITY_REASONS"
	case kind == "IAMUser":
		return s.arn[strings.LastIndexByte(s.arn, '/')+1:]
	case kind == "AssumedRole", kind == "FederatedUser", kind == "SAMLUser", kind == "WebIdentityUser":
		return s.name
	}
	return ""
}

// Record returns the event as a trail file holds it. It is the caller's.
func (e Entry) Record() []byte {
	c := &renderer{w: e.w}
	return c.append(make([]byte, 0, 2048), e.p)
}

// Recorded yields all events of [from, to) in time order, those of one second by
// id. It streams, as Between does.
func (w *World) Recorded(from, to time.Time) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		w.walk(ceilSecond(from), ceilSecond(to), func(plans []*plan) bool {
			for _, p := range plans {
				if !yield(Entry{w, p}) {
					return false
				}
			}
			return true
		})
	}
}

// Collectable returns the ids of all events of [from, to) that a full collection
// of the sources must find, by stream, in time order; streams without events are
// left out. Filtered service noise is among them: a collection reads it too.
func (w *World) Collectable(from, to time.Time, sources ...string) map[Stream][]string {
	if len(sources) == 0 {
		sources = CollectSources
	}
	found := map[Stream][]string{}
	for e := range w.Recorded(from, to) {
		if s := e.Stream(); slices.Contains(sources, s.Source) {
			found[s] = append(found[s], e.p.id.String())
		}
	}
	return found
}

const daySeconds = 86400

// History is a World indexed for looking events up newest first. It plans days as
// they are asked for and keeps the last ones, so that its memory is bounded. It
// is safe for concurrent use.
type History struct {
	w     *World
	limit int // plans kept

	presence func() map[place][]int64 // days with events, ascending, by place

	mu    sync.Mutex // guards what follows
	days  map[int64]*historyDay
	kept  int
	clock int64 // counts uses, for throwing out the least recently used day
}

// place is a stream by indexes; the empty source stands for all of a region.
type place struct {
	acct, region uint8
	source       string
}

type historyDay struct {
	once sync.Once
	used int64             // of History.mu
	n    int               // plans; 0 until they are there; of History.mu
	by   map[place][]*plan // by region (no source), ascending
}

// History returns an index of the world that keeps about limit events planned at
// a time; 0 means 400,000 (some 250 MB).
func (w *World) History(limit int) *History {
	if limit <= 0 {
		limit = 400_000
	}
	h := &History{w: w, limit: limit, days: map[int64]*historyDay{}}
	h.presence = sync.OnceValue(h.survey)
	return h
}

// survey notes on which days a stream has events, so that looking through an
// empty one does not plan the whole world again and again.
func (h *History) survey() map[place][]int64 {
	found := map[place][]int64{}
	note := func(at place, day int64) {
		if days := found[at]; len(days) == 0 || days[len(days)-1] != day {
			found[at] = append(days, day)
		}
	}
	h.w.walk(h.w.start, h.w.end, func(plans []*plan) bool {
		for _, p := range plans {
			day := p.at / daySeconds
			note(place{p.acct, p.region, ""}, day)
			note(place{p.acct, p.region, p.call.source}, day)
		}
		return true
	})
	return found
}

// Newest yields the events of one account and region in [from, to], Unix seconds,
// both inclusive, newest first, those of one second by descending id. A source
// such as iam.amazonaws.com narrows it; "" means all. Nothing is recorded in
// accounts and regions that the world does not have.
func (h *History) Newest(account, region, source string, from, to int64) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		at, ok := h.place(account, region, source)
		if !ok {
			return
		}
		for _, day := range slices.Backward(h.presence()[at]) {
			if day*daySeconds > to {
				continue
			}
			if (day+1)*daySeconds <= from {
				return
			}
			for _, p := range slices.Backward(h.day(day).by[place{at.acct, at.region, ""}]) {
				if p.at < from || p.at > to || at.source != "" && p.call.source != at.source {
					continue
				}
				if !yield(Entry{h.w, p}) {
					return
				}
			}
		}
	}
}

func (h *History) place(id, region, source string) (place, bool) {
	acct := slices.IndexFunc(h.w.accounts, func(a *account) bool { return a.id == id })
	reg := slices.Index(h.w.regions, region)
	short, ok := strings.CutSuffix(source, ".amazonaws.com")
	if acct < 0 || reg < 0 || source != "" && !ok {
		return place{}, false
	}
	return place{uint8(acct), uint8(reg), short}, true
}

// day returns a day's plans, and forgets other days when there are too many.
func (h *History) day(day int64) *historyDay {
	h.mu.Lock()
	d := h.days[day]
	if d == nil {
		d = &historyDay{}
		h.days[day] = d
	}
	h.clock++
	d.used = h.clock
	h.mu.Unlock()

	d.once.Do(func() {
		d.by = map[place][]*plan{}
		n := 0
		h.w.walk(day*daySeconds, (day+1)*daySeconds, func(plans []*plan) bool {
			for _, p := range plans {
				at := place{p.acct, p.region, ""}
				d.by[at] = append(d.by[at], p)
			}
			n += len(plans)
			return true
		})
		h.mu.Lock()
		defer h.mu.Unlock()
		d.n = n
		h.kept += n
		for h.kept > h.limit {
			oldest := int64(-1)
			for k, other := range h.days {
				if other.n > 0 && k != day && (oldest < 0 || other.used < h.days[oldest].used) {
					oldest = k
				}
			}
			if oldest < 0 {
				break
			}
			h.kept -= h.days[oldest].n
			delete(h.days, oldest)
		}
	})
	return d
}
