package lineage

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

const (
	// MaxHops bounds a chain. AWS lets roles be chained without end; nobody
	// chains that many on purpose.
	MaxHops = 64
	// lifetime is how long temporary credentials last at most, in milliseconds
	// (AWS STS API Reference: GetSessionToken and GetFederationToken, 36 hours).
	lifetime = 36 * 3600 * 1000
	// skew is how far the clocks of two AWS services may be apart, in ms.
	skew = 60 * 1000
	// cached bounds what a Resolver remembers, in nodes and in credentials.
	cached = 50_000
	// maxSteps bounds the ways that are tried for one event: records that
	// contradict each other at each hop would lead on 2^64 ways.
	maxSteps = 1000
)

// Resolver follows links to the root. It remembers what it has looked up, so it
// is made for one piece of work, during which what it has seen may stay true. It
// is not safe for concurrent use.
type Resolver struct {
	src   Source
	read  reader
	seed  maphash.Seed
	known map[string]Known
	done  map[filling]filled
	steps int // of follow, for the event at hand
}

// NewResolver returns a Resolver that looks nodes up in src.
func NewResolver(src Source) *Resolver {
	return &Resolver{src: src, seed: maphash.MakeSeed(), known: map[string]Known{}, done: map[filling]filled{}}
}

// Warm looks nodes up at once, with those that they lead to, which is much faster
// than one at a time. After an error the Resolver is of no use.
func (r *Resolver) Warm(ctx context.Context, uses []Use) error {
	var next []string
	want := func(node string) {
		if _, ok := r.known[node]; !ok && node != "" && len(r.known) < cached {
			r.known[node] = Known{}
			next = append(next, node)
		}
	}
	for i := range uses {
		want(uses[i].Node)
	}
	const chunk = 500
	for len(next) > 0 {
		nodes := next[:min(len(next), chunk)]
		next = next[len(nodes):]
		all, err := r.src.Lineage(ctx, nodes)
		if err != nil {
			return fmt.Errorf("look up who was given credentials: %w", err)
		}
		for n, k := range all {
			r.known[n] = k
			for i := range k.Links {
				want(k.Links[i].Parent)
				for _, h := range k.Links[i].Chain {
					want(h.Node)
				}
			}
		}
	}
	return nil
}

// path is a way from a node up to its root.
type path struct {
	chain     []Hop
	certainty string // Unknown when chain[0] isn't the root
	evidence  []Evidence
	reason    string
	// from and until bound the times, in ms, for which the path was found; the
	// same path holds for all of them.
	from, until int64
}

// Resolve tells who is behind the event. The event's own Actor, ActorKind and
// ActorChain don't matter. The error is the Source's.
func (r *Resolver) Resolve(ctx context.Context, e *event.Event) (Resolution, error) {
	p, err := r.resolve(ctx, e)
	if err != nil {
		return Resolution{}, err
	}
	return p.resolution(), nil
}

// of reports whether the path's caller is of an account, as far as that is known.
func (p *path) of(account string) bool {
	have := p.chain[len(p.chain)-1].AccountID
	return have == "" || account == "" || have == account
}

func (p *path) resolution() Resolution {
	res := Resolution{Kind: p.chain[0].Kind, Actor: p.chain[0].Name, Chain: p.chain, Certainty: p.certainty, Evidence: p.evidence, Reason: p.reason}
	if res.Evidence == nil {
		res.Evidence = []Evidence{}
	}
	return res
}

func (r *Resolver) resolve(ctx context.Context, e *event.Event) (path, error) {
	r.steps = 0
	s := r.read.stem(e)
	at := moment{e.EventTime, e.Outcome == event.OutcomeOK}
	p := path{chain: slices.Clone(s.chain), certainty: cmp.Or(s.rooted, Unknown), reason: s.reason, from: minTime, until: maxTime}
	if s.rooted != "" {
		p.evidence = []Evidence{{How: s.how}}
	}
	if s.same != "" {
		better, err := r.follow(ctx, s.same, "", at, nil)
		if err != nil {
			return path{}, err
		}
		if better.chain != nil && better.chain[len(better.chain)-1].Kind != event.KindAccount && !better.of(s.chain[0].AccountID) {
			p.certainty, p.reason = Unknown, "the record of the same call is of a caller in another account"
		} else if better.chain != nil && better.chain[len(better.chain)-1].Kind != event.KindAccount {
			p = better
		} else if better.reason != "" {
			p.certainty, p.reason = Unknown, better.reason
		}
	}
	why := ""
	for _, node := range s.nodes {
		up, err := r.follow(ctx, node, e.IdentityARN, at, nil)
		if err != nil {
			return path{}, err
		}
		if up.chain == nil {
			why = first(why, up.reason)
			p.from, p.until = max(p.from, up.from), min(p.until, up.until)
			continue
		}
		up.chain = append(up.chain, s.chain...)
		if strings.HasPrefix(node, sessionNode) && up.certainty == Proven {
			up.certainty, up.reason = Inferred, "the session has the name and the time of creation of the one that was issued, and another key"
		}
		up.from, up.until = max(p.from, up.from), min(p.until, up.until)
		p = up
		break
	}
	if p.certainty == Unknown && why != "" {
		p.reason = why
	}
	if self := &p.chain[len(p.chain)-1]; p.certainty == Unknown && self.SourceIdentity != "" {
		p.chain = append([]Hop{{Kind: event.KindSourceIdentity, Name: self.SourceIdentity}}, p.chain...)
		p.certainty = Inferred
		p.reason = "the source identity, which can't be changed once it is set; who set it isn't known"
		p.evidence = append([]Evidence{{How: "the session's source identity"}}, p.evidence...)
	}
	if r.steps > maxSteps {
		// What was tried depends on the time; and where trying ended is no answer.
		p = path{chain: slices.Clone(s.chain), certainty: Unknown, from: at.ms, until: at.ms,
			reason: "too many records contradict each other on the way to the root"}
	}
	if err := r.name(ctx, &p, at); err != nil {
		return path{}, err
	}
	abroad(p.chain, e.AccountID)
	return p, nil
}

const (
	minTime = -1 << 63
	maxTime = 1<<63 - 1
)

// moment is when credentials were used, and whether that worked.
type moment struct {
	ms int64
	ok bool
}

// follow goes from a node to the root of whoever was given its credentials;
// session is the ARN of the session that has them, "" if that doesn't matter.
// Without a link that fits, the path has no chain.
func (r *Resolver) follow(ctx context.Context, node, session string, at moment, seen []string) (path, error) {
	none := path{from: minTime, until: maxTime}
	if r.steps++; r.steps > maxSteps {
		none.reason = "too many records contradict each other on the way to the root"
		return none, nil
	}
	if slices.Contains(seen, node) {
		none.reason = "the records of " + node + " lead in a circle"
		return none, nil
	}
	if len(seen) >= MaxHops {
		none.reason = fmt.Sprintf("the chain has more than %d hops", MaxHops)
		return none, nil
	}
	k, err := r.lookUp(ctx, node)
	if err != nil {
		return none, err
	}
	seen = append(slices.Clone(seen), node)
	var best *path
	worth := 0
	var account, caller string // of the caller, as the owner of the role and the caller's own account record it
	for i := range k.Links {
		l := &k.Links[i]
		from, until := bounds(node, l)
		if session != "" && !l.isOf(session) {
			continue
		}
		if at.ms < from || at.ok && at.ms > until {
			// Another time would make it fit.
			if at.ms < from {
				none.until = min(none.until, from-1)
			} else {
				none.from = max(none.from, until+1)
			}
			continue
		}
		w := l.worth()
		if w == 0 {
			continue
		}
		of := &account
		if w > 1 {
			of = &caller
		}
		*of = first(l.Chain[len(l.Chain)-1].AccountID, *of)
		if w < worth {
			continue
		}
		p, err := r.up(ctx, l, seen)
		if err != nil {
			return none, err
		}
		p.from, p.until = max(p.from, from), min(p.until, until)
		if w > worth {
			best, worth = &p, w
			continue
		}
		if !sameRoot(&p, best) {
			return path{reason: "records contradict each other on who was given " + node, from: at.ms, until: at.ms}, nil
		}
		best.from, best.until = max(best.from, p.from), min(best.until, p.until)
	}
	if best == nil {
		return none, nil
	}
	if account != "" && caller != "" && account != caller {
		return path{reason: "records contradict each other on who was given " + node, from: at.ms, until: at.ms}, nil
	}
	best.from, best.until = max(best.from, none.from), min(best.until, none.until)
	return *best, nil
}

// bounds are the times at which credentials of a link can have been used.
func bounds(node string, l *Link) (from, until int64) {
	if strings.HasPrefix(node, sharedNode) {
		return l.EventTime - skew, l.EventTime + skew
	}
	return l.EventTime - skew, l.EventTime + lifetime + skew
}

// worth ranks links of one node: 0 tells nothing of the caller, 2 knows the
// caller's own identity, 1 only the account.
func (l *Link) worth() int {
	switch l.Chain[len(l.Chain)-1].Kind {
	case event.KindUnknown:
		return 0
	case event.KindAccount:
		return 1
	}
	return 2
}

// up is the path of a link's caller.
func (r *Resolver) up(ctx context.Context, l *Link, seen []string) (path, error) {
	p := path{chain: slices.Clone(l.Chain), certainty: cmp.Or(l.Rooted, Unknown), from: minTime, until: maxTime}
	issued := Evidence{How: l.EventName + " issued " + l.Node, AccountID: l.AccountID, EventID: l.EventID}
	switch {
	case strings.HasPrefix(l.Node, sessionNode):
		issued.How = l.EventName + " made the session"
	case strings.HasPrefix(l.Node, sharedNode):
		issued.How = "the caller's own record of the same call (sharedEventID)"
	}
	if l.Rooted != "" {
		p.evidence = []Evidence{{How: l.How, AccountID: l.AccountID, EventID: l.EventID}}
		if l.How == "" {
			p.evidence = nil
		}
	} else {
		p.reason = "the record that issued the credentials of " + l.Chain[0].Name + " isn't there"
	}
	if l.Parent != "" {
		further, err := r.follow(ctx, l.Parent, l.Chain[len(l.Chain)-1].ARN, moment{l.EventTime, true}, seen)
		if err != nil {
			return p, err
		}
		switch {
		case further.chain != nil:
			if strings.HasPrefix(l.Parent, sessionNode) && further.certainty == Proven {
				further.certainty = Inferred
			}
			further.chain = append(further.chain, l.Chain...)
			p = further
			// The parent's bounds are about the link's time, not the event's.
			p.from, p.until = minTime, maxTime
		case further.reason != "":
			p.reason = further.reason
		}
	}
	p.evidence = append(slices.Clip(p.evidence), issued)
	return p, nil
}

// isOf reports whether the link's credentials can be those of the session with
// the ARN. The partition's spelling and the case of the account's parts are fixed,
// so text is compared. Calls that don't say which session they made are those
// that give credentials for no role.
func (l *Link) isOf(session string) bool {
	role := strings.Contains(session, ":assumed-role/")
	switch {
	case l.Session != "":
		return l.Session == session
	case l.EventName == "AssumeRoot":
		return !role
	case l.EventName == "GetSessionToken", l.EventName == "CreateAccessKey":
		return false // the user's own
	}
	return role
}

// sameRoot reports whether two paths name the same root.
func sameRoot(a, b *path) bool {
	x, y := &a.chain[0], &b.chain[0]
	return a.certainty == b.certainty && x.Kind == y.Kind && x.Name == y.Name && x.ARN == y.ARN && x.AccountID == y.AccountID
}

// name gives the hops their names.
func (r *Resolver) name(ctx context.Context, p *path, at moment) error {
	for i := range p.chain {
		h := &p.chain[i]
		if h.Node == "" {
			continue
		}
		k, err := r.lookUp(ctx, h.Node)
		if err != nil {
			return err
		}
		n, many := nameAt(k.Names, at.ms)
		if many {
			p.from, p.until = max(p.from, at.ms), min(p.until, at.ms)
		}
		if n == "" {
			continue
		}
		h.Name = n
		if h.Kind == event.KindAccount {
			h.Kind = event.KindIAMUser // a principal id that was seen as a user
		}
	}
	return nil
}

// nameAt is a node's name at a time: the given one, the newest of several; else of
// those that events show the one seen then, or next to then. many tells that
// another time may have another answer.
func nameAt(names []Name, ms int64) (name string, many bool) {
	distance := func(n *Name) int64 {
		switch {
		case ms < n.First:
			return n.First - ms
		case ms > n.Last:
			return ms - n.Last
		}
		return 0
	}
	var given, learned *Name
	for i := range names {
		switch n := &names[i]; {
		case n.Source == Given && !newest(names, n):
		case n.Source != Learned && n.Name == "":
		case n.Source != Learned:
			if given == nil || before(n, given) {
				given = n
			}
		case learned == nil:
			learned = n
		default:
			many = true
			if cmp.Or(cmp.Compare(distance(n), distance(learned)), -cmp.Compare(n.First, learned.First), strings.Compare(n.Name, learned.Name)) < 0 {
				learned = n
			}
		}
	}
	switch {
	case given != nil:
		return given.Name, false
	case learned != nil:
		return learned.Name, many
	}
	return "", false
}

// before reports whether a name that was given goes before another one: that of
// the user's file, else the newest.
func before(a, b *Name) bool {
	if file := a.Source == Given; file != (b.Source == Given) {
		return file
	}
	return cmp.Or(-cmp.Compare(a.Last, b.Last), strings.Compare(a.Source, b.Source), strings.Compare(a.Name, b.Name)) < 0
}

// newest reports whether no name of the same source is newer: older ones in the
// user's file are void, even if the newest is that there is none.
func newest(names []Name, n *Name) bool {
	return !slices.ContainsFunc(names, func(o Name) bool { return o.Source == n.Source && o.Last > n.Last })
}

// abroad marks hops of other accounts than the event's: names are unique in one
// account only.
func abroad(chain []Hop, account string) {
	for i := range chain {
		h := &chain[i]
		switch h.Kind {
		case event.KindIAMUser, event.KindRoot, event.KindRoleSession, event.KindFederatedUser, event.KindInstance, event.KindFunction, event.KindSAMLUser:
			if h.AccountID != "" && account != "" && h.AccountID != account {
				h.Name += " @ " + h.AccountID
			}
		}
	}
}

// lookUp returns what is known of a node.
func (r *Resolver) lookUp(ctx context.Context, node string) (Known, error) {
	if k, ok := r.known[node]; ok {
		return k, nil
	}
	all, err := r.src.Lineage(ctx, []string{node})
	if err != nil {
		return Known{}, fmt.Errorf("look up %s: %w", node, err)
	}
	if len(r.known) >= cached {
		clear(r.known)
	}
	k := all[node]
	r.known[node] = k
	return k, nil
}

// filling is what the events that one answer serves have in common.
type filling struct {
	credential
	recipient, issued string
	ok                bool
}

type filled struct {
	kind, actor, chain string
	from, until        int64
}

// Fill sets ActorKind, Actor and ActorChain of an event. Many events of the same
// credentials cost little more than one.
func (r *Resolver) Fill(ctx context.Context, e *event.Event) error {
	c, memo := credentialOf(e, r.seed)
	f := filling{credential: c, recipient: e.AccountID, ok: e.Outcome == event.OutcomeOK}
	if e.IdentityType == "AWSAccount" && e.IssuedAccessKeyID != "" {
		f.credential = credential{identityType: e.IdentityType, arn: e.IdentityARN, principal: e.PrincipalID, account: e.IdentityAccountID}
		f.issued, memo = e.IssuedAccessKeyID, true
	}
	if memo {
		if d, ok := r.done[f]; ok && d.from <= e.EventTime && e.EventTime <= d.until {
			e.ActorKind, e.Actor, e.ActorChain = d.kind, d.actor, d.chain
			return nil
		}
	}
	p, err := r.resolve(ctx, e)
	if err != nil {
		return err
	}
	e.ActorKind, e.Actor, e.ActorChain = p.chain[0].Kind, p.chain[0].Name, ChainText(p.chain)
	if memo {
		if len(r.done) >= cached {
			clear(r.done)
		}
		r.done[f] = filled{kind: e.ActorKind, actor: e.Actor, chain: e.ActorChain, from: p.from, until: p.until}
	}
	return nil
}

// ChainSeparator stands between the hops of event.Event.ActorChain.
const ChainSeparator = " > "

// ChainText joins the names of hops. A name that holds the separator is quoted: an
// identity provider may give any, and one hop must not pass for two.
func ChainText(chain []Hop) string {
	names := make([]string, len(chain))
	for i := range chain {
		names[i] = chain[i].Name
		if strings.Contains(names[i], ChainSeparator) {
			names[i] = strconv.Quote(names[i])
		}
	}
	return strings.Join(names, ChainSeparator)
}
