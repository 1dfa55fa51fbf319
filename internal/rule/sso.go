package rule

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// longSession is the session duration above which a permission set is notable.
const longSession = 8 * time.Hour

// isoDuration reads the part of ISO 8601 durations that Identity Center uses,
// such as PT8H, PT1H30M or P1D; days are 24 hours.
func isoDuration(s string) (time.Duration, bool) {
	rest, ok := strings.CutPrefix(strings.ToUpper(s), "P")
	if !ok || rest == "" || len(rest) > 20 {
		return 0, false
	}
	var total time.Duration
	inTime := false
	for rest != "" {
		if !inTime && rest[0] == 'T' {
			inTime, rest = true, rest[1:]
			if rest == "" {
				return 0, false
			}
			continue
		}
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		if n == 0 || n > 4 || n == len(rest) {
			return 0, false
		}
		count, err := strconv.Atoi(rest[:n])
		if err != nil {
			return 0, false
		}
		var unit time.Duration
		switch {
		case !inTime && rest[n] == 'D':
			unit = 24 * time.Hour
		case inTime && rest[n] == 'H':
			unit = time.Hour
		case inTime && rest[n] == 'M':
			unit = time.Minute
		case inTime && rest[n] == 'S':
			unit = time.Second
		default:
			return 0, false
		}
		total += time.Duration(count) * unit
		rest = rest[n+1:]
	}
	return total, true
}

// inConsole reports whether a relay state leads into the AWS console of some
// partition. Source: IAM Identity Center User Guide, "Set relay state".
func inConsole(relayState string) bool {
	u, err := url.Parse(relayState)
	if err != nil || u.Scheme != "https" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	for _, h := range [...]string{"console.aws.amazon.com", "console.amazonaws.cn", "console.amazonaws-us-gov.com"} {
		if host == h || strings.HasSuffix(host, "."+h) {
			return true
		}
	}
	return false
}

const hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// setOptions are the risky options of a permission set as one call gives them;
// nil and false when it does not.
type setOptions struct {
	duration    time.Duration
	hasDuration bool
	relay       string
	hasRelay    bool
}

func readOptions(v *view) (o setOptions) {
	o.duration, o.hasDuration = isoDuration(v.req("sessionDuration"))
	if r := v.doc(docRequest).Get("relayState"); r != nil && v.req("relayState") != hidden {
		o.relay, o.hasRelay = v.req("relayState"), true
	}
	return o
}

// setARN is the permission set that the event is about.
func setARN(v *view) string {
	for _, arn := range [...]string{v.req("permissionSetArn"), v.resp("permissionSet", "permissionSetArn"), v.req("profileId")} {
		if arn != "" {
			return arn
		}
	}
	return ""
}

func matchPermissionSetCreated(v *view) []match {
	o := readOptions(v)
	sev, reason := Medium, "permission sets become roles in many accounts"
	switch {
	case o.hasDuration && o.duration > longSession:
		sev, reason = High, "its sessions last "+name(v.req("sessionDuration"))+", longer than eight hours"
	case o.relay != "" && !inConsole(o.relay):
		sev, reason = High, "its relay state "+name(o.relay)+" leads out of the AWS console"
	}
	return one(sev, v.who()+" created the permission set "+name(v.req("name"))+v.from()+"; "+reason+".", v.req("name"), setARN(v))
}

func matchPermissionSetUpdated(v *view) []match {
	arn, o := setARN(v), readOptions(v)
	if v.denied() {
		return nil
	}
	m := match{
		severity: Low, targets: []string{arn}, data: map[string]string{},
		detail: v.who() + " updated the permission set " + name(arn) + v.from(),
	}
	if o.hasDuration {
		m.data["seconds"] = strconv.Itoa(int(o.duration / time.Second))
		m.data["duration"] = clip(v.req("sessionDuration"), pieceRunes)
	}
	if o.hasRelay {
		m.data["relay"] = clip(o.relay, targetRunes)
		if o.relay != "" && !inConsole(o.relay) {
			m.data["outside"] = "true"
		}
	}
	kind := kindUpdated
	if v.EventName == "CreatePermissionSet" {
		kind = kindKnown
		if _, said := m.data["seconds"]; !said {
			m.data["seconds"] = "3600" // the default: Identity Center API Reference, CreatePermissionSet
		}
		if _, said := m.data["relay"]; !said {
			m.data["relay"] = ""
		}
		if arn == "" {
			return nil
		}
	}
	return evidence(v, idPermissionSetUpdated, yearWindow, kind, kindKnown, m, arn)
}

func (g groupFacts) permissionSetUpdated() []Alert {
	known := g.of(kindKnown, kindUpdated)
	var out []Alert
	for _, f := range g.of(kindUpdated) {
		// The last values before this event, as far as they are known.
		var seconds, relay string
		var hasSeconds, hasRelay bool
		for _, k := range known {
			if k.Superseded || compareFacts(k, f) >= 0 || k.EventID == f.EventID && k.AccountID == f.AccountID {
				continue
			}
			if s, ok := k.Data["seconds"]; ok {
				seconds, hasSeconds = s, true
			}
			if r, ok := k.Data["relay"]; ok {
				relay, hasRelay = r, true
			}
		}
		before, _ := strconv.Atoi(seconds)
		if !hasSeconds {
			before = int(longSession / time.Second)
		}
		newRelay, gaveRelay := f.Data["relay"]
		now, err := strconv.Atoi(f.Data["seconds"])
		switch {
		case gaveRelay && newRelay != "" && (!hasRelay || newRelay != relay):
			f.Severity = High
			f.Detail += "; after sign-in people are sent to " + name(newRelay)
			if f.Data["outside"] != "" {
				f.Detail += ", which is not the AWS console"
			}
			f.Detail += "."
		case gaveRelay && hasRelay && newRelay != relay:
			f.Severity = High
			f.Detail += "; its relay state " + name(relay) + " was removed."
		case err == nil && now > before:
			f.Severity = High
			f.Detail += "; sessions now last " + name(f.Data["duration"]) + ", longer than before, and stay usable longer when stolen."
		default:
			f.Detail += "; nothing that widens access changed."
		}
		a := alert(f)
		a.Detail = clip(a.Detail, detailRunes)
		out = append(out, a)
	}
	return out
}

func matchPermissionSetAdmin(v *view) []match {
	arn := v.req("managedPolicyArn")
	_, policyName, admin := awsAdmin(arn)
	if !admin {
		return nil
	}
	return one(Critical, v.who()+" attached "+name(policyName)+" to the permission set "+name(setARN(v))+v.from()+"; everyone assigned to the set becomes an administrator of its accounts.", setARN(v), arn)
}

func matchAssignmentCreated(v *view) []match {
	if v.denied() {
		return nil
	}
	set := setARN(v)
	known := func(reason string) []match {
		if set == "" {
			return nil
		}
		return evidence(v, idAssignmentCreated, monthWindow, kindAdmin, kindAdmin, match{severity: Critical, detail: reason}, set)
	}
	switch v.EventName {
	case "AttachManagedPolicyToPermissionSet":
		if _, policyName, admin := awsAdmin(v.req("managedPolicyArn")); admin {
			return known("the administrator's policy " + name(policyName))
		}
		return nil
	case "PutInlinePolicyToPermissionSet", "PutPermissionsPolicy":
		for _, key := range [...]string{"inlinePolicy", "permissionsPolicy", "policyDocument"} {
			p, err := v.requestPolicy(key)
			if err != nil {
				continue
			}
			if d, bad := p.dangerous(""); bad && d.severity >= High {
				return known("an inline policy by which " + d.text())
			}
		}
		return nil
	}
	// The request is carried out later; a status is there only if it is known.
	if strings.EqualFold(v.resp("accountAssignmentCreationStatus", "status"), "FAILED") {
		return nil
	}
	who, kind := v.req("principalId"), v.req("principalType")
	if who == "" { // AssociateProfile, the console's older call
		who, kind = v.req("accessorId"), v.req("accessorType")
	}
	target := v.req("targetId")
	m := match{
		kind: kindAssigned, severity: High, targets: []string{target, who, set},
		group:  inPeriod(v, idAssignmentCreated, monthWindow, set),
		detail: v.who() + " assigned " + name(strings.ToLower(kind)) + " " + name(who) + " to account " + name(target) + " with the permission set " + name(set) + v.from(),
	}
	switch {
	case target != "" && target == v.en.cfg.ManagementAccountID:
		m.severity = Critical
		m.detail += "; this is the management account"
	case strings.EqualFold(kind, "USER") && who != "" && who == v.rest("userIdentity", "onBehalfOf", "userId"):
		m.severity = Critical
		m.detail += "; that is the actor"
	}
	return []match{m}
}

func (g groupFacts) assigned() []Alert {
	admin := g.of(kindAdmin)
	var out []Alert
	for _, f := range g.of(kindAssigned) {
		a := alert(f)
		for _, p := range admin {
			if !p.Superseded && monthWindow.reaches(p.EventTime, f.EventTime) {
				a = alert(f, p)
				a.Severity = Critical
				a.Detail += "; " + name(p.Actor) + " gave the set at " + at(p.EventTime) + " " + p.Detail
				break
			}
		}
		a.Detail = clip(a.Detail+".", detailRunes)
		out = append(out, a)
	}
	return out
}

func matchApplicationCreated(v *view) []match {
	return one(High, v.who()+" created the Identity Center application "+name(application(v))+v.from()+"; applications receive the identities of the organization's people.", application(v))
}

func matchApplicationDeleted(v *view) []match {
	return one(Medium, v.who()+" deleted the Identity Center application "+name(application(v))+v.from()+"; people lose access to it.", application(v))
}

// application names the application of the calls in use today and of the
// console's older ones.
func application(v *view) string {
	for _, s := range [...]string{
		v.req("applicationArn"), v.resp("applicationArn"), v.req("name"), v.req("instanceId"),
		v.resp("applicationInstance", "instanceId"), v.resp("applicationInstance", "applicationInstanceArn"),
		v.req("applicationInstanceId"), v.req("templateId"), v.req("applicationProviderArn"),
	} {
		if s != "" {
			return s
		}
	}
	return ""
}
