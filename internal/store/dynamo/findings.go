package dynamo

import (
	"cmp"
	"context"
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Announcements say what a writer is about to add that groups must be settled for:
// pk "unsettled"; sk the writer, whose time may be up; b groups, and contents that
// lost. Whoever settles does the groups of all announcements, and takes back its own
// and those of writers that are dead, or have left the settling to others (z).
const unsettledPK = "unsettled"

type announcement struct {
	key    key
	done   bool // its writer writes no more
	groups []string
	refs   []store.ConflictRef
}

func (s *Store) announce(ctx context.Context, groups []string, refs []store.ConflictRef) (announcement, error) {
	a := announcement{key: key{unsettledPK, newWriter()}, groups: groups, refs: refs}
	var p packer
	p.columns = make([][]byte, 3)
	for _, g := range groups {
		p.text(0, g)
	}
	for _, r := range refs {
		p.text(1, r.Key.AccountID)
		p.id(2, r.Key.EventID)
		p.hash(r.Hash)
	}
	it := a.key.item()
	if err := s.store(ctx, "announced", it, p.bytes()); err != nil {
		return a, err
	}
	_, _, err := s.put(ctx, it, condition{})
	return a, err
}

// leave lets the next who settles take the announcement back.
func (s *Store) leave(ctx context.Context, a announcement) error {
	_, _, err := s.update(ctx, a.key, "SET z = :z", item{":z": num(1)}, condition{"attribute_exists(pk)", nil})
	return err
}

func (s *Store) announced(ctx context.Context) ([]announcement, error) {
	var list []announcement
	for it, err := range s.query(ctx, unsettledPK, between{}) {
		if err != nil {
			return nil, err
		}
		a := announcement{key: keyOf(it), done: has(it, "z") || dead(getString(it, "sk"))}
		packed, err := s.load(ctx, it)
		if err != nil {
			return nil, err
		}
		u, err := unpack(packed, 3)
		if err != nil {
			return nil, s.damaged(a.key, err.Error())
		}
		for u.more(0) {
			a.groups = append(a.groups, u.text(0))
		}
		for u.more(1) {
			a.refs = append(a.refs, store.ConflictRef{Key: event.Key{AccountID: u.text(1), EventID: u.id(2)}, Hash: u.hash()})
		}
		if u.bad {
			return nil, s.damaged(a.key, "it can't be read")
		}
		list = append(list, a)
	}
	return list, nil
}

// The item of a fact: pk "fact" and its group, sk a digest of what it is; G R K A E H
// the group, rule, kind, account, event id and hash, the rest in b. It has a pointer
// from its content, by which the groups of a content that lost are found: pk "of", account,
// id and hash; sk a digest of the group; G the group.

func factPK(group string) string { return join("fact", safe(group)) }

func factKey(f *rule.Fact) key {
	return key{factPK(f.Group), digest(f.Rule, f.Kind, f.AccountID, f.EventID, string(binary.BigEndian.AppendUint64(nil, f.Version.Hash)))}
}

func contentPK(r store.ConflictRef) string {
	return join("of", digest(r.Key.AccountID, r.Key.EventID, string(binary.BigEndian.AppendUint64(nil, r.Hash))))
}

// Record implements store.Store.
func (s *Store) Record(ctx context.Context, r store.Findings, settle func([]rule.Fact) []rule.Alert) (newAlerts int, err error) {
	err = s.write(ctx, "record", func(ctx context.Context) error {
		newAlerts = 0
		if err := s.putRejected(ctx, r.Rejected); err != nil {
			return err
		}
		facts, err := s.newFacts(ctx, r.Facts)
		if err != nil {
			return err
		}
		losers, err := s.newLosers(ctx, r.Conflicts)
		if err != nil {
			return err
		}
		var mine announcement
		if len(facts)+len(losers) > 0 {
			groups := map[string]bool{}
			for _, f := range facts {
				groups[f.Group] = true
			}
			if mine, err = s.announce(ctx, slices.Sorted(maps.Keys(groups)), refsOf(losers)); err != nil {
				return err
			}
			if err := s.putConflicts(ctx, losers); err != nil {
				return err
			}
			if err := s.putFacts(ctx, facts); err != nil {
				return err
			}
			if settle == nil {
				return s.leave(ctx, mine)
			}
		}
		if settle == nil {
			return nil
		}
		newAlerts, err = s.settleAll(ctx, mine, settle)
		return err
	})
	return newAlerts, err
}

// newFacts returns those of the facts that aren't there, each once.
func (s *Store) newFacts(ctx context.Context, facts []rule.Fact) ([]*rule.Fact, error) {
	keys := make([]key, len(facts))
	for i := range facts {
		keys[i] = factKey(&facts[i])
	}
	found, err := s.get(ctx, keys, "H")
	if err != nil {
		return nil, err
	}
	var list []*rule.Fact
	seen := map[key]bool{}
	for i, k := range keys {
		if found[k] == nil && !seen[k] {
			seen[k] = true
			list = append(list, &facts[i])
		}
	}
	return list, nil
}

func (s *Store) newLosers(ctx context.Context, events []event.Event) ([]*event.Event, error) {
	contents := map[store.ConflictRef]*event.Event{}
	for i := range events {
		if ref := store.RefOf(&events[i]); contents[ref] == nil {
			contents[ref] = &events[i]
		}
	}
	known, err := s.knownConflicts(ctx, slices.Collect(maps.Keys(contents)))
	if err != nil {
		return nil, err
	}
	var list []*event.Event
	for ref, e := range contents {
		if !known[ref] {
			list = append(list, e)
		}
	}
	return list, nil
}

func (s *Store) putFacts(ctx context.Context, facts []*rule.Fact) error {
	pointers := map[key]item{}
	for _, f := range facts {
		k := key{contentPK(store.FactRef(f)), digest(f.Group)}
		it := k.item()
		it["G"] = bin(f.Group)
		pointers[k] = it
	}
	if err := s.writeAll(ctx, slices.Collect(maps.Values(pointers)), nil); err != nil {
		return err
	}
	return parallel(ctx, len(facts), func(ctx context.Context, i int) error {
		f := facts[i]
		it := factKey(f).item()
		it["G"], it["R"], it["K"], it["A"], it["E"] = bin(f.Group), bin(f.Rule), bin(f.Kind), bin(f.AccountID), bin(f.EventID)
		it["H"] = bin(binary.BigEndian.AppendUint64(nil, f.Version.Hash))
		if err := s.store(ctx, "fact", it, compress(store.EncodeFact(f))); err != nil {
			return err
		}
		_, _, err := s.put(ctx, it, absent)
		return err
	})
}

// groupFacts returns the facts of a group as settle wants them, and how much is known
// of it: a number that only grows.
func (s *Store) groupFacts(ctx context.Context, group string) (facts []rule.Fact, known int64, err error) {
	items, err := all(s.query(ctx, factPK(group), between{}))
	if err != nil {
		return nil, 0, err
	}
	refs := make([]store.ConflictRef, 0, len(items))
	for _, it := range items {
		f := rule.Fact{Group: getString(it, "G"), Rule: getString(it, "R"), Kind: getString(it, "K"), AccountID: getString(it, "A"), EventID: getString(it, "E")}
		hash := getBytes(it, "H")
		if len(hash) != 8 {
			return nil, 0, s.damaged(keyOf(it), "it has no hash")
		}
		f.Version.Hash = binary.BigEndian.Uint64(hash)
		plain, err := s.unpacked(ctx, it)
		if err != nil {
			return nil, 0, err
		}
		if err := store.DecodeFact(plain, &f); err != nil {
			return nil, 0, s.damaged(keyOf(it), err.Error())
		}
		facts = append(facts, f)
		refs = append(refs, store.FactRef(&f))
	}
	lost, err := s.knownConflicts(ctx, refs)
	if err != nil {
		return nil, 0, err
	}
	known = int64(len(facts))
	for i := range facts {
		if facts[i].Superseded = lost[refs[i]]; facts[i].Superseded {
			known++
		}
	}
	slices.SortFunc(facts, store.CompareFacts)
	return facts, known, nil
}

// settleAll settles the groups of all announcements, its own first: these it settles
// also when somebody took the writer for dead, settled what was there, and took the
// announcement back.
func (s *Store) settleAll(ctx context.Context, mine announcement, settle func([]rule.Fact) []rule.Alert) (newAlerts int, err error) {
	settled := map[string]bool{}
	settleThese := func(list ...announcement) error {
		groups := map[string]bool{}
		var over []key
		for _, a := range list {
			for _, g := range a.groups {
				groups[g] = true
			}
			for _, r := range a.refs {
				pointers, err := all(s.query(ctx, contentPK(r), between{}))
				if err != nil {
					return err
				}
				for _, it := range pointers {
					groups[getString(it, "G")] = true
				}
			}
			if a.done || a.key == mine.key {
				over = append(over, a.key)
			}
		}
		for _, g := range slices.Sorted(maps.Keys(groups)) {
			if settled[g] {
				continue
			}
			n, err := s.settleGroup(ctx, g, settle)
			if err != nil {
				return err
			}
			settled[g] = true
			newAlerts += n
		}
		return s.writeAll(ctx, nil, over)
	}
	list, err := s.announced(ctx)
	if err != nil {
		return 0, err
	}
	if mine.key != (key{}) {
		if err := settleThese(mine); err != nil {
			return newAlerts, err
		}
		list = slices.DeleteFunc(list, func(a announcement) bool { return a.key == mine.key })
	}
	return newAlerts, settleThese(list...)
}

// settleGroup settles a group. Of several who do so at once the one that knew most
// stays: facts, and contents that lost, are never removed.
func (s *Store) settleGroup(ctx context.Context, group string, settle func([]rule.Fact) []rule.Alert) (newAlerts int, err error) {
	facts, known, err := s.groupFacts(ctx, group)
	if err != nil || len(facts) == 0 {
		return 0, err
	}
	alerts := settle(facts)
	keys := make([]key, len(alerts))
	for i := range alerts {
		keys[i] = alertKey(alerts[i].ID)
	}
	there, err := s.get(ctx, keys, "rec")
	if err != nil {
		return 0, err
	}
	var markers []item
	marked := map[key]bool{}
	for i, k := range keys {
		if there[k] == nil && !marked[k] {
			marked[k] = true
			it := unroutedKey(alerts[i].ID).item()
			it["I"] = bin(alerts[i].ID)
			markers = append(markers, it)
		}
	}
	// Before the alerts: one that nobody is told of would be silent.
	if err := s.writeAll(ctx, markers, nil); err != nil {
		return 0, err
	}
	var added atomic.Int64
	err = parallel(ctx, len(alerts), func(ctx context.Context, i int) error {
		isNew, err := s.putAlert(ctx, &alerts[i], known)
		if isNew && !alerts[i].Superseded {
			added.Add(1)
		}
		return err
	})
	return int(added.Load()), err
}

// The item of a rejected record: pk "rejected", sk its SHA-256; b the rest.
const rejectedPK = "rejected"

func packRejected(r *store.Rejected) []byte {
	var p packer
	p.columns = make([][]byte, 1)
	for _, t := range [...]string{r.SHA256, r.File, r.Reason, r.Excerpt} {
		p.text(0, t)
	}
	for _, n := range [...]int64{r.Offset, r.Length, r.Seen.UnixMilli()} {
		p.number(0, n)
	}
	return p.bytes()
}

func (s *Store) rejectedOf(ctx context.Context, it item) (r store.Rejected, err error) {
	packed, err := s.load(ctx, it)
	if err != nil {
		return r, err
	}
	u, err := unpack(packed, 1)
	if err != nil {
		return r, s.damaged(keyOf(it), err.Error())
	}
	for _, t := range [...]*string{&r.SHA256, &r.File, &r.Reason, &r.Excerpt} {
		*t = u.text(0)
	}
	r.Offset, r.Length, r.Seen = u.number(0), u.number(0), time.UnixMilli(u.number(0)).UTC()
	if u.bad {
		err = s.damaged(keyOf(it), "it can't be read")
	}
	return r, err
}

// putRejected keeps the least of the sights of each record.
func (s *Store) putRejected(ctx context.Context, list []store.Rejected) error {
	least := map[string]store.Rejected{}
	for _, r := range list {
		r.Seen = store.CanonicalTime(r.Seen)
		if have, ok := least[r.SHA256]; !ok || store.CompareRejected(r, have) < 0 {
			least[r.SHA256] = r
		}
	}
	rows := slices.SortedFunc(maps.Values(least), store.CompareRejected)
	return parallel(ctx, len(rows), func(ctx context.Context, i int) error {
		r := &rows[i]
		return s.again(ctx, "record a rejected record", func(ctx context.Context) (bool, error) {
			k := key{rejectedPK, "=" + safe(r.SHA256)}
			found, err := s.get(ctx, []key{k})
			if err != nil {
				return false, err
			}
			it, c := k.item(), absent
			if old := found[k]; old != nil {
				have, err := s.rejectedOf(ctx, old)
				if err != nil || store.CompareRejected(*r, have) >= 0 {
					return err == nil, err
				}
				c = condition{"v = :v", item{":v": old["v"]}}
			}
			it["v"] = str(randomID())
			if err := s.store(ctx, "rejected", it, packRejected(r)); err != nil {
				return false, err
			}
			done, _, err := s.put(ctx, it, c)
			return done, err
		})
	})
}

// Rejected implements store.Store.
func (s *Store) Rejected(ctx context.Context) iter.Seq2[store.Rejected, error] {
	return sequence(ctx, s, func(ctx context.Context) (list []store.Rejected, err error) {
		for it, err := range s.query(ctx, rejectedPK, between{}) {
			if err != nil {
				return nil, err
			}
			r, err := s.rejectedOf(ctx, it)
			if err != nil {
				return nil, err
			}
			list = append(list, r)
		}
		slices.SortFunc(list, func(a, b store.Rejected) int {
			return cmp.Or(a.Seen.Compare(b.Seen), strings.Compare(a.SHA256, b.SHA256))
		})
		return list, nil
	})
}
