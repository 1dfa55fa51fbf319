package rule_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Each fault of the earlier tool is a case, named for the section of the
// detection catalogue that tells of it.
func TestEarlierToolsFaults(t *testing.T) {
	put := func(name, doc string, edits ...edit) event.Event {
		quoted, _ := json.Marshal(doc)
		return call("iam", name, append([]edit{req(`{"policyDocument":` + string(quoted) + `,"policyName":"p","userName":"bob"}`)}, edits...)...)
	}
	attach := func(kind, arn string, edits ...edit) event.Event {
		return call("iam", "Attach"+kind+"Policy", append([]edit{req(`{"` + strings.ToLower(kind) + `Name":"x","policyArn":"` + arn + `"}`)}, edits...)...)
	}
	statement := func(action, resource string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + action + `,"Resource":` + resource + `}]}`
	}
	const dangerous, added = "iam-inline-policy-dangerous", "iam-inline-policy-added"
	const wildcard, external = "iam-role-trust-wildcard", "iam-role-trust-external-account"
	cases := []struct {
		name   string
		events []event.Event
		want   []string
	}{
		{"1.0a root deactivates MFA", []event.Event{call("iam", "DeactivateMFADevice", root, req(`{"serialNumber":"arn:aws:iam::1:mfa/root-account-mfa-device"}`))},
			[]string{"iam-mfa-device-removed critical", "root-api-activity high"}},
		{"1.0a root creates an access key", []event.Event{call("iam", "CreateAccessKey", root)},
			[]string{"root-access-key-created critical", "root-api-activity high"}},
		{"1.0b null parameters do not stop the batch", []event.Event{
			call("iam", "CreateAccessKey"), call("iam", "CreateUser", id("2"), req(`{"userName":"bob"}`))},
			[]string{"iam-access-key-created high", "iam-user-created high"}},
		{"1.0b parameters of a wrong type", []event.Event{
			call("iam", "CreateUser", req(`"text"`)), call("iam", "CreateUser", id("2"), req(`{"userName":{"a":1}}`)),
			call("iam", "PutUserPolicy", req(`[1]`)), call("iam", "CreateRole", req(`{"assumeRolePolicyDocument":7}`))},
			[]string{"iam-user-created high", "iam-user-created high", dangerous + " high", wildcard + " high"}},
		{"1.0c a denied call is not announced as done", []event.Event{call("iam", "CreateUser", denied, req(`{"userName":"bob"}`))}, nil},
		{"1.0d the name alone is not enough", []event.Event{
			call("identitystore", "CreateUser", req(`{"userName":"bob"}`)), call("cognito-idp", "CreateUser"), call("organizations", "CreateRole", req(trust(`"*"`)))}, nil},
		{"1.0e an Identity Center user is somebody", []event.Event{call("iam", "CreateUser", req(`{"userName":"bob"}`), func(e *event.Event) {
			e.IdentityType, e.UserName, e.IdentityARN, e.Actor = "IdentityCenterUser", "", "", "906733a0"
		})}, []string{"iam-user-created high"}},
		{"1.0e a session without an issuer is somebody", []event.Event{call("iam", "CreateUser", req(`{"userName":"bob"}`), func(e *event.Event) {
			e.IdentityType, e.UserName, e.IdentityARN, e.Actor, e.PrincipalID = "AssumedRole", "", "", "", ""
		})}, []string{"iam-user-created high"}},
		{"1.0i the account is the event's own", []event.Event{call("iam", "CreateRole", req(trust(`{"AWS":"`+stranger+`"}`)), func(e *event.Event) {
			e.AccountID, e.IdentityAccountID = "", ""
		})}, []string{external + " critical"}},
		{"1.0j parameters too large", []event.Event{call("iam", "PutUserPolicy", req(`{"omitted":true,"originalSize":"110000","reason":"requestParameters too large"}`))},
			[]string{"iam-logging-evasion high", dangerous + " high"}},

		{"1.1 a user named root is not root", []event.Event{call("signin", "ConsoleLogin", user("root"), resp(success), extra(`{"MFAUsed":"Yes"}`))}, nil},
		{"1.1 root signs in without MFA", []event.Event{call("signin", "ConsoleLogin", root, resp(success), extra(`{"MFAUsed":"No"}`))},
			[]string{"root-console-login critical"}},
		{"1.1 root's failed sign-in has no error code", []event.Event{call("signin", "ConsoleLogin", root, resp(failure), message("Failed authentication"), func(e *event.Event) { e.Outcome = event.OutcomeFailed })},
			[]string{"root-console-login-failed high"}},
		{"1.1 root's use of the API", []event.Event{call("s3", "ListBuckets", root), call("ec2", "RunInstances", root)},
			[]string{"root-api-activity high", "root-api-activity low"}},

		{"1.2 from an EC2 instance", []event.Event{call("iam", "CreateUser", session("web", "i-0a1B2c3D"), req(`{"userName":"bob"}`))}, []string{"iam-user-created critical"}},
		{"1.2 with an instance's credentials under another name", []event.Event{call("iam", "CreateUser", session("web", "x"), req(`{"userName":"bob"}`),
			rest(`{"userIdentity":{"sessionContext":{"ec2RoleDelivery":"2.0"}}}`))}, []string{"iam-user-created critical"}},
		{"1.2 from a Lambda function", []event.Event{call("iam", "CreateUser", session("fn", "f"), req(`{"userName":"bob"}`), func(e *event.Event) { e.UserAgent = "Boto3 exec-env/AWS_Lambda_python3.12" })}, []string{"iam-user-created critical"}},
		{"1.2 a session that looks almost like an instance", []event.Event{call("iam", "CreateUser", session("web", "i-am-bob-01"), req(`{"userName":"bob"}`))}, []string{"iam-user-created high"}},

		{"1.3 a role gets it", []event.Event{attach("Role", adminARN)}, []string{"iam-admin-policy-attached critical"}},
		{"1.3 a group gets it", []event.Event{attach("Group", adminARN)}, []string{"iam-admin-policy-attached critical"}},
		{"1.3 another partition", []event.Event{attach("User", "arn:aws-us-gov:iam::aws:policy/IAMFullAccess")}, []string{"iam-admin-policy-attached critical"}},
		{"1.3 a lesser administrator", []event.Event{attach("User", "arn:aws-cn:iam::aws:policy/PowerUserAccess")}, []string{"iam-admin-policy-attached high"}},
		{"1.3 a path", []event.Event{attach("User", "arn:aws:iam::aws:policy/job-function/SystemAdministrator")}, []string{"iam-admin-policy-attached high"}},
		{"1.3 a customer's DenyIAMFullAccess", []event.Event{attach("User", "arn:aws:iam::"+own+":policy/DenyIAMFullAccess")}, nil},
		{"1.3 a customer's AdministratorAccess", []event.Event{attach("User", "arn:aws:iam::"+own+":policy/AdministratorAccess")}, nil},
		{"1.3 AdministratorAccess-Amplify", []event.Event{attach("User", "arn:aws:iam::aws:policy/AdministratorAccess-Amplify")}, []string{"iam-admin-policy-attached medium"}},
		{"1.3 a boundary is not an attachment", []event.Event{call("iam", "PutUserPermissionsBoundary", req(`{"userName":"x","permissionsBoundary":"`+adminARN+`"}`))}, nil},
		{"1.3 a policy of another service's ARN", []event.Event{attach("User", "arn:aws:iot::aws:policy/AdministratorAccess")}, nil},

		{"1.4 a role's policy", []event.Event{put("PutRolePolicy", statement(`"*"`, `"*"`))}, []string{dangerous + " critical"}},
		{"1.4 a group's policy", []event.Event{put("PutGroupPolicy", statement(`"*"`, `"*"`))}, []string{dangerous + " critical"}},
		{"1.4 one statement as an object", []event.Event{put("PutUserPolicy", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)}, []string{dangerous + " critical"}},
		{"1.4 star colon star", []event.Event{put("PutUserPolicy", statement(`["s3:Get*","*:*"]`, `["*"]`))}, []string{dangerous + " critical"}},
		{"1.4 upper case", []event.Event{put("PutUserPolicy", statement(`"IAM:*"`, `"*"`))}, []string{dangerous + " critical"}},
		{"1.4 a wildcard inside", []event.Event{put("PutUserPolicy", statement(`"iam:Put*"`, `"*"`))}, []string{dangerous + " high"}},
		{"1.4 NotAction", []event.Event{put("PutUserPolicy", `{"Statement":[{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}]}`)}, []string{dangerous + " critical"}},
		{"1.4 encoded", []event.Event{put("PutUserPolicy", `%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22*%22%2C%22Resource%22%3A%22*%22%7D%7D`)}, []string{dangerous + " critical"}},
		{"1.4 sts on everything", []event.Event{put("PutUserPolicy", statement(`"sts:*"`, `"*"`))}, []string{dangerous + " high"}},
		{"1.4 sts on one role is less", []event.Event{put("PutUserPolicy", statement(`"sts:*"`, `"arn:aws:iam::111122223333:role/one"`))}, []string{dangerous + " medium"}},
		{"1.4 a condition lowers", []event.Event{put("PutUserPolicy", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}}`)}, []string{dangerous + " high"}},
		{"1.4 one privileged action", []event.Event{put("PutUserPolicy", statement(`["iam:CreateAccessKey"]`, `"*"`))}, []string{dangerous + " high"}},
		{"1.4 the same on one user", []event.Event{put("PutUserPolicy", statement(`["iam:CreateAccessKey"]`, `"arn:aws:iam::111122223333:user/bob"`))}, []string{added + " low"}},
		{"1.4 a deny is not a grant", []event.Event{put("PutUserPolicy", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)}, []string{added + " low"}},
		{"1.4 a document that is none", []event.Event{put("PutUserPolicy", `{"Statement":`)}, []string{dangerous + " high"}},

		{"1.5 a failed creation", []event.Event{call("iam", "CreateAccessKey", failed)}, nil},
		{"1.5 bob is a part of jimbob", []event.Event{call("iam", "CreateAccessKey", user("jimbob"), req(`{"userName":"bob"}`))}, []string{"iam-access-key-created-for-other critical"}},
		{"1.5 jimbob has bob inside", []event.Event{call("iam", "CreateAccessKey", user("bob"), req(`{"userName":"jimbob"}`))}, []string{"iam-access-key-created-for-other critical"}},
		{"1.5 the response names the user", []event.Event{call("iam", "CreateAccessKey", resp(`{"accessKey":{"userName":"mallory"}}`))}, []string{"iam-access-key-created-for-other critical"}},
		{"1.5 a role session of that name is another", []event.Event{call("iam", "CreateAccessKey", session("bob", "bob"), req(`{"userName":"bob"}`))}, []string{"iam-access-key-created-for-other critical"}},
		{"1.5 root for a user", []event.Event{call("iam", "CreateAccessKey", root, req(`{"userName":"bob"}`))}, []string{"iam-access-key-created-for-other critical", "root-api-activity high"}},

		{"1.6 a star in a list", []event.Event{call("iam", "CreateRole", req(trust(`{"AWS":["arn:aws:iam::`+own+`:root","*"]}`)))}, []string{wildcard + " critical"}},
		{"1.6 a bare account id", []event.Event{call("iam", "CreateRole", req(trust(`{"AWS":"`+stranger+`"}`)))}, []string{external + " critical"}},
		{"1.6 a user of another account", []event.Event{call("iam", "CreateRole", req(trust(`{"AWS":"arn:aws:iam::`+stranger+`:user/eve"}`)))}, []string{external + " critical"}},
		{"1.6 a role of another partition's account", []event.Event{call("iam", "CreateRole", req(trust(`{"AWS":["arn:aws-cn:iam::`+stranger+`:role/r"]}`)))}, []string{external + " critical"}},
		{"1.6 a session of another account", []event.Event{call("iam", "CreateRole", req(trust(`{"AWS":"arn:aws:sts::`+stranger+`:assumed-role/r/s"}`)))}, []string{external + " critical"}},
		{"1.6 NotPrincipal", []event.Event{call("iam", "CreateRole", req(`{"roleName":"r","assumeRolePolicyDocument":{"Statement":{"Effect":"Allow","NotPrincipal":{"AWS":"`+own+`"},"Action":"sts:AssumeRole"}}}`))}, []string{wildcard + " critical"}},
		{"1.6 a provider is not judged here", []event.Event{call("iam", "CreateRole", req(trust(`{"Federated":"cognito-identity.amazonaws.com"}`)))}, nil},
		{"1.6 a deleted principal is nobody", []event.Event{call("iam", "CreateRole", req(trust(`{"AWS":"AROAEXAMPLEDELETED"}`)))}, nil},
		{"1.6 encoded document, other call", []event.Event{call("iam", "UpdateAssumeRolePolicy", req(`{"roleName":"r","policyDocument":"%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%22*%22%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D"}`))}, []string{wildcard + " critical"}},
		{"1.6 an open organization is quieter", []event.Event{call("iam", "CreateRole", req(conditional(`"*"`, `{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`)))}, []string{wildcard + " medium"}},
		{"1.6 ExternalId alone", []event.Event{call("iam", "CreateRole", req(conditional(`"*"`, `{"StringEquals":{"sts:ExternalId":"x"}}`)))}, []string{wildcard + " high"}},
		{"1.6 ExternalId and account", []event.Event{call("iam", "CreateRole", req(conditional(`"*"`, `{"StringEquals":{"sts:ExternalId":"x","aws:PrincipalAccount":"1"}}`)))}, []string{wildcard + " medium"}},
		{"1.6 a condition that limits nobody", []event.Event{call("iam", "CreateRole", req(conditional(`"*"`, `{"StringNotEquals":{"aws:PrincipalOrgID":"o-1"},"StringLike":{"sts:ExternalId":"*"}}`)))}, []string{wildcard + " critical"}},
		{"1.6 an outsider with ExternalId", []event.Event{call("iam", "CreateRole", req(conditional(`{"AWS":"`+stranger+`"}`, `{"StringEquals":{"sts:ExternalId":"x"}}`)))}, []string{external + " high"}},
		{"1.6 TagSession alone lets nobody in", []event.Event{call("iam", "CreateRole", req(`{"roleName":"r","assumeRolePolicyDocument":{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:TagSession"}}}`))}, nil},
		{"1.6 only Allow counts", []event.Event{call("iam", "CreateRole", req(`{"roleName":"r","assumeRolePolicyDocument":{"Statement":{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}}}`))}, nil},

		{"1.7 deactivating one's own key", []event.Event{call("iam", "UpdateAccessKey", req(`{"accessKeyId":"AKIA1","status":"Inactive"}`))}, []string{"iam-access-key-updated low"}},
		{"1.7 deactivating another's key", []event.Event{call("iam", "UpdateAccessKey", req(`{"userName":"bob","accessKeyId":"AKIA1","status":"Inactive"}`))}, []string{"iam-access-key-updated medium"}},
		{"1.7 activating without a user name", []event.Event{call("iam", "UpdateAccessKey", req(`{"accessKeyId":"AKIA1","status":"Active"}`))}, []string{"iam-access-key-updated high"}},
		{"1.7 a failed update", []event.Event{call("iam", "UpdateAccessKey", failed, req(`{"accessKeyId":"AKIA1","status":"Active"}`))}, nil},
		{"1.7 deleting one's own key", []event.Event{call("iam", "DeleteAccessKey", req(`{"accessKeyId":"AKIA1"}`))}, []string{"iam-access-key-deleted low"}},

		{"1.8 replacing a device is one alert", []event.Event{
			call("iam", "DeactivateMFADevice", req(`{"userName":"alice","serialNumber":"arn:mfa/a"}`)),
			call("iam", "DeleteVirtualMFADevice", after(second), req(`{"serialNumber":"arn:mfa/a"}`))},
			[]string{"iam-mfa-device-removed high", "-iam-mfa-device-removed medium"}},
		{"1.8 deactivating nothing", []event.Event{call("iam", "DeactivateMFADevice", failed, req(`{"userName":"bob","serialNumber":"s"}`))}, nil},
		{"1.8 null parameters", []event.Event{call("iam", "DeactivateMFADevice")}, []string{"iam-mfa-device-removed high"}},
		{"1.8 ResyncMFADevice", []event.Event{call("iam", "ResyncMFADevice", req(`{"userName":"bob"}`))}, nil},

		{"1.9 a long session", []event.Event{call("sso", "CreatePermissionSet", req(`{"name":"p","sessionDuration":"PT8H1M"}`))}, []string{"sso-permission-set-created high"}},
		{"1.9 a relay state elsewhere", []event.Event{call("sso", "CreatePermissionSet", req(`{"name":"p","relayState":"https://console.aws.amazon.com.evil.example/"}`))}, []string{"sso-permission-set-created high"}},
		{"1.9 a relay state in the console", []event.Event{call("sso", "CreatePermissionSet", req(`{"name":"p","relayState":"https://eu-west-1.console.aws.amazon.com/s3"}`))}, []string{"sso-permission-set-created medium"}},
		{"1.9 a failed call", []event.Event{call("sso", "CreatePermissionSet", failed, req(`{"name":"p"}`))}, nil},

		{"1.10 a cosmetic edit", []event.Event{call("sso", "UpdatePermissionSet", req(`{"permissionSetArn":"ps","description":"x"}`))}, []string{"sso-permission-set-updated low"}},
		{"1.10 a changed relay state", []event.Event{call("sso", "UpdatePermissionSet", req(`{"permissionSetArn":"ps","relayState":"https://evil.example/"}`))}, []string{"sso-permission-set-updated high"}},
		{"1.11 a name that only contains it", []event.Event{call("sso", "AttachManagedPolicyToPermissionSet", req(`{"permissionSetArn":"ps","managedPolicyArn":"arn:aws:iam::`+own+`:policy/AdministratorAccess"}`))}, nil},
		{"1.12 the console's older call", []event.Event{call("sso", "AssociateProfile", req(`{"profileId":"p-1","accessorId":"u-1","accessorType":"USER"}`))}, []string{"sso-account-assignment-created high"}},
		{"1.12 granting oneself", []event.Event{call("sso", "CreateAccountAssignment", req(`{"targetId":"1","principalType":"USER","principalId":"u-1","permissionSetArn":"ps"}`), rest(`{"userIdentity":{"onBehalfOf":{"userId":"u-1"}}}`))}, []string{"sso-account-assignment-created critical"}},
		{"1.13 the calls in use today", []event.Event{call("sso", "CreateApplication"), call("sso", "CreateApplicationInstance"), call("sso", "CreateManagedApplicationInstance")},
			[]string{"sso-application-created high", "sso-application-created high", "sso-application-created high"}},
		{"1.14 the calls in use today", []event.Event{call("sso", "DeleteApplication"), call("sso", "DeleteApplicationInstance"), call("sso", "DeleteManagedApplicationInstance")},
			[]string{"sso-application-deleted medium", "sso-application-deleted medium", "sso-application-deleted medium"}},
	}
	en := engine(t, quiet)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { expect(t, alerts(en, c.events...), c.want...) })
	}
}

// conditional is a CreateRole request whose trust policy has a condition.
func conditional(principal, condition string) string {
	return `{"roleName":"r","assumeRolePolicyDocument":{"Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole","Condition":` + condition + `}]}}`
}

func TestConditionsAndBoundariesAreNamed(t *testing.T) {
	en := engine(t, quiet)
	e := call("iam", "CreateRole", req(strings.Replace(conditional(`"*"`, `{"StringLike":{"AWS:PrincipalOrgId":"o-1"}}`), `"roleName"`, `"permissionsBoundary":"arn:b","roleName"`, 1)))
	got := alerts(en, e)
	expect(t, got, "iam-role-trust-wildcard medium")
	for _, want := range []string{"aws:principalorgid", "arn:b", "alice", "198.51.100.7"} {
		if !strings.Contains(got[0].Detail, want) {
			t.Errorf("the sentence does not name %q: %s", want, got[0].Detail)
		}
	}
}

// 1.0g: the person behind a role session is in the message.
func TestSessionNameIsShown(t *testing.T) {
	got := alerts(engine(t, quiet), call("iam", "CreateUser", session("AWSReservedSSO_Admin_1a2b", "carol@example.com"), req(`{"userName":"x"}`)))
	expect(t, got, "iam-user-created high")
	if !strings.Contains(got[0].Detail, "carol@example.com") || got[0].Actor != "AWSReservedSSO_Admin_1a2b/carol@example.com" {
		t.Errorf("actor %q, detail %s", got[0].Actor, got[0].Detail)
	}
}

// 1.0f: several rules of one severity on one event keep apart.
func TestAlertIdentity(t *testing.T) {
	en := engine(t, quiet)
	e := call("iam", "CreateRole", req(trust(`{"AWS":["*","`+stranger+`","arn:aws:iam::`+stranger+`:user/eve"]}`)))
	got := alerts(en, e, e)
	expect(t, got, "iam-role-trust-external-account critical", "iam-role-trust-wildcard critical")
	if got[0].ID == got[1].ID {
		t.Error("two rules share an alert id")
	}
	if want := []string{stranger, "arn:aws:iam::" + stranger + ":user/eve", "r"}; strings.Join(got[0].Targets, " ") != strings.Join(want, " ") {
		t.Errorf("targets %q, want %q", got[0].Targets, want)
	}
	if again := alerts(en, e); again[0].ID != got[0].ID {
		t.Error("ids differ between runs")
	}
	other := e
	other.AccountID = stranger
	if again := alerts(en, other); again[0].ID == got[0].ID {
		t.Error("two accounts share an alert id")
	}
}

func TestTrustSettings(t *testing.T) {
	cfg := quiet
	cfg.TrustedAccounts = []string{stranger}
	e := call("iam", "CreateRole", req(trust(`{"AWS":"`+stranger+`"}`)))
	expect(t, alerts(engine(t, cfg), e))
	cfg = quiet
	cfg.OrganizationAccounts = []string{stranger}
	expect(t, alerts(engine(t, cfg), e), "iam-role-trust-external-account low")
	cfg = quiet
	cfg.RequireBoundary = true
	expect(t, alerts(engine(t, cfg),
		call("iam", "CreateUser", req(`{"userName":"a"}`)),
		call("iam", "CreateUser", id("2"), req(`{"userName":"b","permissionsBoundary":"arn:b"}`))),
		"iam-user-created critical", "iam-user-created high")
	cfg = quiet
	cfg.ManagementAccountID = stranger
	expect(t, alerts(engine(t, cfg), call("sso", "CreateAccountAssignment", req(`{"targetId":"`+stranger+`","permissionSetArn":"ps"}`))),
		"sso-account-assignment-created critical")
	cfg = quiet
	cfg.AdminPolicies = []string{"Ops", "arn:aws:iam::" + own + ":policy/team/Deploy"}
	en := engine(t, cfg)
	for arn, want := range map[string]bool{
		"arn:aws:iam::" + own + ":policy/ops": true, "arn:aws:iam::" + own + ":policy/x/Ops": true, "arn:aws:iam::" + own + ":policy/DevOps": false,
		"arn:aws:iam::" + own + ":policy/team/Deploy": true, "arn:aws:iam::" + own + ":policy/Deploy": false,
	} {
		got := alerts(en, call("iam", "AttachUserPolicy", req(`{"userName":"x","policyArn":"`+arn+`"}`)))
		if (len(got) == 1) != want {
			t.Errorf("%s: %q", arn, said(got))
		}
	}
}
