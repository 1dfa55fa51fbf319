package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
)

// caller is what a link says of whoever was given the credentials.
type caller struct {
	EventName string        `json:"n"`
	Chain     []lineage.Hop `json:"c"`
	Rooted    string        `json:"r,omitempty"`
	How       string        `json:"h,omitempty"`
	// Bytes: each character of the texts stands for a byte, since some aren't
	// UTF-8, of which JSON can't have any other.
	Bytes bool `json:"b,omitempty"`
}

// each replaces the texts that come from records.
func (c *caller) each(replace func(string) string) {
	c.EventName = replace(c.EventName)
	c.Chain = slices.Clone(c.Chain)
	for i := range c.Chain {
		h := &c.Chain[i]
		for _, s := range [...]*string{&h.Kind, &h.Name, &h.ARN, &h.AccountID, &h.Node, &h.SourceIdentity} {
			*s = replace(*s)
		}
	}
}

func bytesToRunes(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

func runesToBytes(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

func encodeCaller(l *lineage.Link) string {
	c := caller{EventName: l.EventName, Chain: l.Chain, Rooted: l.Rooted, How: l.How}
	valid := utf8.ValidString(c.EventName)
	for i := range c.Chain {
		h := &c.Chain[i]
		valid = valid && utf8.ValidString(h.Name) && utf8.ValidString(h.ARN) && utf8.ValidString(h.AccountID) &&
			utf8.ValidString(h.Node) && utf8.ValidString(h.SourceIdentity)
	}
	if !valid {
		c.each(bytesToRunes)
		c.Bytes = true
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // texts and lists of texts always marshal
	}
	return string(b)
}

func decodeCaller(text []byte) (c caller, err error) {
	if err := json.Unmarshal(text, &c); err != nil {
		return c, errors.Join(ErrDamaged, err)
	}
	if c.Bytes {
		c.each(runesToBytes)
	}
	return c, nil
}

// sortable maps a hash to an integer of the same order.
func sortable(hash uint64) int64 { return int64(hash ^ 1<<63) }

func unsortable(n int64) uint64 { return uint64(n) ^ 1<<63 }

var insertLinks = inserting{
	into: "lineage_links (node, account_id, event_id, major, minor, record_hash, event_time_ms, parent, session, about)", columns: 10,
}

var findLinks = lookup{table: "lineage_links", columns: "t.id, t.account_id, t.event_id, t.major, t.minor, t.record_hash", by: []string{"node"}}

var insertUses = inserting{into: "lineage_uses (node, event_date)", columns: 2, end: "ON CONFLICT DO NOTHING"}

// RecordLineage implements Store.
func (s *sqlite) RecordLineage(ctx context.Context, b lineage.Batch) error {
	return s.write(ctx, "recordlineage", "record lineage", func(tx *writer) error {
		changed := map[string]bool{}
		if err := tx.putLinks(b.Links, changed); err != nil {
			return err
		}
		// After them: a content may come again in the batch in which it loses.
		if err := tx.dropLinks(b.Void, changed); err != nil {
			return err
		}
		for i := range b.Names {
			if err := tx.putName(&b.Names[i], changed); err != nil {
				return err
			}
		}
		if err := tx.insert(&insertUses, len(b.Uses), func(args []any, i int) []any {
			return append(args, b.Uses[i].Node, int64(b.Uses[i].Date))
		}); err != nil {
			return err
		}
		if err := tx.namedBy(changed); err != nil {
			return err
		}
		return tx.dirtyUses(changed)
	})
}

// namedBy adds the nodes to nodes whose links show a hop that has one of them for
// its name.
func (tx *writer) namedBy(nodes map[string]bool) error {
	names := false
	for n := range nodes {
		names = names || lineage.IsNamed(n)
	}
	if !names {
		return nil
	}
	// Callers are few, and names change rarely: no index is kept for that.
	var ids []any
	err := tx.each("SELECT id, caller FROM lineage_callers", nil, func(scan func(...any) error) error {
		var id int64
		var text sql.RawBytes
		if err := scan(&id, &text); err != nil {
			return err
		}
		c, err := decodeCaller(text)
		if err == nil && slices.ContainsFunc(c.Chain, func(h lineage.Hop) bool { return nodes[h.Node] }) {
			ids = append(ids, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(ids, 500) {
		if err := tx.each(in("SELECT DISTINCT node FROM lineage_links WHERE about", len(part)), part, collectNodes(nodes)); err != nil {
			return err
		}
	}
	return nil
}

// dropLinks removes links of contents that lost.
func (tx *writer) dropLinks(void []lineage.Link, changed map[string]bool) error {
	for i := range void {
		l := &void[i]
		if err := tx.each(`DELETE FROM lineage_links WHERE node = ? AND account_id = ? AND event_id = ? AND major = ? AND minor = ? AND record_hash = ? RETURNING node`,
			[]any{l.Node, l.AccountID, l.EventID, int64(l.Version.Major), int64(l.Version.Minor), sortable(l.Version.Hash)}, collectNodes(changed)); err != nil {
			return err
		}
	}
	return nil
}

func collectNodes(into map[string]bool) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var node string
		err := scan(&node)
		into[node] = true
		return err
	}
}

// putLinks adds links. Contents of one event stay beside each other: which of them
// counts can change when one turns out to be void.
func (tx *writer) putLinks(links []lineage.Link, changed map[string]bool) error {
	fresh := make([]*lineage.Link, 0, len(links))
	for i := range links {
		fresh = append(fresh, &links[i])
	}
	// In the order of the index.
	slices.SortFunc(fresh, func(a, b *lineage.Link) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.AccountID, b.AccountID), strings.Compare(a.EventID, b.EventID), a.Version.Compare(b.Version))
	})
	fresh = slices.CompactFunc(fresh, func(a, b *lineage.Link) bool { return keyOf(a) == keyOf(b) && a.Version == b.Version })
	// What is there already, which is little as a rule, is left out.
	outranked := make([]bool, len(fresh))
	var id, hash int64
	var account, eventID string
	var have event.Version
	err := findLinks.find(tx.each, len(fresh), func(args []any, i int) []any { return append(args, fresh[i].Node) },
		[]any{&id, &account, &eventID, &have.Major, &have.Minor, &hash}, func(i int) {
			l := fresh[i]
			if l == nil || l.AccountID != account || l.EventID != eventID {
				return
			}
			have.Hash = unsortable(hash)
			switch order := l.Version.Compare(have); {
			case order == 0:
				fresh[i] = nil
			case order < 0:
				outranked[i] = true
			}
		})
	if err != nil {
		return err
	}
	for i, l := range fresh {
		if l != nil && !outranked[i] {
			changed[l.Node] = true
		}
	}
	fresh = slices.DeleteFunc(fresh, func(l *lineage.Link) bool { return l == nil })
	callers := map[string]int64{}
	ids := make([]int64, len(fresh))
	for i, l := range fresh {
		if ids[i], err = tx.callerID(encodeCaller(l), callers); err != nil {
			return err
		}
	}
	return tx.insert(&insertLinks, len(fresh), func(args []any, i int) []any {
		l := fresh[i]
		return append(args, l.Node, l.AccountID, l.EventID, int64(l.Version.Major), int64(l.Version.Minor), sortable(l.Version.Hash),
			l.EventTime, l.Parent, l.Session, ids[i])
	})
}

type linkKey struct{ node, account, event string }

func keyOf(l *lineage.Link) linkKey { return linkKey{l.Node, l.AccountID, l.EventID} }

// callerID returns the row of a caller, which it makes if need be; known are those
// of this transaction.
func (tx *writer) callerID(text string, known map[string]int64) (id int64, err error) {
	id, ok := known[text]
	if ok {
		return id, nil
	}
	if _, err := tx.exec("INSERT INTO lineage_callers (caller) VALUES (?) ON CONFLICT DO NOTHING", text); err != nil {
		return 0, err
	}
	if err := tx.get("SELECT id FROM lineage_callers WHERE caller = ?", []any{text}, &id); err != nil {
		return 0, err
	}
	known[text] = id
	return id, nil
}

// putName keeps a name. Wider bounds matter only where another name is near.
func (tx *writer) putName(n *lineage.Name, changed map[string]bool) error {
	var first, last int64
	err := tx.get("SELECT first_ms, last_ms FROM lineage_names WHERE node = ? AND source = ? AND name = ?", []any{n.Node, n.Source, n.Name}, &first, &last)
	isNew := errors.Is(err, sql.ErrNoRows)
	if err != nil && !isNew {
		return err
	}
	if !isNew && first <= n.First && last >= n.Last {
		return nil
	}
	if _, err := tx.exec(`INSERT INTO lineage_names (node, source, name, first_ms, last_ms) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms)`,
		n.Node, n.Source, n.Name, n.First, n.Last); err != nil {
		return err
	}
	var names int
	if !isNew {
		if err := tx.get("SELECT count(*) FROM lineage_names WHERE node = ?", []any{n.Node}, &names); err != nil {
			return err
		}
	}
	if isNew || names > 1 {
		changed[n.Node] = true
	}
	return nil
}

// in is a query about many nodes at once.
func in(before string, n int) string {
	return before + " IN (" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")"
}

var (
	childrenOf texts
	usesOf     texts
)

// dirtyUses makes the days dirty on which the nodes, or what descends from them,
// are used.
func (tx *writer) dirtyUses(nodes map[string]bool) error {
	days := map[event.Date]bool{}
	next := slices.Sorted(maps.Keys(nodes))
	// No chain that is longer is followed.
	for hops := 0; len(next) > 0 && hops <= lineage.MaxHops; hops++ {
		var found []string
		args := make([]any, 0, batchSizes[0])
		err := batches(len(next), func(from, to int) error {
			if err := tx.check(); err != nil {
				return err
			}
			args = args[:0]
			for _, n := range next[from:to] {
				args = append(args, n)
			}
			query := usesOf.get(to-from, func() string { return in("SELECT DISTINCT event_date FROM lineage_uses WHERE node", to-from) })
			if err := tx.each(query, args, func(scan func(...any) error) error {
				var d event.Date
				err := scan(&d)
				days[d] = true
				return err
			}); err != nil {
				return err
			}
			query = childrenOf.get(to-from, func() string {
				return in("SELECT DISTINCT node FROM lineage_links t WHERE parent <> '' AND parent", to-from)
			})
			return tx.each(query, args, func(scan func(...any) error) error {
				var child string
				err := scan(&child)
				if !nodes[child] {
					nodes[child] = true
					found = append(found, child)
				}
				return err
			})
		})
		if err != nil {
			return err
		}
		next = found
	}
	return tx.markDirty(days)
}

const linkColumns = "node, account_id, event_id, major, minor, record_hash, event_time_ms, parent, session, caller FROM lineage_links t JOIN lineage_callers c ON c.id = about"

func scanLink(scan func(...any) error) (lineage.Link, error) {
	var l lineage.Link
	var hash int64
	var text sql.RawBytes
	if err := scan(&l.Node, &l.AccountID, &l.EventID, &l.Version.Major, &l.Version.Minor, &hash, &l.EventTime, &l.Parent, &l.Session, &text); err != nil {
		return l, err
	}
	l.Version.Hash = unsortable(hash)
	c, err := decodeCaller(text)
	if err != nil {
		return l, err
	}
	l.EventName, l.Chain, l.Rooted, l.How = c.EventName, c.Chain, c.Rooted, c.How
	return l, nil
}

var (
	linksOf    texts
	versionsOf texts
	namesOf    texts
	issuedBy   texts
)

// Lineage implements Store.
func (s *sqlite) Lineage(ctx context.Context, nodes []string) (map[string]lineage.Known, error) {
	all := map[string]lineage.Known{}
	args := make([]any, 0, batchSizes[0])
	err := batches(len(nodes), func(from, to int) error {
		args = args[:0]
		for _, n := range nodes[from:to] {
			args = append(args, n)
		}
		query := linksOf.get(to-from, func() string {
			return in("SELECT "+linkColumns+" WHERE node", to-from) + " ORDER BY node, account_id, event_id"
		})
		err := s.read(ctx, "read lineage", query, args, func(scan func(...any) error) error {
			l, err := scanLink(scan)
			k := all[l.Node]
			switch n := len(k.Links); {
			case n == 0 || keyOf(&k.Links[n-1]) != keyOf(&l):
				k.Links = append(k.Links, l)
			case l.Version.Compare(k.Links[n-1].Version) > 0:
				k.Links[n-1] = l
			}
			all[l.Node] = k
			return err
		})
		if err != nil {
			return err
		}
		query = namesOf.get(to-from, func() string {
			return in("SELECT node, source, name, first_ms, last_ms FROM lineage_names WHERE node", to-from) + " ORDER BY node, source, name"
		})
		return s.read(ctx, "read names", query, args, func(scan func(...any) error) error {
			var n lineage.Name
			err := scan(&n.Node, &n.Source, &n.Name, &n.First, &n.Last)
			k := all[n.Node]
			k.Names = append(k.Names, n)
			all[n.Node] = k
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Issued implements Store.
func (s *sqlite) Issued(ctx context.Context, parents []string) ([]lineage.Link, error) {
	var all []lineage.Link
	parents = slices.DeleteFunc(slices.Clone(parents), func(p string) bool { return p == "" })
	slices.Sort(parents)
	parents = slices.Compact(parents)
	args := make([]any, 0, batchSizes[0])
	err := batches(len(parents), func(from, to int) error {
		args = args[:0]
		for _, p := range parents[from:to] {
			args = append(args, p)
		}
		query := issuedBy.get(to-from, func() string {
			return in("SELECT "+linkColumns+" WHERE parent <> '' AND parent", to-from)
		})
		return s.read(ctx, "read lineage", query, args, func(scan func(...any) error) error {
			l, err := scanLink(scan)
			all = append(all, l)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if all, err = s.greatest(ctx, all); err != nil {
		return nil, err
	}
	slices.SortFunc(all, CompareIssued)
	return all, nil
}

// greatest leaves out links of which the node has a greater content.
func (s *sqlite) greatest(ctx context.Context, links []lineage.Link) ([]lineage.Link, error) {
	var nodes []string
	for i := range links {
		nodes = append(nodes, links[i].Node)
	}
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	best := map[linkKey]event.Version{}
	args := make([]any, 0, batchSizes[0])
	err := batches(len(nodes), func(from, to int) error {
		args = args[:0]
		for _, n := range nodes[from:to] {
			args = append(args, n)
		}
		query := versionsOf.get(to-from, func() string {
			return in("SELECT node, account_id, event_id, major, minor, record_hash FROM lineage_links WHERE node", to-from)
		})
		return s.read(ctx, "read lineage", query, args, func(scan func(...any) error) error {
			var k linkKey
			var v event.Version
			var hash int64
			err := scan(&k.node, &k.account, &k.event, &v.Major, &v.Minor, &hash)
			if v.Hash = unsortable(hash); v.Compare(best[k]) > 0 {
				best[k] = v
			}
			return err
		})
	})
	return slices.DeleteFunc(links, func(l lineage.Link) bool { return best[keyOf(&l)].Compare(l.Version) > 0 }), err
}

// CompareIssued is the order of Issued.
func CompareIssued(a, b lineage.Link) int {
	return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.AccountID, b.AccountID),
		strings.Compare(a.EventID, b.EventID), strings.Compare(a.Node, b.Node))
}
