package rule

import (
	"cmp"
	"slices"
	"strings"
)

// Kinds of facts. An event makes at most one fact in a group.
const (
	kindEvent      = ""           // an alert of its own
	kindAttach     = "attach"     // customer policy attached: an alert if the policy is dangerous
	kindDangerous  = "dangerous"  // a policy version with dangerous rights
	kindActive     = "active"     // access key activated: an alert
	kindInactive   = "inactive"   // access key deactivated: an alert, and evidence
	kindDisabled   = "disabled"   // the same in later periods: evidence only
	kindQuarantine = "quarantine" // AWS found the user's key in public
	kindDeleted    = "deleted"    // MFA device deleted: an alert unless deactivated before
	kindRemoved    = "removed"    // MFA device deactivated
	kindCreated    = "created"    // MFA device created
	kindEnabled    = "enabled"    // MFA device enabled
	kindUpdated    = "updated"    // permission set updated: an alert, and knowledge
	kindKnown      = "known"      // what a permission set was like
	kindAssigned   = "assigned"   // account assignment: an alert
	kindAdmin      = "admin"      // a permission set became an administrator's
	kindMember     = "member"     // one event of a grouped alert
)

// Settle turns the facts of one group into its alerts. It is pure and does not
// depend on the order of the facts. A superseded fact is no evidence; an alert
// that rests on one alone comes out Superseded. A fact never takes an alert
// away, it only contradicts it, so that the set of alert ids is the same
// whatever arrived first.
func (en *Engine) Settle(facts []Fact) []Alert {
	if len(facts) == 0 {
		return nil
	}
	g := groupFacts{facts: slices.Clone(facts)}
	slices.SortStableFunc(g.facts, compareFacts)
	if f := g.facts[0]; f.Kind != kindEvent {
		switch f.Rule {
		case idAdminAttached:
			return g.attached()
		case idKeyUpdated:
			return g.keyUpdated()
		case idMFARemoved:
			return g.mfaDeleted()
		case idPermissionSetUpdated:
			return g.permissionSetUpdated()
		case idAssignmentCreated:
			return g.assigned()
		case idRootActivity:
			return g.rootActivity()
		case idOffHours:
			return g.offHours()
		}
	}
	return g.events()
}

// compareFacts orders facts by time, event id, kind and version.
func compareFacts(a, b Fact) int {
	return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.EventID, b.EventID),
		strings.Compare(a.Kind, b.Kind), a.Version.Compare(b.Version), strings.Compare(a.AccountID, b.AccountID))
}

// groupFacts are the facts of one group, in order.
type groupFacts struct{ facts []Fact }

// of returns the facts of the given kinds that hold, one for each event: of
// two contents of an event the greater version. When all contents of an event
// are superseded, its greatest stands, still marked.
func (g groupFacts) of(kinds ...string) []Fact {
	type key struct{ account, id string }
	best := map[key]int{}
	var out []Fact
	for _, f := range g.facts {
		if !slices.Contains(kinds, f.Kind) {
			continue
		}
		k := key{f.AccountID, f.EventID}
		i, seen := best[k]
		if !seen {
			best[k] = len(out)
			out = append(out, f)
			continue
		}
		have := out[i]
		if have.Superseded && !f.Superseded ||
			have.Superseded == f.Superseded && f.Version.Compare(have.Version) > 0 {
			out[i] = f
		}
	}
	slices.SortStableFunc(out, compareFacts)
	return out
}

// alert makes the alert of one event. In a group of several events the group
// is part of its id: another content of the event may belong to another group,
// which must not contend for the same alert.
func alert(f Fact, more ...Fact) Alert {
	id := []string{f.Rule, f.AccountID, f.EventID}
	if f.Kind != kindEvent {
		id = append(id, f.Group)
	}
	events := append([]Fact{f}, more...)
	return Alert{
		ID: AlertID(id...), Rule: f.Rule, Title: f.Title, Severity: f.Severity,
		EventID: f.EventID, EventTime: f.EventTime, Actor: f.Actor, SourceIP: f.SourceIP,
		AccountID: f.AccountID, AWSRegion: f.AWSRegion, EventName: f.EventName,
		Targets: sortedTargets(f.Targets), Detail: f.Detail, Events: refs(events),
		Superseded: f.Superseded,
	}
}

// refs lists the events of facts, each once, by time then id.
func refs(facts []Fact) []EventRef {
	out := make([]EventRef, 0, len(facts))
	for _, f := range facts {
		out = append(out, EventRef{f.EventID, f.EventTime, f.EventName})
	}
	slices.SortFunc(out, func(a, b EventRef) int {
		return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.EventID, b.EventID),
			strings.Compare(a.EventName, b.EventName))
	})
	return slices.Compact(out)
}

// events gives each event its alert.
func (g groupFacts) events() []Alert {
	var out []Alert
	for _, f := range g.of(kindEvent) {
		out = append(out, alert(f))
	}
	return out
}

// grouped makes one alert of all events of the group. Superseded ones are left
// out unless there are no others.
func (g groupFacts) grouped() (Alert, []Fact, bool) {
	all := g.of(kindMember)
	if len(all) == 0 {
		return Alert{}, nil, false
	}
	live := slices.DeleteFunc(slices.Clone(all), func(f Fact) bool { return f.Superseded })
	if len(live) == 0 {
		live = all
	}
	a := alert(live[0])
	a.ID = AlertID(live[0].Rule, live[0].Group)
	a.Events = refs(live)
	var targets []string
	for _, f := range live {
		if f.Severity > a.Severity {
			a.Severity = f.Severity
		}
		targets = append(targets, f.Targets...)
	}
	a.Targets = sortedTargets(targets)
	if len(a.Targets) > maxTargets {
		a.Targets = a.Targets[:maxTargets]
	}
	return a, live, true
}

// maxTargets bounds the targets that a grouped alert lists; its events name all.
const maxTargets = 100

// tally counts event names for a sentence: "CreateUser (2), GetUser (14)", the
// most frequent first.
func tally(facts []Fact) string {
	counts := map[string]int{}
	for _, f := range facts {
		counts[f.EventName]++
	}
	names := make([]string, 0, len(counts))
	for n := range counts {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	for i, n := range names {
		if c := counts[n]; c > 1 {
			names[i] = name(n) + times(c)
		}
	}
	return list(names)
}

// Grave reports whether the facts are, or may settle into, a critical alert:
// then the event must be stored, even if a filter calls it noise.
func Grave(facts []Fact) bool {
	for _, f := range facts {
		switch f.Kind {
		case kindAttach, kindActive, kindAssigned: // critical if earlier events say so
			return true
		}
		if f.Severity >= Critical {
			return true
		}
	}
	return false
}

// MayBeGrave reports whether Evaluate may state something of an event of this
// source, name and identity type, so that Grave has to be asked. It errs on the
// side of yes.
func (en *Engine) MayBeGrave(source, name, identityType string) bool {
	// Root and any IAM, sign-in or Identity Center event concern rules that no
	// name selects: see Evaluate and interactive.
	return identityType == typeRoot || source == sourceIAM || source == sourceSignin ||
		strings.HasPrefix(source, "sso") || strings.HasPrefix(source, "identitystore") ||
		en.byName[source][name] != nil
}
