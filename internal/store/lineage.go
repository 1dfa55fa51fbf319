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

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
)

// linkRest is what of a link has no column of its own.
type linkRest struct {
	EventName string        `json:"n"`
	Session   string        `json:"s,omitempty"`
	Chain     []lineage.Hop `json:"c"`
	Rooted    string        `json:"r,omitempty"`
	How       string        `json:"h,omitempty"`
}

func encodeLink(l *lineage.Link) string {
	b, err := json.Marshal(linkRest{l.EventName, l.Session, l.Chain, l.Rooted, l.How})
	if err != nil {
		panic(err) // texts and lists of texts always marshal
	}
	return string(b)
}

// sortable maps a hash to an integer of the same order.
func sortable(hash uint64) int64 { return int64(hash ^ 1<<63) }

func unsortable(n int64) uint64 { return uint64(n) ^ 1<<63 }

var insertLinks = inserting{
	into: "lineage_links (node, account_id, event_id, major, minor, record_hash, event_time_ms, parent, link)", columns: 9,
	end: `ON CONFLICT DO UPDATE SET major = excluded.major, minor = excluded.minor, record_hash = excluded.record_hash,
		event_time_ms = excluded.event_time_ms, parent = excluded.parent, link = excluded.link
		WHERE (excluded.major, excluded.minor, excluded.record_hash) > (major, minor, record_hash) RETURNING node`,
}

var insertUses = inserting{into: "lineage_uses (node, event_date)", columns: 2, end: "ON CONFLICT DO NOTHING"}

// RecordLineage implements Store.
func (s *sqlite) RecordLineage(ctx context.Context, b lineage.Batch) error {
	return s.write(ctx, "recordlineage", "record lineage", func(tx *writer) error {
		changed := map[string]bool{}
		if err := tx.dropReplaced(b.Replaced, changed); err != nil {
			return err
		}
		if err := tx.putLinks(b.Links, changed); err != nil {
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
		return tx.dirtyUses(changed)
	})
}

// dropReplaced removes links of contents that lost.
func (tx *writer) dropReplaced(replaced map[event.Key]event.Version, changed map[string]bool) error {
	keys := slices.SortedFunc(maps.Keys(replaced), event.Key.Compare)
	// No index has the event: the whole table is looked through, which is as rare
	// as conflicts are.
	for part := range slices.Chunk(keys, 200) {
		if err := tx.check(); err != nil {
			return err
		}
		args := make([]any, 0, 5*len(part))
		for _, k := range part {
			v := replaced[k]
			args = append(args, k.AccountID, k.EventID, int64(v.Major), int64(v.Minor), sortable(v.Hash))
		}
		err := tx.each(`WITH k (a, e, x, y, h) AS (VALUES `+strings.TrimSuffix(strings.Repeat("(?,?,?,?,?),", len(part)), ",")+`)
			DELETE FROM lineage_links WHERE EXISTS (SELECT 1 FROM k WHERE a = account_id AND e = event_id AND (major, minor, record_hash) < (x, y, h))
			RETURNING node`, args, collectNodes(changed))
		if err != nil {
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

func (tx *writer) putLinks(links []lineage.Link, changed map[string]bool) error {
	// In the order of the table: keys are random, and it is larger than what SQLite
	// keeps of it in memory.
	sorted := make([]*lineage.Link, len(links))
	for i := range links {
		sorted[i] = &links[i]
	}
	slices.SortFunc(sorted, func(a, b *lineage.Link) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.AccountID, b.AccountID), strings.Compare(a.EventID, b.EventID))
	})
	args := make([]any, 0, insertLinks.columns*batchSizes[0])
	return batches(len(sorted), func(from, to int) error {
		if err := tx.check(); err != nil {
			return err
		}
		args = args[:0]
		for _, l := range sorted[from:to] {
			args = append(args, l.Node, l.AccountID, l.EventID, int64(l.Version.Major), int64(l.Version.Minor), sortable(l.Version.Hash),
				l.EventTime, l.Parent, encodeLink(l))
		}
		return tx.each(insertLinks.text(to-from), args, collectNodes(changed))
	})
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
	for len(next) > 0 {
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
				return in("SELECT DISTINCT node FROM lineage_links WHERE parent <> '' AND parent", to-from)
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

const linkColumns = "node, account_id, event_id, major, minor, record_hash, event_time_ms, parent, link"

func scanLink(scan func(...any) error) (lineage.Link, error) {
	var l lineage.Link
	var hash int64
	var text sql.RawBytes
	if err := scan(&l.Node, &l.AccountID, &l.EventID, &l.Version.Major, &l.Version.Minor, &hash, &l.EventTime, &l.Parent, &text); err != nil {
		return l, err
	}
	l.Version.Hash = unsortable(hash)
	var r linkRest
	if err := json.Unmarshal(text, &r); err != nil {
		return l, errors.Join(ErrDamaged, err)
	}
	l.EventName, l.Session, l.Chain, l.Rooted, l.How = r.EventName, r.Session, r.Chain, r.Rooted, r.How
	return l, nil
}

var (
	linksOf  texts
	namesOf  texts
	issuedBy texts
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
			return in("SELECT "+linkColumns+" FROM lineage_links WHERE node", to-from) + " ORDER BY node, account_id, event_id"
		})
		err := s.read(ctx, "read lineage", query, args, func(scan func(...any) error) error {
			l, err := scanLink(scan)
			k := all[l.Node]
			k.Links = append(k.Links, l)
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
			return in("SELECT "+linkColumns+" FROM lineage_links WHERE parent <> '' AND parent", to-from)
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
	slices.SortFunc(all, compareIssued)
	return all, nil
}

// compareIssued is the order of Issued.
func compareIssued(a, b lineage.Link) int {
	return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.AccountID, b.AccountID),
		strings.Compare(a.EventID, b.EventID), strings.Compare(a.Node, b.Node))
}
