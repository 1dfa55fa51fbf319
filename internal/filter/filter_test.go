package filter_test

import (
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
)

const account = "111122223333"

// assume is alice assuming a role.
func assume(arn string, edits ...func(*event.Event)) event.Event {
	e := event.Event{
		EventID: "1", AccountID: account, EventSource: "sts.amazonaws.com", EventName: "AssumeRole", Outcome: event.OutcomeOK,
		IdentityType: "IAMUser", IdentityARN: "arn:aws:iam::" + account + ":user/alice", IdentityAccountID: account, UserName: "alice",
		SourceIP: "198.51.100.7", UserAgent: "aws-cli/2", RequestParameters: `{"roleArn":"` + arn + `","roleSessionName":"s"}`,
		Rest:       `{"eventCategory":"Management","managementEvent":true}`,
		TargetKind: event.TargetRole, TargetARN: arn,
	}
	for _, f := range edits {
		f(&e)
	}
	return e
}

// by is a call by a session of a role; path is as in the issuer's ARN.
func by(partition, path, name string, edits ...func(*event.Event)) event.Event {
	e := event.Event{
		EventID: "2", AccountID: account, EventSource: "s3.amazonaws.com", EventName: "GetObject", Outcome: event.OutcomeOK,
		IdentityType: "AssumedRole", IdentityARN: "arn:" + partition + ":sts::" + account + ":assumed-role/" + name + "/session",
		IdentityAccountID: account, RoleName: name, SessionName: "session", SourceIP: "198.51.100.7", UserAgent: "x",
		Rest: `{"eventCategory":"Data","userIdentity":{"sessionContext":{"sessionIssuer":{"arn":"arn:` + partition + `:iam::` + account + `:role` + path + name + `","type":"Role"}}}}`,
	}
	for _, f := range edits {
		f(&e)
	}
	return e
}

func TestServiceEvents(t *testing.T) {
	agent := func(s string) func(*event.Event) { return func(e *event.Event) { e.UserAgent = s } }
	from := func(s string) func(*event.Event) { return func(e *event.Event) { e.SourceIP = s } }
	const linked = "arn:aws:iam::" + account + ":role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
	for _, c := range []struct {
		name string
		e    event.Event
		want bool
	}{
		{"an AWS service", event.Event{IdentityType: "AWSService", EventName: "AssumeRole"}, true},
		{"a linked role assumed by AWS, by address", assume(linked, from("ecs.amazonaws.com")), true},
		{"a linked role assumed by AWS, by agent", assume(linked, agent("ecs.amazonaws.com")), true},
		{"a linked role assumed from elsewhere", assume(linked), false},
		{"another role assumed by AWS", assume("arn:aws:iam::"+account+":role/service-role/x", from("lambda.amazonaws.com")), false},
		{"the path is only in the session's name", assume("", from("a.amazonaws.com"), func(e *event.Event) {
			e.RequestParameters = `{"roleArn":"arn:aws:iam::1:role/x","roleSessionName":"/aws-service-role/"}`
		}), false},
		{"a session of a linked role", by("aws", "/aws-service-role/ecs.amazonaws.com/", "AWSServiceRoleForECS"), true},
		{"a role whose own path looks like it", by("aws", "/x:role/aws-service-role/ecs.amazonaws.com/", "Mine"), false},
		{"the same in China", by("aws-cn", "/aws-service-role/ecs.amazonaws.com/", "AWSServiceRoleForECS"), true},
		{"a session that only has the name", by("aws", "/", "AWSServiceRoleForEvil"), false},
		{"the path is elsewhere in the record", by("aws", "/", "x", func(e *event.Event) {
			e.Rest = strings.Replace(e.Rest, `{"eventC`, `{"note":":role/aws-service-role/","eventC`, 1)
		}), false},
		{"a user calling through a service", assume("arn:aws:iam::"+account+":role/x", from("cloudformation.amazonaws.com")), false},
		{"a record that is no JSON", by("aws", "/", "x", func(e *event.Event) { e.Rest = "/aws-service-role/ {" }), false},
	} {
		on, off := newFilter(t, filter.Config{ServiceEvents: true}), newFilter(t, filter.Config{})
		want := ""
		if c.want {
			want = filter.Service
		}
		if got := on.Reason(&c.e); got != want {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
		if got := off.Reason(&c.e); got != "" {
			t.Errorf("%s: %q with the filter off", c.name, got)
		}
	}
}

func newFilter(t testing.TB, cfg filter.Config) *filter.Filter {
	t.Helper()
	f, err := filter.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRoles(t *testing.T) {
	const arn = "arn:aws:iam::" + account + ":role/"
	noIssuer := func(e *event.Event) { e.Rest = "{}" }
	for _, c := range []struct {
		name, roles string
		e           event.Event
		want        bool
	}{
		{"its name", "Scanner", by("aws", "/", "Scanner"), true},
		{"its name, other case", "sCANNER", by("aws", "/", "Scanner"), true},
		{"a part of its name", "Scan", by("aws", "/", "Scanner"), false},
		{"a prefix", "Prisma*", by("aws", "/", "PrismaCloudReadOnly"), true},
		{"a middle", "*scan*", by("aws", "/", "MyScanner"), true},
		{"a middle that is not there", "*scan*", by("aws", "/", "MySpanner"), false},
		{"a question mark", "Scanner?", by("aws", "/", "Scanner1"), true},
		{"a question mark is one character", "Scanner?", by("aws", "/", "Scanner12"), false},
		{"a dot is a dot", "a.c", by("aws", "/", "abc"), false},
		{"everything", "*", by("aws", "/", "x"), true},
		{"a list with empty entries", ",, Prisma* , ,*Scanner*,", by("aws", "/", "AScanner"), true},
		{"nothing but commas", " , ,", by("aws", "/", "x"), false},
		{"the session's name does not count", "session", by("aws", "/", "x"), false},
		{"name of a role with a path", "Scanner", by("aws", "/team/sec/", "Scanner"), true},
		{"path and name", "team/sec/Scanner", by("aws", "/team/sec/", "Scanner"), true},
		{"path and name, pattern", "team/*", by("aws", "/team/sec/", "Scanner"), true},
		{"another path", "team/Scanner", by("aws", "/team/sec/", "Scanner"), false},
		{"a path that is not known", "team/Scanner", by("aws", "/", "Scanner", noIssuer), false},
		{"ARN", arn + "Scanner", by("aws", "/", "Scanner"), true},
		{"ARN, other case", strings.ToUpper(arn + "Scanner"), by("aws", "/", "Scanner"), true},
		{"ARN with a path", arn + "team/Scanner", by("aws", "/team/", "Scanner"), true},
		{"ARN with another path", arn + "x/Scanner", by("aws", "/team/", "Scanner"), false},
		{"ARN with a path, issuer not recorded", arn + "team/Scanner", by("aws", "/", "Scanner", noIssuer), true},
		{"ARN of another account", "arn:aws:iam::999999999999:role/Scanner", by("aws", "/", "Scanner"), false},
		{"ARN of another account, issuer not recorded", "arn:aws:iam::999999999999:role/Scanner", by("aws", "/", "Scanner", noIssuer), false},
		{"ARN of another partition", "arn:aws-us-gov:iam::" + account + ":role/Scanner", by("aws", "/", "Scanner"), false},
		{"ARN in its partition", "arn:aws-us-gov:iam::" + account + ":role/Scanner", by("aws-us-gov", "/", "Scanner"), true},
		{"ARN pattern", "arn:aws*:iam::*:role/*Scan*", by("aws-cn", "/a/", "Scanner"), true},
		{"ARN pattern over a path", arn + "team*", by("aws", "/team-a/", "Scanner"), true},
		{"role name not recorded", "Scanner", by("aws", "/", "Scanner", func(e *event.Event) { e.RoleName = "" }), true},
		{"a user of that name", "alice", assume(arn + "x"), false},
		{"assuming it", "Scanner", assume(arn + "Scanner"), true},
		{"assuming it, with a path", "Scanner", assume(arn + "team/Scanner"), true},
		{"assuming it, by ARN", arn + "team/Scanner", assume(arn + "team/Scanner"), true},
		{"assuming it, target not resolved", "Scanner", assume(arn+"Scanner", func(e *event.Event) { e.TargetKind, e.TargetARN = "", "" }), true},
		{"assuming another", "Scanner", assume(arn + "Scanner2"), false},
		{"assuming it by SAML", "Scanner", assume(arn+"Scanner", func(e *event.Event) { e.EventName = "AssumeRoleWithSAML" }), true},
		{"assuming it by web identity", "Scanner", assume(arn+"Scanner", func(e *event.Event) { e.EventName = "AssumeRoleWithWebIdentity" }), true},
		{"another call that names it", "Scanner", assume(arn+"Scanner", func(e *event.Event) { e.EventName = "GetFederationToken" }), false},
		{"another service's AssumeRole", "Scanner", assume(arn+"Scanner", func(e *event.Event) { e.EventSource = "x.amazonaws.com" }), false},
		{"refused: the role is in the message", "Scanner", assume("", func(e *event.Event) {
			e.RequestParameters, e.ErrorMessage = "", "User: arn:aws:iam::1:user/a is not authorized to perform: sts:AssumeRole on resource: "+arn+"team/Scanner"
		}), true},
		{"refused: no role in the message", "Scanner", assume("", func(e *event.Event) { e.RequestParameters, e.ErrorMessage = "", "no" }), false},
		{"parameters of a wrong type", "Scanner", assume("", func(e *event.Event) { e.RequestParameters = `[7]` }), false},
	} {
		f := newFilter(t, filter.Config{Roles: []string{c.roles}})
		want := ""
		if c.want {
			want = filter.Role
		}
		if got := f.Reason(&c.e); got != want {
			t.Errorf("%s (%s): %q, want %q", c.name, c.roles, got, want)
		}
	}
	// Several entries; and the service's reason comes first.
	f := newFilter(t, filter.Config{ServiceEvents: true, Roles: []string{"a", "b,*ECS"}})
	for e, want := range map[*event.Event]string{
		ptr(by("aws", "/", "b")): filter.Role, ptr(by("aws", "/", "c")): "",
		ptr(by("aws", "/aws-service-role/ecs.amazonaws.com/", "AWSServiceRoleForECS")): filter.Service,
	} {
		if got := f.Reason(e); got != want {
			t.Errorf("%s: %q, want %q", e.RoleName, got, want)
		}
	}
}

func ptr(e event.Event) *event.Event { return &e }

func TestConfigErrors(t *testing.T) {
	for _, entry := range []string{
		"arn:aws:iam::123456789012:user/x", "arn:aws:iam::12345:role/x", "arn:aws:iam::123456789012:role/", "arn:aws:iam:us-east-1:123456789012:role/x",
		"arn:aws:sts::123456789012:assumed-role/x/y", "arn:aws:iam", "arn:", "iam:role", "two words", "/", "[[[", "a;b", "team/x;y", "arn:aws:iam::123456789012:role/a/b(c)", "té",
	} {
		_, err := filter.New(filter.Config{Roles: []string{"good", entry}})
		if err == nil || !strings.HasPrefix(err.Error(), "filtered_roles: ") || !strings.Contains(err.Error(), entry) {
			t.Errorf("%q: %v", entry, err)
		}
	}
	if _, err := filter.New(filter.Config{Sources: []string{"iam,s 3"}}); err == nil || !strings.HasPrefix(err.Error(), "sources: ") {
		t.Error(err)
	}
}

func TestSelected(t *testing.T) {
	e := assume("arn:aws:iam::1:role/x")
	data := by("aws", "/", "x")
	old := assume("x", func(e *event.Event) { e.Rest = "{}" })
	oldData := assume("x", func(e *event.Event) { e.Rest = `{"managementEvent":false}` })
	deceptive := assume("x", func(e *event.Event) { e.Rest = `{"tlsDetails":{"eventCategory":"Data"},"eventCategory":"Management"}` })
	for _, c := range []struct {
		cfg  filter.Config
		e    *event.Event
		want bool
	}{
		{filter.Config{}, &e, true}, {filter.Config{}, &data, true},
		{filter.Config{Sources: []string{"iam, STS"}}, &e, true},
		{filter.Config{Sources: []string{"sts.amazonaws.com"}}, &e, true},
		{filter.Config{Sources: []string{"iam"}}, &e, false},
		{filter.Config{Sources: []string{"st"}}, &e, false},
		{filter.Config{Sources: []string{"s*"}}, &data, true},
		{filter.Config{ManagementOnly: true}, &e, true},
		{filter.Config{ManagementOnly: true}, &data, false},
		{filter.Config{ManagementOnly: true}, &old, true},
		{filter.Config{ManagementOnly: true}, &oldData, false},
		{filter.Config{ManagementOnly: true}, &deceptive, true},
	} {
		if got := newFilter(t, c.cfg).Selected(c.e); got != c.want {
			t.Errorf("%+v, %s: %v", c.cfg, c.e.Rest, got)
		}
	}
}

func BenchmarkReason(b *testing.B) {
	f := newFilter(b, filter.Config{ServiceEvents: true, Roles: []string{"PrismaCloud*,*Scanner*,arn:aws:iam::123456789012:role/X"}})
	for name, e := range map[string]event.Event{
		"user": assume("arn:aws:iam::1:role/x"), "session": by("aws", "/", "App"), "service": {IdentityType: "AWSService"},
		"linked": by("aws", "/aws-service-role/ecs.amazonaws.com/", "AWSServiceRoleForECS"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.Reason(&e)
			}
		})
	}
}
