package rule

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// signInResult reads the outcome of a console sign-in: the recorded result
// decides, since failed sign-ins have no error code; a record without one is
// judged by the outcome column.
func signInResult(v *view) (success, failure bool) {
	switch v.resp("ConsoleLogin") {
	case "Success":
		return true, false
	case "Failure":
		return false, true
	}
	return v.ok(), !v.ok()
}

func matchRootLogin(v *view) []match {
	if success, _ := signInResult(v); !v.isRoot() || !success {
		return nil
	}
	m := match{severity: Critical, targets: []string{v.account()}}
	how := " with MFA"
	if !strings.EqualFold(v.extra("MFAUsed"), "Yes") {
		how = " without MFA"
		m.title = "Root signed in to the console without MFA"
	}
	m.detail = v.who() + " signed in to the console" + how + v.from() + "; root can do everything and should lie unused."
	return []match{m}
}

func matchRootLoginFailed(v *view) []match {
	if _, failure := signInResult(v); !v.isRoot() || !failure {
		return nil
	}
	reason := ""
	if v.ErrorMessage != "" {
		reason = " (" + name(v.ErrorMessage) + ")"
	}
	return one(High, "A console sign-in as the root user of account "+name(v.account())+v.from()+" failed"+reason+"; somebody tries the most powerful user.", v.account())
}

func matchLoginWithoutMFA(v *view) []match {
	success, _ := signInResult(v)
	if !success || v.IdentityType != typeIAMUser || !strings.EqualFold(v.extra("MFAUsed"), "No") || v.extra("SamlProviderArn") != "" {
		return nil
	}
	return one(High, v.who()+" signed in to the console without MFA"+v.from()+"; the password alone was enough.", v.UserName)
}

const (
	hour           = int64(time.Hour / time.Millisecond)
	dataEventSlice = int64(5 * time.Minute / time.Millisecond)
)

// What a group of root's calls has in common, besides hour and address.
const (
	rootReads   = "reads"
	rootSetUp   = "service role"
	rootChanges = "changes"
)

// matchRootActivity groups what root does by hour and address, so that one
// session does not become a hundred alerts: reads, the set-up of service roles
// and all other changes apart, so that a harmless call shares no alert with a
// grave one. Data events (objects read, say) may come by the thousand; they are
// grouped by five minutes.
func matchRootActivity(v *view) []match {
	if v.InvokedBy != "" || strings.EqualFold(v.EventType, "AwsServiceEvent") || v.EventName == "CreateServiceLinkedRole" {
		return nil
	}
	if v.EventSource == sourceSignin && (v.EventName == "ConsoleLogin" || !v.ok()) {
		return nil
	}
	slice, data := hour, ""
	if v.rest("eventCategory") == "Data" {
		slice, data = dataEventSlice, "data"
	}
	start := v.EventTime - (v.EventTime%slice+slice)%slice
	sev, what := High, rootChanges
	switch {
	case v.readOnly():
		sev, what = Low, rootReads
	case rootServiceRole(v):
		sev, what = Medium, rootSetUp
	}
	return []match{{
		kind:     kindMember,
		group:    group(idRootActivity, v.AccountID, strconv.FormatInt(start, 10), v.SourceIP, what, data),
		severity: sev,
		targets:  []string{v.TargetName, v.TargetARN},
		data:     map[string]string{"what": what, "start": strconv.FormatInt(start, 10), "slice": data},
	}}
}

// rootServiceRole recognises the set-up of a service role as the console does
// it for a service: a role under /service-role/ that trusts AWS services only,
// and a harmless policy for it. It is root activity all the same, but not the
// kind that needs a person at night.
func rootServiceRole(v *view) bool {
	if v.EventSource != sourceIAM {
		return false
	}
	const path = "/service-role/"
	switch v.EventName {
	case "CreateRole":
		p, err := trustPolicy(v)
		if err != nil || v.req("path") != path {
			return false
		}
		for i := range p.statements {
			s := &p.statements[i]
			if s.allow && (s.notPrincipal || len(s.principals) == 0) {
				return false
			}
			for _, pr := range s.principals {
				if s.allow && pr.kind != "service" {
					return false
				}
			}
		}
		return true
	case "CreatePolicy":
		p, err := v.requestPolicy("policyDocument")
		if err != nil || v.req("path") != path {
			return false
		}
		_, bad := p.dangerous(v.account())
		return !bad
	case "AttachRolePolicy":
		_, policyPath, ok := policyARN(v.req("policyArn"))
		return ok && strings.HasPrefix(policyPath, path[1:])
	}
	return false
}

func (g groupFacts) rootActivity() []Alert {
	a, facts, ok := g.grouped()
	if !ok {
		return nil
	}
	first := facts[0]
	what, period := "made changes", "the hour"
	a.Title = "Root user active: "
	switch names := distinctNames(facts); {
	case first.Data["what"] == rootReads:
		what = "read"
		a.Title += "reads"
	case len(names) > 2:
		a.Title += name(names[0]) + " and " + strconv.Itoa(len(names)-1) + " other kinds of changes"
	default:
		a.Title += list(names)
	}
	if first.Data["slice"] != "" {
		period = "the five minutes"
	}
	start, _ := strconv.ParseInt(first.Data["start"], 10, 64)
	a.Detail = clip("The root user of account "+name(first.AccountID)+" "+what+" from "+name(first.SourceIP)+" in "+period+" from "+at(start)+": "+tally(facts)+"; root should lie unused.", detailRunes)
	return []Alert{a}
}

func times(n int) string { return " (" + strconv.Itoa(n) + ")" }

// distinctNames are the names of the events of facts, each once, the first
// event's first.
func distinctNames(facts []Fact) []string {
	var names []string
	for _, f := range facts {
		if !slices.Contains(names, f.EventName) {
			names = append(names, f.EventName)
		}
	}
	return names
}
