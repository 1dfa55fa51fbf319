package rule

import (
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

// privActions are API calls that let their caller become administrator, or
// become somebody else, when allowed on all resources.
var privActions = lowered([]string{
	"iam:AddUserToGroup", "iam:AttachUserPolicy", "iam:AttachRolePolicy", "iam:AttachGroupPolicy",
	"iam:PutUserPolicy", "iam:PutRolePolicy", "iam:PutGroupPolicy",
	"iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion",
	"iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:UpdateLoginProfile",
	"iam:UpdateAssumeRolePolicy", "iam:PassRole", "iam:CreateServiceSpecificCredential", "iam:DeactivateMFADevice",
	"iam:DeleteUserPermissionsBoundary", "iam:DeleteRolePermissionsBoundary",
	"iam:PutUserPermissionsBoundary", "iam:PutRolePermissionsBoundary",
	"iam:CreateSAMLProvider", "iam:UpdateSAMLProvider", "iam:CreateOpenIDConnectProvider",
	"iam:AddClientIDToOpenIDConnectProvider", "iam:UpdateOpenIDConnectProviderThumbprint",
	"sts:AssumeRole", "sts:AssumeRoot",
	"sso:CreateAccountAssignment", "sso:AttachManagedPolicyToPermissionSet", "sso:PutInlinePolicyToPermissionSet",
})

// powerServices are services whose every action is dangerous to allow.
var powerServices = []struct {
	name     string
	severity Severity
}{
	{"iam", Critical}, {"organizations", Critical}, {"sso", Critical},
	{"sso-directory", Critical}, {"identitystore", Critical}, {"sts", High},
}

// scope is how many of a service's objects a statement's resources name.
type scope int

const (
	noObjects scope = iota
	someObjects
	allObjects
)

// maxReasons bounds what is collected of one document, whatever its size.
const maxReasons = 32

// nobody is an action or resource name that no policy names; a pattern that
// covers it covers everything of its kind.
const nobody = "zq9nobody"

// danger is why a policy is dangerous.
type danger struct {
	severity   Severity
	all        bool     // allows everything
	actions    []string // patterns as in the document, in lower case
	conditions []string // keys that limit the worst statement
	limited    bool     // the worst statement names some resources only
	deny       bool     // a Deny statement may narrow it
}

// dangerous judges the Allow statements of a policy of the given account; Deny
// statements are noted, not weighed (they may be lifted later). ok is false
// when nothing in it is dangerous.
func (p *policy) dangerous(account string) (worst danger, ok bool) {
	for i := range p.statements {
		d, bad := p.statements[i].dangerous(account)
		if !bad {
			continue
		}
		switch {
		case !ok || d.severity > worst.severity:
			d.actions, worst.actions = worst.actions, d.actions
			all := worst.all || d.all
			for _, a := range worst.actions {
				d.actions = appendNew(d.actions, a)
			}
			worst, ok = d, true
			worst.all = all
		default:
			worst.all = worst.all || d.all
			for _, a := range d.actions {
				worst.actions = appendNew(worst.actions, a)
			}
		}
	}
	worst.deny = p.deny
	return worst, ok
}

func (s *statement) dangerous(account string) (d danger, ok bool) {
	if !s.allow {
		return d, false
	}
	found := func(sev Severity, action string, limited bool) {
		ok = true
		if sev > d.severity {
			d.severity, d.limited = sev, limited
		}
		d.actions = appendNew(d.actions, action)
	}
	everywhere := s.onEverything()
	scopes := map[string]scope{} // by service, since documents may be long
	reach := func(service string) scope {
		if everywhere {
			return allObjects
		}
		sc, known := scopes[service]
		if !known {
			switch {
			case s.covers(service, account):
				sc = allObjects
			case s.concerns(service):
				sc = someObjects
			}
			scopes[service] = sc
		}
		return sc
	}
	if s.hasNotAction && everywhere && !anyGlob(s.notActions, nobody+":"+nobody) {
		// All but some actions, on everything. The list of exceptions does not
		// matter: what it leaves out includes whole services.
		d.all = true
		found(Critical, "all but "+list(s.notActions), false)
	}
	for _, a := range s.actions {
		if event.GlobMatch(a, nobody+":"+nobody) && everywhere {
			d.all = true
			found(Critical, a, false)
			continue
		}
		whole := false
		for _, svc := range powerServices {
			if !event.GlobMatch(a, svc.name+":"+nobody) {
				continue
			}
			switch reach(svc.name) {
			case allObjects:
				found(svc.severity, a, false)
				whole = true
			case someObjects:
				found(lower(svc.severity), a, true)
				whole = true
			}
		}
		if whole {
			continue
		}
		for _, api := range privActions {
			if event.GlobMatch(a, api) && reach(api[:strings.IndexByte(api, ':')]) == allObjects {
				found(High, a, false)
				break
			}
		}
	}
	if ok && len(s.conditions) > 0 {
		d.severity = lower(d.severity)
		d.conditions = s.keys()
	}
	return d, ok
}

// onEverything reports whether the statement's resources include all of AWS.
// NotResource does by its nature; a statement without either is not valid in
// an identity policy, and judged as if it named everything.
func (s *statement) onEverything() bool {
	if s.notResource || len(s.resources) == 0 {
		return true
	}
	for _, r := range s.resources {
		if event.GlobMatch(r, "arn:"+nobody+":"+nobody+":"+nobody+":"+nobody+":"+nobody) {
			return true
		}
	}
	return false
}

// covers reports whether the resources include every object of some kind of a
// service, such as arn:aws:iam::*:user/*: as good as "*" for whoever wants to
// become administrator.
func (s *statement) covers(service, account string) bool {
	if account == "" {
		account = "000000000000"
	}
	kinds := []string{"user/", "role/", "group/", "policy/", "mfa/", "saml-provider/", "oidc-provider/"}
	switch service {
	case "sts":
		service, kinds = "iam", []string{"role/"}
	case "iam":
	case "sso":
		kinds = []string{"permissionSet/" + nobody + "/", "account/", "instance/"}
	default:
		kinds = []string{""}
	}
	for _, r := range s.resources {
		for _, partition := range []string{"aws", "aws-cn", "aws-us-gov"} {
			for _, owner := range []string{account, ""} {
				for _, kind := range kinds {
					if event.GlobMatch(r, "arn:"+partition+":"+service+"::"+owner+":"+kind+nobody) {
						return true
					}
				}
			}
		}
	}
	return false
}

// concerns reports whether some resource is of the service at all: an action
// pattern such as "*" on a bucket allows nothing of iam.
func (s *statement) concerns(service string) bool {
	if service == "sts" {
		service = "iam" // sts:AssumeRole acts on roles
	}
	for _, r := range s.resources {
		parts := strings.SplitN(r, ":", 4)
		if len(parts) < 3 || event.GlobMatch(parts[2], service) {
			return true
		}
	}
	return false
}

// text says in a phrase what is dangerous.
func (d danger) text() string {
	var b strings.Builder
	if d.all {
		b.WriteString("it allows everything (")
	} else {
		b.WriteString("it allows ")
	}
	b.WriteString(list(d.actions))
	if d.all {
		b.WriteByte(')')
	}
	if d.limited {
		b.WriteString(" on some resources")
	} else {
		b.WriteString(" on all resources")
	}
	if len(d.conditions) > 0 {
		b.WriteString(", limited by a condition on " + list(d.conditions))
	}
	if d.deny {
		b.WriteString("; a Deny statement may narrow it")
	}
	return b.String()
}

func anyGlob(patterns []string, text string) bool {
	for _, p := range patterns {
		if event.GlobMatch(p, text) {
			return true
		}
	}
	return false
}

// appendNew adds s unless it is there, or there are enough.
func appendNew(items []string, s string) []string {
	if len(items) >= maxReasons {
		return items
	}
	for _, have := range items {
		if have == s {
			return items
		}
	}
	return append(items, s)
}
