package story

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/query"
)

// Search asks where credentials come from and lead to.
type Search struct {
	// Text is an access key id, the ARN or the name of a session (ROLE/SESSION or
	// SESSION), an IAM user, or an event's id or its beginning.
	Text  string
	Range Range // of the calls that are counted
}

// Trees is what a Search finds.
type Trees struct {
	UnderstoodAs string // AsKey, AsEvent or AsName
	Trees        []Tree
	More         int // sessions of that name that were left out, the oldest
}

// Tree is the way from a root down to what was asked for, and all that came of it.
type Tree struct {
	// Root is the person or workload, with the sessions on the way as only
	// child each, down to the node with Asked; that one has all its children.
	Root *Node
	// Certainty, Reason and Evidence say how the root is known.
	Certainty string
	Reason    string
	Evidence  []lineage.Evidence
	// Event is the event that was asked for, if one was.
	Event *event.Event
	// Left is how many nodes were left out below what was asked for.
	Left int
}

// Node is a person, or credentials.
type Node struct {
	Kind    string
	Name    string
	Account string
	ARN     string
	Keys    []string // access keys; a console session has many
	Asked   bool
	// Issued is the event that issued the credentials; nil when none is known.
	Issued *Issuing
	// Did counts what was called with the keys; nil without keys, or calls.
	Did *Answer
	// Reached are the things that were changed with the keys, the first first.
	Reached  []Reach
	Children []*Node
	// Note says why there is nothing below: the limit, or a circle.
	Note string
}

// is makes the node that of a hop.
func (n *Node) is(h lineage.Hop) {
	p := PersonOf(h.Kind, h.Name, h.AccountID)
	n.Kind, n.Name, n.Account, n.ARN = h.Kind, p.Name, cmp.Or(p.Account, h.AccountID), h.ARN
}

// Issuing is an event that issued credentials.
type Issuing struct {
	EventName, EventID, AccountID string
	Time                          int64 // ms since the epoch
	// By names the caller, and Parent is the key that it was called with, if one.
	By, Parent string
	// Own tells that the key belongs to another identity than the caller's: who
	// made an access key for a user doesn't act as them.
	Own bool
}

// Reach is a thing that was changed.
type Reach struct {
	EventName, TargetKind, Target, Key, AccountID, EventID string
	First                                                  int64
	Count                                                  int64
}

const (
	maxTrees    = 5
	maxNodes    = 200 // of a tree
	maxChildren = 25  // of a node
	maxReached  = 20  // of a node
	maxDepth    = 64
)

// ErrNothing tells that a Search found nothing.
type ErrNothing struct{ What string }

func (e *ErrNothing) Error() string { return e.What }

// Trace finds where credentials come from and lead to. An *ErrNothing says that
// there is nothing of that name.
func (t *Teller) Trace(ctx context.Context, s Search) (Trees, error) {
	out := Trees{UnderstoodAs: Recognise(s.Text).As}
	starts, more, err := t.starts(ctx, &s, &out)
	if err != nil {
		return out, err
	}
	out.More = more
	for _, start := range starts {
		tree, err := t.tree(ctx, s.Range, start)
		if err != nil {
			return out, err
		}
		if !merged(out.Trees, &tree) {
			out.Trees = append(out.Trees, tree)
		}
	}
	for i := range out.Trees {
		out.Trees[i].Root.dropRepeated()
	}
	return out, nil
}

// dropRepeated removes children whose key stands below another one: a user may
// have made their own second key.
func (n *Node) dropRepeated() {
	below := map[string]bool{}
	var walk func(*Node)
	walk = func(c *Node) {
		for _, k := range c.Keys {
			below[k] = true
		}
		for _, d := range c.Children {
			walk(d)
		}
	}
	for _, c := range n.Children {
		for _, d := range c.Children {
			walk(d)
		}
	}
	if len(n.Keys) == 0 && n.Asked {
		n.Children = slices.DeleteFunc(n.Children, func(c *Node) bool { return len(c.Keys) > 0 && below[c.Keys[0]] })
	}
}

// merged puts the tree of a user's key under the user, where one of their other
// keys is there already, and reports whether it did.
func merged(trees []Tree, t *Tree) bool {
	if len(trees) == 0 || !t.Root.Asked || t.Event != nil {
		return false
	}
	last := &trees[len(trees)-1]
	r := last.Root
	if !r.Asked || r.Kind != t.Root.Kind || r.Name != t.Root.Name || r.Account != t.Root.Account || last.Certainty != t.Certainty {
		return false
	}
	if len(r.Keys) > 0 {
		own := *r
		own.Asked = false
		last.Root = &Node{Kind: r.Kind, Name: r.Name, Account: r.Account, ARN: r.ARN, Asked: true, Children: []*Node{&own}}
	}
	key := *t.Root
	key.Asked = false
	last.Root.Children = append(last.Root.Children, &key)
	last.Left += t.Left
	return true
}

// start is where a tree is begun from: credentials, and an event made with them.
type start struct {
	keys  []string
	at    *Place       // nil: no event was made with them
	event *event.Event // the one that was asked for
}

// starts finds what is asked for.
func (t *Teller) starts(ctx context.Context, s *Search, out *Trees) (list []start, more int, err error) {
	lit, err := query.Literal(s.Text)
	if err != nil {
		return nil, 0, err
	}
	where := ""
	switch out.UnderstoodAs {
	case AsKey:
		where = "access_key_id = " + lit
	case AsEvent:
		return t.eventStart(ctx, s)
	case AsARN:
		where = "access_key_id <> '' AND identity_arn = " + lit
	default:
		out.UnderstoodAs = AsName
		where = "access_key_id <> '' AND (session_name = " + lit + " OR user_name = " + lit + " OR principal_id = " + lit + ")"
		if role, session, ok := strings.Cut(s.Text, "/"); ok {
			a, errA := query.Literal(role)
			b, errB := query.Literal(session)
			if errA != nil || errB != nil {
				return nil, 0, cmp.Or(errA, errB)
			}
			where = strings.TrimSuffix(where, ")") + " OR role_name = " + a + " AND session_name = " + b + ")"
		}
	}
	// A session is what has one ARN and was issued at one time; the console
	// changes keys within.
	sql := `SELECT identity, account_id, array_agg(DISTINCT access_key ORDER BY access_key), max(place), count(*) OVER () AS sessions
FROM (SELECT coalesce(identity_arn, principal_id, '') AS identity, account_id, coalesce(access_key_id, '') AS access_key, CASE WHEN strpos(rest, '"creationDate"') > 0 AND starts_with(coalesce(access_key_id, ''), 'ASIA') THEN
    coalesce(json_extract_scalar(rest, '$.userIdentity.sessionContext.attributes.creationDate'), '') ELSE coalesce(access_key_id, '') END AS created, ` + placeSQL + ` AS place
  FROM events WHERE ` + where + `)
GROUP BY identity, account_id, created
ORDER BY max(place) DESC
LIMIT ` + strconv.Itoa(maxTrees)
	err = t.each(ctx, Range{}, sql, func(r row) error {
		at, err := place(r.text(3))
		if err != nil {
			return err
		}
		keys := slices.DeleteFunc(r.list(2), func(k string) bool { return k == "" })
		list = append(list, start{keys: keys, at: &at})
		more = max(0, int(r.int(4))-maxTrees)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if len(list) == 0 && out.UnderstoodAs == AsKey {
		// Issued, and never used.
		known, err := t.links.Lineage(ctx, []string{s.Text})
		if err != nil {
			return nil, 0, fmt.Errorf("look up %s: %w", s.Text, err)
		}
		if len(known[s.Text].Links) > 0 {
			return []start{{keys: []string{s.Text}}}, 0, nil
		}
	}
	if len(list) == 0 {
		return nil, 0, &ErrNothing{"no stored event was made with, or issued, " + s.Text}
	}
	return list, more, nil
}

func (t *Teller) eventStart(ctx context.Context, s *Search) ([]start, int, error) {
	lit, err := query.Literal(strings.ToLower(s.Text))
	if err != nil {
		return nil, 0, err
	}
	var found []Place
	err = t.each(ctx, Range{}, "SELECT "+placeSQL+" FROM events WHERE starts_with(event_id, "+lit+") ORDER BY account_id, event_id LIMIT "+strconv.Itoa(maxTrees+1), func(r row) error {
		at, err := place(r.text(0))
		found = append(found, at)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	if len(found) == 0 {
		return nil, 0, &ErrNothing{"no event has the id " + s.Text}
	}
	var out []start
	for i := range found {
		if found[i].Key.EventID != found[0].Key.EventID {
			return nil, 0, &ErrNothing{"more than one event id starts with " + s.Text + ", such as " + found[0].Key.EventID + " and " + found[i].Key.EventID}
		}
		e, err := t.events.Event(ctx, found[i].Key, event.DateOf(found[i].Time))
		if err != nil {
			return nil, 0, fmt.Errorf("read event %s: %w", found[i].Key.EventID, err)
		}
		st := start{at: &found[i], event: &e}
		if e.AccessKeyID != "" {
			st.keys = []string{e.AccessKeyID}
		}
		out = append(out, st)
	}
	return out, 0, nil
}

// tree draws one tree.
func (t *Teller) tree(ctx context.Context, within Range, s start) (Tree, error) {
	tree := Tree{Event: s.event}
	asked := &Node{Keys: s.keys, Asked: true}
	var chain []lineage.Hop
	var ms int64
	switch {
	case s.at != nil:
		e, r, err := t.Resolve(ctx, *s.at)
		if err != nil {
			return tree, err
		}
		chain, ms = r.Chain, e.EventTime
		tree.Certainty, tree.Reason, tree.Evidence = r.Certainty, r.Reason, r.Evidence
	default:
		var err error
		if chain, ms, err = t.unused(ctx, &tree, s.keys[0]); err != nil {
			return tree, err
		}
	}
	self := chain[len(chain)-1]
	asked.is(self)

	// Up: the keys, as far as they lead, beside the chain, which may begin with
	// somebody who has none.
	top, depth := asked, 1
	seen := map[string]bool{}
	for at := asked; len(at.Keys) > 0 && depth < maxDepth; {
		seen[at.Keys[0]] = true
		l, err := t.issuer(ctx, at.Keys, ms)
		if err != nil {
			return tree, err
		}
		if l == nil {
			break
		}
		if at.Issued, err = t.issuing(ctx, l); err != nil {
			return tree, err
		}
		if at.Issued.Own || at.Issued.Parent == "" || seen[at.Issued.Parent] {
			break
		}
		depth++
		parent := &Node{Keys: []string{at.Issued.Parent}, Children: []*Node{at}}
		hop := chain[max(0, len(chain)-depth)]
		parent.is(hop)
		top, at, ms = parent, parent, l.EventTime
	}
	for ; depth < len(chain); depth++ {
		top = &Node{Children: []*Node{top}}
		top.is(chain[len(chain)-depth-1])
	}
	tree.Root = top

	nodes := []*Node{}
	for n := top; ; n = n.Children[0] {
		nodes = append(nodes, n)
		if n == asked {
			break
		}
	}
	below, left, err := t.below(ctx, asked, seen)
	if err != nil {
		return tree, err
	}
	tree.Left = left
	nodes = append(nodes, below...)
	if err := t.did(ctx, within, nodes); err != nil {
		return tree, err
	}
	return tree, t.nameBelow(ctx, below)
}

func (t *Teller) issuing(ctx context.Context, l *lineage.Link) (*Issuing, error) {
	i := &Issuing{EventName: l.EventName, EventID: l.EventID, AccountID: l.AccountID, Time: l.EventTime, By: l.Chain[len(l.Chain)-1].Name, Own: owned(l)}
	if !strings.Contains(l.Parent, ":") {
		i.Parent = l.Parent
	}
	if i.Parent == "" {
		// A user's link leads nowhere, since the user is the root; the record has
		// the key. One that a filter dropped isn't there.
		list, err := t.stored(ctx, []Place{{event.Key{AccountID: l.AccountID, EventID: l.EventID}, l.EventTime}})
		if err != nil || len(list) == 0 {
			return i, err
		}
		i.Parent = list[0].AccessKeyID
	}
	return i, nil
}

// stored reads the events that are there.
func (t *Teller) stored(ctx context.Context, at []Place) ([]event.Event, error) {
	if len(at) == 0 {
		return nil, nil
	}
	var ids []string
	days := Range{Since: time.UnixMilli(at[0].Time), Until: time.UnixMilli(at[0].Time)}
	for _, p := range at {
		ids = append(ids, p.Key.EventID)
		if when := time.UnixMilli(p.Time); when.Before(days.Since) {
			days.Since = when
		} else if when.After(days.Until) {
			days.Until = when
		}
	}
	in, err := literals(ids)
	if err != nil {
		return nil, err
	}
	var found []Place
	if err := t.each(ctx, days, "SELECT "+placeSQL+" AS place FROM events WHERE event_id IN ("+in+") ORDER BY place", func(r row) error {
		p, err := place(r.text(0))
		found = append(found, p)
		return err
	}); err != nil {
		return nil, err
	}
	var out []event.Event
	for _, p := range found {
		if !slices.ContainsFunc(at, func(a Place) bool { return a.Key == p.Key }) {
			continue
		}
		e, err := t.events.Event(ctx, p.Key, event.DateOf(p.Time))
		if err != nil {
			return nil, fmt.Errorf("read event %s: %w", p.Key.EventID, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// owned tells whether the credentials of a link are those of another identity
// than the caller: an access key that was made for a user.
func owned(l *lineage.Link) bool { return strings.HasPrefix(l.Node, "AKIA") }

// issuer is the link that issued one of the keys before a time; of both accounts'
// records of a call the caller's own, which leads on. Nil: none, or several that
// contradict each other.
func (t *Teller) issuer(ctx context.Context, keys []string, before int64) (*lineage.Link, error) {
	known, err := t.links.Lineage(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("look up who issued %s: %w", keys[0], err)
	}
	const skew = 60_000 // ms, between the clocks of two services
	var best *lineage.Link
	for _, key := range keys {
		for i := range known[key].Links {
			l := &known[key].Links[i]
			switch {
			case l.EventTime > before+skew:
			case best == nil, abroadLink(best) && !abroadLink(l):
				best = l
			case !abroadLink(l) && (l.Parent != best.Parent || l.Chain[0].ARN != best.Chain[0].ARN):
				return nil, nil
			}
		}
	}
	return best, nil
}

// abroadLink tells whether a link is that of the account whose role was taken,
// which doesn't know who called.
func abroadLink(l *lineage.Link) bool { return l.Chain[len(l.Chain)-1].Kind == event.KindAccount }

// unused is the chain of a key that was issued and not seen since.
func (t *Teller) unused(ctx context.Context, tree *Tree, key string) ([]lineage.Hop, int64, error) {
	const ever = 1<<63 - 1 - 60_000
	l, err := t.issuer(ctx, []string{key}, ever)
	if err != nil {
		return nil, 0, err
	}
	if l == nil {
		tree.Certainty, tree.Reason = lineage.Unknown, "records contradict each other on who issued it"
		return []lineage.Hop{{Kind: event.KindUnknown, Name: key}}, ever, nil
	}
	list, err := t.stored(ctx, []Place{{event.Key{AccountID: l.AccountID, EventID: l.EventID}, l.EventTime}})
	if err != nil {
		return nil, 0, err
	}
	if len(list) == 0 {
		// A filter dropped the issuing event.
		tree.Certainty, tree.Reason = l.Rooted, ""
		if l.Rooted == "" {
			tree.Certainty, tree.Reason = lineage.Unknown, "the event that issued it is not stored"
		}
		return append(slices.Clone(l.Chain), lineage.Hop{Kind: event.KindRoleSession, Name: cmp.Or(sessionName(l.Session), key), ARN: l.Session}), ever, nil
	}
	e := &list[0]
	r, err := t.resolver.Resolve(ctx, e)
	if err != nil {
		return nil, 0, err
	}
	tree.Certainty, tree.Reason = r.Certainty, r.Reason
	tree.Evidence = append(slices.Clone(r.Evidence), lineage.Evidence{How: l.EventName + " issued " + key, AccountID: l.AccountID, EventID: l.EventID})
	self := lineage.Hop{Kind: event.KindRoleSession, Name: cmp.Or(sessionName(l.Session), e.TargetName, key), ARN: l.Session, AccountID: e.AccountID}
	if owned(l) {
		self.Kind = event.KindIAMUser
		return []lineage.Hop{self}, ever, nil
	}
	return append(slices.Clone(r.Chain), self), ever, nil
}

// sessionName is ROLE/SESSION of an ARN.
func sessionName(arn string) string {
	if _, name, ok := strings.Cut(arn, ":assumed-role/"); ok {
		return name
	}
	return arn[strings.LastIndexByte(arn, '/')+1:]
}

// below finds all that the credentials of a node issued, level by level.
func (t *Teller) below(ctx context.Context, top *Node, seen map[string]bool) (nodes []*Node, left int, err error) {
	level := []*Node{top}
	for depth := 0; len(level) > 0; depth++ {
		var parents []string
		of := map[string]*Node{}
		for _, n := range level {
			for _, k := range n.Keys {
				parents = append(parents, k)
				of[k] = n
				seen[k] = true
			}
		}
		if len(parents) == 0 {
			return nodes, left, nil
		}
		links, err := t.issued(ctx, parents)
		if err != nil {
			return nil, 0, err
		}
		level = nil
		for i := range links {
			l := &links[i].Link
			parent := of[links[i].key]
			switch {
			case seen[l.Node]:
				if !slices.ContainsFunc(parent.Children, func(c *Node) bool { return slices.Contains(c.Keys, l.Node) }) {
					parent.Note = "issued " + l.Node + ", which stands elsewhere in this tree"
				}
			case depth == maxDepth, len(nodes) == maxNodes, len(parent.Children) == maxChildren:
				left++
			default:
				seen[l.Node] = true
				n := &Node{
					Kind: event.KindRoleSession, Name: cmp.Or(sessionName(l.Session), l.Node), ARN: l.Session, Keys: []string{l.Node},
					Issued: &Issuing{
						EventName: l.EventName, EventID: l.EventID, AccountID: l.AccountID, Time: l.EventTime, By: l.Chain[len(l.Chain)-1].Name, Parent: links[i].key, Own: owned(l),
					},
				}
				if a, ok := parseARN(l.Session); ok {
					n.Account = a.account
				}
				if n.Issued.Own {
					n.Kind = event.KindIAMUser
				}
				parent.Children = append(parent.Children, n)
				nodes = append(nodes, n)
				level = append(level, n)
			}
		}
	}
	return nodes, left, nil
}

// issuedLink is a link with the key that it was issued with.
type issuedLink struct {
	lineage.Link
	key string
}

// issued finds what keys issued: by links, which know of events that a filter
// dropped, and by the events, which know the keys of users, where links end.
func (t *Teller) issued(ctx context.Context, keys []string) ([]issuedLink, error) {
	links, err := t.links.Issued(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("look up what was issued: %w", err)
	}
	var out []issuedLink
	have := map[string]bool{}
	add := func(l lineage.Link, key string) {
		if !strings.Contains(l.Node, ":") && !have[l.Node] { // else another name of the same session
			have[l.Node] = true
			out = append(out, issuedLink{l, key})
		}
	}
	for i := range links {
		add(links[i], links[i].Parent)
	}
	in, err := literals(keys)
	if err != nil {
		return nil, err
	}
	type pair struct{ key, node string }
	var pairs []pair
	const most = 5000
	sql := "SELECT DISTINCT access_key_id, issued_access_key_id FROM events WHERE access_key_id IN (" + in + ") AND issued_access_key_id <> '' AND outcome = 'ok' ORDER BY 1, 2 LIMIT " + strconv.Itoa(most)
	if err := t.each(ctx, Range{}, sql, func(r row) error {
		pairs = append(pairs, pair{r.text(0), r.text(1)})
		return nil
	}); err != nil {
		return nil, err
	}
	for part := range slices.Chunk(pairs, 500) {
		nodes := make([]string, len(part))
		for i := range part {
			nodes[i] = part[i].node
		}
		known, err := t.links.Lineage(ctx, nodes)
		if err != nil {
			return nil, fmt.Errorf("look up what was issued: %w", err)
		}
		for _, p := range part {
			for _, l := range known[p.node].Links {
				if !abroadLink(&l) {
					add(l, p.key)
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b issuedLink) int {
		return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.AccountID, b.AccountID), strings.Compare(a.EventID, b.EventID))
	})
	return out, nil
}

// nameBelow names the nodes that links say too little of: whose an access key is.
func (t *Teller) nameBelow(ctx context.Context, nodes []*Node) error {
	for _, n := range nodes {
		if !n.Issued.Own {
			continue
		}
		list, err := t.stored(ctx, []Place{{event.Key{AccountID: n.Issued.AccountID, EventID: n.Issued.EventID}, n.Issued.Time}})
		if err != nil {
			return err
		}
		if len(list) > 0 {
			n.Name, n.Account = cmp.Or(list[0].TargetName, n.Name), list[0].AccountID
		}
	}
	return nil
}

// did counts what was called with the keys of nodes, and what was changed.
func (t *Teller) did(ctx context.Context, within Range, nodes []*Node) error {
	var cases, every []string
	for i, n := range nodes {
		if len(n.Keys) == 0 {
			continue
		}
		in, err := literals(n.Keys)
		if err != nil {
			return err
		}
		cases = append(cases, fmt.Sprintf("WHEN access_key_id IN (%s) THEN '%d'", in, i))
		every = append(every, in)
	}
	if len(cases) == 0 {
		return nil
	}
	where, err := query.EventFilter{Since: within.Since, Until: within.Until}.Conditions()
	if err != nil {
		return err
	}
	where = append(where, "access_key_id IN ("+strings.Join(every, ", ")+")")
	node := "CASE " + strings.Join(cases, " ") + " END"
	inner := "SELECT " + node + ` AS relation, '' AS kind, '' AS person, '' AS home,
  event_time, coalesce(event_name, '') AS event_name, outcome, coalesce(source_ip, '') AS source_ip, coalesce(target_name, target_arn, '') AS target, account_id,
  coalesce(issued_access_key_id, '') AS issued, '' AS chain, false AS door, ` + placeSQL + " AS place\nFROM events\nWHERE " + all(where)
	q := Question{Range: within}
	answers, err := t.count(ctx, &q, inner)
	if err != nil || len(answers.Answers) == 0 {
		return err
	}
	for i := range answers.Answers {
		a := &answers.Answers[i]
		n, err := strconv.Atoi(a.Relation)
		if err != nil {
			return fmt.Errorf("count calls: %w", err)
		}
		a.Chains = nil
		nodes[n].Did = a
	}
	return t.reached(ctx, within, nodes, node, where)
}

// reached finds what was changed with the keys of nodes.
func (t *Teller) reached(ctx context.Context, within Range, nodes []*Node, node string, where []string) error {
	where = append(slices.Clone(where), "outcome = 'ok'", "category IN ('iam', 'sso')", "NOT "+readSQL, "coalesce(target_name, target_arn, '') <> ''")
	sql := `SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY node ORDER BY first, event_name, target, issued) AS position
FROM (SELECT ` + node + ` AS node, event_name, coalesce(target_kind, '') AS kind, coalesce(target_name, target_arn, '') AS target, coalesce(issued_access_key_id, '') AS issued, account_id,
    min(` + placeSQL + `) AS place, min(event_time) AS first, count(*) AS n
  FROM events WHERE ` + all(where) + `
  GROUP BY ` + node + `, event_name, coalesce(target_kind, ''), coalesce(target_name, target_arn, ''), coalesce(issued_access_key_id, ''), account_id))
WHERE position <= ` + strconv.Itoa(maxReached) + "\nORDER BY node, position"
	return t.each(ctx, within, sql, func(r row) error {
		i, err := strconv.Atoi(r.text(0))
		if err != nil {
			return fmt.Errorf("count changes: %w", err)
		}
		at, err := place(r.text(6))
		if err != nil {
			return err
		}
		nodes[i].Reached = append(nodes[i].Reached, Reach{
			EventName: r.text(1), TargetKind: r.text(2), Target: r.text(3), Key: r.text(4), AccountID: r.text(5), EventID: at.Key.EventID, First: r.ms(7), Count: r.int(8),
		})
		slices.SortStableFunc(nodes[i].Reached, func(a, b Reach) int {
			return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(tieOrder(a.EventName), tieOrder(b.EventName)))
		})
		return nil
	})
}
