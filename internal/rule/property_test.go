package rule_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// pool draws events that touch every cross-event rule, on few objects and few
// moments, so that they meet.
func pool(t *rapid.T) []event.Event {
	calls := []func(...edit) event.Event{}
	add := func(source, name, request string) {
		calls = append(calls, func(e ...edit) event.Event { return call(source, name, append([]edit{req(request)}, e...)...) })
	}
	add("iam", "CreatePolicyVersion", `{"policyArn":"`+customer+`","policyDocument":{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}}`)
	add("iam", "AttachRolePolicy", `{"roleName":"r","policyArn":"`+customer+`"}`)
	add("iam", "UpdateAccessKey", `{"userName":"bob","accessKeyId":"AKIA1","status":"Active"}`)
	add("iam", "UpdateAccessKey", `{"userName":"bob","accessKeyId":"AKIA1","status":"Inactive"}`)
	add("iam", "AttachUserPolicy", `{"userName":"bob","policyArn":"arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"}`)
	add("iam", "DeactivateMFADevice", `{"userName":"bob","serialNumber":"s"}`)
	add("iam", "DeleteVirtualMFADevice", `{"serialNumber":"s"}`)
	add("iam", "EnableMFADevice", `{"userName":"bob","serialNumber":"s"}`)
	add("sso", "AttachManagedPolicyToPermissionSet", `{"permissionSetArn":"ps","managedPolicyArn":"`+adminARN+`"}`)
	add("sso", "CreateAccountAssignment", `{"targetId":"1","permissionSetArn":"ps"}`)
	add("sso", "UpdatePermissionSet", `{"permissionSetArn":"ps","sessionDuration":"PT4H"}`)
	add("sso", "UpdatePermissionSet", `{"permissionSetArn":"ps","sessionDuration":"PT12H","relayState":"https://evil.example"}`)
	add("iam", "CreateUser", `{"userName":"bob"}`)
	calls = append(calls, func(e ...edit) event.Event { return call("ec2", "RunInstances", append([]edit{root}, e...)...) })

	n := rapid.IntRange(1, 14).Draw(t, "events")
	out := make([]event.Event, 0, n)
	for i := range n {
		c := rapid.SampledFrom(calls).Draw(t, "call")
		// Few ids: some events get two contents.
		e := c(id(fmt.Sprint(rapid.IntRange(0, 10).Draw(t, "id"))),
			after(rapid.SampledFrom([]int64{0, second, hours, 11 * hours, day, 40 * day, 400 * day}).Draw(t, "after")),
			user(rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "user")))
		e.RecordHash = int64(i)
		out = append(out, e)
	}
	return out
}

// lose marks the facts of every content that a greater one of the same key
// beats, as the store does.
func lose(facts []rule.Fact, events []event.Event) {
	best := map[event.Key]event.Version{}
	for i := range events {
		if v := events[i].Version(); v.Compare(best[events[i].Key()]) > 0 {
			best[events[i].Key()] = v
		}
	}
	for i := range facts {
		f := &facts[i]
		f.Superseded = f.Version.Compare(best[event.Key{AccountID: f.AccountID, EventID: f.EventID}]) < 0
	}
}

func TestSettleDoesNotDependOnOrder(t *testing.T) {
	en := engine(t, rule.Config{})
	rapid.Check(t, func(t *rapid.T) {
		events := pool(t)
		var facts []rule.Fact
		for i := range events {
			facts = append(facts, en.Evaluate(&events[i])...)
		}
		lose(facts, events)
		want := settle(en, facts)
		shuffled := slices.Clone(facts)
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if d := cmp.Diff(want, settle(en, shuffled)); d != "" {
			t.Fatal(d)
		}
		// Ids are unique over all groups.
		for i := 1; i < len(want); i++ {
			if want[i].ID == want[i-1].ID {
				t.Fatalf("two alerts have the id of %+v", want[i])
			}
		}
		// At each point of any order of arrival, alerts only come; none goes.
		known := map[string]bool{}
		for n := 1; n <= len(shuffled); n++ {
			now := map[string]bool{}
			for _, a := range settle(en, shuffled[:n]) {
				now[a.ID] = true
			}
			for a := range known {
				if !now[a] {
					t.Fatalf("alert %s vanished with fact %d: %+v", a, n, shuffled[n-1])
				}
			}
			known = now
		}
	})
}

func TestFactsSurviveTheStore(t *testing.T) {
	en := engine(t, rule.Config{})
	rapid.Check(t, func(t *rapid.T) {
		events := pool(t)
		for i := range events {
			keys := map[string]bool{}
			for _, f := range en.Evaluate(&events[i]) {
				b, err := json.Marshal(f)
				if err != nil {
					t.Fatal(err)
				}
				var back rule.Fact
				if err := json.Unmarshal(b, &back); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(f, back); d != "" {
					t.Fatal(d)
				}
				if !strings.HasPrefix(f.Group, f.Rule) {
					t.Fatalf("group %q of rule %q", f.Group, f.Rule)
				}
				// The store keeps one fact per rule, group, key and content.
				if keys[f.Group] {
					t.Fatalf("two facts of one event in group %s", f.Group)
				}
				keys[f.Group] = true
			}
		}
	})
}

// Names of absurd length, control characters and text that is not UTF-8 neither
// break anything nor grow an alert.
func TestHostileText(t *testing.T) {
	en := engine(t, rule.Config{})
	for _, evil := range []string{strings.Repeat("x", 5000), "\x1b]0;x\x07\r\n<b>", "\xff\xfe", strings.Repeat("é", 3000), `"],["`} {
		quoted, _ := json.Marshal(evil)
		for _, c := range cases {
			e := c.hit
			e.UserName, e.Actor, e.SourceIP, e.TargetName, e.ErrorMessage, e.SessionName = evil, evil, evil, evil, evil, evil
			e.RequestParameters = strings.ReplaceAll(e.RequestParameters, `"bob"`, string(quoted))
			e.RequestParameters = strings.ReplaceAll(e.RequestParameters, `"r"`, string(quoted))
			for _, a := range alerts(en, e) {
				if n := len([]rune(a.Detail)); n > 1500 {
					t.Errorf("%s: %d runes", a.Rule, n)
				}
				for _, f := range en.Evaluate(&e) {
					if len(f.Group) > 4096 {
						t.Errorf("%s: group of %d bytes", f.Rule, len(f.Group))
					}
				}
			}
		}
	}
}

func FuzzEvaluate(f *testing.F) {
	for _, c := range cases {
		f.Add(c.hit.EventSource, c.hit.EventName, c.hit.IdentityType, c.hit.RequestParameters, c.hit.ResponseElements, c.hit.ErrorMessage)
	}
	en, err := rule.NewEngine(rule.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, source, name, identity, request, response, msg string) {
		for _, outcome := range []string{event.OutcomeOK, event.OutcomeDenied} {
			e := call("iam", name, req(request), resp(response), message(msg), after(11*hours))
			e.EventSource, e.IdentityType, e.Outcome = source, identity, outcome
			facts := en.Evaluate(&e)
			for _, x := range facts {
				if strings.Contains(x.Detail, "The rule failed") {
					t.Errorf("rule %s failed", x.Rule)
				}
			}
			settle(en, facts)
		}
	})
}
