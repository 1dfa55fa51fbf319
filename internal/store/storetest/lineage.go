package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/store"
)

// link says that an event gave node to whoever has parent.
func link(node, parent, id string, hash uint64) lineage.Link {
	return lineage.Link{
		Node: node, AccountID: "1", EventID: id, Version: event.Version{Major: 1, Minor: 9, Hash: hash}, EventTime: int64(hash & 0xff), EventName: "AssumeRole",
		Session: "arn:" + node, Parent: parent, Rooted: "proven", How: "it says so",
		Chain: []lineage.Hop{{Kind: "iam-user", Name: "a\x1b[31m\"'\u202e" + fmt.Sprint(hash), ARN: "x", AccountID: "2", Node: "n", SourceIdentity: "s"}, {Kind: "role-session", Name: node}},
	}
}

func uses(node string, days ...event.Date) (out []lineage.Use) {
	for _, d := range days {
		out = append(out, lineage.Use{Node: node, Date: day0 + d})
	}
	return out
}

// exported makes all days clean, and returns which were dirty, less day0.
func exported(t *testing.T, s store.Store) []event.Date {
	t.Helper()
	days, err := s.DirtyDays(t.Context())
	noError(t, err)
	var out []event.Date
	for _, d := range days {
		noError(t, s.DayExported(t.Context(), d.Mark, store.LakeDay{Date: d.Date}))
		out = append(out, d.Date-day0)
	}
	return out
}

func testLineage(t *testing.T, open Open) {
	s := fresh(t, open)
	ctx := t.Context()
	step := func(what string, b lineage.Batch, dirty ...event.Date) {
		t.Helper()
		noError(t, s.RecordLineage(ctx, b))
		if d := cmp.Diff(dirty, exported(t, s), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: dirty days: %s", what, d)
		}
		noError(t, s.RecordLineage(ctx, b))
		if d := exported(t, s); len(d) > 0 && len(b.Void) == 0 {
			t.Errorf("%s, again: days %v are dirty", what, d)
		}
	}
	about := func(nodes ...string) map[string]lineage.Known {
		t.Helper()
		k, err := s.Lineage(ctx, nodes)
		noError(t, err)
		return k
	}
	same(t, "of an empty store", about("a", ""), map[string]lineage.Known{})

	step("uses alone", lineage.Batch{Uses: slices.Concat(uses("a", 1, 2), uses("b", 3), uses("c", 4), uses("z", 9))})
	a := link("a", "", "e1", 7)
	step("a late link", lineage.Batch{Links: []lineage.Link{a}}, 1, 2)
	step("a link and its use at once", lineage.Batch{Links: []lineage.Link{link("d", "", "e9", 1)}, Uses: uses("d", 5)}, 5)
	b, c := link("b", "a", "e2", 1<<63+1), link("c", "b", "e3", 3)
	step("links further down", lineage.Batch{Links: []lineage.Link{b, c}}, 3, 4)
	same(t, "what is known", about("a", "b", "nothing"), map[string]lineage.Known{"a": {Links: []lineage.Link{a}}, "b": {Links: []lineage.Link{b}}})
	issued, err := s.Issued(ctx, []string{"a", "b", "", "a", "nothing"})
	noError(t, err)
	same(t, "what was issued", issued, []lineage.Link{b, c})

	a2 := link("a", "", "e0", 7)
	step("another event about a node dirties what descends from it", lineage.Batch{Links: []lineage.Link{a2}}, 1, 2, 3, 4)
	same(t, "two links", about("a")["a"].Links, []lineage.Link{a2, a})
	step("a lesser content", lineage.Batch{Links: []lineage.Link{link("a", "x", "e1", 6)}})
	step("a greater content", lineage.Batch{Links: []lineage.Link{link("a", "", "e1", 1<<63)}}, 1, 2, 3, 4)
	step("greater still, as an unsigned number", lineage.Batch{Links: []lineage.Link{link("a", "", "e1", 1<<63+5)}}, 1, 2, 3, 4)
	other := a2
	other.Version.Hash++
	step("a void content that isn't there", lineage.Batch{Void: []lineage.Link{other}})
	step("a content that lost is void", lineage.Batch{Void: []lineage.Link{a2}}, 1, 2, 3, 4)
	same(t, "one link", len(about("a")["a"].Links), 1)

	step("the greatest content is void", lineage.Batch{Void: []lineage.Link{link("a", "", "e1", 1<<63+5)}}, 1, 2, 3, 4)
	same(t, "the next one counts", about("a")["a"].Links, []lineage.Link{link("a", "", "e1", 1<<63)})
	noError(t, s.RecordLineage(ctx, lineage.Batch{Links: []lineage.Link{link("v", "", "e30", 2)}, Void: []lineage.Link{link("v", "", "e30", 2)}, Uses: uses("v", 30)}))
	same(t, "a content that comes again and loses at once", about("v"), map[string]lineage.Known{})
	exported(t, s)
	raw := link("raw", "", "e31", 1)
	raw.Chain[0].Name, raw.Chain[0].ARN, raw.EventName, raw.Session = "a\xff\xfe\x00é", "\xc3", "\x80", "s\xff"
	noError(t, s.RecordLineage(ctx, lineage.Batch{Links: []lineage.Link{raw}}))
	same(t, "texts that aren't UTF-8", about("raw")["raw"].Links, []lineage.Link{raw})

	step("a circle", lineage.Batch{Links: []lineage.Link{link("a", "c", "e5", 1)}}, 1, 2, 3, 4)

	n := lineage.Name{Node: "u", Name: "alice\x00\"", Source: lineage.Learned, First: 10, Last: 20}
	step("a name", lineage.Batch{Names: []lineage.Name{n}, Uses: uses("u", 6, 7)}, 6, 7)
	step("wider bounds", lineage.Batch{Names: []lineage.Name{{Node: "u", Name: n.Name, Source: n.Source, First: 5, Last: 15}}})
	m := lineage.Name{Node: "u", Name: "alice", Source: lineage.Given, First: 1, Last: 1}
	step("another name", lineage.Batch{Names: []lineage.Name{m}}, 6, 7)
	step("narrower bounds", lineage.Batch{Names: []lineage.Name{{Node: "u", Name: n.Name, Source: n.Source, First: 6, Last: 7}}})
	step("wider bounds of one of two", lineage.Batch{Names: []lineage.Name{{Node: "u", Name: n.Name, Source: n.Source, First: 5, Last: 50}}}, 6, 7)
	n.First, n.Last = 5, 50
	same(t, "names", about("u"), map[string]lineage.Known{"u": {Names: []lineage.Name{n, m}}})

	// A name that another node's chain shows.
	person, below := link("p", "", "e20", 1), link("q", "p", "e21", 1)
	person.Chain[0].Node = lineage.UserNode("d-1", "u")
	step("links of a user", lineage.Batch{Links: []lineage.Link{person, below}, Uses: slices.Concat(uses("p", 20), uses("q", 21))}, 20, 21)
	step("the user's name", lineage.Batch{Names: []lineage.Name{{Node: lineage.UserNode("d-1", "u"), Name: "carol", Source: lineage.Given}}}, 20, 21)

	noError(t, s.DropLakeDays(ctx, []event.Date{day0 + 6}))
	step("a dropped day isn't used any more", lineage.Batch{Names: []lineage.Name{{Node: "u", Name: "bob", Source: lineage.Learned}}}, 7)

	// Many at once.
	var many lineage.Batch
	var want []event.Date
	for i := range 500 {
		node := fmt.Sprintf("ASIA%04d", i)
		many.Links = append(many.Links, link(node, "root", fmt.Sprint("m", i), uint64(i)))
		many.Uses = append(many.Uses, uses(node, 100+event.Date(i))...)
		want = append(want, 100+event.Date(i))
	}
	step("many", many, want...)
	step("one above many", lineage.Batch{Links: []lineage.Link{link("root", "", "r", 1)}}, want...)
	if k := about("ASIA0000", "ASIA0499", "ASIA0250"); len(k) != 3 {
		t.Errorf("%d nodes", len(k))
	}
}

// What is known in the end doesn't depend on order, split and repetition, and a
// day whose node's links changed is dirty.
func testLineageOrder(t *testing.T, open Open) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []lineage.Batch
		nodes := []string{"a", "b", "c", "d", ""}
		for i := range rapid.IntRange(1, 12).Draw(rt, "batches") {
			node := rapid.SampledFrom(nodes[:4]).Draw(rt, "node")
			b := lineage.Batch{Links: []lineage.Link{link(node, rapid.SampledFrom(nodes).Draw(rt, "parent"), fmt.Sprint(rapid.IntRange(0, 3).Draw(rt, "event")), uint64(i))}}
			if rapid.Bool().Draw(rt, "name") {
				b.Names = []lineage.Name{{Node: node, Name: rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "name"), Source: lineage.Learned, First: int64(i), Last: int64(2 * i)}}
			}
			b.Uses = uses(node, event.Date(i))
			all = append(all, b)
		}
		tell := func(s store.Store) (k map[string]lineage.Known, issued []lineage.Link) {
			k, err := s.Lineage(t.Context(), nodes)
			noError(t, err)
			issued, err = s.Issued(t.Context(), nodes)
			noError(t, err)
			return k, issued
		}
		one, other := fresh(t, open), fresh(t, open)
		for _, b := range all {
			noError(t, one.RecordLineage(t.Context(), b))
		}
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 5))
		for range 2 {
			shuffled := slices.Clone(all)
			rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			for len(shuffled) > 0 {
				n := 1 + rnd.IntN(len(shuffled))
				var b lineage.Batch
				for i := range shuffled[:n] {
					b.Append(&shuffled[i])
				}
				noError(t, other.RecordLineage(t.Context(), b))
				shuffled = shuffled[n:]
			}
		}
		k, issued := tell(one)
		k2, issued2 := tell(other)
		if d := cmp.Diff(k, k2); d != "" {
			rt.Fatal(d)
		}
		if d := cmp.Diff(issued, issued2); d != "" {
			rt.Fatal(d)
		}
		// A link that comes last dirties all that descends from its node.
		exported(t, other)
		noError(t, other.RecordLineage(t.Context(), lineage.Batch{Links: []lineage.Link{link("a", "", "late", 99)}}))
		// What other contents of an event said, which don't count, may too.
		reach := func(children func(node string) []string) map[event.Date]bool {
			days := map[event.Date]bool{}
			seen, next := map[string]bool{}, []string{"a"}
			for len(next) > 0 {
				node := next[0]
				next = next[1:]
				if seen[node] {
					continue
				}
				seen[node] = true
				for i, b := range all {
					if b.Links[0].Node == node {
						days[event.Date(i)] = true
					}
				}
				next = append(next, children(node)...)
			}
			return days
		}
		want := reach(func(node string) (nodes []string) {
			children, err := other.Issued(t.Context(), []string{node})
			noError(t, err)
			for _, c := range children {
				nodes = append(nodes, c.Node)
			}
			return nodes
		})
		may := reach(func(node string) (nodes []string) {
			for _, b := range all {
				if b.Links[0].Parent == node {
					nodes = append(nodes, b.Links[0].Node)
				}
			}
			return nodes
		})
		got := map[event.Date]bool{}
		for _, d := range exported(t, other) {
			if got[d] = true; !may[d] {
				rt.Fatalf("%v is dirty, of %v", d, may)
			}
		}
		for d := range want {
			if !got[d] {
				rt.Fatalf("dirty %v, want %v", got, want)
			}
		}
	})
}
