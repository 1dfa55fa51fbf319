package dynamo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/store"
)

// What is known of lineage is a log: pk "lineage", sk a number that grows by one, b
// what changed. It is read into memory, each entry once, and who appends an entry has
// read all before it. Links of services, which are nine of ten, are kept apart: see
// leaf.go.
const lineagePK = "lineage"

func entryKey(n int64) key { return key{lineagePK, fmt.Sprintf("%012d", n)} }

// entry is what an item of the log says.
type entry struct {
	lineage.Batch
	forgotten []event.Date // days that aren't used any more
	void      []leafRef    // links of services that lost
}

// lineageLog is the log as far as it was read.
type lineageLog struct {
	mu    sync.Mutex
	next  int64
	state store.Lineages
	void  map[leafRef]bool
}

func (l *lineageLog) reset() { l.next, l.state, l.void = 0, store.Lineages{}, nil }

func (l *lineageLog) apply(e *entry) {
	l.state.Forget(e.forgotten)
	l.state.Record(e.Batch)
	for _, v := range e.void {
		if l.void == nil {
			l.void = map[leafRef]bool{}
		}
		l.void[v] = true
	}
}

// readLog reads what was appended since. The caller holds the lock.
func (s *Store) readLog(ctx context.Context) error {
	l := &s.lineage
	for it, err := range s.query(ctx, lineagePK, between{from: entryKey(l.next).sk, to: "~"}) {
		if err != nil {
			return err
		}
		packed, err := s.load(ctx, it)
		if err != nil {
			return err
		}
		e, err := unpackEntry(packed)
		if err != nil {
			return s.damaged(keyOf(it), err.Error())
		}
		l.apply(&e)
		l.next++
	}
	return nil
}

// appendLog appends what was applied already; done is false when somebody else was
// quicker, and nothing of it counts then.
func (s *Store) appendLog(ctx context.Context, e *entry) (done bool, err error) {
	l := &s.lineage
	it := entryKey(l.next).item()
	me := randomID()
	it["n"] = str(me)
	defer func() {
		if !done {
			l.reset() // it holds what the log doesn't
		}
	}()
	if err := s.store(ctx, "link", it, packEntry(e)); err != nil {
		return false, err
	}
	done, there, err := s.put(ctx, it, absent)
	if err != nil {
		return false, err
	}
	if done = done || getString(there, "n") == me; done {
		l.next++
	}
	return done, nil
}

// RecordLineage implements store.Store.
func (s *Store) RecordLineage(ctx context.Context, b lineage.Batch) error {
	return s.write(ctx, "recordlineage", func(ctx context.Context) error {
		s.lineage.mu.Lock()
		defer s.lineage.mu.Unlock()
		return s.again(ctx, "record lineage", func(ctx context.Context) (bool, error) { return s.recordOnce(ctx, b) })
	})
}

func (s *Store) recordOnce(ctx context.Context, b lineage.Batch) (done bool, err error) {
	l := &s.lineage
	if err := s.readLog(ctx); err != nil {
		return false, err
	}
	leaves, links := divide(b.Links)
	voidLeaves, void := divide(b.Void)
	fresh, err := s.newLeaves(ctx, leaves)
	if err != nil {
		return false, err
	}
	var e entry
	var days []event.Date
	days, e.Batch = l.state.Record(lineage.Batch{Links: links, Void: void, Names: b.Names, Uses: b.Uses})
	defer func() {
		if !done {
			l.reset()
		}
	}()
	var nodes []string
	for i := range fresh {
		if l.state.Concerns(fresh[i].Node) {
			nodes = append(nodes, fresh[i].Node)
		}
	}
	for i := range voidLeaves {
		if ref := refOfLeaf(&voidLeaves[i]); !l.void[ref] {
			e.void = append(e.void, ref)
			nodes = append(nodes, voidLeaves[i].Node)
		}
	}
	days = append(days, l.state.Changed(nodes)...)
	slices.Sort(days)
	days = slices.Compact(days)
	writer := newWriter()
	epochs, err := s.signUp(ctx, writer, days)
	if err != nil {
		return false, err
	}
	if err := s.putLeaves(ctx, fresh); err != nil {
		return false, err
	}
	done = true
	if len(e.Links)+len(e.Void)+len(e.Names)+len(e.Uses)+len(e.void) > 0 {
		if done, err = s.appendLog(ctx, &e); err != nil {
			return false, err
		}
	}
	for _, v := range e.void {
		if done && l.void == nil {
			l.void = map[leafRef]bool{}
		}
		if done {
			l.void[v] = true
		}
	}
	changed := map[event.Date]bool{}
	for _, d := range days {
		changed[d] = done
	}
	whole, err := s.signOff(ctx, writer, epochs, changed)
	if err != nil {
		return false, err
	}
	if done && !whole {
		// A day was removed meanwhile; it has no rows now, but may be in the lake.
		return true, s.markDirty(ctx, days)
	}
	return done, nil
}

// forgetUses drops the uses of days.
func (s *Store) forgetUses(ctx context.Context, days []event.Date) error {
	s.lineage.mu.Lock()
	defer s.lineage.mu.Unlock()
	return s.again(ctx, "forget the uses of days", func(ctx context.Context) (bool, error) {
		if err := s.readLog(ctx); err != nil {
			return false, err
		}
		if !s.lineage.state.Forget(days) {
			return true, nil
		}
		return s.appendLog(ctx, &entry{forgotten: days})
	})
}

// Lineage implements store.Store.
func (s *Store) Lineage(ctx context.Context, nodes []string) (known map[string]lineage.Known, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		s.lineage.mu.Lock()
		defer s.lineage.mu.Unlock()
		if err := s.readLog(ctx); err != nil {
			return err
		}
		known = s.lineage.state.Known(nodes)
		return s.addLeaves(ctx, nodes, known)
	})
	if err != nil {
		return nil, err
	}
	return known, nil
}

// Issued implements store.Store.
func (s *Store) Issued(ctx context.Context, parents []string) (links []lineage.Link, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		s.lineage.mu.Lock()
		defer s.lineage.mu.Unlock()
		if err := s.readLog(ctx); err != nil {
			return err
		}
		links = s.lineage.state.Issued(parents)
		return nil
	})
	return links, err
}

// Columns of an entry: counts, then the texts and numbers of each part.
const (
	colCounts = iota
	colTexts
	colNumbers
	colIDs
	entryColumns
)

func packEntry(e *entry) []byte {
	var p packer
	p.columns = make([][]byte, entryColumns)
	for _, n := range [...]int{len(e.Links), len(e.Void), len(e.Names), len(e.Uses), len(e.forgotten), len(e.void)} {
		p.number(colCounts, int64(n))
	}
	for _, list := range [...][]lineage.Link{e.Links, e.Void} {
		for i := range list {
			packLink(&p, &list[i])
		}
	}
	for _, n := range e.Names {
		p.text(colTexts, n.Node)
		p.text(colTexts, n.Name)
		p.text(colTexts, n.Source)
		p.number(colNumbers, n.First)
		p.number(colNumbers, n.Last)
	}
	for _, u := range e.Uses {
		p.text(colTexts, u.Node)
		p.number(colNumbers, int64(u.Date))
	}
	for _, d := range e.forgotten {
		p.number(colNumbers, int64(d))
	}
	for _, v := range e.void {
		p.text(colTexts, v.node)
		p.text(colTexts, v.account)
		p.id(colIDs, v.event)
		p.number(colNumbers, int64(v.version.Major))
		p.number(colNumbers, int64(v.version.Minor))
		p.hash(v.version.Hash)
	}
	return p.bytes()
}

func packLink(p *packer, l *lineage.Link) {
	for _, t := range [...]string{l.Node, l.AccountID, l.EventName, l.Session, l.Parent, l.Rooted, l.How} {
		p.text(colTexts, t)
	}
	p.id(colIDs, l.EventID)
	for _, n := range [...]int64{int64(l.Version.Major), int64(l.Version.Minor), l.EventTime, int64(len(l.Chain))} {
		p.number(colNumbers, n)
	}
	p.hash(l.Version.Hash)
	for i := range l.Chain {
		packHop(p, colTexts, &l.Chain[i])
	}
}

func packHop(p *packer, column int, h *lineage.Hop) {
	for _, t := range hopTexts(h) {
		p.text(column, *t)
	}
}

func hopTexts(h *lineage.Hop) [6]*string {
	return [6]*string{&h.Kind, &h.Name, &h.ARN, &h.AccountID, &h.Node, &h.SourceIdentity}
}

func unpackEntry(packed []byte) (e entry, err error) {
	u, err := unpack(packed, entryColumns)
	if err != nil {
		return e, err
	}
	var counts [6]int64
	for i := range counts {
		counts[i] = u.number(colCounts)
	}
	for i, list := range [...]*[]lineage.Link{&e.Links, &e.Void} {
		for n := int64(0); n < counts[i] && !u.bad; n++ {
			*list = append(*list, unpackLink(u))
		}
	}
	for n := int64(0); n < counts[2] && !u.bad; n++ {
		e.Names = append(e.Names, lineage.Name{Node: u.text(colTexts), Name: u.text(colTexts), Source: u.text(colTexts), First: u.number(colNumbers), Last: u.number(colNumbers)})
	}
	for n := int64(0); n < counts[3] && !u.bad; n++ {
		e.Uses = append(e.Uses, lineage.Use{Node: u.text(colTexts), Date: event.Date(u.number(colNumbers))})
	}
	for n := int64(0); n < counts[4] && !u.bad; n++ {
		e.forgotten = append(e.forgotten, event.Date(u.number(colNumbers)))
	}
	for n := int64(0); n < counts[5] && !u.bad; n++ {
		v := leafRef{node: u.text(colTexts), account: u.text(colTexts), event: u.id(colIDs)}
		v.version.Major, v.version.Minor = int(u.number(colNumbers)), int(u.number(colNumbers))
		v.version.Hash = u.hash()
		e.void = append(e.void, v)
	}
	return e, u.err()
}

func unpackLink(u *unpacker) (l lineage.Link) {
	for _, t := range [...]*string{&l.Node, &l.AccountID, &l.EventName, &l.Session, &l.Parent, &l.Rooted, &l.How} {
		*t = u.text(colTexts)
	}
	l.EventID = u.id(colIDs)
	l.Version.Major, l.Version.Minor = int(u.number(colNumbers)), int(u.number(colNumbers))
	l.EventTime = u.number(colNumbers)
	hops := u.number(colNumbers)
	l.Version.Hash = u.hash()
	for n := int64(0); n < hops && !u.bad; n++ {
		var h lineage.Hop
		for _, t := range hopTexts(&h) {
			*t = u.text(colTexts)
		}
		l.Chain = append(l.Chain, h)
	}
	return l
}

// divide takes the links of services from the others.
func divide(links []lineage.Link) (leaves, rest []lineage.Link) {
	for i := range links {
		if isLeaf(&links[i]) {
			leaves = append(leaves, links[i])
		} else {
			rest = append(rest, links[i])
		}
	}
	return leaves, rest
}

// isLeaf reports whether a link says that a service took a role for its work, and no
// more: temporary credentials, of a chain of one hop that has its name.
func isLeaf(l *lineage.Link) bool {
	if l.Parent != "" || len(l.Chain) != 1 || l.Chain[0].Node != "" || !strings.HasPrefix(l.Node, "ASIA") {
		return false
	}
	switch l.Chain[0].Kind {
	case event.KindService, event.KindInstance, event.KindFunction:
		return true
	}
	return false
}

// leafRef names a link of a service.
type leafRef struct {
	node, account, event string
	version              event.Version
}

func refOfLeaf(l *lineage.Link) leafRef { return leafRef{l.Node, l.AccountID, l.EventID, l.Version} }

// addLeaves adds the links of services to what is known of nodes.
func (s *Store) addLeaves(ctx context.Context, nodes []string, known map[string]lineage.Known) error {
	wanted := map[string]bool{}
	dates := map[event.Date]bool{}
	everywhere := false
	for _, n := range nodes {
		if !strings.HasPrefix(n, "ASIA") {
			continue
		}
		wanted[n] = true
		uses := s.lineage.state.Uses(n)
		everywhere = everywhere || len(uses) == 0
		for _, d := range uses {
			for back := range event.Date(leafDays + 1) {
				dates[d-back] = true
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	found := map[leafRef]lineage.Link{}
	take := func(l *lineage.Link) {
		if wanted[l.Node] {
			found[refOfLeaf(l)] = *l
		}
	}
	var err error
	if everywhere {
		err = s.allLeaves(ctx, take)
	} else {
		err = s.leavesOf(ctx, slices.Sorted(maps.Keys(dates)), take)
	}
	if err != nil {
		return err
	}
	best := map[leafRef]lineage.Link{} // by event
	for ref, l := range found {
		if s.lineage.void[ref] {
			continue
		}
		of := ref
		of.version = event.Version{}
		if have, ok := best[of]; !ok || l.Version.Compare(have.Version) > 0 {
			best[of] = l
		}
	}
	for _, l := range best {
		k := known[l.Node]
		// Another content of the event may be among those of the log.
		same := slices.IndexFunc(k.Links, func(o lineage.Link) bool { return o.AccountID == l.AccountID && o.EventID == l.EventID })
		switch {
		case same < 0:
			k.Links = append(k.Links, l)
		case l.Version.Compare(k.Links[same].Version) > 0:
			k.Links[same] = l
		}
		slices.SortFunc(k.Links, func(a, b lineage.Link) int {
			return event.Key{AccountID: a.AccountID, EventID: a.EventID}.Compare(event.Key{AccountID: b.AccountID, EventID: b.EventID})
		})
		known[l.Node] = k
	}
	return nil
}
