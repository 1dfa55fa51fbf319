package rule_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

const customer = "arn:aws:iam::" + own + ":policy/deploy"

func version(doc string, edits ...edit) event.Event {
	quoted, _ := json.Marshal(doc)
	return call("iam", "CreatePolicyVersion", append([]edit{req(`{"policyArn":"` + customer + `","policyDocument":` + string(quoted) + `}`)}, edits...)...)
}

func TestSequences(t *testing.T) {
	const all = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	const priv = `{"Statement":{"Effect":"Allow","Action":"iam:PassRole","Resource":"*"}}`
	quotedAll, _ := json.Marshal(all)
	attach := func(edits ...edit) event.Event {
		return call("iam", "AttachRolePolicy", append([]edit{req(`{"roleName":"r","policyArn":"` + customer + `"}`)}, edits...)...)
	}
	key := func(name, status string, edits ...edit) event.Event {
		return call("iam", "UpdateAccessKey", append([]edit{id(name), req(`{"userName":"bob","accessKeyId":"AKIA1","status":"` + status + `"}`)}, edits...)...)
	}
	mfa := func(name string, edits ...edit) event.Event {
		return call("iam", name, append([]edit{req(`{"userName":"bob","serialNumber":"arn:mfa/bob"}`)}, edits...)...)
	}
	assign := func(edits ...edit) event.Event {
		return call("sso", "CreateAccountAssignment", append([]edit{req(`{"targetId":"1","principalType":"GROUP","principalId":"g","permissionSetArn":"ps"}`)}, edits...)...)
	}
	update := func(n, fields string, edits ...edit) event.Event {
		return call("sso", "UpdatePermissionSet", append([]edit{id(n), req(`{"permissionSetArn":"ps"` + fields + `}`)}, edits...)...)
	}
	years := 365 * day
	for _, c := range []struct {
		name   string
		events []event.Event
		want   []string
	}{
		{"customer policy, dangerous version before", []event.Event{version(all), attach(after(day))}, []string{"iam-admin-policy-attached critical"}},
		{"customer policy, lesser danger", []event.Event{version(priv), attach(after(day))}, []string{"iam-admin-policy-attached high"}},
		{"customer policy, created dangerous", []event.Event{
			call("iam", "CreatePolicy", req(`{"policyName":"deploy","policyDocument":`+string(quotedAll)+`}`), resp(`{"policy":{"arn":"`+customer+`"}}`)), attach(after(second))},
			[]string{"iam-admin-policy-attached critical"}},
		{"customer policy, the same second", []event.Event{version(all), attach()}, []string{"iam-admin-policy-attached critical"}},
		{"customer policy, dangerous later only", []event.Event{version(all, after(day)), attach()}, nil},
		{"customer policy, harmless", []event.Event{version(`{"Statement":[]}`), attach(after(day))}, nil},
		{"customer policy, denied version", []event.Event{version(all, denied), attach(after(day))}, nil},
		{"customer policy, nearly three years", []event.Event{version(all), attach(after(3*years - day))}, []string{"iam-admin-policy-attached critical"}},
		{"customer policy, another account's", []event.Event{version(all, func(e *event.Event) { e.AccountID = stranger }), attach(after(day))}, nil},

		{"key disabled by another, then activated", []event.Event{key("1", "Inactive", user("sec")), key("2", "Active", after(day))},
			[]string{"iam-access-key-updated medium", "iam-access-key-updated critical"}},
		{"key disabled and activated by one", []event.Event{key("1", "Inactive"), key("2", "Active", after(day))},
			[]string{"iam-access-key-updated medium", "iam-access-key-updated high"}},
		{"key disabled after its activation", []event.Event{key("1", "Inactive", user("sec"), after(day)), key("2", "Active")},
			[]string{"iam-access-key-updated medium", "iam-access-key-updated high"}},
		{"key disabled the year before last", []event.Event{key("1", "Inactive", user("sec")), key("2", "Active", after(2*years))},
			[]string{"iam-access-key-updated medium", "iam-access-key-updated critical"}},
		{"the last to disable counts", []event.Event{key("1", "Inactive", user("sec")), key("2", "Inactive", after(day)), key("3", "Active", after(2*day))},
			[]string{"iam-access-key-updated medium", "iam-access-key-updated medium", "iam-access-key-updated high"}},
		{"user in quarantine", []event.Event{
			call("iam", "AttachUserPolicy", req(`{"userName":"bob","policyArn":"arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"}`)), key("2", "Active", after(day))},
			[]string{"iam-access-key-updated critical"}},

		{"MFA deleted alone", []event.Event{mfa("DeleteVirtualMFADevice")}, []string{"iam-mfa-device-removed medium"}},
		{"MFA deactivated a day before", []event.Event{mfa("DeactivateMFADevice"), mfa("DeleteVirtualMFADevice", after(day))},
			[]string{"iam-mfa-device-removed critical", "-iam-mfa-device-removed medium"}},
		{"MFA deactivated longer before", []event.Event{mfa("DeactivateMFADevice"), mfa("DeleteVirtualMFADevice", after(day+second))},
			[]string{"iam-mfa-device-removed critical", "iam-mfa-device-removed medium"}},
		{"MFA deactivated afterwards", []event.Event{mfa("DeactivateMFADevice", after(second)), mfa("DeleteVirtualMFADevice")},
			[]string{"iam-mfa-device-removed critical", "iam-mfa-device-removed medium"}},
		{"MFA created and never enabled", []event.Event{
			call("iam", "CreateVirtualMFADevice", req(`{"virtualMFADeviceName":"bob"}`), resp(`{"virtualMFADevice":{"serialNumber":"arn:mfa/bob"}}`)), mfa("DeleteVirtualMFADevice", after(minute))},
			[]string{"iam-mfa-device-removed low"}},
		{"MFA created and enabled", []event.Event{
			call("iam", "CreateVirtualMFADevice", resp(`{"virtualMFADevice":{"serialNumber":"arn:mfa/bob"}}`)), mfa("EnableMFADevice", after(second)), mfa("DeleteVirtualMFADevice", after(minute))},
			[]string{"iam-mfa-device-removed medium"}},
		{"MFA deletion denied", []event.Event{mfa("DeleteVirtualMFADevice", denied)}, []string{"iam-mfa-device-removed-attempt low"}},

		{"assignment of an admin set", []event.Event{
			call("sso", "AttachManagedPolicyToPermissionSet", req(`{"permissionSetArn":"ps","managedPolicyArn":"`+adminARN+`"}`)), assign(after(day))},
			[]string{"sso-permission-set-admin-policy critical", "sso-account-assignment-created critical"}},
		{"assignment before it became admin", []event.Event{
			call("sso", "AttachManagedPolicyToPermissionSet", after(day), req(`{"permissionSetArn":"ps","managedPolicyArn":"`+adminARN+`"}`)), assign()},
			[]string{"sso-permission-set-admin-policy critical", "sso-account-assignment-created high"}},
		{"assignment of a set with a dangerous inline policy", []event.Event{
			call("sso", "PutInlinePolicyToPermissionSet", req(`{"permissionSetArn":"ps","inlinePolicy":`+string(quotedAll)+`}`)), assign(after(day))},
			[]string{"sso-account-assignment-created critical"}},

		{"permission set: longer session than created", []event.Event{
			call("sso", "CreatePermissionSet", req(`{"name":"p","sessionDuration":"PT2H"}`), resp(`{"permissionSet":{"permissionSetArn":"ps"}}`)), update("2", `,"sessionDuration":"PT4H"`, after(day))},
			[]string{"sso-permission-set-created medium", "sso-permission-set-updated high"}},
		{"permission set: longer than the default", []event.Event{
			call("sso", "CreatePermissionSet", req(`{"name":"p"}`), resp(`{"permissionSet":{"permissionSetArn":"ps"}}`)), update("2", `,"sessionDuration":"PT90M"`, after(day))},
			[]string{"sso-permission-set-created medium", "sso-permission-set-updated high"}},
		{"permission set: shorter session", []event.Event{update("1", `,"sessionDuration":"PT12H"`), update("2", `,"sessionDuration":"PT10H"`, after(day))},
			[]string{"sso-permission-set-updated high", "sso-permission-set-updated low"}},
		{"permission set: same relay state again", []event.Event{update("1", `,"relayState":"https://evil.example"`), update("2", `,"relayState":"https://evil.example"`, after(day))},
			[]string{"sso-permission-set-updated high", "sso-permission-set-updated low"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			en := engine(t, quiet)
			expect(t, alerts(en, c.events...), c.want...)
			back := make([]event.Event, 0, len(c.events))
			for i := len(c.events) - 1; i >= 0; i-- {
				back = append(back, c.events[i])
			}
			expect(t, alerts(en, append(back, c.events...)...), c.want...)
		})
	}
}

// A fact whose content lost a conflict is no evidence, yet the alert that
// rested on it stays known.
func TestSupersededEvidence(t *testing.T) {
	en := engine(t, quiet)
	v := version(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	a := call("iam", "AttachRolePolicy", after(day), req(`{"roleName":"r","policyArn":"`+customer+`"}`))
	facts := append(en.Evaluate(&v), en.Evaluate(&a)...)
	expect(t, settle(en, facts), "iam-admin-policy-attached critical")
	before := settle(en, facts)
	for i := range facts {
		facts[i].Superseded = facts[i].EventID == v.EventID
	}
	expect(t, settle(en, facts), "-iam-admin-policy-attached critical")
	if settle(en, facts)[0].ID != before[0].ID {
		t.Error("the id changed")
	}
	// Another content of the version event is harmless: nothing new is stated.
	// Another content that is dangerous, too, keeps the alert.
	v.RecordHash++
	expect(t, settle(en, append(facts, en.Evaluate(&v)...)), "iam-admin-policy-attached critical")

	d, del := call("iam", "DeactivateMFADevice", req(`{"serialNumber":"s"}`)), call("iam", "DeleteVirtualMFADevice", req(`{"serialNumber":"s"}`))
	facts = append(en.Evaluate(&d), en.Evaluate(&del)...)
	for i := range facts {
		facts[i].Superseded = facts[i].EventID == d.EventID
	}
	expect(t, settle(en, facts), "-iam-mfa-device-removed high", "iam-mfa-device-removed medium")
}

// Two contents of one event: the alert is that of the content that holds.
func TestConflictingContents(t *testing.T) {
	en := engine(t, quiet)
	a := call("iam", "CreateUser", req(`{"userName":"first"}`))
	b := call("iam", "CreateUser", req(`{"userName":"second"}`))
	b.RecordHash = a.RecordHash + 1
	facts := append(en.Evaluate(&a), en.Evaluate(&b)...)
	facts[0].Superseded = true
	got := settle(en, facts)
	expect(t, got, "iam-user-created high")
	if fmt.Sprint(got[0].Targets) != "[second]" {
		t.Errorf("targets %v", got[0].Targets)
	}
	facts[0].Superseded, facts[1].Superseded = false, true
	if got := settle(en, facts); fmt.Sprint(got[0].Targets) != "[first]" || got[0].Superseded {
		t.Errorf("%+v", got)
	}
	facts[0].Superseded = true
	if got := settle(en, facts); len(got) != 1 || !got[0].Superseded {
		t.Errorf("%+v", got)
	}
}

func TestRootActivityIsGrouped(t *testing.T) {
	en := engine(t, quiet)
	var events []event.Event
	for i := range 50 {
		events = append(events, call("ec2", fmt.Sprintf("Describe%d", i%7), root, id(fmt.Sprint(i)), after(int64(i)*minute), func(e *event.Event) {
			read := true
			e.ReadOnly = &read
		}))
	}
	events = append(events, call("ec2", "RunInstances", root, id("w1")), call("ec2", "RunInstances", root, id("w2"), after(minute), failed),
		call("s3", "DeleteBucket", root, id("w3"), after(minute)))
	got := alerts(en, events...)
	expect(t, got, "root-api-activity low", "root-api-activity high")
	for _, a := range got {
		if a.Severity == rule.High && (len(a.Events) != 3 || a.Title != "Root user active: RunInstances, DeleteBucket" || !strings.Contains(a.Detail, "RunInstances (2), DeleteBucket")) {
			t.Errorf("%d events, %q, %q", len(a.Events), a.Title, a.Detail)
		}
		if a.Severity == rule.Low && (len(a.Events) != 50 || a.EventID != "0") {
			t.Errorf("%d events, first %s", len(a.Events), a.EventID)
		}
	}
	// Setting up a service role is an alert of its own, for it is less grave.
	got = alerts(en, append(events[50:], call("iam", "AttachRolePolicy", root, id("w4"), req(`{"policyArn":"arn:aws:iam::aws:policy/service-role/X"}`)),
		call("s3", "PutBucketPolicy", root, id("w5")))...)
	expect(t, got, "root-api-activity medium", "root-api-activity high")
	for _, a := range got {
		if a.Severity == rule.High && a.Title != "Root user active: RunInstances and 2 other kinds of changes" {
			t.Errorf("%q", a.Title)
		}
	}
	// The next hour, and another address, are other alerts.
	later, elsewhere := events[0], events[1]
	later.EventTime += hours
	elsewhere.SourceIP = "203.0.113.9"
	if got := alerts(en, events[0], later, elsewhere); len(got) != 3 {
		t.Errorf("%q", said(got))
	}
	// A service acting for root, and its linked roles, are not root's doing.
	expect(t, alerts(en, call("kms", "CreateGrant", root, func(e *event.Event) { e.InvokedBy = "rds.amazonaws.com" }),
		call("autoscaling", "CreateServiceLinkedRole", root), call("signin", "ExternalIdPDirectoryLogin", root, failed)))
}

func TestGrave(t *testing.T) {
	en := engine(t, quiet)
	for _, c := range []struct {
		e    event.Event
		want bool
	}{
		{call("iam", "CreateAccessKey", req(`{"userName":"bob"}`)), true},
		{call("iam", "AttachRolePolicy", req(`{"roleName":"r","policyArn":"`+customer+`"}`)), true},
		{call("iam", "UpdateAccessKey", req(`{"userName":"bob","accessKeyId":"AKIA1","status":"Active"}`)), true},
		{call("iam", "UpdateAccessKey", req(`{"userName":"bob","accessKeyId":"AKIA1","status":"Inactive"}`)), false},
		{call("iam", "CreateUser", req(`{"userName":"bob"}`)), false},
		{call("iam", "ListUsers"), false},
	} {
		if got := rule.Grave(en.Evaluate(&c.e)); got != c.want {
			t.Errorf("%s: %v", c.e.EventName, got)
		}
	}
}

// A policy version that became dangerous a second later, in a greater content
// of the same event, no longer precedes the attachment: what the earlier content
// raised comes out superseded, and doesn't vanish.
func TestSupersededProof(t *testing.T) {
	const all = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	en := engine(t, quiet)
	events := []event.Event{
		version(all),
		call("iam", "AttachRolePolicy", req(`{"roleName":"r","policyArn":"`+customer+`"}`)),
		version(all, after(second), func(e *event.Event) { e.RecordHash = 8 }),
	}
	for n, want := range map[int]string{2: "[iam-admin-policy-attached critical]", 3: "[-iam-admin-policy-attached critical]"} {
		var facts []rule.Fact
		for i := range events[:n] {
			facts = append(facts, en.Evaluate(&events[i])...)
		}
		lose(facts, events[:n])
		if got := fmt.Sprint(said(settle(en, facts))); got != want {
			t.Errorf("%d events: %s, want %s", n, got, want)
		}
	}
}
