package rule

import (
	"strings"

	"github.com/valyala/fastjson"
)

func matchUserCreated(v *view) []match {
	target := v.req("userName")
	if target == "" {
		target = v.resp("user", "userName")
	}
	sev, reason := High, "a new user is a permanent way in"
	if w := v.workload(); w != "" {
		sev, reason = Critical, "the caller is the role of an "+w+", which has no reason to create users unless its credentials were stolen"
		if strings.HasPrefix(w, "L") {
			reason = strings.Replace(reason, "an Lambda", "a Lambda", 1)
		}
	}
	boundary := v.req("permissionsBoundary")
	if boundary == "" && v.en.cfg.RequireBoundary {
		sev, reason = Critical, "it has no permissions boundary, which the setting require_boundary demands"
	}
	detail := v.who() + " created the IAM user " + name(target) + v.from()
	if boundary != "" {
		detail += " with the boundary " + name(boundary)
	}
	return one(sev, detail+"; "+reason+".", target, v.resp("user", "arn"))
}

// inlineTarget is who got the policy, for a sentence, and the alert's targets.
func inlineTarget(v *view) (phrase string, targets []string) {
	kind, target := attachTarget(v)
	policyName := v.req("policyName")
	return "the inline policy " + name(policyName) + " on " + kind + " " + name(target), []string{target, policyName}
}

// judgeInline tells a dangerous inline policy from others; unread is the
// reason why the document could not be read.
func judgeInline(v *view) (d danger, dangerous bool, unread error) {
	p, err := v.requestPolicy("policyDocument")
	if err != nil {
		return danger{}, false, err
	}
	d, dangerous = p.dangerous(v.account())
	return d, dangerous, nil
}

func matchInlineDangerous(v *view) []match {
	d, bad, unread := judgeInline(v)
	phrase, targets := inlineTarget(v)
	switch {
	case unread != nil && v.denied():
		return nil // parameters of denied calls are rarely recorded
	case unread != nil:
		return one(lower(Critical), v.who()+" put "+phrase+v.from()+"; the policy could not be read ("+unread.Error()+"), so it is taken for dangerous.", targets...)
	case !bad:
		return nil
	}
	whose := ""
	if kind, target := attachTarget(v); kind == "user" && target != "" && v.self(target) {
		whose = " (their own)"
	}
	return one(d.severity, v.who()+" put "+phrase+whose+v.from()+"; "+d.text()+".", append(targets, d.actions...)...)
}

func matchInlineAdded(v *view) []match {
	if _, bad, unread := judgeInline(v); bad || unread != nil {
		return nil
	}
	phrase, targets := inlineTarget(v)
	return one(Low, v.who()+" put "+phrase+v.from()+"; nothing in it is dangerous, but inline policies hide from reviews.", targets...)
}

// keyOwner is the user whose key was created; "" when nobody is named, which
// means the caller himself.
func keyOwner(v *view) string {
	if u := v.resp("accessKey", "userName"); u != "" {
		return u
	}
	return v.targetUser()
}

func matchRootKeyCreated(v *view) []match {
	if !v.isRoot() || v.targetUser() != "" {
		return nil
	}
	return one(Critical, v.who()+" created an access key for itself"+v.from()+"; the key is permanent and no policy limits it.",
		"root", v.resp("accessKey", "accessKeyId"))
}

func matchKeyCreated(v *view) []match {
	owner := keyOwner(v)
	if v.isRoot() || v.IdentityType == typeAssumedRole || !v.self(owner) {
		return nil
	}
	if owner == "" {
		owner = v.UserName
	}
	return one(High, v.who()+" created an access key for their own user"+v.from()+"; a key is permanent and works from anywhere.",
		owner, v.resp("accessKey", "accessKeyId"))
}

func matchKeyCreatedForOther(v *view) []match {
	owner := keyOwner(v)
	if v.isRoot() {
		owner = v.targetUser() // without one the key is root's own
	}
	if v.self(owner) && (v.IdentityType != typeAssumedRole || v.isRoot()) {
		return nil // a role session has no user of its own, whoever it names
	}
	return one(Critical, v.who()+" created an access key for the user "+name(owner)+v.from()+"; whoever creates a key can act as its user.",
		owner, v.resp("accessKey", "accessKeyId"))
}

func matchKeyDeleted(v *view) []match {
	target, sev := v.targetUser(), Low
	key := v.req("accessKeyId")
	if !v.self(target) {
		sev = Medium
	}
	if target == "" {
		target = v.actor()
	}
	return one(sev, v.who()+" deleted the access key "+name(key)+" of "+name(target)+v.from()+"; this may lock out its owner or remove a trace.", target, key)
}

// Names of the policies by which AWS quarantines a user whose key it found in
// public. Source: AWS Managed Policy Reference Guide.
func isQuarantine(policyName string) bool {
	folded := strings.ToLower(policyName)
	return strings.HasPrefix(folded, "awscompromisedkeyquarantine") || folded == "awsexposedcredentialpolicy_do_not_remove"
}

func matchKeyUpdated(v *view) []match {
	target := v.targetUser()
	user := target
	if user == "" {
		user = v.UserName
	}
	if v.EventName != "UpdateAccessKey" { // AttachUserPolicy, PutUserPolicy
		p := v.req("policyName")
		if p == "" {
			arn := v.req("policyArn")
			p = arn[strings.LastIndexByte(arn, '/')+1:]
		}
		if !isQuarantine(p) || user == "" {
			return nil
		}
		return evidence(v, idKeyUpdated, yearWindow, kindQuarantine, kindQuarantine, match{
			severity: Critical, targets: []string{user, p},
		}, strings.ToLower(user))
	}
	key := v.req("accessKeyId")
	m := match{
		targets: []string{user, key},
		data:    map[string]string{"key": key, "actor": v.actorKey()},
	}
	owner := "of " + name(user)
	if user == "" {
		owner = "(its user is not recorded)"
	}
	switch status := v.req("status"); {
	case strings.EqualFold(status, "Active"):
		m.kind, m.severity = kindActive, High
		m.title = "Access key activated"
		m.group = inPeriod(v, idKeyUpdated, yearWindow, strings.ToLower(user))
		m.detail = v.who() + " activated the access key " + name(key) + " " + owner + v.from()
		return []match{m}
	case strings.EqualFold(status, "Inactive"):
		m.severity = Medium
		m.title = "Access key deactivated"
		m.detail = v.who() + " deactivated the access key " + name(key) + " " + owner + v.from() + "; its holder is locked out."
		if v.self(target) {
			m.severity = Low
			m.detail = v.who() + " deactivated their own access key " + name(key) + v.from() + "; that is good housekeeping, if it really was them."
		}
		return evidence(v, idKeyUpdated, yearWindow, kindInactive, kindDisabled, m, strings.ToLower(user))
	}
	m.severity = Medium
	m.detail = v.who() + " changed the access key " + name(key) + " " + owner + v.from() + "; the new status is not recorded."
	return []match{m}
}

func (g groupFacts) keyUpdated() []Alert {
	before := g.of(kindInactive, kindDisabled, kindQuarantine)
	var out []Alert
	for _, f := range g.of(kindActive, kindInactive) {
		if f.Kind == kindInactive {
			out = append(out, alert(f))
			continue
		}
		// The last time that the key was disabled counts; a quarantine always.
		var disabled, quarantine *Fact
		for i := range before {
			b := &before[i]
			if b.Superseded || b.EventTime > f.EventTime || b.EventID == f.EventID && b.AccountID == f.AccountID {
				continue
			}
			if b.Kind == kindQuarantine {
				quarantine = b
			} else if b.Data["key"] != "" && b.Data["key"] == f.Data["key"] {
				disabled = b
			}
		}
		switch {
		case quarantine != nil:
			f.Severity = Critical
			f.Detail += ", although AWS put the user in quarantine for a leaked key at " + at(quarantine.EventTime) + "."
			out = append(out, alert(f, *quarantine))
		case disabled != nil && disabled.Data["actor"] != f.Data["actor"]:
			f.Severity = Critical
			f.Detail += ", which " + name(disabled.Actor) + " had disabled at " + at(disabled.EventTime) + "; this undoes somebody's clean-up."
			out = append(out, alert(f, *disabled))
		default:
			f.Detail += "; a disabled key works again."
			out = append(out, alert(f))
		}
	}
	return out
}

func matchMFARemoved(v *view) []match {
	serial := v.req("serialNumber")
	if serial == "" && v.EventName == "CreateVirtualMFADevice" {
		serial = v.resp("virtualMFADevice", "serialNumber")
	}
	state := func(kind string) []match {
		if serial == "" || v.denied() {
			return nil
		}
		return evidence(v, idMFARemoved, dayWindow, kind, kind, match{severity: Medium}, serial)
	}
	switch v.EventName {
	case "CreateVirtualMFADevice":
		return state(kindCreated)
	case "EnableMFADevice":
		return state(kindEnabled)
	case "DeleteVirtualMFADevice":
		m := match{
			severity: Medium, title: "Virtual MFA device deleted", targets: []string{serial},
			detail: v.who() + " deleted the virtual MFA device " + name(serial) + v.from(),
		}
		if serial == "" || v.denied() {
			m.detail += "; its user can no longer sign in with it."
			return []match{m}
		}
		m.kind, m.group = kindDeleted, inPeriod(v, idMFARemoved, dayWindow, serial)
		return []match{m}
	}
	target, sev := v.targetUser(), Critical
	whose := "the MFA device of " + name(target)
	if v.self(target) && !v.isRoot() {
		sev, whose = High, "their own MFA device"
	} else if target == "" {
		whose = "its own MFA device"
	}
	user := target
	if user == "" {
		user = v.actor()
	}
	out := one(sev, v.who()+" deactivated "+whose+" "+name(serial)+v.from()+"; from now on the password alone opens the account.", user, serial)
	return append(out, state(kindRemoved)...)
}

func (g groupFacts) mfaDeleted() []Alert {
	states := g.of(kindRemoved)
	created, enabled := g.of(kindCreated), g.of(kindEnabled)
	var out []Alert
	for _, f := range g.of(kindDeleted) {
		superseded := f.Superseded
		for _, s := range states {
			// The deactivation's own alert tells of the removal.
			if !s.Superseded && dayWindow.reaches(s.EventTime, f.EventTime) {
				superseded = true
			}
		}
		f.Detail += "; nobody is known to have deactivated it in the 24 hours before."
		for _, c := range created {
			if c.Superseded || !dayWindow.reaches(c.EventTime, f.EventTime) {
				continue
			}
			used := false
			for _, e := range enabled {
				used = used || !e.Superseded && e.EventTime >= c.EventTime && e.EventTime <= f.EventTime
			}
			if !used {
				f.Severity = Low
				f.Detail = strings.Replace(f.Detail, "; nobody", ", which was created at "+at(c.EventTime)+" and never enabled; nobody", 1)
				break
			}
		}
		a := alert(f)
		a.Detail, a.Superseded = clip(a.Detail, detailRunes), superseded
		out = append(out, a)
	}
	return out
}

// matchLoggingEvasion looks for CloudTrail's replacement of parameters over
// 100 KB: {"reason":"requestParameters too large","originalSize":"…","omitted":true},
// where omitted was also seen as a string.
func matchLoggingEvasion(v *view) []match {
	rp := v.doc(docRequest)
	omitted := rp.Get("omitted")
	if omitted == nil || omitted.Type() != fastjson.TypeTrue && string(omitted.GetStringBytes()) != "true" ||
		v.req("reason") != "requestParameters too large" {
		return nil
	}
	size := ""
	if s := v.req("originalSize"); s != "" {
		size = " (" + name(s) + " bytes)"
	}
	return one(High, v.who()+" called "+name(v.EventName)+v.from()+" with parameters too large to be logged"+size+"; a padded policy hides its content this way.", v.TargetName, v.TargetARN)
}
