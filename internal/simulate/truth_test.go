package simulate_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

// The checker below reads raw records and decides by its own means which alerts
// are due. It knows as much of the rules as this world needs, and stops the test
// at what it does not understand.

func (e seen) ok() bool {
	if e.str("errorCode") != "" || e.str("errorMessage") != "" {
		return false
	}
	for _, path := range []string{"responseElements", "serviceEventDetails"} {
		m, _ := e.at(path).(map[string]any)
		for _, v := range m {
			if v == "Failure" {
				return false
			}
		}
	}
	return true
}

func (e seen) is(source string, names ...string) bool {
	return e.str("eventSource") == source+".amazonaws.com" && slices.Contains(names, e.str("eventName"))
}

func (e seen) kind() string { return e.str("userIdentity.type") }

// self: the target is the caller, or nobody is named.
func (e seen) self() bool {
	target := e.str("requestParameters.userName")
	return e.kind() == "IAMUser" && (target == "" || strings.EqualFold(target, e.str("userIdentity.userName"))) || target == "" && e.kind() == "Root"
}

type policy struct {
	Statement json.RawMessage
}

type statement struct {
	Effect    string
	Action    any
	Resource  any
	Principal any
	Condition map[string]map[string]any
}

func statements(t *testing.T, document string) []statement {
	t.Helper()
	var p policy
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		t.Fatalf("policy %s: %v", document, err)
	}
	var list []statement
	if p.Statement[0] == '{' {
		list = make([]statement, 1)
		if err := json.Unmarshal(p.Statement, &list[0]); err != nil {
			t.Fatal(err)
		}
	} else if err := json.Unmarshal(p.Statement, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, s := range v {
			out = append(out, s.(string))
		}
		return out
	}
	return nil
}

// inline rates an inline policy: "" when it is harmless.
func inline(t *testing.T, document string) string {
	for _, st := range statements(t, document) {
		everything := slices.Contains(texts(st.Resource), "*")
		for _, action := range texts(st.Action) {
			switch {
			case action == "*" && everything:
				return "critical"
			case action == "iam:PassRole" && everything:
				return "high"
			case strings.HasPrefix(action, "s3:"), strings.HasPrefix(action, "sqs:"), strings.HasPrefix(action, "logs:"):
			case action == "sts:AssumeRole" && !everything:
			default:
				t.Fatalf("the checker does not know %s on %v", action, st.Resource)
			}
		}
	}
	return ""
}

// due lists the alerts of one event, rule → severity, but for those that rest on
// more than one event.
func due(t *testing.T, e seen, admins map[string]bool) map[string]string {
	alerts := map[string]string{}
	rp := func(key string) string { return e.str("requestParameters." + key) }
	choose := func(yes bool, a, b string) string {
		if yes {
			return a
		}
		return b
	}
	if e.is("signin", "ConsoleLogin") {
		switch {
		case e.kind() == "Root" && e.str("responseElements.ConsoleLogin") == "Success":
			alerts["root-console-login"] = "critical"
		case e.kind() == "Root":
			alerts["root-console-login-failed"] = "high"
		case e.kind() == "IAMUser" && e.ok() && e.str("additionalEventData.MFAUsed") == "No":
			alerts["signin-console-login-without-mfa"] = "high"
		}
	}
	if e.kind() == "Root" && e.at("readOnly") == false && !e.is("signin", "ConsoleLogin") {
		alerts["root-api-activity"] = "high"
	}
	if e.is("iam", e.str("eventName")) && e.at("requestParameters.omitted") == true {
		alerts["iam-logging-evasion"] = "high"
	}
	if e.is("iam", "AttachRolePolicy", "AttachUserPolicy", "AttachGroupPolicy") && e.str("errorCode") == "AccessDenied" && rp("policyArn") == "arn:aws:iam::aws:policy/AdministratorAccess" {
		alerts["iam-admin-policy-attached-attempt"] = "high"
	}
	if !e.ok() {
		return alerts
	}
	switch {
	case e.is("iam", "CreateUser"):
		alerts["iam-user-created"] = "high"
	case e.is("iam", "AttachRolePolicy", "AttachUserPolicy", "AttachGroupPolicy"):
		switch arn := rp("policyArn"); {
		case arn == "arn:aws:iam::aws:policy/AdministratorAccess":
			alerts["iam-admin-policy-attached"] = "critical"
		case strings.HasPrefix(arn, "arn:aws:iam::aws:policy/AdministratorAccess-"):
			alerts["iam-admin-policy-attached"] = "medium"
		case strings.Contains(arn, "Admin"), strings.Contains(arn, "PowerUser"), strings.Contains(arn, "FullAccess"):
			t.Fatalf("the checker does not know %s", arn)
		}
	case e.is("iam", "PutUserPolicy", "PutRolePolicy", "PutGroupPolicy"):
		if s := inline(t, rp("policyDocument")); s != "" {
			alerts["iam-inline-policy-dangerous"] = s
		} else {
			alerts["iam-inline-policy-added"] = "low"
		}
	case e.is("iam", "CreateAccessKey"):
		switch {
		case e.kind() == "Root":
			alerts["root-access-key-created"] = "critical"
		case e.self():
			alerts["iam-access-key-created"] = "high"
		default:
			alerts["iam-access-key-created-for-other"] = "critical"
		}
	case e.is("iam", "UpdateAccessKey"):
		switch {
		case rp("status") == "Active":
			alerts["iam-access-key-updated"] = "high"
		default:
			alerts["iam-access-key-updated"] = choose(e.self(), "low", "medium")
		}
	case e.is("iam", "DeleteAccessKey"):
		alerts["iam-access-key-deleted"] = choose(e.self(), "low", "medium")
	case e.is("iam", "DeactivateMFADevice"):
		alerts["iam-mfa-device-removed"] = choose(e.self() && e.kind() != "Root", "high", "critical")
	case e.is("iam", "CreateRole", "UpdateAssumeRolePolicy"):
		document := rp("assumeRolePolicyDocument") + rp("policyDocument")
		for _, st := range statements(t, document) {
			conditions := map[string]bool{}
			for _, c := range st.Condition {
				for key := range c {
					conditions[key] = true
				}
			}
			if federated := st.Principal.(map[string]any)["Federated"]; federated != nil && !conditions["SAML:aud"] {
				t.Fatalf("the checker does not know the trust in %v", federated)
			}
			for _, p := range texts(st.Principal.(map[string]any)["AWS"]) {
				switch {
				case p == "*":
					alerts["iam-role-trust-wildcard"] = choose(conditions["aws:PrincipalOrgID"], "medium", "critical")
				case !strings.Contains(p, e.Account):
					alerts["iam-role-trust-external-account"] = choose(conditions["sts:ExternalId"], "high", "critical")
				}
			}
		}
	case e.is("sso", "CreatePermissionSet"):
		hours := map[string]bool{"PT1H": false, "PT4H": false, "PT8H": false, "PT12H": true}
		long, known := hours[rp("sessionDuration")]
		if !known {
			t.Fatalf("the checker does not know the duration %q", rp("sessionDuration"))
		}
		alerts["sso-permission-set-created"] = choose(long, "high", "medium")
	case e.is("sso", "UpdatePermissionSet"):
		alerts["sso-permission-set-updated"] = choose(rp("sessionDuration") != "", "high", "low")
	case e.is("sso", "AttachManagedPolicyToPermissionSet"):
		if rp("managedPolicyArn") == "arn:aws:iam::aws:policy/AdministratorAccess" {
			alerts["sso-permission-set-admin-policy"] = "critical"
			admins[rp("permissionSetArn")] = true
		}
	case e.is("sso", "CreateAccountAssignment", "AssociateProfile"):
		alerts["sso-account-assignment-created"] = choose(admins[rp("permissionSetArn")] || rp("targetId") == e.Account, "critical", "high")
	case e.is("sso", "CreateApplication", "CreateApplicationInstance", "CreateManagedApplicationInstance"):
		alerts["sso-application-created"] = "high"
	case e.is("sso", "DeleteApplication", "DeleteApplicationInstance", "DeleteManagedApplicationInstance"):
		alerts["sso-application-deleted"] = "medium"
	}
	return alerts
}

// ofTheFourteen are the rules that make an off-hours event a high one.
var ofTheFourteen = []string{"root-", "iam-user-created", "iam-admin-", "iam-inline-policy-dangerous", "iam-access-key-created", "iam-access-key-updated", "iam-role-trust", "iam-mfa-", "sso-"}

// interactive tells whether an event counts as off-hours access, and as whose.
func interactive(t *testing.T, e seen) (actor string, write, counts bool) {
	switch source := strings.TrimSuffix(e.str("eventSource"), ".amazonaws.com"); {
	case !e.ok():
		return "", false, false
	case strings.HasSuffix(e.str("sourceIPAddress"), ".amazonaws.com"), e.str("userIdentity.invokedBy") != "", e.kind() == "AWSService":
		return "", false, false
	case e.is("signin", "ConsoleLogin", "UserAuthentication", "SwitchRole"):
	case (source == "iam" || source == "identitystore" || strings.HasPrefix(source, "sso")) && e.at("readOnly") == false:
		write = true
	default:
		return "", false, false
	}
	switch e.kind() {
	case "Root":
		actor = "root/" + e.Account
	case "IAMUser":
		actor = e.str("userIdentity.arn")
	case "AssumedRole":
		principal := e.str("userIdentity.principalId")
		actor = e.str("userIdentity.sessionContext.sessionIssuer.arn") + " " + principal[strings.IndexByte(principal, ':')+1:]
	case "IdentityCenterUser":
		actor = e.str("userIdentity.onBehalfOf.identityStoreArn") + " " + e.str("userIdentity.onBehalfOf.userId")
	default:
		t.Fatalf("the checker does not know who acts in %s", e.JSON)
	}
	return actor, write, true
}

func checkAlerts(t *testing.T, all []seen) []simulate.ExpectedAlert {
	var alerts []simulate.ExpectedAlert
	add := func(rule, severity string, events ...seen) {
		a := simulate.ExpectedAlert{Rule: rule, Account: events[0].Account, EventID: events[0].ID, Time: events[0].Time, Severity: severity}
		if rule == "sso-account-assignment-created" && events[0].str("requestParameters.targetId") == events[0].Account {
			a.Unconfigured = "high"
		}
		if rule == "off-hours-access" || rule == "root-api-activity" && severity == "low" {
			for _, e := range events {
				a.Events = append(a.Events, e.ID)
			}
		}
		alerts = append(alerts, a)
	}
	levels := []string{"low", "medium", "high"}
	admins := map[string]bool{}
	deactivated := map[string]time.Time{}
	nights, rootReads := map[string][]seen{}, map[string][]seen{}
	level := map[string]int{}
	for _, e := range all {
		found := due(t, e, admins)
		for rule, severity := range found {
			add(rule, severity, e)
		}
		if e.is("iam", "DeactivateMFADevice") && e.ok() {
			deactivated[e.str("requestParameters.serialNumber")] = e.Time
		}
		if e.is("iam", "DeleteVirtualMFADevice") && e.ok() {
			serial := e.str("requestParameters.serialNumber")
			if at, known := deactivated[serial]; !known || e.Time.Sub(at) > 24*time.Hour {
				t.Errorf("%s deletes %s, which was not deactivated before: whether that is an alert is open", e.ID, serial)
			}
		}
		if e.kind() == "Root" && e.at("readOnly") == true {
			key := fmt.Sprint(e.Account, e.Time.Truncate(time.Hour), e.str("sourceIPAddress"))
			rootReads[key] = append(rootReads[key], e)
		}
		if h := e.Time.Hour(); h >= 6 && h < 22 {
			continue
		}
		if actor, write, counts := interactive(t, e); counts {
			key := actor + e.Time.Add(-6*time.Hour).Format(time.DateOnly)
			nights[key] = append(nights[key], e)
			l := 0
			if write {
				l = 1
			}
			for rule := range found {
				if slices.ContainsFunc(ofTheFourteen, func(p string) bool { return strings.HasPrefix(rule, p) }) {
					l = 2
				}
			}
			level[key] = max(level[key], l)
		}
	}
	for key, events := range nights {
		add("off-hours-access", levels[level[key]], events...)
	}
	for _, events := range rootReads {
		add("root-api-activity", "low", events...)
	}
	return alerts
}

var sortAlerts = cmpopts.SortSlices(func(a, b simulate.ExpectedAlert) bool {
	return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.EventID, b.EventID), strings.Compare(a.Rule, b.Rule)) < 0
})

func TestDeclaredAlertsAreWhatTheRecordsCallFor(t *testing.T) {
	w, all := everything(t)
	truth := w.Truth()
	if d := gocmp.Diff(checkAlerts(t, all), truth.Alerts, sortAlerts); d != "" {
		t.Errorf("-records +declared\n%s", d)
	}
	count := map[string]int{}
	for _, a := range truth.Alerts {
		count[a.Rule]++
		if !slices.Contains(truth.Rules, a.Rule) {
			t.Errorf("alert of rule %s, which Rules does not name", a.Rule)
		}
	}
	for _, rule := range truth.Rules {
		if count[rule] == 0 && rule != "root-access-key-created" {
			t.Errorf("no alert of rule %s in the default world", rule)
		}
	}
	if !slices.IsSortedFunc(truth.Alerts, func(a, b simulate.ExpectedAlert) int { return a.Time.Compare(b.Time) }) {
		t.Error("alerts are not sorted by time")
	}
}

// Other windows, ends and sizes have other stories in them; the declarations
// must hold for each.
func TestDeclaredAlertsHoldInOtherWorlds(t *testing.T) {
	for _, cfg := range []simulate.Config{
		{Seed: 3, Days: 7, Events: 3000, End: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)},
		{Seed: 4, Days: 30, Events: 5000, End: time.Date(2026, 5, 6, 6, 0, 0, 0, time.UTC), Accounts: 5},
		{Seed: 5, Days: 200, Events: 8000, End: time.Date(2026, 1, 3, 23, 59, 59, 0, time.UTC), Regions: []string{"us-east-1"}},
		{Seed: 6, Start: time.Date(2025, 12, 24, 3, 17, 5, 0, time.UTC), End: time.Date(2026, 2, 20, 5, 59, 1, 0, time.UTC), Events: 8000, Regions: []string{"ap-southeast-2", "eu-north-1"}},
		{Seed: 7, Days: 20, Events: 15000, Noise: 0.5},
	} {
		w := newWorld(t, cfg)
		var all []seen
		for r := range w.Events() {
			all = append(all, decode(t, r))
		}
		if d := gocmp.Diff(checkAlerts(t, all), w.Truth().Alerts, sortAlerts, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("seed %d: -records +declared\n%s", cfg.Seed, d)
		}
		if len(all) < cfg.Events {
			t.Errorf("seed %d: %d records, want at least %d", cfg.Seed, len(all), cfg.Events)
		}
		if stories := w.Truth().Stories; !stories[len(stories)-1].Attack {
			t.Errorf("seed %d: no attack", cfg.Seed)
		}
	}
}

func TestDeclaredNoiseIsServiceNoise(t *testing.T) {
	w, all := everything(t)
	noise := 0
	for _, e := range all {
		want := e.kind() == "AWSService" || strings.Contains(e.str("userIdentity.sessionContext.sessionIssuer.arn"), ":role/aws-service-role/")
		if e.truth.Filtered != want {
			t.Errorf("%s: declared noise %v, is %v:\n%s", e.ID, e.truth.Filtered, want, e.JSON)
		}
		if want {
			noise++
		}
	}
	counts := w.Truth().Counts
	if counts.Records != len(all) || counts.Filtered != noise {
		t.Errorf("counts %+v, want %d records, %d noise", counts, len(all), noise)
	}
	sum := func(m map[string]int) (n int) {
		for _, v := range m {
			n += v
		}
		return n
	}
	if sum(counts.Sources) != len(all) || sum(counts.Accounts) != len(all) || sum(counts.Roots) != len(all) {
		t.Errorf("counts by source, account or root do not add up to %d: %+v", len(all), counts)
	}
	if share := float64(noise) / float64(len(all)); share < 0.8 || share > 0.85 {
		t.Errorf("noise is %.3f of all, want 0.80 to 0.85", share)
	}
}

// Keys are issued by one event and used by others: the declared chains must say
// the same.
func TestDeclaredChainsFollowTheKeys(t *testing.T) {
	_, all := everything(t)
	issuer := map[string]seen{}
	for _, e := range all {
		if key := e.str("responseElements.credentials.accessKeyId"); key != "" {
			if first, twice := issuer[key]; twice && first.str("sharedEventID") != e.str("sharedEventID") {
				t.Fatalf("key %s is issued by %s and %s", key, first.ID, e.ID)
			}
			issuer[key] = e
		}
	}
	linked := 0
	for _, e := range all {
		chain, arn := e.truth.Chain, e.str("userIdentity.arn")
		if arn != "" && chain[len(chain)-1] != arn {
			t.Errorf("%s: chain %v does not end in %s", e.ID, chain, arn)
		}
		from, ok := issuer[e.str("userIdentity.accessKeyId")]
		if !ok {
			continue
		}
		linked++
		if e.Time.Before(from.Time) {
			t.Errorf("%s uses at %v a key that %s issues at %v", e.ID, e.Time, from.ID, from.Time)
		}
		want := slices.Clone(from.truth.Chain)
		switch from.kind() {
		case "AWSService": // whoever runs on it is the root, not the service
			want = []string{e.truth.Root, arn}
		default:
			if from.truth.Root != e.truth.Root {
				t.Errorf("%s: root %s, but its key was issued to %s", e.ID, e.truth.Root, from.truth.Root)
			}
			if from.str("eventName") != "GetSessionToken" {
				want = append(want, arn)
			}
		}
		if d := gocmp.Diff(want, chain); d != "" {
			t.Errorf("%s: chain does not follow from %s:\n%s", e.ID, from.ID, d)
		}
	}
	if linked < 5000 {
		t.Errorf("only %d events with issued keys", linked)
	}
	kinds := map[string]bool{}
	longest := 0
	for _, e := range all {
		kinds[e.truth.RootKind] = true
		longest = max(longest, len(e.truth.Chain))
	}
	for _, k := range []string{simulate.RootPerson, simulate.RootSAML, simulate.RootIAMUser, simulate.RootAccount, simulate.RootCI, simulate.RootInstance, simulate.RootFunction, simulate.RootService, simulate.RootExternal} {
		if !kinds[k] {
			t.Errorf("no event with a root of kind %s", k)
		}
	}
	if longest < 4 {
		t.Errorf("longest chain has %d links, want a chain of roles over three accounts", longest)
	}
}

func TestStoriesAreInTheRecords(t *testing.T) {
	w, all := everything(t)
	byID := map[string]seen{}
	told := map[string]int{}
	for _, e := range all {
		byID[e.ID] = e
		if e.truth.Story != "" {
			told[e.ID] = 0
		}
	}
	attacks := 0
	for _, s := range w.Truth().Stories {
		last := time.Time{}
		for _, step := range s.Steps {
			if step.Sentence == "" || !strings.HasSuffix(step.Sentence, ".") || len(step.Events) == 0 {
				t.Errorf("%s: step %q has no sentence or no events", s.Title, step.Sentence)
			}
			if step.Time.Before(last) {
				t.Errorf("%s: %q comes before the step it follows", s.Title, step.Sentence)
			}
			last = step.Time
			for _, id := range step.Events {
				e, ok := byID[id]
				if !ok || e.truth.Story != s.Title {
					t.Errorf("%s: event %s is not in the records as its own", s.Title, id)
				}
				told[id]++
			}
		}
		if s.Attack {
			attacks++
			first := s.Steps[0].Time
			if age := end.Sub(first); age < 24*time.Hour || age > 72*time.Hour {
				t.Errorf("the attack begins %v before the end", age)
			}
			if len(s.Steps) < 15 {
				t.Errorf("the attack has only %d steps", len(s.Steps))
			}
		}
	}
	if attacks != 1 {
		t.Errorf("%d attacks, want 1", attacks)
	}
	for id, n := range told {
		if n != 1 {
			t.Errorf("event %s is in %d steps", id, n)
		}
	}
	for _, e := range all {
		foreign := strings.HasPrefix(e.str("sourceIPAddress"), "203.0.113.")
		if foreign && e.truth.Story != "The leaked key" {
			t.Errorf("%s comes from the attacker's network, but belongs to %q", e.ID, e.truth.Story)
		}
	}
}

func TestTheAttackIsTheSameInWorldsOfAnySize(t *testing.T) {
	attack := func(events int) map[string]string {
		w := newWorld(t, simulate.Config{Seed: 1, Events: events})
		stories := w.Truth().Stories
		ids := map[string]bool{}
		for _, step := range stories[len(stories)-1].Steps {
			for _, id := range step.Events {
				ids[id] = true
			}
		}
		found := map[string]string{}
		for r := range w.Between(end.Add(-80*time.Hour), end) {
			if ids[r.ID] {
				found[r.ID] = string(r.JSON)
			}
		}
		return found
	}
	small, large := attack(20_000), attack(400_000)
	if len(small) < 60 {
		t.Errorf("the attack has only %d events", len(small))
	}
	if d := gocmp.Diff(small, large); d != "" {
		t.Errorf("-small +large\n%s", d)
	}
}

func TestWriteTruthIsJSON(t *testing.T) {
	w, all := everything(t)
	var b strings.Builder
	if err := simulate.WriteTruth(&b, w.Truth()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Counts  simulate.Counts
		Alerts  []simulate.ExpectedAlert
		Stories []simulate.Story
		Events  []simulate.EventTruth
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Events) != len(all) || got.Counts.Records != len(all) || len(got.Alerts) == 0 || len(got.Stories) == 0 {
		t.Errorf("%d events, counts %+v, %d alerts, %d stories", len(got.Events), got.Counts, len(got.Alerts), len(got.Stories))
	}
	if d := gocmp.Diff(all[len(all)-1].truth, got.Events[len(all)-1]); d != "" {
		t.Errorf("last event:\n%s", d)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, fmt.Errorf("disk is full") }

func TestWriteTruthReportsAFailedWrite(t *testing.T) {
	w, _ := world()
	if err := simulate.WriteTruth(brokenWriter{}, w.Truth()); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("error is %v", err)
	}
}
