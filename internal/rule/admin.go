package rule

import (
	"strings"
)

// adminPolicies are AWS's own policies that make an administrator, by name.
// AWSIdentityCenterFullAccess could not be confirmed to exist; naming it does
// no harm. Source: AWS Managed Policy Reference Guide.
var adminPolicies = map[string]Severity{
	"administratoraccess":              Critical,
	"iamfullaccess":                    Critical,
	"poweruseraccess":                  High,
	"awsssomasteraccountadministrator": High,
	"awsssomemberaccountadministrator": High,
	"awsssodirectoryadministrator":     High,
	"awsorganizationsfullaccess":       High,
	"awsidentitycenterfullaccess":      High,
	"systemadministrator":              High, // under job-function/
}

// policyARN splits a managed policy's ARN, arn:PARTITION:iam::OWNER:policy/…,
// of any partition; owner is "aws" for AWS's own, path ends before the name.
func policyARN(arn string) (owner, path string, ok bool) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" || parts[3] != "" ||
		(parts[1] != "aws" && !strings.HasPrefix(parts[1], "aws-")) {
		return "", "", false
	}
	path, ok = strings.CutPrefix(parts[5], "policy/")
	return parts[4], path, ok && path != ""
}

// awsAdmin judges an AWS policy by its exact ARN. A substring would take a
// customer's DenyIAMFullAccess for an administrator's policy.
func awsAdmin(arn string) (sev Severity, policyName string, ok bool) {
	owner, path, ok := policyARN(arn)
	if !ok || owner != "aws" {
		return 0, "", false
	}
	policyName = path[strings.LastIndexByte(path, '/')+1:]
	folded := strings.ToLower(policyName)
	if sev, ok = adminPolicies[folded]; ok {
		return sev, policyName, true
	}
	return 0, policyName, false
}

// isServiceVariant reports whether an AWS policy is an administrator's for one
// service only, such as AdministratorAccess-Amplify.
func isServiceVariant(policyName string) bool {
	return len(policyName) > len("administratoraccess-") &&
		strings.EqualFold(policyName[:len("administratoraccess-")], "administratoraccess-")
}

// customerAdmin reports whether the operator named this policy.
func (en *Engine) customerAdmin(arn string) bool {
	folded := strings.ToLower(arn)
	policyName := folded[strings.LastIndexAny(folded, "/:")+1:]
	for _, p := range en.customer {
		if p == folded || p == policyName {
			return true
		}
	}
	return false
}

// attachTarget says who gets a policy: a user, role or group, and its name.
func attachTarget(v *view) (kind, target string) {
	for _, k := range [...]string{"user", "role", "group"} {
		if t := v.req(k + "Name"); t != "" {
			return k, t
		}
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(v.EventName, "Attach"), "Put"), "Policy")), ""
}

func matchAdminAttached(v *view) []match {
	if v.EventName == "CreatePolicy" || v.EventName == "CreatePolicyVersion" {
		return dangerousPolicy(v)
	}
	arn := v.req("policyArn")
	kind, target := attachTarget(v)
	owner, path, ok := policyARN(arn)
	if !ok {
		return nil
	}
	policyName := path[strings.LastIndexByte(path, '/')+1:]
	m := match{targets: []string{target, arn}}
	did := v.who() + " attached " + name(policyName) + " to " + kind + " " + name(target) + v.from()
	if sev, _, admin := awsAdmin(arn); admin {
		m.severity = sev
		m.detail = did + "; this AWS policy makes its holder an administrator."
		return []match{m}
	}
	switch {
	case owner == "aws" && isServiceVariant(policyName):
		m.severity = Medium
		m.detail = did + "; this AWS policy gives administrator's rights for one service."
		return []match{m}
	case owner == "aws":
		return nil
	case v.en.customerAdmin(arn):
		m.severity = Critical
		m.detail = did + "; the setting admin_policies names this policy as an administrator's."
		return []match{m}
	case v.denied():
		return nil
	}
	// A customer's policy: an alert if it is known to be dangerous, which an
	// event that has not been seen yet may tell.
	m.kind = kindAttach
	m.group = inPeriod(v, idAdminAttached, monthWindow, arn)
	m.severity = High
	m.detail = did
	return []match{m}
}

// dangerousPolicy states that a customer's policy got a dangerous version.
func dangerousPolicy(v *view) []match {
	if v.denied() {
		return nil
	}
	arn := v.req("policyArn")
	if v.EventName == "CreatePolicy" {
		arn = v.resp("policy", "arn")
	}
	if arn == "" {
		return nil
	}
	p, err := v.requestPolicy("policyDocument")
	if err != nil {
		return nil // an attach of an unreadable policy is no proof of anything
	}
	d, bad := p.dangerous(v.account())
	if !bad {
		return nil
	}
	return evidence(v, idAdminAttached, monthWindow, kindDangerous, kindDangerous, match{
		severity: d.severity, targets: []string{arn}, detail: d.text(),
	}, arn)
}

// attached looks at all contents of an event, also the superseded ones: a later
// content may have a time that no longer fits, and then what the earlier one
// raised must come out superseded, not vanish.
func (g groupFacts) attached() []Alert {
	type key struct{ account, id string }
	best := map[key]int{}
	var out []Alert
	for i := range g.facts {
		f := &g.facts[i]
		proof := g.proof(f)
		if proof == nil {
			continue
		}
		a := alert(*f, *proof)
		a.Severity = proof.Severity
		a.Superseded = f.Superseded || proof.Superseded
		a.Detail = clip(f.Detail+"; a version of this policy that "+name(proof.Actor)+" created at "+at(proof.EventTime)+" is dangerous: "+proof.Detail+".", detailRunes)
		k := key{f.AccountID, f.EventID}
		if have, ok := best[k]; !ok {
			best[k] = len(out)
			out = append(out, a)
		} else if !a.Superseded || out[have].Superseded {
			out[have] = a // facts are in order of their versions within a time
		}
	}
	return out
}

// proof is the fact that makes an attachment dangerous: the gravest and newest
// of those that still stand, else of the superseded ones; nil without any.
func (g groupFacts) proof(attach *Fact) *Fact {
	if attach.Kind != kindAttach {
		return nil
	}
	var proof *Fact
	for i := range g.facts {
		d := &g.facts[i]
		if d.Kind != kindDangerous || !monthWindow.reaches(d.EventTime, attach.EventTime) {
			continue
		}
		if proof == nil || proof.Superseded && !d.Superseded ||
			proof.Superseded == d.Superseded && d.Severity >= proof.Severity {
			proof = d
		}
	}
	return proof
}
