package lineage_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
)

// memory is a Source made of batches.
type memory struct {
	links map[string]map[event.Key]lineage.Link
	names map[string]map[lineage.Name]lineage.Name
}

func newMemory() *memory {
	return &memory{links: map[string]map[event.Key]lineage.Link{}, names: map[string]map[lineage.Name]lineage.Name{}}
}

func (m *memory) add(b lineage.Batch) {
	for _, l := range b.Links {
		k := event.Key{AccountID: l.AccountID, EventID: l.EventID}
		if m.links[l.Node] == nil {
			m.links[l.Node] = map[event.Key]lineage.Link{}
		}
		if old, ok := m.links[l.Node][k]; !ok || l.Version.Compare(old.Version) > 0 {
			m.links[l.Node][k] = l
		}
	}
	for _, n := range b.Names {
		k := lineage.Name{Node: n.Node, Name: n.Name, Source: n.Source}
		if m.names[n.Node] == nil {
			m.names[n.Node] = map[lineage.Name]lineage.Name{}
		}
		if old, ok := m.names[n.Node][k]; ok {
			n.First, n.Last = min(n.First, old.First), max(n.Last, old.Last)
		}
		m.names[n.Node][k] = n
	}
}

func (m *memory) Lineage(_ context.Context, nodes []string) (map[string]lineage.Known, error) {
	out := map[string]lineage.Known{}
	for _, node := range nodes {
		k := lineage.Known{Links: slices.Collect(maps.Values(m.links[node])), Names: slices.Collect(maps.Values(m.names[node]))}
		slices.SortFunc(k.Links, func(a, b lineage.Link) int {
			return cmp.Or(strings.Compare(a.AccountID, b.AccountID), strings.Compare(a.EventID, b.EventID))
		})
		slices.SortFunc(k.Names, func(a, b lineage.Name) int {
			return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Name, b.Name))
		})
		out[node] = k
	}
	return out, nil
}

func (m *memory) Issued(_ context.Context, parents []string) ([]lineage.Link, error) {
	var out []lineage.Link
	for _, links := range m.links {
		for _, l := range links {
			if slices.Contains(parents, l.Parent) {
				out = append(out, l)
			}
		}
	}
	slices.SortFunc(out, func(a, b lineage.Link) int {
		return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.AccountID, b.AccountID), strings.Compare(a.EventID, b.EventID), strings.Compare(a.Node, b.Node))
	})
	return out, nil
}
