package event

import (
	"fmt"
	"testing"
)

func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		name, ui                         string
		kind, actor, user, role, session string
	}{
		{"absent", ``, KindUnknown, "", "", "", ""},
		{"null", `null`, KindUnknown, "", "", "", ""},
		{"text", `"me"`, KindUnknown, "", "", "", ""},
		{"empty", `{}`, KindUnknown, "", "", "", ""},
		{"root", `{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"}`, KindRoot, "root", "", "", ""},
		{"root with an alias", `{"type":"Root","accountId":"111122223333","userName":"corp"}`, KindRoot, "root", "corp", "", ""},
		{"a user named root", `{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/root","userName":"root"}`, KindIAMUser, "root", "root", "", ""},
		{"user", `{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/a/b/bob","userName":"bob"}`, KindIAMUser, "bob", "bob", "", ""},
		{"user by ARN", `{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/a/b/bob"}`, KindIAMUser, "bob", "", "", ""},
		{"user with a hidden name", `{"type":"IAMUser","accountId":"1","userName":"HIDDEN_DUE_TO_SECURITY_REASONS"}`, KindIAMUser, "HIDDEN_DUE_TO_SECURITY_REASONS", "HIDDEN_DUE_TO_SECURITY_REASONS", "", ""},
		{"role session", `{"type":"AssumedRole","principalId":"AROA:s1","arn":"arn:aws:sts::111122223333:assumed-role/r1/s1","sessionContext":{"sessionIssuer":{"type":"Role","userName":"r1"}}}`,
			KindRoleSession, "r1/s1", "", "r1", "s1"},
		{"role session, no issuer", `{"type":"AssumedRole","arn":"arn:aws-cn:sts::111122223333:assumed-role/r1/alice@example.com","userName":"x"}`,
			KindRoleSession, "r1/alice@example.com", "", "r1", "alice@example.com"},
		{"role session, no ARN", `{"type":"AssumedRole","principalId":"AROA:i-1","sessionContext":{"sessionIssuer":{"userName":"r1"}}}`, KindRoleSession, "r1/i-1", "", "r1", "i-1"},
		{"role session, other issuer", `{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/r1/s1","sessionContext":{"sessionIssuer":{"userName":"r2"}}}`, KindRoleSession, "r2/s1", "", "r2", "s1"},
		{"role session, only a principal", `{"type":"AssumedRole","principalId":"AROA:s1"}`, KindRoleSession, "s1", "", "", "s1"},
		{"role session, nothing", `{"type":"AssumedRole"}`, KindRoleSession, "", "", "", ""},
		{"role", `{"type":"Role","arn":"arn:aws:iam::1:role/path/r1"}`, KindRoleSession, "r1", "", "r1", ""},
		{"federated", `{"type":"FederatedUser","principalId":"111122223333:bob","arn":"arn:aws:sts::111122223333:federated-user/bob","sessionContext":{"sessionIssuer":{"type":"IAMUser","userName":"parent"}}}`,
			KindFederatedUser, "bob", "", "", ""},
		{"federated, no ARN", `{"type":"FederatedUser","principalId":"111122223333:bob"}`, KindFederatedUser, "bob", "", "", ""},
		{"SAML", `{"type":"SAMLUser","principalId":"p:q","userName":"bob@example.com","identityProvider":"idp.example.com"}`, KindSAMLUser, "bob@example.com @ idp.example.com", "bob@example.com", "", ""},
		{"web identity", `{"type":"WebIdentityUser","principalId":"arn:oidc:aud:sub","userName":"repo:o/r","identityProvider":"arn:aws:iam::1:oidc-provider/token.example.com"}`,
			KindWebIdentity, "repo:o/r @ arn:aws:iam::1:oidc-provider/token.example.com", "repo:o/r", "", ""},
		{"web identity, no provider", `{"type":"WebIdentityUser","principalId":"x:y"}`, KindWebIdentity, "x:y", "", "", ""},
		{"Identity Center", `{"type":"IdentityCenterUser","accountId":"1","onBehalfOf":{"userId":"u-1","identityStoreArn":"arn:aws:identitystore::1:identitystore/d-1"},"credentialId":"c"}`,
			KindIdentityCenter, "u-1", "", "", ""},
		{"Identity Center, old", `{"type":"IdentityCenterUser","userName":"bob"}`, KindIdentityCenter, "bob", "bob", "", ""},
		{"directory", `{"type":"Directory","userName":"bob"}`, KindDirectory, "bob", "bob", "", ""},
		{"another account", `{"type":"AWSAccount","accountId":"444455556666","principalId":"AIDA"}`, KindAccount, "account/444455556666", "", "", ""},
		{"another account's session", `{"type":"AWSAccount","accountId":"444455556666","principalId":"AROA:s1"}`, KindAccount, "account/444455556666/s1", "", "", ""},
		{"another account, by principal", `{"type":"AWSAccount","principalId":"444455556666"}`, KindAccount, "account/444455556666", "", "", ""},
		{"service", `{"type":"AWSService","invokedBy":"cloudtrail.amazonaws.com"}`, KindService, "cloudtrail.amazonaws.com", "", "", ""},
		{"unknown", `{"type":"Unknown","principalId":"","userName":"","accountId":""}`, KindUnknown, "", "", "", ""},
		{"unknown with a user", `{"type":"Unknown","userName":"bob"}`, KindUnknown, "bob", "bob", "", ""},
		{"a type of the future", `{"type":"Robot","principalId":"r2"}`, KindUnknown, "r2", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := `{"eventTime":"2026-05-04T09:12:44Z"}`
			if c.ui != "" {
				raw = `{"eventTime":"2026-05-04T09:12:44Z","userIdentity":` + c.ui + `}`
			}
			e := parse(t, raw)
			got := [...]string{e.ActorKind, e.Actor, e.UserName, e.RoleName, e.SessionName}
			if want := [...]string{c.kind, c.actor, c.user, c.role, c.session}; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if e.ActorChain != e.Actor {
				t.Errorf("chain %q", e.ActorChain)
			}
			reassembles(t, NewParser(), []byte(raw), &e)
		})
	}
}

func TestOutcome(t *testing.T) {
	for _, c := range []struct{ source, fields, want string }{
		{"iam", ``, OutcomeOK},
		{"iam", `,"errorCode":null`, OutcomeOK},
		{"iam", `,"errorCode":""`, OutcomeOK},
		{"iam", `,"errorCode":"AccessDenied"`, OutcomeDenied},
		{"iam", `,"errorCode":"AccessDeniedException"`, OutcomeDenied},
		{"ec2", `,"errorCode":"UnauthorizedOperation"`, OutcomeDenied},
		{"ec2", `,"errorCode":"Client.UnauthorizedOperation"`, OutcomeDenied},
		{"s3", `,"errorCode":"VpceAccessDenied"`, OutcomeDenied},
		{"iam", `,"errorCode":"NoSuchEntityException"`, OutcomeFailed},
		{"iam", `,"errorCode":403`, OutcomeFailed},
		{"iam", `,"responseElements":{"x":"Failure"}`, OutcomeOK},
		{"iam", `,"errorMessage":"odd"`, OutcomeOK},
		{"signin", `,"responseElements":{"ConsoleLogin":"Success"}`, OutcomeOK},
		{"signin", `,"responseElements":{"ConsoleLogin":"Failure"},"errorMessage":"Failed authentication"`, OutcomeFailed},
		{"signin", `,"responseElements":{"ConsoleLogin":"failure"}`, OutcomeFailed},
		{"signin", `,"responseElements":{"CheckMfa":"Failure"}`, OutcomeFailed},
		{"signin", `,"responseElements":{"PasswordUpdated":"Success"}`, OutcomeOK},
		{"signin", `,"responseElements":null,"errorMessage":"Failed authentication"`, OutcomeFailed},
		{"signin", `,"responseElements":{"ConsoleLogin":"Success"},"errorMessage":"x"`, OutcomeOK},
		{"signin", `,"responseElements":null,"serviceEventDetails":{"CredentialVerification":"Failure"}`, OutcomeFailed},
		{"signin", `,"serviceEventDetails":{"UserAuthentication":"Success"}`, OutcomeOK},
		{"sso", `,"serviceEventDetails":{"UserAuthentication":"Failure"}`, OutcomeFailed},
		{"kms", `,"serviceEventDetails":{"keyId":"x"}`, OutcomeOK},
	} {
		e := parse(t, `{"eventTime":"2026-05-04T09:12:44Z","eventSource":"`+c.source+`.amazonaws.com"`+c.fields+`}`)
		if e.Outcome != c.want {
			t.Errorf("%s %s: got %s, want %s", c.source, c.fields, e.Outcome, c.want)
		}
	}
}

func TestMFA(t *testing.T) {
	for _, c := range []struct{ source, data, attribute, want string }{
		{"signin", `{"MFAUsed":"Yes"}`, `"false"`, "true"},
		{"signin", `{"MFAUsed":"NO"}`, `"true"`, "false"},
		{"signin", `{"MFAUsed":"yes"}`, `null`, "true"},
		{"signin", `{"MFAUsed":true}`, `"true"`, "true"},
		{"signin", `null`, `null`, "none"},
		{"iam", `{"MFAUsed":"Yes"}`, `"false"`, "false"},
		{"iam", `null`, `"true"`, "true"},
		{"iam", `null`, `true`, "true"},
		{"iam", `null`, `"maybe"`, "none"},
		{"iam", `null`, `{}`, "none"},
	} {
		e := parse(t, `{"eventTime":"2026-05-04T09:12:44Z","eventSource":"`+c.source+`.amazonaws.com","additionalEventData":`+c.data+
			`,"userIdentity":{"type":"IAMUser","sessionContext":{"attributes":{"mfaAuthenticated":`+c.attribute+`}}}}`)
		got := "none"
		if e.MFA != nil {
			got = fmt.Sprint(*e.MFA)
		}
		if got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

func TestCategory(t *testing.T) {
	for source, want := range map[string]string{
		"iam.amazonaws.com": CategoryIAM, "sts.amazonaws.com": CategorySTS, "signin.amazonaws.com": CategorySignin,
		"sso.amazonaws.com": CategorySSO, "sso-directory.amazonaws.com": CategorySSO, "sso-oauth.amazonaws.com": CategorySSO,
		"identitystore.amazonaws.com": CategorySSO, "identitystore-scim.amazonaws.com": CategorySSO,
		"s3.amazonaws.com": CategoryOther, "": CategoryOther, "iam": CategoryOther,
	} {
		if got := categoryOf(source); got != want {
			t.Errorf("%q: got %s, want %s", source, got, want)
		}
	}
}
