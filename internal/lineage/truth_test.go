package lineage_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/simulate"
)

// told is an event of a simulated world with what the world declares of it.
type told struct {
	event.Event
	truth    simulate.EventTruth
	filtered bool
}

// world reads all events of a simulated organization of three accounts.
func world(t testing.TB, seed uint64, events int) (*simulate.World, []told) {
	t.Helper()
	w, err := simulate.New(simulate.Config{Seed: seed, Events: events, End: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	truth := map[string]simulate.EventTruth{}
	for e := range w.Truth().Events {
		truth[e.Account+e.EventID] = e
	}
	f, err := filter.New(filter.Config{ServiceEvents: true})
	if err != nil {
		t.Fatal(err)
	}
	p := event.NewParser()
	var all []told
	for r := range w.Events() {
		e, err := p.Parse(r.JSON)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, told{e, truth[e.AccountID+e.EventID], f.Reason(&e) != ""})
	}
	return w, all
}

// expected is the actor that stands for a declared root, in records of an
// account.
func expected(w *simulate.World, e *told) (kind, actor string) {
	root := e.truth.Root
	name := root[strings.LastIndexAny(root, "/:")+1:]
	abroad := func(name string) string {
		if part := strings.Split(root, ":"); len(part) > 4 && part[4] != "" && part[4] != e.AccountID {
			return name + " @ " + part[4]
		}
		return name
	}
	switch e.truth.RootKind {
	case simulate.RootPerson:
		return event.KindIdentityCenter, root
	case simulate.RootSAML:
		user, _, _ := strings.Cut(name, "@")
		provider, _, _ := strings.Cut(root, "/")
		return event.KindSAMLUser, user + " @ " + provider
	case simulate.RootIAMUser:
		return event.KindIAMUser, abroad(name)
	case simulate.RootAccount:
		return event.KindRoot, abroad("root")
	case simulate.RootCI:
		return event.KindWebIdentity, root + " @ token.actions.githubusercontent.com"
	case simulate.RootInstance:
		return event.KindInstance, abroad(name)
	case simulate.RootFunction:
		return event.KindFunction, abroad(name)
	case simulate.RootService:
		return event.KindService, root
	case simulate.RootExternal:
		return event.KindAccount, "account/" + root
	}
	return event.KindUnknown, ""
}

// unknown reports whether the answer claims no root.
func unknown(e *event.Event) bool {
	switch e.ActorKind {
	case event.KindUnknown, event.KindRoleSession, event.KindAccount:
		return true
	}
	return false
}

// verdict compares an answer with the truth: right, unknown or wrong.
func verdict(w *simulate.World, e *told) string {
	kind, actor := expected(w, e)
	if e.ActorKind == kind && (e.Actor == actor || kind == event.KindUnknown ||
		kind == event.KindAccount && strings.HasPrefix(e.Actor, actor)) {
		return "right"
	}
	if unknown(&e.Event) {
		return "unknown"
	}
	// A user of Identity Center whose name no event tells is named by the id.
	if kind == event.KindIdentityCenter && e.ActorKind == kind && strings.Contains(e.Rest, `"userId":"`+e.Actor+`"`) {
		return "unknown"
	}
	return "wrong"
}

func fill(t testing.TB, src lineage.Source, events []told) {
	t.Helper()
	r := lineage.NewResolver(src)
	for i := range events {
		if err := r.Fill(t.Context(), &events[i].Event); err != nil {
			t.Fatal(err)
		}
	}
}

func TestActorsAreTheDeclaredOnes(t *testing.T) {
	seeds := uint64(10)
	if testing.Short() {
		seeds = 2
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, events := world(t, seed, 0)
			src := newMemory()
			o := lineage.NewObserver()
			rnd := rand.New(rand.NewPCG(seed, 7))
			rnd.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			for i := range events {
				o.Observe(&events[i].Event, events[i].filtered)
				if rnd.IntN(1000) == 0 {
					src.add(o.Batch())
				}
			}
			src.add(o.Batch())
			fill(t, src, events)
			count := map[string]int{}
			for i := range events {
				e := &events[i]
				if e.filtered {
					continue
				}
				v := verdict(w, e)
				count[v]++
				kind, actor := expected(w, e)
				if v == "wrong" || v == "unknown" && count[v] < 5 {
					t.Errorf("%s: %s %s by %s (%s) of %s: is %s %q, want %s %q; chain %q, want %q", v, e.EventSource, e.EventName, e.IdentityARN, e.IdentityType, e.AccountID,
						e.ActorKind, e.Actor, kind, actor, e.ActorChain, e.truth.Chain)
				}
				if want := chainOf(w, e); v == "right" && e.truth.RootKind != simulate.RootExternal && kind != event.KindUnknown && e.ActorChain != want {
					t.Errorf("%s %s by %s: chain %q, want %q", e.EventSource, e.EventName, e.IdentityARN, e.ActorChain, want)
					count["wrong"]++
				}
				if count["wrong"] > 10 {
					t.FailNow()
				}
			}
			t.Log(count)
		})
	}
}

// chainOf is the chain that stands for a declared one.
func chainOf(w *simulate.World, e *told) string {
	_, actor := expected(w, e)
	out := []string{actor}
	for i, arn := range e.truth.Chain {
		if i == 0 {
			continue
		}
		part := strings.SplitN(arn, ":", 6)
		_, name, _ := strings.Cut(part[5], "/")
		if part[4] != e.AccountID {
			name += " @ " + part[4]
		}
		out = append(out, name)
	}
	return strings.Join(out, lineage.ChainSeparator)
}

// Less is known when a region or an account is missing, and nothing wrong is said.
func TestMissingPartsMakeNothingWrong(t *testing.T) {
	w, events := world(t, 3, 0)
	missing := map[string]func(*event.Event) bool{
		"issuing events": func(e *event.Event) bool { return e.IssuedAccessKeyID != "" },
		"half of all":    func(e *event.Event) bool { return e.EventID[0] < '8' },
	}
	for _, account := range w.Accounts() {
		missing["account "+account] = func(e *event.Event) bool { return e.AccountID == account }
	}
	for _, region := range w.Regions() {
		missing["region "+region] = func(e *event.Event) bool { return e.AWSRegion == region }
	}
	for name, gone := range missing {
		t.Run(name, func(t *testing.T) {
			src, o := newMemory(), lineage.NewObserver()
			var rest []told
			for i := range events {
				if !gone(&events[i].Event) {
					o.Observe(&events[i].Event, events[i].filtered)
					rest = append(rest, events[i])
				}
			}
			src.add(o.Batch())
			fill(t, src, rest)
			count := map[string]int{}
			for i := range rest {
				if e := &rest[i]; !e.filtered {
					v := verdict(w, e)
					if count[v]++; v == "wrong" {
						kind, actor := expected(w, e)
						t.Fatalf("%s %s by %s: is %s %q, want %s %q", e.EventSource, e.EventName, e.IdentityARN, e.ActorKind, e.Actor, kind, actor)
					}
				}
			}
			t.Log(count)
		})
	}
}
