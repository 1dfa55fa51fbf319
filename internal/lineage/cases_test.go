package lineage_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
)

type obj = map[string]any

const (
	own   = "111122223333"
	other = "444455556666"
)

// caller is a userIdentity.
type caller obj

func user(name, key string) caller {
	return caller{"type": "IAMUser", "principalId": "AIDA" + strings.ToUpper(name), "arn": "arn:aws:iam::" + own + ":user/" + name, "accountId": own, "accessKeyId": key, "userName": name}
}

func session(account, role, name, key string, more ...obj) caller {
	ctx := obj{"sessionIssuer": obj{"type": "Role", "arn": "arn:aws:iam::" + account + ":role/" + role, "accountId": account, "userName": role},
		"attributes": obj{"creationDate": "2026-06-01T10:00:00Z"}}
	c := caller{"type": "AssumedRole", "principalId": "AROA" + strings.ToUpper(role) + ":" + name, "arn": arn(account, role, name), "accountId": account, "accessKeyId": key, "sessionContext": ctx}
	for _, m := range more {
		for k, v := range m {
			if k == "sourceIdentity" || k == "ec2RoleDelivery" || k == "issuer" {
				if k == "issuer" {
					ctx["sessionIssuer"].(obj)["arn"] = v
					continue
				}
				ctx[k] = v
				continue
			}
			c[k] = v
		}
	}
	return c
}

func arn(account, role, name string) string {
	return "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + name
}

// record makes an event at a number of seconds after 10:00.
func record(t testing.TB, id string, at int, who caller, source, name string, more obj) event.Event {
	t.Helper()
	account, _ := who["accountId"].(string)
	r := obj{"eventVersion": "1.09", "eventID": id, "eventTime": time.Date(2026, 6, 1, 10, 0, at, 0, time.UTC).Format(time.RFC3339),
		"eventSource": source + ".amazonaws.com", "eventName": name, "awsRegion": "us-east-1", "sourceIPAddress": "198.51.100.7", "userAgent": "aws-cli",
		"userIdentity": who, "recipientAccountId": account, "eventType": "AwsApiCall", "readOnly": true}
	maps.Copy(r, more)
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.NewParser().Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// assume is a caller's taking of a role.
func assume(t testing.TB, id string, at int, who caller, account, role, name, key string, more obj) event.Event {
	all := obj{"requestParameters": obj{"roleArn": "arn:aws:iam::" + account + ":role/" + role, "roleSessionName": name},
		"responseElements": obj{"credentials": obj{"accessKeyId": key, "sessionToken": "x"}, "assumedRoleUser": obj{"arn": arn(account, role, name)}}}
	maps.Copy(all, more)
	return record(t, id, at, who, "sts", "AssumeRole", all)
}

func use(t testing.TB, id string, at int, who caller) event.Event {
	return record(t, id, at, who, "iam", "ListUsers", nil)
}

// resolve observes all events, in any order, and resolves the last one.
func resolve(t testing.TB, events ...event.Event) lineage.Resolution {
	t.Helper()
	src := newMemory()
	last := events[len(events)-1]
	rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for i := range events {
		o := lineage.NewObserver()
		o.Observe(&events[i], false)
		src.add(o.Batch())
	}
	r, err := lineage.NewResolver(src).Resolve(t.Context(), &last)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func chain(r lineage.Resolution) string {
	var names []string
	for _, h := range r.Chain {
		names = append(names, h.Name)
	}
	return strings.Join(names, " > ")
}

func TestResolve(t *testing.T) {
	alice := user("alice", "AKIAALICE")
	outsider := func(principal string) caller {
		return caller{"type": "AWSAccount", "principalId": principal, "accountId": own}
	}
	for _, c := range []struct {
		name   string
		events []event.Event
		want   string // certainty, kind and chain
		reason string // a part of it
	}{
		{"a user's key", []event.Event{use(t, "1", 0, alice)}, "proven iam-user alice", ""},
		{"a role taken by a user", []event.Event{assume(t, "1", 0, alice, own, "r", "s", "ASIA1", nil), use(t, "2", 5, session(own, "r", "s", "ASIA1"))},
			"proven iam-user alice > r/s", ""},
		{"the issuing record is missing", []event.Event{use(t, "2", 5, session(own, "r", "s", "ASIA1"))}, "unknown role-session r/s", "isn't there"},
		{"issued to another session", []event.Event{assume(t, "1", 0, alice, own, "r", "other", "ASIA1", nil), use(t, "2", 5, session(own, "r", "s", "ASIA1"))},
			"unknown role-session r/s", "isn't there"},
		{"used before it was issued", []event.Event{assume(t, "1", 600, alice, own, "r", "s", "ASIA1", nil), use(t, "2", 5, session(own, "r", "s", "ASIA1"))},
			"unknown role-session r/s", "isn't there"},
		{"a key that comes again after months", []event.Event{
			assume(t, "1", 0, alice, own, "r", "s", "ASIA1", nil), assume(t, "2", 90*86400, user("bob", "AKIABOB"), own, "r", "s", "ASIA1", nil),
			use(t, "3", 90*86400+5, session(own, "r", "s", "ASIA1"))}, "proven iam-user bob > r/s", ""},
		{"long after its credentials ended", []event.Event{assume(t, "1", 0, alice, own, "r", "s", "ASIA1", nil), use(t, "3", 90*86400, session(own, "r", "s", "ASIA1"))},
			"unknown role-session r/s", "isn't there"},
		{"two records contradict each other", []event.Event{
			assume(t, "1", 0, alice, own, "r", "s", "ASIA1", nil), assume(t, "2", 1, user("bob", "AKIABOB"), own, "r", "s", "ASIA1", nil), use(t, "3", 5, session(own, "r", "s", "ASIA1"))},
			"unknown role-session r/s", "contradict"},
		{"the same session name, two people at once", []event.Event{
			assume(t, "1", 0, alice, own, "r", "s", "ASIA1", nil), assume(t, "2", 0, user("bob", "AKIABOB"), own, "r", "s", "ASIA2", nil), use(t, "3", 5, session(own, "r", "s", "ASIA2"))},
			"proven iam-user bob > r/s", ""},
		{"the same session name, two people at once, in the console", []event.Event{
			assume(t, "1", 0, alice, own, "r", "s", "ASIA1", nil), assume(t, "2", 0, user("bob", "AKIABOB"), own, "r", "s", "ASIA2", nil),
			use(t, "3", 5, session(own, "r", "s", "ASIA3", obj{"sessionCredentialFromConsole": "true"}))}, "unknown role-session r/s", ""},
		{"a console session goes on with another key", []event.Event{
			assume(t, "1", 0, alice, own, "r", "s", "ASIA1", nil), record(t, "3", 5, session(own, "r", "s", "ASIA3"), "iam", "ListUsers", obj{"sessionCredentialFromConsole": "true"})},
			"inferred iam-user alice > r/s", ""},
		{"a failed call issues nothing", []event.Event{
			assume(t, "1", 0, alice, own, "r", "s", "ASIA1", obj{"errorCode": "AccessDenied"}), use(t, "2", 5, session(own, "r", "s", "ASIA1"))}, "unknown role-session r/s", ""},
		{"an access key id that is empty", []event.Event{
			assume(t, "1", 0, alice, own, "r", "s", "", nil), assume(t, "2", 1, user("bob", ""), own, "r", "s2", "", nil), use(t, "3", 5, session(own, "r", "x", ""))},
			"unknown role-session r/x", ""},
		{"a cycle", []event.Event{
			assume(t, "1", 0, session(own, "b", "s", "ASIAB"), own, "a", "s", "ASIAA", nil), assume(t, "2", 0, session(own, "a", "s", "ASIAA"), own, "b", "s", "ASIAB", nil),
			use(t, "3", 5, session(own, "a", "s", "ASIAA"))}, "unknown role-session a/s > b/s > a/s", "circle"},
		{"a session that issued itself", []event.Event{
			assume(t, "1", 0, session(own, "a", "s", "ASIAA"), own, "a", "s", "ASIAA", nil), use(t, "3", 5, session(own, "a", "s", "ASIAA"))},
			"unknown role-session a/s > a/s", "circle"},
		{"a name that looks like a person proves nothing", []event.Event{use(t, "1", 0, session(own, "Admin", "alice@example.com", "ASIA1"))}, "unknown role-session Admin/alice@example.com", ""},
		{"a role that is named like Identity Center's", []event.Event{use(t, "1", 0, session(own, "AWSReservedSSO_Admin_0123456789abcdef", "alice@example.com", "ASIA1"))},
			"unknown role-session AWSReservedSSO_Admin_0123456789abcdef/alice@example.com", ""},
		{"Identity Center's role", []event.Event{use(t, "1", 0, session(own, "AWSReservedSSO_Admin_0123456789abcdef", "alice@example.com", "ASIA1",
			obj{"issuer": "arn:aws:iam::" + own + ":role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123456789abcdef"}))},
			"inferred identity-center-user alice@example.com > AWSReservedSSO_Admin_0123456789abcdef/alice@example.com", ""},
		{"the source identity alone", []event.Event{use(t, "1", 0, session(own, "r", "s", "ASIA1", obj{"sourceIdentity": "alice"}))}, "inferred source-identity alice > r/s", "source identity"},
		{"proof goes before the source identity", []event.Event{
			assume(t, "1", 0, alice, own, "r", "s", "ASIA1", nil), use(t, "2", 5, session(own, "r", "s", "ASIA1", obj{"sourceIdentity": "mallory"}))}, "proven iam-user alice > r/s", ""},
		{"an instance", []event.Event{use(t, "1", 0, session(own, "web", "i-0abc", "ASIA1", obj{"ec2RoleDelivery": "2.0"}))}, "proven ec2-instance i-0abc > web/i-0abc", ""},
		{"a session that somebody named like an instance", []event.Event{
			assume(t, "1", 0, alice, own, "web", "i-0abc", "ASIA1", nil), use(t, "2", 1, session(own, "web", "i-0abc", "ASIA1"))}, "proven iam-user alice > web/i-0abc", ""},
		{"a function", []event.Event{use(t, "1", 0, session(own, "f-role", "f", "ASIA1",
			obj{"inScopeOf": obj{"issuerType": "AWS::Lambda::Function", "credentialsIssuedTo": "arn:aws:lambda:eu-west-1:" + own + ":function:f"}}))}, "proven lambda-function f > f-role/f", ""},
		{"a service-linked role", []event.Event{use(t, "1", 0, session(own, "AWSServiceRoleForX", "x", "ASIA1",
			obj{"issuer": "arn:aws:iam::" + own + ":role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX"}))}, "proven service x.amazonaws.com > AWSServiceRoleForX/x", ""},
		{"a service's session", []event.Event{
			assume(t, "1", 0, caller{"type": "AWSService", "invokedBy": "cloudformation.amazonaws.com"}, own, "deploy", "AWSCloudFormation", "ASIA1", obj{"recipientAccountId": own}),
			use(t, "2", 1, session(own, "deploy", "AWSCloudFormation", "ASIA1"))}, "proven service cloudformation.amazonaws.com > deploy/AWSCloudFormation", ""},
		{"across accounts, both sides", []event.Event{
			assume(t, "1", 0, alice, other, "r", "s", "ASIA1", obj{"sharedEventID": "x"}),
			assume(t, "2", 0, outsider("AIDAALICE"), other, "r", "s", "ASIA1", obj{"sharedEventID": "x", "recipientAccountId": other}),
			use(t, "3", 5, session(other, "r", "s", "ASIA1"))}, "proven iam-user alice @ " + own + " > r/s", ""},
		{"across accounts, the owner's side alone", []event.Event{
			assume(t, "2", 0, outsider("AROAX:ci"), other, "r", "s", "ASIA1", obj{"recipientAccountId": other}),
			use(t, "3", 5, session(other, "r", "s", "ASIA1"))}, "proven account account/" + own + "/ci > r/s", ""},
		{"across accounts, a user known by id", []event.Event{
			use(t, "1", 0, alice), assume(t, "2", 0, outsider("AIDAALICE"), other, "r", "s", "ASIA1", obj{"recipientAccountId": other}),
			use(t, "3", 5, session(other, "r", "s", "ASIA1"))}, "proven iam-user alice @ " + own + " > r/s", ""},
		{"the owner's record of the call", []event.Event{
			assume(t, "1", 0, alice, other, "r", "s", "ASIA1", obj{"sharedEventID": "x"}),
			assume(t, "2", 0, outsider("AIDAX"), other, "r", "s", "ASIA1", obj{"sharedEventID": "x", "recipientAccountId": other})}, "proven iam-user alice @ " + own, ""},
		{"the owner's record of a denied call", []event.Event{
			assume(t, "1", 0, alice, other, "r", "s", "ASIA1", obj{"sharedEventID": "x", "errorCode": "AccessDenied", "responseElements": nil}),
			assume(t, "2", 0, outsider("AIDAX"), other, "r", "s", "ASIA1", obj{"sharedEventID": "x", "recipientAccountId": other, "errorCode": "AccessDenied", "responseElements": nil})},
			"proven iam-user alice @ " + own, ""},
		{"root of a member, taken from the management account", []event.Event{
			record(t, "1", 0, alice, "sts", "AssumeRoot", obj{"requestParameters": obj{"targetPrincipal": other}, "responseElements": obj{"credentials": obj{"accessKeyId": "ASIAROOT"}}}),
			record(t, "2", 5, caller{"type": "Root", "principalId": other, "arn": "arn:aws:iam::" + other + ":root", "accountId": other, "accessKeyId": "ASIAROOT"}, "s3", "DeleteBucketPolicy", nil)},
			"proven iam-user alice @ " + own + " > root", ""},
		{"root itself", []event.Event{use(t, "1", 0, caller{"type": "Root", "principalId": own, "arn": "arn:aws:iam::" + own + ":root", "accountId": own, "accessKeyId": "ASIAX"})}, "proven root root", ""},
		{"a user's session token", []event.Event{
			record(t, "1", 0, alice, "sts", "GetSessionToken", obj{"responseElements": obj{"credentials": obj{"accessKeyId": "ASIAT"}}}),
			assume(t, "2", 5, user("alice", "ASIAT"), own, "r", "s", "ASIA1", nil), use(t, "3", 9, session(own, "r", "s", "ASIA1"))}, "proven iam-user alice > r/s", ""},
		{"a federated user", []event.Event{use(t, "1", 0, caller{"type": "FederatedUser", "principalId": own + ":bob", "arn": "arn:aws:sts::" + own + ":federated-user/bob", "accountId": own, "accessKeyId": "ASIAF",
			"sessionContext": obj{"sessionIssuer": obj{"type": "IAMUser", "arn": "arn:aws:iam::" + own + ":user/broker", "accountId": own, "userName": "broker"}}})}, "proven iam-user broker > bob", ""},
		{"a switched role", []event.Event{record(t, "1", 0, session(own, "r", "alice", ""), "signin", "SwitchRole", obj{"additionalEventData": obj{"SwitchFrom": "arn:aws:iam::" + other + ":user/alice"}})},
			"proven iam-user alice @ " + other + " > r/alice", ""},
		{"a sign-in whose name is hidden", []event.Event{record(t, "1", 0, caller{"type": "IAMUser", "accountId": own, "accessKeyId": "", "userName": "HIDDEN_DUE_TO_SECURITY_REASONS"}, "signin", "ConsoleLogin",
			obj{"errorMessage": "No username found in supplied account", "responseElements": obj{"ConsoleLogin": "Failure"}})}, "unknown unknown HIDDEN_DUE_TO_SECURITY_REASONS", "hides"},
		{"a sign-in that failed", []event.Event{record(t, "1", 0, user("alice", ""), "signin", "ConsoleLogin", obj{"errorMessage": "Failed authentication", "responseElements": obj{"ConsoleLogin": "Failure"}})},
			"inferred iam-user alice", "not who typed it"},
		{"a sign-in", []event.Event{record(t, "1", 0, user("alice", ""), "signin", "ConsoleLogin", obj{"responseElements": obj{"ConsoleLogin": "Success"}})}, "proven iam-user alice", ""},
		{"no identity at all", []event.Event{record(t, "1", 0, caller{}, "sso", "Authenticate", nil)}, "unknown unknown ", "doesn't say"},
		{"a role whose own path looks like Identity Center's", []event.Event{use(t, "1", 0, session(own, "Fake", "ceo@example.com", "ASIA1",
			obj{"issuer": "arn:aws:iam::" + own + ":role/x:role/aws-reserved/sso.amazonaws.com/Fake"}))}, "unknown role-session Fake/ceo@example.com", "isn't there"},
		{"a role whose own path looks like a service's", []event.Event{use(t, "1", 0, session(own, "Fake", "s", "ASIA1",
			obj{"issuer": "arn:aws:iam::" + own + ":role/x:role/aws-service-role/x.amazonaws.com/Fake"}))}, "unknown role-session Fake/s", "isn't there"},
		{"a switch from a role whose path looks like a user", []event.Event{record(t, "1", 0, session(own, "r", "alice", ""), "signin", "SwitchRole",
			obj{"additionalEventData": obj{"SwitchFrom": "arn:aws:iam::" + own + ":role/x:user/alice"}})}, "unknown role-session r/alice", "isn't there"},
		{"Identity Center's assertion", []event.Event{saml(t, "AWSSSO_0123456789abcdef_DO_NOT_DELETE", "aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0", nil)},
			"proven identity-center-user ceo@example.com", ""},
		{"one's own provider that is named like Identity Center's", []event.Event{saml(t, "AWSSSO_0123456789abcdef_DO_NOT_DELETE", "Mine", nil)},
			"proven saml-user ceo@example.com @ AWSSSO_0123456789abcdef_DO_NOT_DELETE", ""},
		{"one's own provider asks for a role of Identity Center", []event.Event{saml(t, "AWSSSO_0123456789abcdef_DO_NOT_DELETE", "aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0", obj{"errorCode": "AccessDenied", "responseElements": nil})},
			"proven saml-user ceo@example.com @ AWSSSO_0123456789abcdef_DO_NOT_DELETE", ""},
		{"an assertion that AWS doesn't believe", []event.Event{saml(t, "okta", "Admin", obj{"errorCode": "InvalidIdentityTokenException", "responseElements": nil})},
			"unknown unknown ceo@example.com", "may not have checked"},
		{"a provider's user goes on into another account, where a provider has the same name", []event.Event{
			saml(t, "okta", "Admin", nil), assume(t, "2", 1, session(own, "Admin", "ceo", "ASIASAML"), other, "r", "s", "ASIA2", nil), use(t, "3", 5, session(other, "r", "s", "ASIA2"))},
			"proven saml-user ceo@example.com @ okta @ " + own + " > Admin/ceo @ " + own + " > r/s", ""},
		{"a shared id of a call by another account", []event.Event{
			record(t, "1", 0, caller{"type": "IAMUser", "principalId": "AIDAEVE", "arn": "arn:aws:iam::777788889999:user/eve", "accountId": "777788889999", "accessKeyId": "AKIAEVE", "userName": "eve"}, "sts", "AssumeRole",
				obj{"sharedEventID": "x", "errorCode": "AccessDenied"}),
			assume(t, "2", 0, outsider("AROAX:ci"), other, "r", "s", "ASIA1", obj{"sharedEventID": "x", "recipientAccountId": other, "errorCode": "AccessDenied", "responseElements": nil})},
			"unknown account account/" + own + "/ci", "another account"},
		{"the key of another account's session", []event.Event{
			assume(t, "1", 0, alice, own, "r", "s", "ASIA1", nil), use(t, "2", 5, session(other, "r", "s", "ASIA1"))}, "unknown role-session r/s", ""},
		{"root's session of somebody else, who isn't there", []event.Event{use(t, "1", 0, caller{"type": "Root", "principalId": own, "arn": "arn:aws:iam::" + own + ":root", "accountId": own, "accessKeyId": "ASIAX",
			"sessionContext": obj{"assumedRoot": "true"}})}, "unknown role-session root (AssumeRoot)", "isn't there"},
		{"a user's session token isn't a role's", []event.Event{
			record(t, "1", 0, alice, "sts", "GetSessionToken", obj{"responseElements": obj{"credentials": obj{"accessKeyId": "ASIA1"}}}), use(t, "2", 5, session(other, "r", "s", "ASIA1"))},
			"unknown role-session r/s", "isn't there"},
		{"nor is root's", []event.Event{
			record(t, "1", 0, alice, "sts", "AssumeRoot", obj{"responseElements": obj{"credentials": obj{"accessKeyId": "ASIA1"}}}), use(t, "2", 5, session(other, "r", "s", "ASIA1"))},
			"unknown role-session r/s", "isn't there"},
		{"nor a key that somebody made", []event.Event{
			record(t, "1", 0, alice, "iam", "CreateAccessKey", obj{"responseElements": obj{"accessKey": obj{"accessKeyId": "ASIA1"}}}), use(t, "2", 5, session(own, "r", "s", "ASIA1"))},
			"unknown role-session r/s", "isn't there"},
		{"root's session with a role's key", []event.Event{
			assume(t, "1", 0, alice, own, "r", "s", "ASIA1", obj{"responseElements": obj{"credentials": obj{"accessKeyId": "ASIA1"}}}),
			use(t, "2", 5, caller{"type": "Root", "principalId": own, "arn": "arn:aws:iam::" + own + ":root", "accountId": own, "accessKeyId": "ASIA1"})}, "proven root root", ""},
		{"the owner's record names another account than the caller's own", []event.Event{
			assume(t, "1", 0, caller{"type": "IAMUser", "principalId": "AIDAEVE", "arn": "arn:aws:iam::777788889999:user/eve", "accountId": "777788889999", "accessKeyId": "AKIAEVE", "userName": "eve"}, other, "r", "s", "ASIA1", nil),
			assume(t, "2", 0, outsider("AIDAALICE"), other, "r", "s", "ASIA1", obj{"recipientAccountId": other}), use(t, "3", 5, session(other, "r", "s", "ASIA1"))},
			"unknown role-session r/s", "contradict"},
		{"a user's id that another account's records have too", []event.Event{
			use(t, "1", 0, alice), assume(t, "2", 0, caller{"type": "AWSAccount", "principalId": "AIDAALICE", "accountId": "777788889999"}, other, "r", "s", "ASIA1", obj{"recipientAccountId": other}),
			use(t, "3", 5, session(other, "r", "s", "ASIA1"))}, "proven account account/777788889999 > r/s", ""},
		{"a sign-in to Identity Center that failed", []event.Event{record(t, "1", 0, caller{"type": "IdentityCenterUser", "accountId": own, "userName": "ceo@example.com"}, "signin", "CredentialVerification",
			obj{"eventType": "AwsServiceEvent", "serviceEventDetails": obj{"CredentialVerification": "Failure"}})}, "inferred identity-center-user ceo@example.com", "not who typed it"},
		{"a sign-in to Identity Center that isn't complete", []event.Event{record(t, "1", 0, caller{"type": "IdentityCenterUser", "accountId": own, "userName": "ceo@example.com"}, "signin", "CredentialChallenge",
			obj{"eventType": "AwsServiceEvent", "serviceEventDetails": obj{"CredentialChallenge": "Success"}})}, "inferred identity-center-user ceo@example.com", "not who typed it"},
		{"identity providers may give any name", []event.Event{record(t, "1", 0, caller{"type": "WebIdentityUser", "principalId": "p", "userName": "alice > r/s", "identityProvider": "arn:aws:iam::" + own + ":oidc-provider/evil.example"},
			"sts", "AssumeRoleWithWebIdentity", nil)}, "proven web-identity alice > r/s @ evil.example", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := resolve(t, slices.Clone(c.events)...)
			if got := fmt.Sprintf("%s %s %s", r.Certainty, r.Kind, chain(r)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if !strings.Contains(r.Reason, c.reason) || r.Certainty != lineage.Proven && r.Reason == "" && c.want[:3] == "unk" {
				t.Errorf("reason %q, want %q in it", r.Reason, c.reason)
			}
		})
	}
}

// saml is a call with an assertion that names ceo@example.com.
func saml(t *testing.T, provider, role string, more obj) event.Event {
	name := role[strings.LastIndexByte(role, '/')+1:]
	all := obj{"requestParameters": obj{"principalArn": "arn:aws:iam::" + own + ":saml-provider/" + provider, "roleArn": "arn:aws:iam::" + own + ":role/" + role, "roleSessionName": "ceo"},
		"responseElements":   obj{"credentials": obj{"accessKeyId": "ASIASAML"}, "assumedRoleUser": obj{"arn": arn(own, name, "ceo")}},
		"recipientAccountId": own}
	maps.Copy(all, more)
	return record(t, "saml", 0, caller{"type": "SAMLUser", "principalId": "q:ceo@example.com", "userName": "ceo@example.com", "identityProvider": "q"}, "sts", "AssumeRoleWithSAML", all)
}

// One hop never looks like two.
func TestChainText(t *testing.T) {
	if got := lineage.ChainText([]lineage.Hop{{Name: "eve > alice"}, {Name: "r/s"}}); got != `"eve > alice" > r/s` {
		t.Error(got)
	}
}

// Records of one key that say more or less of their session, in any order.
func TestSomeRecordsSayMore(t *testing.T) {
	const store = "arn:aws:identitystore::111122223333:identitystore/d-1"
	more := use(t, "1", 5, reserved(store, "u1", "alice@example.com", "ASIA1"))
	who := reserved(store, "u1", "alice@example.com", "ASIA1")
	delete(who, "onBehalfOf")
	less := use(t, "2", 6, who)
	issued := assume(t, "3", 0, user("bob", "AKIABOB"), own, "r", "s", "ASIA2", nil)
	console := record(t, "4", 5, session(own, "r", "s", "ASIA3"), "iam", "ListUsers", obj{"sessionCredentialFromConsole": "true"})
	from := use(t, "5", 6, session(own, "r", "s", "ASIA3", obj{"sourceIdentity": "carol"}))
	asked := portal(t, "6", 0, store, "u1")
	outside := use(t, "7", 6, session(own, "r", "s", "ASIA3")) // the record doesn't say that the key is the console's
	want := map[string]string{"7": "r/s", "1": "alice@example.com", "2": "alice@example.com", "3": "bob", "4": "bob", "5": "carol", "6": "alice@example.com"}
	events := []event.Event{more, less, issued, console, from, asked, outside}
	for range 20 {
		rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		src, o := newMemory(), lineage.NewObserver()
		for i := range events {
			o.Observe(&events[i], false)
		}
		src.add(o.Batch())
		r := lineage.NewResolver(src)
		for _, e := range events {
			if err := r.Fill(t.Context(), &e); err != nil || e.Actor != want[e.EventID] {
				t.Errorf("event %s: %q, %v, want %q", e.EventID, e.Actor, err, want[e.EventID])
			}
		}
	}
}

// Records that contradict each other at each hop end in no answer, not in years.
func TestTangle(t *testing.T) {
	var events []event.Event
	for i := range 60 {
		for j := range 2 {
			events = append(events, assume(t, fmt.Sprint("h", i, "-", j), i, session(own, fmt.Sprint("r", i), "s", fmt.Sprint("ASIA", i)), own, fmt.Sprint("r", i+1), "s", fmt.Sprint("ASIA", i+1), nil))
		}
	}
	events = append(events, use(t, "u", 70, session(own, "r60", "s", "ASIA60")))
	if r := resolve(t, events...); r.Certainty != lineage.Unknown || !strings.Contains(r.Reason, "contradict") || chain(r) != "r60/s" {
		t.Errorf("%+v", r)
	}
}

func TestTenHops(t *testing.T) {
	events := []event.Event{assume(t, "0", 0, user("alice", "AKIAALICE"), own, "r0", "s", "ASIA0", nil)}
	want := "alice > r0/s"
	for i := range 10 {
		events = append(events, assume(t, fmt.Sprint("h", i), i+1, session(own, fmt.Sprint("r", i), "s", fmt.Sprint("ASIA", i)), own, fmt.Sprint("r", i+1), "s", fmt.Sprint("ASIA", i+1), nil))
		want += fmt.Sprintf(" > r%d/s", i+1)
	}
	events = append(events, use(t, "u", 20, session(own, "r10", "s", "ASIA10")))
	r := resolve(t, events...)
	if chain(r) != want || r.Certainty != lineage.Proven {
		t.Errorf("%s %s, want %s", r.Certainty, chain(r), want)
	}
	if len(r.Evidence) != 12 {
		t.Errorf("%d pieces of evidence: %+v", len(r.Evidence), r.Evidence)
	}
}

func portal(t *testing.T, id string, at int, store, userID string) event.Event {
	return record(t, id, at, caller{"type": "IdentityCenterUser", "accountId": own, "onBehalfOf": obj{"userId": userID, "identityStoreArn": store}}, "sso", "ListAccounts", nil)
}

// reserved is a session of a role of Identity Center.
func reserved(store, userID, name, key string) caller {
	const role = "AWSReservedSSO_Admin_0123456789abcdef"
	return session(own, role, name, key, obj{"onBehalfOf": obj{"userId": userID, "identityStoreArn": store},
		"issuer": "arn:aws:iam::" + own + ":role/aws-reserved/sso.amazonaws.com/" + role})
}

func TestNames(t *testing.T) {
	const a, b = "arn:aws:identitystore::111122223333:identitystore/d-1", "arn:aws:identitystore::444455556666:identitystore/d-2"
	if got := chain(resolve(t, use(t, "1", 5, reserved(a, "u1", "alice@example.com", "ASIA1")), portal(t, "2", 0, a, "u1"))); got != "alice@example.com" {
		t.Errorf("a user who has a session: %q", got)
	}
	if got := chain(resolve(t, use(t, "1", 5, reserved(b, "u1", "bob@example.com", "ASIA1")), portal(t, "2", 0, a, "u1"))); got != "u1" {
		t.Errorf("the same id in another store: %q", got)
	}
	renamed := []event.Event{use(t, "1", 0, reserved(a, "u1", "alice@example.com", "ASIA1")), use(t, "2", 1000, reserved(a, "u1", "alice.new@example.com", "ASIA2"))}
	for at, want := range map[int]string{100: "alice@example.com", 900: "alice.new@example.com"} {
		if got := chain(resolve(t, append(slices.Clone(renamed), portal(t, "3", at, a, "u1"))...)); got != want {
			t.Errorf("after %d s: %q, want %q", at, got, want)
		}
	}
	// A name that somebody gave goes before those of the events, and is the same
	// in all records of the user.
	src, o := newMemory(), lineage.NewObserver()
	e := use(t, "1", 5, reserved(a, "u1", "alice@example.com", "ASIA1"))
	o.Observe(&e, false)
	src.add(o.Batch())
	src.add(lineage.Batch{Names: []lineage.Name{{Node: lineage.UserNode(a, "u1"), Name: "Alice Adams", Source: lineage.Given}}})
	for _, e := range []event.Event{e, portal(t, "2", 0, a, "u1")} {
		r, err := lineage.NewResolver(src).Resolve(t.Context(), &e)
		if err != nil || r.Actor != "Alice Adams" {
			t.Errorf("%s: %+v, %v", e.EventName, r, err)
		}
	}
	// A user who was deleted, and another of the name: the ids tell them apart.
	first, second := user("alice", "AKIA1"), user("alice", "AKIA2")
	second["principalId"] = "AIDASECOND"
	deleted := caller{"type": "AWSAccount", "principalId": "AIDAALICE", "accountId": own}
	got := resolve(t, use(t, "1", 0, first), use(t, "2", 500, second), assume(t, "3", 5, deleted, other, "r", "s", "ASIA1", obj{"recipientAccountId": other}))
	if got.Chain[0].ARN != "AIDAALICE" || got.Actor != "alice @ "+own {
		t.Errorf("%+v", got)
	}
}

// Whatever the order, the split and the repetition of what is observed, and
// whether one Resolver answers all or each its own, the answers are the same.
func TestOrderDoesNotMatter(t *testing.T) {
	_, all := world(t, 5, 0)
	var events []event.Event
	for i := range all[:4000] {
		if !all[i].filtered || all[i].IssuedAccessKeyID != "" {
			events = append(events, all[i].Event)
		}
	}
	answers := func(src lineage.Source, events []event.Event) map[event.Key]string {
		r, out := lineage.NewResolver(src), map[event.Key]string{}
		for i := range events {
			e := events[i]
			e.Actor, e.ActorKind, e.ActorChain = "what it was", "before", "does not matter"
			if err := r.Fill(t.Context(), &e); err != nil {
				t.Fatal(err)
			}
			out[e.Key()] = e.ActorKind + " " + e.ActorChain
		}
		return out
	}
	src, o := newMemory(), lineage.NewObserver()
	for i := range events {
		o.Observe(&events[i], false)
	}
	src.add(o.Batch())
	want := answers(src, events)
	rapid.Check(t, func(t *rapid.T) {
		shuffled := slices.Clone(events)
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		src, o := newMemory(), lineage.NewObserver()
		for i := range shuffled {
			o.Observe(&shuffled[i], false)
			if rnd.IntN(10) == 0 {
				o.Observe(&shuffled[rnd.IntN(len(shuffled))], false)
			}
			if rnd.IntN(200) == 0 {
				src.add(o.Batch())
			}
		}
		src.add(o.Batch())
		for k, got := range answers(src, shuffled) {
			if got != want[k] {
				t.Fatalf("event %v: %s, want %s", k, got, want[k])
			}
		}
	})
}

// What is taken from a record's head alone is what the whole record says.
func TestObserveService(t *testing.T) {
	for _, who := range []caller{
		{"invokedBy": "ec2.amazonaws.com"}, {"invokedBy": "lambda.amazonaws.com"}, {"invokedBy": "cloudformation.amazonaws.com"},
		{"principalId": "config.amazonaws.com"}, {},
	} {
		who["type"] = "AWSService"
		e := assume(t, "1", 0, who, own, "r", "i-0abc", "ASIA1", obj{"recipientAccountId": own, "sourceIPAddress": "ec2.amazonaws.com"})
		whole := lineage.NewObserver()
		whole.Observe(&e, true)
		want := whole.Batch()
		raw, err := e.Record()
		if err != nil {
			t.Fatal(err)
		}
		o, asked := lineage.NewObserver(), 0
		yes := func(h *event.Head) bool { return true }
		if _, dropped, err := event.NewParser().ParseUnless(raw, yes, func(h *event.Head) bool { asked++; o.ObserveService(h); return true }); err != nil || !dropped || asked != 1 {
			t.Fatal(dropped, asked, err)
		}
		got := o.Batch()
		if got.Links[0].Version == (event.Version{}) {
			t.Error("contents of one event aren't told apart")
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%v: %s", who, d)
		}
	}
}
