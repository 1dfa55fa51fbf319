package rule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

const (
	own      = "111122223333"
	stranger = "999988887777"
	noon     = int64(1717243200000) // Saturday 2024-06-01 12:00:00 UTC
	second   = int64(1000)
	minute   = 60 * second
	hours    = 60 * minute
	day      = 24 * hours
)

// edit changes an event that is being built.
type edit func(*event.Event)

// call is a successful API call of the IAM user alice at noon, changed by edits.
func call(source, name string, edits ...edit) event.Event {
	write := !strings.HasPrefix(name, "Get") && !strings.HasPrefix(name, "List")
	readOnly := !write
	e := event.Event{
		EventID: "e-" + name, EventTime: noon, AccountID: own, AWSRegion: "us-east-1",
		EventSource: source + ".amazonaws.com", EventName: name, EventType: "AwsApiCall",
		Outcome: event.OutcomeOK, ReadOnly: &readOnly, SourceIP: "198.51.100.7", UserAgent: "aws-cli/2.15",
		IdentityType: "IAMUser", IdentityARN: "arn:aws:iam::" + own + ":user/alice", PrincipalID: "AIDAALICE",
		IdentityAccountID: own, UserName: "alice", Actor: "alice", ActorKind: event.KindIAMUser,
		EventVersion: "1.09", RecordHash: 7,
	}
	switch source {
	case "iam":
		e.Category = event.CategoryIAM
	case "sts":
		e.Category = event.CategorySTS
	case "signin":
		e.Category = event.CategorySignin
	case "sso", "sso-directory", "identitystore", "sso-oauth":
		e.Category = event.CategorySSO
	default:
		e.Category = event.CategoryOther
	}
	for _, f := range edits {
		f(&e)
	}
	return e
}

func req(json string) edit   { return func(e *event.Event) { e.RequestParameters = json } }
func resp(json string) edit  { return func(e *event.Event) { e.ResponseElements = json } }
func extra(json string) edit { return func(e *event.Event) { e.AdditionalEventData = json } }
func rest(json string) edit  { return func(e *event.Event) { e.Rest = json } }
func id(s string) edit       { return func(e *event.Event) { e.EventID = s } }
func after(ms int64) edit    { return func(e *event.Event) { e.EventTime += ms } }
func failed(e *event.Event) {
	e.Outcome, e.ErrorCode = event.OutcomeFailed, "LimitExceeded"
}
func denied(e *event.Event) {
	e.Outcome, e.ErrorCode = event.OutcomeDenied, "AccessDenied"
}
func message(s string) edit { return func(e *event.Event) { e.ErrorMessage = s } }

func root(e *event.Event) {
	e.IdentityType, e.IdentityARN, e.PrincipalID = "Root", "arn:aws:iam::"+own+":root", own
	e.UserName, e.Actor, e.ActorKind = "", "root", event.KindRoot
}

func user(n string) edit {
	return func(e *event.Event) {
		e.UserName, e.Actor, e.IdentityARN = n, n, "arn:aws:iam::"+own+":user/"+n
	}
}

func session(role, name string) edit {
	return func(e *event.Event) {
		e.IdentityType, e.UserName, e.RoleName, e.SessionName = "AssumedRole", "", role, name
		e.IdentityARN = "arn:aws:sts::" + own + ":assumed-role/" + role + "/" + name
		e.PrincipalID, e.Actor, e.ActorKind = "AROAROLE:"+name, role+"/"+name, event.KindRoleSession
	}
}

// quiet has off-hours-access switched off, which would fire beside others.
var quiet = rule.Config{OffHours: rule.OffHoursConfig{Start: "0", End: "0"}}

func engine(t testing.TB, cfg rule.Config) *rule.Engine {
	t.Helper()
	en, err := rule.NewEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return en
}

// alerts evaluates the events and settles their facts, as import does.
func alerts(en *rule.Engine, events ...event.Event) []rule.Alert {
	var facts []rule.Fact
	for i := range events {
		facts = append(facts, en.Evaluate(&events[i])...)
	}
	return settle(en, facts)
}

func settle(en *rule.Engine, facts []rule.Fact) []rule.Alert {
	groups := map[string][]rule.Fact{}
	for _, f := range facts {
		groups[f.Group] = append(groups[f.Group], f)
	}
	var out []rule.Alert
	for _, g := range groups {
		out = append(out, en.Settle(g)...)
	}
	slices.SortFunc(out, func(a, b rule.Alert) int { return strings.Compare(a.Rule+a.ID, b.Rule+b.ID) })
	return out
}

// said writes alerts as "rule severity", superseded ones with a leading "-",
// sorted.
func said(as []rule.Alert) []string {
	out := []string{}
	for _, a := range as {
		s := a.Rule + " " + a.Severity.String()
		if a.Superseded {
			s = "-" + s
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func expect(t *testing.T, got []rule.Alert, want ...string) {
	t.Helper()
	slices.Sort(want)
	if s := said(got); !slices.Equal(s, want) {
		t.Errorf("got  %q\nwant %q", s, want)
		for _, a := range got {
			t.Logf("%s: %s", a.Rule, a.Detail)
		}
	}
}

func mustDate(t testing.TB, s string) int64 {
	t.Helper()
	tm, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return tm.UnixMilli()
}

func on(ms int64) edit { return func(e *event.Event) { e.EventTime = ms } }
