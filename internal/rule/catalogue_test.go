package rule_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

const (
	allowAll  = `{"policyName":"p","userName":"bob","policyDocument":"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}}"}`
	allowRead = `{"policyName":"p","userName":"bob","policyDocument":"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"*\"}}"}`
	adminARN  = "arn:aws:iam::aws:policy/AdministratorAccess"
	success   = `{"ConsoleLogin":"Success"}`
	failure   = `{"ConsoleLogin":"Failure"}`
)

func trust(principal string) string {
	return `{"roleName":"r","assumeRolePolicyDocument":{"Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}]}}`
}

// cases has, for every rule, an event on which it fires and a close neighbour
// on which it does not.
var cases = map[string]struct {
	severity  rule.Severity
	hit, miss event.Event
}{
	"root-console-login": {rule.Critical,
		call("signin", "ConsoleLogin", root, resp(success)),
		call("signin", "ConsoleLogin", user("root"), resp(success))},
	"root-console-login-failed": {rule.High,
		call("signin", "ConsoleLogin", root, resp(failure), failed),
		call("signin", "ConsoleLogin", user("root"), resp(failure), failed)},
	"root-api-activity": {rule.High,
		call("s3", "PutBucketPolicy", root),
		call("iam", "CreateServiceLinkedRole", root)},
	"root-access-key-created": {rule.Critical,
		call("iam", "CreateAccessKey", root),
		call("iam", "CreateAccessKey", root, req(`{"userName":"bob"}`))},
	"root-access-key-created-attempt": {rule.High,
		call("iam", "CreateAccessKey", root, denied),
		call("iam", "CreateAccessKey", root, failed)},
	"signin-console-login-without-mfa": {rule.High,
		call("signin", "ConsoleLogin", resp(success), extra(`{"MFAUsed":"No"}`)),
		call("signin", "ConsoleLogin", resp(success), extra(`{"MFAUsed":"No","SamlProviderArn":"arn:aws:iam::1:saml-provider/x"}`))},
	"iam-user-created": {rule.High,
		call("iam", "CreateUser", req(`{"userName":"bob"}`)),
		call("identitystore", "CreateUser", req(`{"userName":"bob"}`))},
	"iam-admin-policy-attached": {rule.Critical,
		call("iam", "AttachRolePolicy", req(`{"roleName":"r","policyArn":"`+adminARN+`"}`)),
		call("iam", "AttachRolePolicy", req(`{"roleName":"r","policyArn":"arn:aws:iam::`+own+`:policy/DenyIAMFullAccess"}`))},
	"iam-admin-policy-attached-attempt": {rule.High,
		call("iam", "AttachRolePolicy", denied, req(`{"roleName":"r","policyArn":"`+adminARN+`"}`)),
		call("iam", "AttachRolePolicy", denied)},
	"iam-inline-policy-dangerous": {rule.Critical,
		call("iam", "PutGroupPolicy", req(allowAll)),
		call("iam", "PutGroupPolicy", req(allowRead))},
	"iam-inline-policy-dangerous-attempt": {rule.High,
		call("iam", "PutGroupPolicy", denied, req(allowAll)),
		call("iam", "PutGroupPolicy", denied)},
	"iam-inline-policy-added": {rule.Low,
		call("iam", "PutUserPolicy", req(allowRead)),
		call("iam", "PutUserPolicy", req(allowAll))},
	"iam-access-key-created": {rule.High,
		call("iam", "CreateAccessKey", req(`{"userName":"Alice"}`)),
		call("iam", "CreateAccessKey", req(`{"userName":"malice"}`))},
	"iam-access-key-created-for-other": {rule.Critical,
		call("iam", "CreateAccessKey", req(`{"userName":"malice"}`)),
		call("iam", "CreateAccessKey", req(`{"userName":"alice"}`))},
	"iam-access-key-created-for-other-attempt": {rule.High,
		call("iam", "CreateAccessKey", denied, message("User: arn:aws:iam::1:user/alice is not authorized to perform: iam:CreateAccessKey on resource: user bob because no policy allows it")),
		call("iam", "CreateAccessKey", denied, message("User: arn:aws:iam::1:user/alice is not authorized to perform: iam:CreateAccessKey on resource: user alice"))},
	"iam-access-key-updated": {rule.High,
		call("iam", "UpdateAccessKey", req(`{"userName":"bob","accessKeyId":"AKIA1","status":"Active"}`)),
		call("iam", "UpdateAccessKey", failed, req(`{"userName":"bob","accessKeyId":"AKIA1","status":"Active"}`))},
	"iam-access-key-deleted": {rule.Medium,
		call("iam", "DeleteAccessKey", req(`{"userName":"bob","accessKeyId":"AKIA1"}`)),
		call("iam", "DeleteAccessKey", failed, req(`{"userName":"bob","accessKeyId":"AKIA1"}`))},
	"iam-role-trust-wildcard": {rule.Critical,
		call("iam", "CreateRole", req(trust(`"*"`))),
		call("iam", "CreateRole", req(trust(`{"Service":"ec2.amazonaws.com"}`)))},
	"iam-role-trust-wildcard-attempt": {rule.High,
		call("iam", "CreateRole", denied, req(trust(`"*"`))),
		call("iam", "CreateRole", denied)},
	"iam-role-trust-external-account": {rule.Critical,
		call("iam", "CreateRole", req(trust(`{"AWS":"`+stranger+`"}`))),
		call("iam", "CreateRole", req(trust(`{"AWS":"arn:aws:iam::`+own+`:root"}`)))},
	"iam-role-trust-external-account-attempt": {rule.High,
		call("iam", "CreateRole", denied, req(trust(`{"AWS":"`+stranger+`"}`))),
		call("iam", "CreateRole", denied, req(trust(`{"AWS":"`+own+`"}`)))},
	"iam-mfa-device-removed": {rule.Critical,
		call("iam", "DeactivateMFADevice", req(`{"userName":"bob","serialNumber":"arn:aws:iam::1:mfa/bob"}`)),
		call("iam", "ResyncMFADevice", req(`{"userName":"bob","serialNumber":"arn:aws:iam::1:mfa/bob"}`))},
	"iam-mfa-device-removed-attempt": {rule.High,
		call("iam", "DeactivateMFADevice", denied, req(`{"userName":"bob","serialNumber":"arn:aws:iam::1:mfa/bob"}`)),
		call("iam", "DeactivateMFADevice", failed, req(`{"userName":"bob","serialNumber":"arn:aws:iam::1:mfa/bob"}`))},
	"sso-permission-set-created": {rule.Medium,
		call("sso", "CreatePermissionSet", req(`{"name":"Read","sessionDuration":"PT8H"}`)),
		call("sso", "CreatePermissionSet", failed, req(`{"name":"Read"}`))},
	"sso-permission-set-updated": {rule.Low,
		call("sso", "UpdatePermissionSet", req(`{"permissionSetArn":"arn:ps","description":"new words"}`)),
		call("sso", "UpdatePermissionSet", denied, req(`{"permissionSetArn":"arn:ps"}`))},
	"sso-permission-set-admin-policy": {rule.Critical,
		call("sso", "AttachManagedPolicyToPermissionSet", req(`{"permissionSetArn":"arn:ps","managedPolicyArn":"`+adminARN+`"}`)),
		call("sso", "AttachManagedPolicyToPermissionSet", req(`{"permissionSetArn":"arn:ps","managedPolicyArn":"arn:aws:iam::aws:policy/AdministratorAccess-Amplify"}`))},
	"sso-permission-set-admin-policy-attempt": {rule.High,
		call("sso", "AttachManagedPolicyToPermissionSet", denied, req(`{"permissionSetArn":"arn:ps","managedPolicyArn":"`+adminARN+`"}`)),
		call("sso", "AttachManagedPolicyToPermissionSet", denied, req(`{"permissionSetArn":"arn:ps","managedPolicyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}`))},
	"sso-account-assignment-created": {rule.High,
		call("sso", "CreateAccountAssignment", req(`{"targetId":"`+stranger+`","principalType":"GROUP","principalId":"g","permissionSetArn":"arn:ps"}`), resp(`{"accountAssignmentCreationStatus":{"status":"IN_PROGRESS"}}`)),
		call("sso", "CreateAccountAssignment", req(`{"targetId":"`+stranger+`","principalType":"GROUP","principalId":"g","permissionSetArn":"arn:ps"}`), resp(`{"accountAssignmentCreationStatus":{"status":"FAILED"}}`))},
	"sso-application-created": {rule.High,
		call("sso", "CreateApplication", req(`{"name":"wiki"}`)),
		call("servicecatalog", "CreateApplication", req(`{"name":"wiki"}`))},
	"sso-application-deleted": {rule.Medium,
		call("sso", "DeleteManagedApplicationInstance", req(`{"instanceId":"ins-1"}`)),
		call("sso", "DeleteManagedApplicationInstance", failed, req(`{"instanceId":"ins-1"}`))},
	"iam-logging-evasion": {rule.High,
		call("iam", "PutRolePolicy", failed, req(`{"omitted":"true","originalSize":"131072","reason":"requestParameters too large"}`)),
		call("iam", "PutRolePolicy", failed, req(`{"omitted":true,"reason":"something else"}`))},
	"off-hours-access": {rule.Low,
		call("signin", "ConsoleLogin", resp(success), extra(`{"MFAUsed":"Yes"}`), after(10*hours)),
		call("signin", "ConsoleLogin", resp(success), extra(`{"MFAUsed":"Yes"}`), after(10*hours-second))},
}

func TestEveryRule(t *testing.T) {
	en := engine(t, rule.Config{})
	find := func(as []rule.Alert, id string) *rule.Alert {
		for i := range as {
			if as[i].Rule == id {
				return &as[i]
			}
		}
		return nil
	}
	for _, r := range en.Rules() {
		t.Run(r.ID, func(t *testing.T) {
			c, ok := cases[r.ID]
			if !ok {
				t.Fatal("the rule has no test case")
			}
			a := find(alerts(en, c.hit), r.ID)
			if a == nil {
				t.Fatal("it does not fire on its case")
			}
			if a.Severity != c.severity {
				t.Errorf("severity %v, want %v", a.Severity, c.severity)
			}
			if a.ID == "" || a.Title == "" || a.AccountID != own || a.EventID != c.hit.EventID || a.EventTime != c.hit.EventTime ||
				a.Actor != c.hit.Actor || a.SourceIP == "" || a.AWSRegion == "" || a.EventName != c.hit.EventName ||
				a.Targets == nil || len(a.Events) != 1 || a.Superseded {
				t.Errorf("incomplete: %+v", a)
			}
			if !strings.HasSuffix(a.Detail, ".") || strings.Contains(a.Detail, "..") {
				t.Errorf("not a sentence: %s", a.Detail)
			}
			if strings.HasSuffix(r.ID, "-attempt") && !strings.HasPrefix(a.Title, "Attempted: ") {
				t.Errorf("title %q", a.Title)
			}
			if a := find(alerts(en, c.miss), r.ID); a != nil {
				t.Errorf("it fires on its neighbour: %+v", a)
			}
		})
	}
	if len(cases) != len(en.Rules()) {
		t.Errorf("%d cases for %d rules", len(cases), len(en.Rules()))
	}
}

func TestCatalogueIsComplete(t *testing.T) {
	rules := engine(t, rule.Config{}).Rules()
	technique := regexp.MustCompile(`^T\d{4}(\.\d{3})?$`)
	if !slices.IsSortedFunc(rules, func(a, b rule.Rule) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("rules are not sorted by id")
	}
	for i, r := range rules {
		if i > 0 && rules[i-1].ID == r.ID {
			t.Errorf("%s: twice", r.ID)
		}
		for field, text := range map[string]string{"title": r.Title, "condition": r.Condition, "why": r.Why, "next": r.Next, "false positives": r.FalsePositives} {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: no %s", r.ID, field)
			}
		}
		if len(r.ATTACK) == 0 || len(r.EventSources) == 0 || len(r.EventNames) == 0 {
			t.Errorf("%s: no techniques, sources or names", r.ID)
		}
		for _, a := range r.ATTACK {
			if !technique.MatchString(a) {
				t.Errorf("%s: %q is not a technique", r.ID, a)
			}
		}
	}
}
