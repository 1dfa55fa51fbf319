package store

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
)

// Lineages is lineage in memory: what RecordLineage, Lineage and Issued mean, in plain
// Go. The zero value is empty. It is not safe for concurrent use.
type Lineages struct {
	links map[string]map[content]lineage.Link
	names map[string]map[lineage.Name]lineage.Name // by name and source
	uses  map[string]map[event.Date]bool
	// below has the nodes with a link whose parent a node is, or that it is a hop
	// of; some had it only once.
	below map[string]map[string]bool
}

// belowSome returns the nodes below some node that have a link of a kind.
func (l *Lineages) belowSome(node string, is func(lineage.Link) bool) []string {
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

// content is one of an event's contents.
type content struct {
	key     event.Key
	version event.Version
}

func contentOf(l *lineage.Link) content {
	return content{event.Key{AccountID: l.AccountID, EventID: l.EventID}, l.Version}
}

// outranked reports whether a greater content of the link's event is among links.
func outranked(links map[content]lineage.Link, l *lineage.Link) bool {
	for c := range links {
		if c.key == contentOf(l).key && c.version.Compare(l.Version) > 0 {
			return true
		}
	}
	return false
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

// greatest yields those of the links that count.
func greatest(links map[content]lineage.Link) iter.Seq[lineage.Link] {
	return func(yield func(lineage.Link) bool) {
		for _, l := range links {
			if !outranked(links, &l) && !yield(l) {
				return
			}
		}
	}
}

// Record takes a batch. It returns the days that become dirty, and what of the batch
// changed anything; taking that alone has the same effect.
func (l *Lineages) Record(b lineage.Batch) (days []event.Date, news lineage.Batch) {
	changed := map[string]bool{}
	for _, link := range b.Links {
		links := inner(&l.links, link.Node)
		if _, ok := links[contentOf(&link)]; ok {
			continue
		}
		if !outranked(links, &link) {
			changed[link.Node] = true
		}
		link.Chain = slices.Clone(link.Chain)
		links[contentOf(&link)] = link
		if link.Parent != "" {
			inner(&l.below, link.Parent)[link.Node] = true
		}
		for _, h := range link.Chain {
			inner(&l.below, h.Node)[link.Node] = true
		}
		news.Links = append(news.Links, link)
	}
	for i := range b.Void {
		v := &b.Void[i]
		if links := l.links[v.Node]; links != nil {
			if _, ok := links[contentOf(v)]; ok {
				delete(links, contentOf(v))
				changed[v.Node] = true
				news.Void = append(news.Void, *v)
			}
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
		news.Names = append(news.Names, n)
		if !ok || len(names) > 1 {
			changed[n.Node] = true
		}
	}
	for _, u := range b.Uses {
		if used := inner(&l.uses, u.Node); !used[u.Date] {
			used[u.Date] = true
			news.Uses = append(news.Uses, u)
		}
	}
	return l.concerned(changed), news
}

// Changed returns the days that become dirty when links of the nodes changed that are
// kept elsewhere.
func (l *Lineages) Changed(nodes []string) []event.Date {
	changed := map[string]bool{}
	for _, n := range nodes {
		changed[n] = true
	}
	return l.concerned(changed)
}

// concerned returns the days that a change of nodes concerns, ascending.
func (l *Lineages) concerned(changed map[string]bool) []event.Date {
	for _, named := range slices.DeleteFunc(slices.Collect(maps.Keys(changed)), func(node string) bool { return !lineage.IsNamed(node) }) {
		for _, child := range l.belowSome(named, func(link lineage.Link) bool {
			return slices.ContainsFunc(link.Chain, func(h lineage.Hop) bool { return h.Node == named })
		}) {
			changed[child] = true
		}
	}
	days := map[event.Date]bool{}
	next := slices.Collect(maps.Keys(changed))
	for hops := 0; len(next) > 0 && hops <= lineage.MaxHops; hops++ {
		var found []string
		for _, node := range next {
			maps.Copy(days, l.uses[node])
			for _, child := range l.belowSome(node, func(link lineage.Link) bool { return link.Parent == node }) {
				if !changed[child] {
					changed[child] = true
					found = append(found, child)
				}
			}
		}
		next = found
	}
	return slices.Sorted(maps.Keys(days))
}

// Forget drops the uses of days; it reports whether there were any.
func (l *Lineages) Forget(days []event.Date) (some bool) {
	for _, used := range l.uses {
		for _, d := range days {
			some = some || used[d]
			delete(used, d)
		}
	}
	return some
}

// Uses returns the days on which a node is used, ascending.
func (l *Lineages) Uses(node string) []event.Date {
	return slices.Sorted(maps.Keys(l.uses[node]))
}

// Concerns reports whether a change of the node would concern any day, now or when
// what descends from it is used: it is used, or has given credentials.
func (l *Lineages) Concerns(node string) bool { return len(l.uses[node]) > 0 || len(l.below[node]) > 0 }

// Known is Store.Lineage.
func (l *Lineages) Known(nodes []string) map[string]lineage.Known {
	all := map[string]lineage.Known{}
	for _, node := range nodes {
		k := lineage.Known{
			Links: slices.SortedFunc(greatest(l.links[node]), func(a, b lineage.Link) int {
				return event.Key{AccountID: a.AccountID, EventID: a.EventID}.Compare(event.Key{AccountID: b.AccountID, EventID: b.EventID})
			}),
			Names: slices.SortedFunc(maps.Values(l.names[node]), func(a, b lineage.Name) int {
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
	return all
}

// Issued is Store.Issued.
func (l *Lineages) Issued(parents []string) []lineage.Link {
	var all []lineage.Link
	seen := map[string]bool{"": true}
	for _, parent := range parents {
		if seen[parent] {
			continue
		}
		seen[parent] = true
		for node := range l.below[parent] {
			for link := range greatest(l.links[node]) {
				if link.Parent == parent {
					link.Chain = slices.Clone(link.Chain)
					all = append(all, link)
				}
			}
		}
	}
	slices.SortFunc(all, CompareIssued)
	return all
}

// RecordLineage implements Store.
func (m *Mem) RecordLineage(ctx context.Context, b lineage.Batch) error {
	return m.write(ctx, "recordlineage", func() error {
		days, _ := m.lineage.Record(b)
		set := map[event.Date]bool{}
		for _, d := range days {
			set[d] = true
		}
		m.markDirty(set)
		return nil
	})
}

// Lineage implements Store.
func (m *Mem) Lineage(ctx context.Context, nodes []string) (all map[string]lineage.Known, err error) {
	err = m.read(ctx, func() { all = m.lineage.Known(nodes) })
	return all, err
}

// Issued implements Store.
func (m *Mem) Issued(ctx context.Context, parents []string) (all []lineage.Link, err error) {
	err = m.read(ctx, func() { all = m.lineage.Issued(parents) })
	return all, err
}
