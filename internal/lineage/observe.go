package lineage

import (
	"cmp"
	"hash/fnv"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Observer gathers what events say of lineage into a Batch. It is not safe for
// concurrent use.
type Observer struct {
	read  reader
	links []Link
	seed  maphash.Seed
	names map[Name]*Name // by node, name, source
	uses  map[Use]struct{}
	// of is what the events of a credential say: its caller is the same in all.
	of map[credential]*seen
}

// credential is all that a stem is read from, for callers that have a key; most
// events have one that others have too.
type credential struct {
	identityType, key, arn, principal, account, user string
	more                                             uint64 // hash of the rest of userIdentity
	console                                          bool   // a key that the console gave
}

// credentialOf returns the credential of an event; ok is false for events whose
// stem depends on other columns too.
func credentialOf(e *event.Event, seed maphash.Seed) (c credential, ok bool) {
	if e.AccessKeyID == "" || e.EventName == "SwitchRole" {
		return c, false
	}
	switch e.IdentityType {
	case "AssumedRole", "Role", "IAMUser", "Root", "FederatedUser":
	default:
		return c, false
	}
	c = credential{identityType: e.IdentityType, key: e.AccessKeyID, arn: e.IdentityARN, principal: e.PrincipalID, account: e.IdentityAccountID, user: e.UserName}
	// Records of one key need not say the same of their session: some services
	// leave onBehalfOf and the like out. Members are in order, so this is the end.
	rest := e.Rest
	if at := strings.Index(rest, `"userIdentity":`); at >= 0 {
		c.more = maphash.String(seed, rest[at:])
		rest = rest[:at]
	}
	c.console = strings.Contains(rest, `"sessionCredentialFromConsole"`)
	return c, true
}

// seen is what is left to do for another event of a credential.
type seen struct {
	nodes []string
	name  *Name
}

// NewObserver returns an Observer that has seen nothing.
func NewObserver() *Observer {
	o := &Observer{seed: maphash.MakeSeed()}
	o.reset()
	return o
}

func (o *Observer) reset() {
	o.links, o.names, o.uses, o.of = nil, map[Name]*Name{}, map[Use]struct{}{}, map[credential]*seen{}
}

// Observe takes an event that is stored, or one that a filter dropped: that one
// uses nothing, since nobody asks who is behind it.
func (o *Observer) Observe(e *event.Event, filtered bool) {
	c, same := credentialOf(e, o.seed)
	var s *seen
	if same {
		s = o.of[c]
	}
	issues := Links(e)
	if s == nil || issues {
		st := o.read.stem(e)
		s = o.note(&st)
		if same {
			o.of[c] = s
		}
		if issues {
			o.link(e, &st, filtered)
		}
	}
	if filtered {
		return
	}
	date := e.Date()
	for _, n := range s.nodes {
		o.uses[Use{n, date}] = struct{}{}
	}
	if n := s.name; n != nil {
		if n.Last == 0 {
			n.First = e.EventTime
		}
		n.First, n.Last = min(n.First, e.EventTime), max(n.Last, e.EventTime)
	}
}

// Links reports whether the event says anything that is kept as a Link.
func Links(e *event.Event) bool {
	return e.Outcome == event.OutcomeOK && e.IssuedAccessKeyID != "" || isShared(e)
}

// isShared reports whether the event is the caller's own record of a call on
// another account's role that gave no credentials.
func isShared(e *event.Event) bool {
	return e.EventSource == "sts.amazonaws.com" && e.IssuedAccessKeyID == "" && e.IdentityType != "AWSAccount" &&
		e.IdentityType != "AWSService" && strings.Contains(e.Rest, `"sharedEventID"`)
}

// note keeps what a stem needs and names.
func (o *Observer) note(s *stem) *seen {
	out := &seen{nodes: s.needs()}
	if s.name != "" {
		k := Name{Node: s.node, Name: s.name, Source: Learned}
		if out.name = o.names[k]; out.name == nil {
			n := k
			out.name = &n
			o.names[k] = out.name
		}
	}
	return out
}

// needs lists the nodes that the answer for an event depends on.
func (s *stem) needs() []string {
	nodes := append(slices.Clone(s.nodes), list(s.same)...)
	for i := range s.chain {
		if n := s.chain[i].Node; n != "" {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// link keeps what an event says of the credentials that it issued.
func (o *Observer) link(e *event.Event, s *stem, filtered bool) {
	l := Link{
		AccountID: e.AccountID, EventID: e.EventID, Version: e.Version(), EventTime: e.EventTime, EventName: e.EventName,
		Chain: s.chain, Rooted: s.rooted, How: s.how,
	}
	if len(s.nodes) > 0 {
		l.Parent = s.nodes[0]
	}
	if response := o.read.object(e.ResponseElements); response != nil {
		l.Session = first(text(response, "assumedRoleUser", "arn"), text(response, "federatedUser", "arn"))
	}
	if e.IdentityType == "AWSService" {
		if filtered {
			l.Version = headVersion(l, s.chain[0].Name) // as ObserveService, which may have read it too
		}
		l = serviceLink(l, s.chain[0].Name)
	}
	if e.IssuedAccessKeyID != "" {
		l.Node = e.IssuedAccessKeyID
		o.links = append(o.links, l)
		// A console session goes on with other keys of the same session.
		if l.Session != "" && e.IdentityType != "AWSService" {
			l.Node = sessionAt(l.Session, e.EventTime/1000)
			o.links = append(o.links, l)
		}
	}
	if isShared(e) {
		if shared := text(o.read.object(e.Rest), "sharedEventID"); shared != "" {
			l.Node = sharedNode + shared
			o.links = append(o.links, l)
		}
	}
}

// ObserveService takes the head of a record, which a filter drops, of a service
// that took a role: what Observe would take from the whole event, but for its
// Version, at a fraction of the cost. The Version it gives ranks contents of one
// event in some order, whichever comes first.
func (o *Observer) ObserveService(h *event.Head) {
	v, err := o.read.p.ParseBytes(h.Raw())
	if err != nil || v.Get("errorCode") != nil {
		return
	}
	key, okKey := h.Keep(v.GetStringBytes("responseElements", "credentials", "accessKeyId"))
	session, okSession := h.Keep(v.GetStringBytes("responseElements", "assumedRoleUser", "arn"))
	host, okHost := h.Keep(v.GetStringBytes("userIdentity", "invokedBy"))
	if !okKey || !okSession || !okHost || key == "" {
		return
	}
	if host == "" {
		host, _ = h.Keep(v.GetStringBytes("userIdentity", "principalId"))
	}
	if host == "" {
		host, _ = h.Keep(v.GetStringBytes("sourceIPAddress"))
	}
	l := Link{Node: key, AccountID: h.AccountID, EventID: h.EventID(), EventTime: h.EventTime, EventName: h.EventName, Session: session}
	l.Version = headVersion(l, host)
	o.links = append(o.links, serviceLink(l, host))
}

// headVersion ranks contents of one dropped event of a service, whose version and hash
// need not be known, in some order: the same whichever comes first.
func headVersion(l Link, host string) event.Version {
	return event.Version{Hash: hashOf(l.Session, host, strconv.FormatInt(l.EventTime, 10))}
}

// hashOf is the same in all runs of the program.
func hashOf(texts ...string) uint64 {
	h := fnv.New64a()
	for _, t := range texts {
		_, _ = h.Write(append([]byte(t), 0)) // never fails
	}
	return h.Sum64()
}

// serviceLink completes a link of a session that a service took.
func serviceLink(l Link, host string) Link {
	_, session, _ := strings.Cut(l.Session, ":assumed-role/")
	_, session, _ = strings.Cut(session, "/")
	l.Chain, l.Rooted, l.How = []Hop{issuedTo(host, session, l.AccountID)}, Proven, "the record names the service"
	if l.Chain[0].Kind != event.KindService {
		l.How = "the service names the sessions after what they are for"
	}
	return l
}

// Batch returns what was observed since the last call.
func (o *Observer) Batch() Batch {
	b := Batch{Links: o.links}
	for _, n := range o.names {
		if n.Last != 0 {
			b.Names = append(b.Names, *n)
		}
	}
	for u := range o.uses {
		b.Uses = append(b.Uses, u)
	}
	slices.SortFunc(b.Names, func(x, y Name) int {
		return cmp.Or(strings.Compare(x.Node, y.Node), strings.Compare(x.Source, y.Source), strings.Compare(x.Name, y.Name))
	})
	slices.SortFunc(b.Uses, func(x, y Use) int { return cmp.Or(strings.Compare(x.Node, y.Node), cmp.Compare(x.Date, y.Date)) })
	o.reset()
	return b
}

// Append adds another batch's observations, of other events.
func (b *Batch) Append(o *Batch) {
	b.Links = append(b.Links, o.Links...)
	b.Names = append(b.Names, o.Names...)
	b.Uses = append(b.Uses, o.Uses...)
	b.Void = append(b.Void, o.Void...)
}

// Empty reports whether there is nothing to record.
func (b *Batch) Empty() bool {
	return len(b.Links) == 0 && len(b.Names) == 0 && len(b.Uses) == 0 && len(b.Void) == 0
}
