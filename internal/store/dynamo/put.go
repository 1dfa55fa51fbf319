package dynamo

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/store"
)

// find looks events up; those whose day was removed are no more, but their items are
// in stale.
func (s *Store) find(ctx context.Context, days map[event.Date]day, keys []event.Key, attributes ...string) (live, stale map[event.Key]foundEvent, err error) {
	wanted := make([]key, len(keys))
	for i, k := range keys {
		wanted[i] = eventKey(k)
	}
	items, err := s.get(ctx, wanted, attributes...)
	if err != nil {
		return nil, nil, err
	}
	live, stale = map[event.Key]foundEvent{}, map[event.Key]foundEvent{}
	for i, k := range keys {
		it := items[wanted[i]]
		if it == nil {
			continue
		}
		v, ok := parseRank(getBytes(it, "h"))
		if !ok {
			return nil, nil, s.damaged(wanted[i], "it has no version")
		}
		f := foundEvent{item: it, version: v, ms: getNumber(it, "t"), epoch: getString(it, "g")}
		if d, ok := days[f.date()]; ok && d.epoch == f.epoch {
			live[k] = f
		} else {
			stale[k] = f
		}
	}
	return live, stale, nil
}

// headAttributes are what find needs of an item.
var headAttributes = []string{"h", "t", "g"}

// Find implements store.Store.
func (s *Store) Find(ctx context.Context, keys []event.Key) (map[event.Key]store.Found, error) {
	found := map[event.Key]store.Found{}
	err := s.read(ctx, func(ctx context.Context) error {
		if len(keys) == 0 {
			return nil
		}
		days, err := s.days(ctx)
		if err != nil {
			return err
		}
		live, _, err := s.find(ctx, days, keys, headAttributes...)
		for k, f := range live {
			found[k] = store.Found{Date: f.date(), Version: f.version}
		}
		return err
	})
	return found, err
}

// Event implements store.Store.
func (s *Store) Event(ctx context.Context, k event.Key) (e event.Event, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		days, err := s.days(ctx)
		if err != nil {
			return err
		}
		live, _, err := s.find(ctx, days, []event.Key{k})
		if err != nil {
			return err
		}
		f, ok := live[k]
		if !ok {
			return fmt.Errorf("event %q: %w", k.EventID, store.ErrNotFound)
		}
		e, err = s.eventOf(ctx, f.item)
		return err
	})
	return e, err
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, events []event.Event, filtered []event.Filtered) error {
	return s.write(ctx, "put", func(ctx context.Context) error {
		return s.again(ctx, "put events", func(ctx context.Context) (bool, error) { return s.putOnce(ctx, events, filtered) })
	})
}

// plan is what a Put has to write.
type plan struct {
	days    map[event.Date]day
	writes  []planned
	losers  []*event.Event // not known as such yet
	packed  []chunk        // of filtered rows
	changed map[event.Date]bool
}

// planned is an event to write, in place of what was found; before is nil when there
// was none.
type planned struct {
	e      *event.Event
	before *foundEvent
}

// putOnce does it all, once; done is false when somebody else wrote to the same rows.
func (s *Store) putOnce(ctx context.Context, events []event.Event, filtered []event.Filtered) (done bool, err error) {
	p, err := s.planPut(ctx, events, filtered)
	if err != nil || len(p.changed) == 0 {
		return err == nil, err
	}
	writer := newWriter()
	epochs, err := s.signUp(ctx, writer, slices.Sorted(maps.Keys(p.changed)))
	if err != nil {
		return false, err
	}
	for date, epoch := range epochs {
		if known := p.days[date]; known.epoch != "" && known.epoch != epoch {
			// The day was removed and made anew since it was looked at.
			_, err := s.signOff(ctx, writer, epochs, nil)
			return false, err
		}
	}
	if err := s.putManifests(ctx, writer, p, epochs); err != nil {
		return false, err
	}
	if err := s.putSeen(ctx, p.writes); err != nil {
		return false, err
	}
	if len(p.losers) > 0 {
		a, err := s.announce(ctx, nil, refsOf(p.losers))
		if err != nil {
			return false, err
		}
		if err := s.putConflicts(ctx, p.losers); err != nil {
			return false, err
		}
		if err := s.leave(ctx, a); err != nil {
			return false, err
		}
	}
	var overtaken atomic.Bool
	err = parallel(ctx, len(p.writes), func(ctx context.Context, i int) error {
		w := &p.writes[i]
		it, err := s.eventItem(ctx, w.e, epochs[w.e.Date()])
		if err != nil {
			return err
		}
		c := absent
		if w.before != nil {
			c = w.before.same()
		}
		done, old, err := s.put(ctx, it, c)
		if err == nil && !done && !sameContent(old, it) {
			overtaken.Store(true)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if err := s.putChunks(ctx, p.packed, epochs); err != nil {
		return false, err
	}
	whole, err := s.signOff(ctx, writer, epochs, p.changed)
	return whole && !overtaken.Load(), err
}

// sameContent reports whether an item is there already: the answer to writing it got
// lost.
func sameContent(a, b item) bool {
	return a != nil && getString(a, "h") == getString(b, "h") && getString(a, "g") == getString(b, "g")
}

// planPut compares what is given with what is there.
func (s *Store) planPut(ctx context.Context, events []event.Event, filtered []event.Filtered) (*plan, error) {
	p := &plan{changed: map[event.Date]bool{}}
	var err error
	if p.days, err = s.days(ctx); err != nil {
		return nil, err
	}
	greatest := make(map[event.Key]*event.Event, len(events))
	keys := make([]event.Key, 0, len(events))
	contents := map[store.ConflictRef]*event.Event{}
	for i := range events {
		e := &events[i]
		contents[store.RefOf(e)] = e
		k := e.Key()
		switch g := greatest[k]; {
		case g == nil:
			keys = append(keys, k)
			greatest[k] = e
		case e.Version().Compare(g.Version()) > 0:
			greatest[k] = e
		}
	}
	live, stale, err := s.find(ctx, p.days, keys)
	if err != nil {
		return nil, err
	}
	lost := map[store.ConflictRef]*event.Event{}
	for ref, e := range contents {
		if f, ok := live[ref.Key]; (!ok || f.version.Hash != ref.Hash) && uint64(greatest[ref.Key].RecordHash) != ref.Hash {
			lost[ref] = e
		}
	}
	for _, k := range keys {
		e := greatest[k]
		f, ok := live[k]
		switch {
		case ok && f.version.Hash == uint64(e.RecordHash):
		case ok && e.Version().Compare(f.version) < 0:
			lost[store.RefOf(e)] = e
		case ok:
			old, err := s.eventOf(ctx, f.item)
			if err != nil {
				return nil, err
			}
			lost[store.RefOf(&old)] = &old
			p.changed[f.date()], p.changed[e.Date()] = true, true
			p.writes = append(p.writes, planned{e, &f})
		default:
			p.changed[e.Date()] = true
			w := planned{e: e}
			if f, ok := stale[k]; ok {
				w.before = &f
			}
			p.writes = append(p.writes, w)
		}
	}
	known, err := s.knownConflicts(ctx, slices.Collect(maps.Keys(lost)))
	if err != nil {
		return nil, err
	}
	for ref, e := range lost {
		if !known[ref] {
			p.losers = append(p.losers, e)
			p.changed[e.Date()] = true
		}
	}
	if p.packed, err = s.newFiltered(ctx, p.days, filtered); err != nil {
		return nil, err
	}
	for _, c := range p.packed {
		p.changed[c.date] = true
	}
	return p, nil
}

// A manifest lists keys of events that were put on a day: pk "m", date and epoch; sk
// the writer. Since events stand under their own keys, a day is found by these.
//
// An item with sk "left" and the key tells of an event that has another day since.

func manifestPK(d event.Date, epoch string) string { return join("m", dateKey(d), epoch) }

func (s *Store) putManifests(ctx context.Context, writer string, p *plan, epochs map[event.Date]string) error {
	byDay := map[event.Date][]listed{}
	var items []item
	for _, w := range p.writes {
		d := w.e.Date()
		byDay[d] = append(byDay[d], listed{w.e.Key(), w.e.EventTime})
		if b := w.before; b != nil && b.date() != d && p.days[b.date()].epoch == b.epoch {
			k := key{manifestPK(b.date(), b.epoch), join("left", digest(w.e.AccountID, w.e.EventID))}
			it := s.expires(k.item(), b.ms)
			it["b"] = bin(packListed([]listed{{w.e.Key(), b.ms}}))
			items = append(items, it)
		}
	}
	const enough = 5000 // keys in an item: 150 KB
	for d, list := range byDay {
		slices.SortFunc(list, compareListed)
		n := 0
		for part := range slices.Chunk(list, enough) {
			it := key{manifestPK(d, epochs[d]), join("w", writer, fmt.Sprintf("%04d", n))}.item()
			it["b"] = bin(packListed(part))
			items = append(items, s.expires(it, part[len(part)-1].ms))
			n++
		}
	}
	return s.writeAll(ctx, items, nil)
}

// listed is a key in a manifest, with the time that its event had.
type listed struct {
	event.Key
	ms int64
}

// compareListed is the order of a day.
func compareListed(a, b listed) int {
	return cmp.Or(strings.Compare(a.AccountID, b.AccountID), cmp.Compare(a.ms, b.ms), strings.Compare(a.EventID, b.EventID))
}

// anotherAccount stands for a time where the keys of another account begin: no two
// times are that far apart.
const anotherAccount = 1 << 52

func packListed(list []listed) []byte {
	var p packer
	p.columns = make([][]byte, 3)
	account, last := "", int64(0)
	for i, l := range list {
		if i == 0 || l.AccountID != account {
			account = l.AccountID
			p.text(0, account)
			p.number(1, anotherAccount)
			last = 0
		}
		p.ms(1, l.ms-last)
		last = l.ms
		p.id(2, l.EventID)
	}
	return p.bytes()
}

func unpackListed(packed []byte) (list []listed, err error) {
	u, err := unpack(packed, 3)
	if err != nil {
		return nil, err
	}
	account, last := "", int64(0)
	for u.more(1) {
		n := u.ms(1)
		if n == anotherAccount/2*1000 {
			account, last = u.text(0), 0
			continue
		}
		last += n
		list = append(list, listed{event.Key{AccountID: account, EventID: u.id(2)}, last})
	}
	return list, u.err()
}

// listDay returns the keys that are listed on a day, in order, each once for each of
// its times; doubtful are those of which an event may not be there.
func (s *Store) listDay(ctx context.Context, d *day) (list []listed, doubtful map[event.Key]bool, err error) {
	doubtful = map[event.Key]bool{}
	for it, err := range s.query(ctx, manifestPK(d.date, d.epoch), between{}) {
		if err != nil {
			return nil, nil, err
		}
		part, err := unpackListed(getBytes(it, "b"))
		if err != nil {
			return nil, nil, s.damaged(keyOf(it), err.Error())
		}
		kind, writer, _ := strings.Cut(getString(it, "sk"), "#")
		writer = writer[:max(0, len(writer)-5)]
		if kind == "left" || slices.Contains(d.writers, writer) || slices.Contains(d.failed, writer) {
			for _, l := range part {
				doubtful[l.Key] = true
			}
		}
		if kind != "left" {
			list = append(list, part...)
		}
	}
	slices.SortFunc(list, compareListed)
	return slices.Compact(list), doubtful, nil
}

// Day implements store.Store.
func (s *Store) Day(ctx context.Context, date event.Date) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		err := s.read(ctx, func(ctx context.Context) error {
			found, err := s.get(ctx, []key{dayKey(date)})
			if err != nil || len(found) == 0 {
				return err
			}
			d := dayOf(found[dayKey(date)])
			list, _, err := s.listDay(ctx, &d)
			if err != nil {
				return err
			}
			return s.readDay(ctx, &d, list, yield)
		})
		if err != nil && err != errStop { //nolint:errorlint // it is never wrapped
			yield(event.Event{}, err)
		}
	}
}

// errStop ends a sequence that nobody wants the rest of.
var errStop = fmt.Errorf("enough")

// readDay yields the events of a day, in the order of its keys, and reads ahead.
func (s *Store) readDay(ctx context.Context, d *day, list []listed, yield func(event.Event, error) bool) error {
	const ahead = 4
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		items map[key]item
		err   error
	}
	var pending []chan answer
	parts := slices.Collect(slices.Chunk(list, mostGets))
	ask := func(part []listed) {
		c := make(chan answer, 1)
		pending = append(pending, c)
		keys := make([]key, len(part))
		for i, l := range part {
			keys[i] = eventKey(l.Key)
		}
		go func() {
			items, err := s.get(ctx, keys)
			c <- answer{items, err}
		}()
	}
	for i, part := range parts {
		for len(pending) < ahead && i+len(pending) < len(parts) {
			ask(parts[i+len(pending)])
		}
		got := <-pending[0]
		pending = pending[1:]
		if got.err != nil {
			return got.err
		}
		for _, l := range part {
			it := got.items[eventKey(l.Key)]
			// It may be not there yet, on another day now, or at another time, under
			// which it is listed too.
			if it == nil || getString(it, "g") != d.epoch || getNumber(it, "t") != l.ms {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			e, err := s.eventOf(ctx, it)
			if err != nil {
				return err
			}
			if !yield(e, nil) {
				return errStop
			}
		}
	}
	return nil
}

// counted is how many rows a day has.
type counted struct{ events, filtered int64 }

func (s *Store) countDay(ctx context.Context, d *day) (n counted, err error) {
	list, doubtful, err := s.listDay(ctx, d)
	if err != nil {
		return n, err
	}
	sure := make(map[event.Key]bool, len(list))
	for _, l := range list {
		if !doubtful[l.Key] {
			sure[l.Key] = true
		}
	}
	n.events = int64(len(sure))
	live, _, err := s.find(ctx, map[event.Date]day{d.date: *d}, slices.Collect(maps.Keys(doubtful)), headAttributes...)
	if err != nil {
		return n, err
	}
	n.events += int64(len(live))
	rows, err := s.filteredOf(ctx, d, "")
	n.filtered = int64(len(rows))
	return n, err
}

// The conflicts: pk "conflict"; sk account, id and hash; attributes as an event's
// rest. Contents that lost are few.
const conflictPK = "conflict"

func conflictKey(r store.ConflictRef) key {
	return key{conflictPK, join(safe(r.Key.AccountID), safe(r.Key.EventID), fmt.Sprintf("%016x", r.Hash))}
}

func refsOf(events []*event.Event) []store.ConflictRef {
	refs := make([]store.ConflictRef, len(events))
	for i, e := range events {
		refs[i] = store.RefOf(e)
	}
	return refs
}

// manyRefs is for how many contents it is cheaper to read all conflicts, which are few:
// to ask for one that isn't there takes as much as to read a dozen.
const manyRefs = 50

func (s *Store) knownConflicts(ctx context.Context, refs []store.ConflictRef) (map[store.ConflictRef]bool, error) {
	keys := make([]key, len(refs))
	for i, r := range refs {
		keys[i] = conflictKey(r)
	}
	there, err := s.whichConflicts(ctx, keys)
	if err != nil {
		return nil, err
	}
	known := map[store.ConflictRef]bool{}
	for i, r := range refs {
		if there[keys[i]] {
			known[r] = true
		}
	}
	return known, nil
}

// whichConflicts returns at least those of the keys that are there.
func (s *Store) whichConflicts(ctx context.Context, keys []key) (map[key]bool, error) {
	there := map[key]bool{}
	if len(keys) >= manyRefs {
		whole := true
		for it, err := range s.query(ctx, conflictPK, between{}) {
			if err != nil {
				return nil, err
			}
			if there[keyOf(it)] = true; len(there) > 4*len(keys) {
				whole = false
				break
			}
		}
		if whole {
			return there, nil
		}
		clear(there)
	}
	found, err := s.get(ctx, keys, "h")
	for k := range found {
		there[k] = true
	}
	return there, err
}

// putConflicts adds contents that lost. The caller has announced them.
func (s *Store) putConflicts(ctx context.Context, events []*event.Event) error {
	return parallel(ctx, len(events), func(ctx context.Context, i int) error {
		ref := store.RefOf(events[i])
		it := conflictKey(ref).item()
		it["h"] = bin(binary.BigEndian.AppendUint64(nil, ref.Hash))
		if err := s.store(ctx, "conflict", it, packEvent(events[i], 0)); err != nil {
			return err
		}
		_, _, err := s.put(ctx, it, absent)
		return err
	})
}

// IsConflict implements store.Store.
func (s *Store) IsConflict(ctx context.Context, refs []store.ConflictRef) (known map[store.ConflictRef]bool, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		known, err = s.knownConflicts(ctx, refs)
		return err
	})
	return known, err
}

// Conflicts implements store.Store.
func (s *Store) Conflicts(ctx context.Context) iter.Seq2[event.Event, error] {
	return sequence(ctx, s, func(ctx context.Context) ([]event.Event, error) {
		items, err := all(s.query(ctx, conflictPK, between{}))
		if err != nil {
			return nil, err
		}
		list := make([]event.Event, len(items))
		for i, it := range items {
			packed, err := s.load(ctx, it)
			if err != nil {
				return nil, err
			}
			if list[i], _, err = unpackEvent(packed); err != nil {
				return nil, s.damaged(keyOf(it), err.Error())
			}
		}
		slices.SortFunc(list, func(a, b event.Event) int { return store.RefOf(&a).Compare(store.RefOf(&b)) })
		return list, nil
	})
}

// sequence yields what take returns, which runs when the iteration starts.
func sequence[T any](ctx context.Context, s *Store, take func(context.Context) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var list []T
		err := s.read(ctx, func(ctx context.Context) (err error) {
			list, err = take(ctx)
			return err
		})
		for _, v := range list {
			if err = context.Cause(ctx); err != nil {
				break
			}
			if !yield(v, nil) {
				return
			}
		}
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}
