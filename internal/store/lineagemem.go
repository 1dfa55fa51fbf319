package store

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
)

// memLineage is what Mem keeps of lineage, by node.
type memLineage struct {
	links map[string]map[event.Key]lineage.Link
	names map[string]map[lineage.Name]lineage.Name // by name and source
	uses  map[string]map[event.Date]bool
	// below has the nodes with a link whose parent a node is, or that it is a hop
	// of; some had it only once.
	below map[string]map[string]bool
}

// belowSome returns the nodes below some node that have a link of a kind.
func (l *memLineage) belowSome(node string, is func(lineage.Link) bool) []string {
	var some []string
	for child := range l.below[node] {
		for _, link := range l.links[child] {
			if is(link) {
				some = append(some, child)
				break
			}
		}
	}
	return some
}

// inner returns the map of a node, made if need be.
func inner[K comparable, V any](outer *map[string]map[K]V, node string) map[K]V {
	if *outer == nil {
		*outer = map[string]map[K]V{}
	}
	if (*outer)[node] == nil {
		(*outer)[node] = map[K]V{}
	}
	return (*outer)[node]
}

// RecordLineage implements Store.
func (m *Mem) RecordLineage(ctx context.Context, b lineage.Batch) error {
	return m.write(ctx, "recordlineage", func() error {
		l := &m.lineage
		changed := map[string]bool{}
		if len(b.Replaced) > 0 {
			for node, links := range l.links {
				for k, old := range links {
					if v, ok := b.Replaced[k]; ok && old.Version.Compare(v) < 0 {
						delete(links, k)
						changed[node] = true
					}
				}
			}
		}
		for _, link := range b.Links {
			k := event.Key{AccountID: link.AccountID, EventID: link.EventID}
			links := inner(&l.links, link.Node)
			if old, ok := links[k]; ok && link.Version.Compare(old.Version) <= 0 {
				continue
			}
			link.Chain = slices.Clone(link.Chain)
			links[k] = link
			changed[link.Node] = true
			if link.Parent != "" {
				inner(&l.below, link.Parent)[link.Node] = true
			}
			for _, h := range link.Chain {
				inner(&l.below, h.Node)[link.Node] = true
			}
		}
		for _, n := range b.Names {
			names := inner(&l.names, n.Node)
			k := lineage.Name{Name: n.Name, Source: n.Source}
			old, ok := names[k]
			if ok {
				n.First, n.Last = min(n.First, old.First), max(n.Last, old.Last)
				if n == old {
					continue
				}
			}
			names[k] = n
			if !ok || len(names) > 1 {
				changed[n.Node] = true
			}
		}
		for _, u := range b.Uses {
			inner(&l.uses, u.Node)[u.Date] = true
		}
		for _, named := range slices.DeleteFunc(slices.Collect(maps.Keys(changed)), func(node string) bool { return !lineage.IsNamed(node) }) {
			for _, child := range l.belowSome(named, func(link lineage.Link) bool {
				return slices.ContainsFunc(link.Chain, func(h lineage.Hop) bool { return h.Node == named })
			}) {
				changed[child] = true
			}
		}
		days := map[event.Date]bool{}
		next := slices.Collect(maps.Keys(changed))
		for len(next) > 0 {
			node := next[len(next)-1]
			next = next[:len(next)-1]
			maps.Copy(days, l.uses[node])
			for _, child := range l.belowSome(node, func(link lineage.Link) bool { return link.Parent == node }) {
				if !changed[child] {
					changed[child] = true
					next = append(next, child)
				}
			}
		}
		m.markDirty(days)
		return nil
	})
}

// Lineage implements Store.
func (m *Mem) Lineage(ctx context.Context, nodes []string) (map[string]lineage.Known, error) {
	all := map[string]lineage.Known{}
	err := m.read(ctx, func() {
		for _, node := range nodes {
			k := lineage.Known{
				Links: slices.SortedFunc(maps.Values(m.lineage.links[node]), func(a, b lineage.Link) int {
					return event.Key{AccountID: a.AccountID, EventID: a.EventID}.Compare(event.Key{AccountID: b.AccountID, EventID: b.EventID})
				}),
				Names: slices.SortedFunc(maps.Values(m.lineage.names[node]), func(a, b lineage.Name) int {
					return strings.Compare(a.Source+"\x00"+a.Name, b.Source+"\x00"+b.Name)
				}),
			}
			for i := range k.Links {
				k.Links[i].Chain = slices.Clone(k.Links[i].Chain)
			}
			if k.Links != nil || k.Names != nil {
				all[node] = k
			}
		}
	})
	return all, err
}

// Issued implements Store.
func (m *Mem) Issued(ctx context.Context, parents []string) ([]lineage.Link, error) {
	var all []lineage.Link
	err := m.read(ctx, func() {
		for _, links := range m.lineage.links {
			for _, l := range links {
				if l.Parent != "" && slices.Contains(parents, l.Parent) {
					l.Chain = slices.Clone(l.Chain)
					all = append(all, l)
				}
			}
		}
	})
	slices.SortFunc(all, compareIssued)
	return all, err
}
