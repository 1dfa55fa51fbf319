package event

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// sample builds an event of a source; rp and re are request and response.
func sample(source, name, rp, re, more string) string {
	return `{"eventTime":"2026-05-04T09:12:44Z","recipientAccountId":"111122223333","eventSource":"` + source + `.amazonaws.com","eventName":"` + name +
		`","requestParameters":` + rp + `,"responseElements":` + re + more + `}`
}

func TestTargets(t *testing.T) {
	const (
		bob  = `,"userIdentity":{"type":"IAMUser","userName":"bob","arn":"arn:aws:iam::111122223333:user/bob"}`
		root = `,"userIdentity":{"type":"Root","arn":"arn:aws:iam::111122223333:root"}`
		role = `,"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/ops/bob","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::111122223333:role/ops","userName":"ops"}}}`
	)
	for _, c := range []struct{ source, name, rp, re, more, kind, target, arn, key string }{
		{"iam", "CreateUser", `{"userName":"eve"}`, `{"user":{"userName":"eve","arn":"arn:aws:iam::111122223333:user/x/eve"}}`, "", TargetUser, "eve", "arn:aws:iam::111122223333:user/x/eve", ""},
		{"iam", "CreateUser", `null`, `null`, bob, "", "", "", ""},
		{"iam", "CreateUser", `{"reason":"requestParameters too large","omitted":true}`, `null`, bob, "", "", "", ""},
		{"iam", "AttachUserPolicy", `{"userName":"eve","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, `null`, bob, TargetUser, "eve", "", ""},
		{"iam", "AddUserToGroup", `{"userName":"eve","groupName":"admins"}`, `null`, bob, TargetUser, "eve", "", ""},
		{"iam", "CreateAccessKey", `{"userName":"eve"}`, `{"accessKey":{"accessKeyId":"AKIAX","userName":"eve","status":"Active"}}`, bob, TargetUser, "eve", "", "AKIAX"},
		{"iam", "CreateAccessKey", `null`, `{"accessKey":{"accessKeyId":"AKIAX","userName":"bob"}}`, bob, TargetUser, "bob", "", "AKIAX"},
		{"iam", "CreateAccessKey", `null`, `null`, bob, TargetUser, "bob", "arn:aws:iam::111122223333:user/bob", ""},
		{"iam", "CreateAccessKey", `null`, `null`, root, TargetUser, "root", "arn:aws:iam::111122223333:root", ""},
		{"iam", "CreateAccessKey", `null`, `null`, role, "", "", "", ""},
		{"iam", "UpdateAccessKey", `{"accessKeyId":"AKIAX","status":"Inactive","userName":"eve"}`, `null`, bob, TargetUser, "eve", "", ""},
		{"iam", "ChangePassword", `null`, `null`, bob, TargetUser, "bob", "arn:aws:iam::111122223333:user/bob", ""},
		{"iam", "DeactivateMFADevice", `{"userName":"eve","serialNumber":"arn:aws:iam::111122223333:mfa/eve"}`, `null`, bob, TargetUser, "eve", "", ""},
		{"iam", "DeleteVirtualMFADevice", `{"serialNumber":"arn:aws:iam::111122223333:mfa/phones/eve"}`, `null`, bob, TargetMFADevice, "eve", "arn:aws:iam::111122223333:mfa/phones/eve", ""},
		{"iam", "DeleteVirtualMFADevice", `{"serialNumber":"GAHT12345678"}`, `null`, bob, TargetMFADevice, "GAHT12345678", "", ""},
		{"iam", "CreateVirtualMFADevice", `{"virtualMFADeviceName":"eve"}`, `{"virtualMFADevice":{"serialNumber":"arn:aws:iam::111122223333:mfa/eve"}}`, bob, TargetMFADevice, "eve", "arn:aws:iam::111122223333:mfa/eve", ""},
		{"iam", "PutGroupPolicy", `{"groupName":"admins","policyName":"p"}`, `null`, bob, TargetGroup, "admins", "", ""},
		{"iam", "CreateRole", `{"roleName":"r"}`, `{"role":{"roleName":"r","arn":"arn:aws:iam::111122223333:role/r"}}`, bob, TargetRole, "r", "arn:aws:iam::111122223333:role/r", ""},
		{"iam", "CreateServiceLinkedRole", `{"aWSServiceName":"sso.amazonaws.com"}`, `{"role":{"roleName":"AWSServiceRoleForSSO","arn":"arn:aws:iam::111122223333:role/aws-service-role/x"}}`, bob,
			TargetRole, "AWSServiceRoleForSSO", "arn:aws:iam::111122223333:role/aws-service-role/x", ""},
		{"iam", "CreateServiceLinkedRole", `{"aWSServiceName":"sso.amazonaws.com"}`, `null`, bob, TargetRole, "sso.amazonaws.com", "", ""},
		{"iam", "UpdateAssumeRolePolicy", `{"roleName":"r","policyDocument":"{}"}`, `null`, bob, TargetRole, "r", "", ""},
		{"iam", "AddRoleToInstanceProfile", `{"instanceProfileName":"ip","roleName":"r"}`, `null`, bob, TargetInstanceProfile, "ip", "", ""},
		{"iam", "CreatePolicy", `{"policyName":"p"}`, `{"policy":{"arn":"arn:aws:iam::111122223333:policy/p"}}`, bob, TargetPolicy, "p", "arn:aws:iam::111122223333:policy/p", ""},
		{"iam", "SetDefaultPolicyVersion", `{"policyArn":"arn:aws:iam::111122223333:policy/path/p","versionId":"v2"}`, `null`, bob, TargetPolicy, "p", "arn:aws:iam::111122223333:policy/path/p", ""},
		{"iam", "UpdateSAMLProvider", `{"sAMLProviderArn":"arn:aws:iam::111122223333:saml-provider/corp"}`, `null`, bob, TargetSAMLProvider, "corp", "arn:aws:iam::111122223333:saml-provider/corp", ""},
		{"iam", "CreateOpenIDConnectProvider", `{"url":"https://token.example.com/a"}`, `{"openIDConnectProviderArn":"arn:aws:iam::111122223333:oidc-provider/token.example.com/a"}`, bob,
			TargetOIDCProvider, "https://token.example.com/a", "arn:aws:iam::111122223333:oidc-provider/token.example.com/a", ""},
		{"iam", "DeleteOpenIDConnectProvider", `{"openIDConnectProviderArn":"arn:aws:iam::111122223333:oidc-provider/token.example.com/a"}`, `null`, bob,
			TargetOIDCProvider, "token.example.com/a", "arn:aws:iam::111122223333:oidc-provider/token.example.com/a", ""},
		{"iam", "UploadServerCertificate", `{"serverCertificateName":"c","privateKey":"x"}`, `null`, bob, TargetServerCertificate, "c", "", ""},
		{"iam", "UpdateAccountPasswordPolicy", `{"minimumPasswordLength":6}`, `null`, bob, TargetAccount, "111122223333", "", ""},
		{"iam", "CreateAccountAlias", `{"accountAlias":"corp"}`, `null`, bob, TargetAccount, "corp", "", ""},
		{"iam", "ListUsers", `null`, `null`, bob, "", "", "", ""},
		{"ec2", "CreateUser", `{"userName":"eve"}`, `null`, bob, "", "", "", ""},

		{"sts", "AssumeRole", `{"roleArn":"arn:aws:iam::444455556666:role/x/r","roleSessionName":"s"}`, `{"credentials":{"accessKeyId":"ASIAX","sessionToken":"t"}}`, bob,
			TargetRole, "r", "arn:aws:iam::444455556666:role/x/r", "ASIAX"},
		{"sts", "AssumeRole", `null`, `null`, bob + `,"errorCode":"AccessDenied","errorMessage":"User: arn:aws:iam::1:user/u is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::1:role/r"`,
			TargetRole, "r", "arn:aws:iam::1:role/r", ""},
		{"sts", "AssumeRole", `null`, `null`, `,"errorMessage":"... on resource: arn:aws:iam::1:role/r because no policy"`, TargetRole, "r", "arn:aws:iam::1:role/r", ""},
		{"sts", "AssumeRole", `null`, `null`, `,"resources":[{"ARN":"arn:aws:iam::1:role/r","type":"AWS::IAM::Role"}]`, TargetRole, "r", "arn:aws:iam::1:role/r", ""},
		{"sts", "AssumeRole", `null`, `null`, `,"resources":"x","errorMessage":"on resource: none"`, "", "", "", ""},
		{"sts", "AssumeRoleWithSAML", `{"roleArn":"arn:aws:iam::1:role/r","sAMLAssertionID":"_1"}`, `{"credentials":{"accessKeyId":"ASIAX"}}`, "", TargetRole, "r", "arn:aws:iam::1:role/r", "ASIAX"},
		{"sts", "AssumeRoot", `{"targetPrincipal":"444455556666"}`, `{"credentials":{"accessKeyId":"ASIAX"}}`, bob, TargetAccount, "444455556666", "", "ASIAX"},
		{"sts", "AssumeRoot", `{"targetPrincipal":"arn:aws:iam::444455556666:root"}`, `null`, bob, TargetAccount, "444455556666", "arn:aws:iam::444455556666:root", ""},
		{"sts", "GetSessionToken", `null`, `{"credentials":{"accessKeyId":"ASIAX"}}`, bob, TargetUser, "bob", "arn:aws:iam::111122223333:user/bob", "ASIAX"},
		{"sts", "GetFederationToken", `{"name":"f"}`, `{"credentials":{"accessKeyId":"ASIAX"},"federatedUser":{"arn":"arn:aws:sts::1:federated-user/f"}}`, bob, TargetFederatedUser, "f", "arn:aws:sts::1:federated-user/f", "ASIAX"},

		{"signin", "SwitchRole", `null`, `{"SwitchRole":"Success"}`, role, TargetRole, "ops", "arn:aws:iam::111122223333:role/ops", ""},
		{"signin", "PasswordUpdated", `null`, `{"PasswordUpdated":"Success"}`, root, TargetUser, "root", "arn:aws:iam::111122223333:root", ""},
		{"signin", "ConsoleLogin", `null`, `{"ConsoleLogin":"Success"}`, root, "", "", "", ""},

		{"sso", "CreatePermissionSet", `{"name":"Admin","instanceArn":"arn:aws:sso:::instance/i"}`, `{"permissionSet":{"permissionSetArn":"arn:aws:sso:::permissionSet/i/ps-1"}}`, bob,
			TargetPermissionSet, "Admin", "arn:aws:sso:::permissionSet/i/ps-1", ""},
		{"sso", "AttachManagedPolicyToPermissionSet", `{"permissionSetArn":"arn:aws:sso:::permissionSet/i/ps-1","managedPolicyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, `null`, bob,
			TargetPermissionSet, "ps-1", "arn:aws:sso:::permissionSet/i/ps-1", ""},
		{"sso", "CreateAccountAssignment", `{"principalId":"u-1","principalType":"USER","targetId":"444455556666","permissionSetArn":"arn:aws:sso:::permissionSet/i/ps-1"}`, `null`, bob,
			TargetAssignment, "u-1", "arn:aws:sso:::permissionSet/i/ps-1", ""},
		{"sso", "CreateApplication", `{"name":"app"}`, `{"applicationArn":"arn:aws:sso::1:application/i/apl-1"}`, bob, TargetApplication, "app", "arn:aws:sso::1:application/i/apl-1", ""},
		{"sso", "PutApplicationGrant", `{"applicationArn":"arn:aws:sso::1:application/i/apl-1"}`, `null`, bob, TargetApplication, "apl-1", "arn:aws:sso::1:application/i/apl-1", ""},
		{"sso", "DeleteManagedApplicationInstance", `{"managedApplicationInstanceId":"mai-1"}`, `null`, bob, TargetApplication, "mai-1", "", ""},
		{"sso", "DeleteInstance", `{"instanceArn":"arn:aws:sso:::instance/i"}`, `null`, bob, TargetInstance, "i", "arn:aws:sso:::instance/i", ""},
		{"sso", "TagResource", `{"resourceArn":"arn:aws:sso:::permissionSet/i/ps-1"}`, `null`, bob, "resource", "ps-1", "arn:aws:sso:::permissionSet/i/ps-1", ""},
		{"sso", "GetRoleCredentials", `null`, `null`, `,"serviceEventDetails":{"role_name":"Admin","account_id":"1"}`, TargetRole, "Admin", "", ""},
		{"sso-directory", "CreateBearerToken", `{"tenantId":"t-1"}`, `{"bearerToken":"x"}`, bob, TargetDirectory, "t-1", "", ""},
		{"sso-directory", "AddMemberToGroup", `{"groupId":"g-1","member":{"memberId":"u-1"}}`, `null`, bob, TargetIdentityGroup, "g-1", "", ""},
		{"sso-directory", "UpdatePassword", `{"userId":"u-1","password":"x"}`, `null`, bob, TargetIdentityCenterUser, "u-1", "", ""},
		{"identitystore", "CreateUser", `{"userName":"HIDDEN_DUE_TO_SECURITY_REASONS"}`, `{"userId":"u-1"}`, bob, TargetIdentityCenterUser, "u-1", "", ""},
		{"identitystore", "CreateGroupMembership", `{"groupId":"g-1","memberId":{"userId":"u-1"}}`, `{"membershipId":"m-1"}`, bob, TargetIdentityGroup, "g-1", "", ""},
		{"identitystore", "DeleteGroupMembership", `{"membershipId":"m-1"}`, `null`, bob, TargetIdentityGroup, "m-1", "", ""},
		{"identitystore-scim", "PatchGroup", `{"id":"g-1"}`, `null`, bob, TargetIdentityGroup, "g-1", "", ""},
		{"sso-oauth", "CreateToken", `{"clientId":"c-1","clientSecret":"x"}`, `{"accessToken":"x"}`, bob, TargetApplication, "c-1", "", ""},
	} {
		e := parse(t, sample(c.source, c.name, c.rp, c.re, c.more))
		got := [...]string{e.TargetKind, e.TargetName, e.TargetARN, e.IssuedAccessKeyID}
		if want := [...]string{c.kind, c.target, c.arn, c.key}; got != want {
			t.Errorf("%s %s %s: got %q, want %q", c.source, c.name, c.rp, got, want)
		}
	}
}

// TestTargetRows: the table is well-formed, no event is listed twice for a
// source, and each row finds its target by each of its paths.
func TestTargetRows(t *testing.T) {
	seen := map[string]bool{}
	words := map[string]bool{"resource": true, "error": true, "account": true, "role": true, "issuer": true}
	for i := range targetRows {
		row := &targetRows[i]
		for _, source := range strings.Fields(row.source) {
			for _, name := range strings.Fields(row.events) {
				id := source + " " + name
				if seen[id] {
					t.Errorf("%s is listed twice", id)
				}
				seen[id] = true
				for _, list := range []string{row.name, row.arn, row.key} {
					for _, path := range paths(list) {
						testTargetPath(t, source, name, path, words)
					}
				}
			}
		}
	}
}

// Every operation of the APIs that changes something names what it acts on, each
// field of it alone as well.
func TestTargetOperations(t *testing.T) {
	list, err := os.ReadFile("testdata/operations.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(list)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) < 3 {
			t.Fatalf("not an operation: %q", line)
		}
		source, name, fields := words[0], words[1], words[2:]
		count[source]++
		s := targets[source+".amazonaws.com"][name]
		if fields[0] == "-" {
			if s != nil {
				t.Errorf("%s %s has a target", source, name)
			}
			continue
		}
		if s == nil {
			t.Errorf("%s %s has no target", source, name)
			continue
		}
		known := slices.Concat(s.namePaths, s.arnPaths, s.keyPaths)
		for _, field := range fields {
			switch {
			case field == "self":
				e := parse(t, sample(source, name, "null", "null", `,"userIdentity":{"type":"IAMUser","userName":"bob","arn":"arn:aws:iam::1:user/bob"}`))
				if e.TargetName != "bob" {
					t.Errorf("%s %s of oneself: %q", source, name, e.TargetName)
				}
			case !slices.ContainsFunc(known, func(p []string) bool { return strings.Join(p, ".") == field }):
				t.Errorf("%s %s is not known by %s", source, name, field)
			case field == "account":
				if e := parse(t, sample(source, name, "null", "null", "")); e.TargetName != "111122223333" {
					t.Errorf("%s %s: %q", source, name, e.TargetName)
				}
			default:
				testTargetPath(t, source, name, strings.Split(field, "."), nil)
			}
		}
	}
	want := map[string]int{"iam": 111, "sts": 8, "sso": 40, "identitystore": 9, "sso-oauth": 4}
	if !maps.Equal(count, want) {
		t.Errorf("operations: %v, want %v", count, want)
	}
}

func testTargetPath(t *testing.T, source, name string, path []string, words map[string]bool) {
	if len(path) == 1 {
		if !words[path[0]] {
			t.Errorf("%s %s: path %q", source, name, path)
		}
		return
	}
	value := `"arn:aws:x::1:thing/Here"`
	for i := len(path) - 1; i > 0; i-- {
		value = `{"` + path[i] + `":` + value + `}`
	}
	rp, re, more := "null", "null", ""
	switch path[0] {
	case "rp":
		rp = value
	case "re":
		re = value
	case "details":
		more = `,"serviceEventDetails":` + value
	default:
		t.Errorf("%s %s: path %q", source, name, path)
	}
	e := parse(t, sample(source, name, rp, re, more))
	if e.IssuedAccessKeyID == "" && !strings.Contains(e.TargetName, "Here") && e.TargetName != "1" {
		t.Errorf("%s %s: nothing found at %q: %+v", source, name, path, e)
	}
}
