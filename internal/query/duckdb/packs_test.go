package duckdb_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
)

var update = flag.Bool("update", false, "rewrite golden files")

// The packs' fixture: a small organization around the night of 28 March 2026, when
// Berlin's clocks went from 02:00 to 03:00 (01:00 UTC).
const (
	acctA = "111111111111"
	acctB = "222222222222"
)

// packNow is when the fixture's questions are asked.
var packNow = time.Date(2026, 3, 31, 15, 30, 0, 0, time.UTC)

// callers of the fixture.
var (
	alice = event.Event{Actor: "alice", ActorKind: event.KindIAMUser, IdentityType: "IAMUser", UserName: "alice", IdentityAccountID: acctA, AccountID: acctA,
		IdentityARN: "arn:aws:iam::111111111111:user/alice", AccessKeyID: "AKIAALICE", SourceIP: "198.51.100.1", UserAgent: "aws-cli/2.15.0 Python/3.11"}
	bob = event.Event{Actor: "bob", ActorKind: event.KindIAMUser, IdentityType: "IAMUser", UserName: "bob", IdentityAccountID: acctA, AccountID: acctA,
		IdentityARN: "arn:aws:iam::111111111111:user/bob", SourceIP: "198.51.100.2", UserAgent: "Mozilla/5.0 (console)"}
	carol = event.Event{Actor: "Admin/carol", ActorKind: event.KindRoleSession, IdentityType: "AssumedRole", RoleName: "Admin", SessionName: "carol",
		IdentityAccountID: acctA, AccountID: acctA, IdentityARN: "arn:aws:sts::111111111111:assumed-role/Admin/carol",
		AccessKeyID: "ASIACAROL", SourceIP: "198.51.100.3", UserAgent: "Boto3/1.34 Botocore/1.34"}
	root = event.Event{Actor: "root", ActorKind: event.KindRoot, IdentityType: "Root", IdentityAccountID: acctA, AccountID: acctA,
		IdentityARN: "arn:aws:iam::111111111111:root", SourceIP: "203.0.113.9", UserAgent: "Mozilla/5.0 (console)"}
	mallory = event.Event{Actor: "mallory", ActorKind: event.KindIAMUser, IdentityType: "IAMUser", UserName: "mallory", IdentityAccountID: acctA, AccountID: acctA,
		IdentityARN: "arn:aws:iam::111111111111:user/mallory", AccessKeyID: "AKIAMALLORY", SourceIP: "203.0.113.66", UserAgent: "pacu/1.0"}
	trail = event.Event{Actor: "cloudtrail.amazonaws.com", ActorKind: event.KindService, IdentityType: "AWSService", InvokedBy: "cloudtrail.amazonaws.com",
		AccountID: acctA, SourceIP: "cloudtrail.amazonaws.com", UserAgent: "cloudtrail.amazonaws.com"}
	idc = event.Event{Actor: "dora@example.com", ActorKind: event.KindIdentityCenter, IdentityType: "IdentityCenterUser", AccountID: acctA, SourceIP: "198.51.100.4", UserAgent: "Mozilla/5.0"}
	ci  = event.Event{Actor: "repo:org/app @ token.actions.example", ActorKind: event.KindWebIdentity, IdentityType: "WebIdentityUser", AccountID: acctB, SourceIP: "192.0.2.7", UserAgent: "terraform/1.8"}
)

// fixture collects events.
type fixture struct {
	events []event.Event
}

var writes = regexp.MustCompile(`^(Add|Attach|Assume|Change|Create|Deactivate|Delete|Detach|Disable|Enable|Put|Remove|Stop|Update)`)

// add records that a caller did something: "service:EventName" at a time, and
// whatever the options set.
func (f *fixture) add(at string, who event.Event, what string, options ...func(*event.Event)) {
	t, err := time.Parse("2006-01-02 15:04:05.999", at)
	if err != nil {
		panic(err)
	}
	source, name, _ := strings.Cut(what, ":")
	e := who
	e.EventID = fmt.Sprintf("e%03d", len(f.events)+1)
	e.EventTime = t.UnixMilli()
	e.EventSource, e.EventName, e.EventType, e.EventVersion = source+".amazonaws.com", name, "AwsApiCall", "1.10"
	e.Category = map[string]string{"iam": "iam", "sts": "sts", "signin": "signin", "sso": "sso", "identitystore": "sso", "sso-directory": "sso"}[source]
	if e.Category == "" {
		e.Category = "other"
	}
	e.Outcome, e.AWSRegion = "ok", "us-east-1"
	readOnly := !writes.MatchString(name)
	e.ReadOnly = &readOnly
	for _, o := range options {
		o(&e)
	}
	f.events = append(f.events, e)
}

func denied(e *event.Event) { e.Outcome, e.ErrorCode = "denied", "AccessDenied" }
func failed(e *event.Event) { e.Outcome, e.ErrorMessage = "failed", "Failed authentication" }

// target sets what was acted on.
func target(kind, name string) func(*event.Event) {
	return func(e *event.Event) {
		e.TargetKind, e.TargetName, e.TargetARN = kind, name, "arn:aws:iam::"+e.AccountID+":"+kind+"/"+name
	}
}
func request(json string) func(*event.Event) {
	return func(e *event.Event) { e.RequestParameters = json }
}
func response(json string) func(*event.Event) {
	return func(e *event.Event) { e.ResponseElements = json }
}
func mfa(used bool) func(*event.Event)     { return func(e *event.Event) { e.MFA = &used } }
func issued(key string) func(*event.Event) { return func(e *event.Event) { e.IssuedAccessKeyID = key } }
func from(ip string) func(*event.Event)    { return func(e *event.Event) { e.SourceIP = ip } }
func region(r string) func(*event.Event)   { return func(e *event.Event) { e.AWSRegion = r } }
func account(a string) func(*event.Event)  { return func(e *event.Event) { e.AccountID = a } }

// packLake writes the fixture.
func packLake(tb testing.TB) string {
	var f fixture
	// Long before: what is known, and who then falls silent.
	f.add("2025-07-01 10:00:00", bob, "iam:ListUsers")
	f.add("2025-10-05 10:00:00", event.Event{Actor: "erin", ActorKind: event.KindIAMUser, IdentityType: "IAMUser", UserName: "erin",
		IdentityAccountID: acctA, AccountID: acctA, AccessKeyID: "AKIAERIN", SourceIP: "198.51.100.5", UserAgent: "aws-cli/1.0"}, "iam:ListUsers")
	f.add("2025-12-01 09:00:00", root, "signin:ConsoleLogin", mfa(true))
	f.add("2026-01-10 09:00:00", alice, "iam:ListUsers")
	f.add("2026-01-10 09:00:01", bob, "iam:ListUsers")
	f.add("2026-01-10 09:00:02", carol, "iam:ListRoles")
	f.add("2026-01-15 12:00:00", root, "cloudtrail:StopLogging", denied, request(`{"name":"main"}`))
	f.add("2026-01-15 12:01:00", root, "iam:CreateSAMLProvider", target("saml-provider", "Okta"))
	f.add("2026-01-20 08:00:00", root, "iam:CreateAccessKey", target("user", "alice"), issued("AKIANEVER"))
	// The week of the questions.
	f.add("2026-03-25 08:00:00", alice, "sts:GetCallerIdentity")
	f.add("2026-03-25 08:00:10", alice, "sts:AssumeRole", target("role", "Admin"), request(`{"roleArn":"arn:aws:iam::111111111111:role/Admin"}`), issued("ASIACAROL"))
	f.add("2026-03-25 08:01:00", carol, "iam:ListRoles")
	f.add("2026-03-25 08:02:00", carol, "sts:AssumeRole", func(e *event.Event) {
		e.TargetKind, e.TargetName, e.TargetARN = "role", "Deploy", "arn:aws:iam::222222222222:role/Deploy"
	}, issued("ASIADEPLOY"))
	f.add("2026-03-25 08:03:00", carol, "sts:AssumeRole", denied) // the role it asked for isn't recorded
	f.add("2026-03-25 09:00:00", trail, "sts:AssumeRole", target("role", "Logs"))
	f.add("2026-03-26 10:00:00", idc, "sso:Federate", request(`{"providerId":"d-90"}`))
	f.add("2026-03-26 10:00:05", idc, "sso:ListApplications")
	f.add("2026-03-26 10:05:00", carol, "sso:CreatePermissionSet", request(`{"name":"Support","sessionDuration":"PT4H","description":"it's for support","instanceArn":"arn:aws:sso:::instance/i"}`), region("eu-central-1"))
	f.add("2026-03-26 10:06:00", carol, "sso:UpdatePermissionSet", denied, request(`{"permissionSetArn":"arn:aws:sso:::permissionSet/i/ps-1","sessionDuration":"PT12H"}`), region("eu-central-1"))
	f.add("2026-03-26 10:07:00", carol, "sso:CreateAccountAssignment", request(`{"principalId":"u-1","principalType":"USER","targetId":"222222222222","targetType":"AWS_ACCOUNT","permissionSetArn":"arn:aws:sso:::permissionSet/i/ps-1"}`), region("eu-central-1"))
	f.add("2026-03-26 10:08:00", carol, "sso:DeleteAccountAssignment", request(`{"principalId":"g-1","principalType":"GROUP","targetId":"111111111111","permissionSetArn":"arn:aws:sso:::permissionSet/i/ps-2"}`), region("eu-central-1"))
	f.add("2026-03-26 10:09:00", carol, "sso:AttachManagedPolicyToPermissionSet", request(`{"permissionSetArn":"ps-1","managedPolicyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`), region("eu-central-1"))
	f.add("2026-03-26 10:09:01", carol, "sso:AttachManagedPolicyToPermissionSet", request(`{"permissionSetArn":"ps-1","managedPolicyArn":"arn:aws:iam::aws:policy/AdministratorAccess-Amplify"}`), region("eu-central-1"))
	f.add("2026-03-26 10:09:02", carol, "sso:AttachManagedPolicyToPermissionSet", request(`{"permissionSetArn":"ps-1","managedPolicyArn":"arn:aws-us-gov:iam::aws:policy/job-function/SystemAdministrator"}`), region("eu-central-1"))
	f.add("2026-03-26 10:09:03", carol, "sso:AttachCustomerManagedPolicyReferenceToPermissionSet", request(`{"permissionSetArn":"ps-1","customerManagedPolicyReference":{"name":"Mine","path":"/"}}`), region("eu-central-1"))
	f.add("2026-03-26 10:10:00", carol, "sso:CreateManagedApplicationInstance", request(`{"name":"Wiki"}`), region("eu-central-1"))
	f.add("2026-03-26 10:11:00", carol, "sso:DeleteApplication", denied, request(`{"applicationArn":"arn:aws:sso::111111111111:application/i/apl-1"}`), region("eu-central-1"))
	f.add("2026-03-26 10:12:00", carol, "identitystore:CreateGroupMembership", request(`{"groupId":"g-1","memberId":{"userId":"u-2"}}`), region("eu-central-1"))
	f.add("2026-03-26 10:13:00", carol, "sso-directory:DeleteMfaDeviceForUser", target("user", "u-2"), region("eu-central-1"))
	f.add("2026-03-27 14:00:00", ci, "sts:AssumeRoleWithWebIdentity", func(e *event.Event) {
		e.TargetKind, e.TargetName, e.TargetARN = "role", "Deploy", "arn:aws:iam::222222222222:role/Deploy"
	}, response(`{"provider":"arn:aws:iam::222222222222:oidc-provider/token.actions.example"}`))
	// Sign-ins.
	f.add("2026-03-27 07:00:00", bob, "signin:ConsoleLogin", failed)
	f.add("2026-03-27 07:00:30", bob, "signin:ConsoleLogin", failed)
	f.add("2026-03-27 07:01:00", bob, "signin:ConsoleLogin", mfa(true))
	f.add("2026-03-27 11:00:00", root, "signin:ConsoleLogin", failed)
	f.add("2026-03-27 11:01:00", root, "signin:ConsoleLogin", mfa(false))
	// The attack: a key from a new place, looks around, makes itself at home.
	f.add("2026-03-28 22:00:00", mallory, "sts:GetCallerIdentity")
	for i, name := range []string{"ListUsers", "ListRoles", "ListGroups", "ListPolicies", "ListAccessKeys", "GetAccountSummary", "GetUser", "ListMFADevices", "ListAttachedUserPolicies", "GetAccountAuthorizationDetails"} {
		options := []func(*event.Event){}
		if i%3 == 0 {
			options = append(options, denied)
		}
		f.add(fmt.Sprintf("2026-03-28 22:10:%02d", i), mallory, "iam:"+name, options...)
	}
	f.add("2026-03-29 00:30:00", mallory, "iam:PutUserPolicy", denied, target("user", "mallory"), request(`{"userName":"mallory","policyName":"p","policyDocument":"{\"Statement\":[]}"}`))
	f.add("2026-03-29 01:30:00", mallory, "iam:PutUserPolicy", target("user", "mallory"), request(`{"userName":"mallory","policyName":"p","policyDocument":"{\"Statement\":[{\"Action\":\"*\"}]}"}`))
	f.add("2026-03-29 01:40:00", mallory, "iam:CreateAccessKey", target("user", "bob"), request(`{"userName":"bob"}`), issued("AKIABACKDOOR"))
	f.add("2026-03-29 02:00:00", bob, "iam:ListUsers", func(e *event.Event) { e.AccessKeyID = "AKIABACKDOOR"; e.UserAgent = "pacu/1.0" }, from("203.0.113.66"))
	f.add("2026-03-29 02:05:00", bob, "iam:ListUsers", func(e *event.Event) { e.AccessKeyID = "AKIABACKDOOR"; e.UserAgent = "pacu/1.0" }, from("203.0.113.67"))
	f.add("2026-03-29 02:10:00", mallory, "iam:CreateUser", target("user", "svc"))
	f.add("2026-03-29 02:11:00", mallory, "iam:AddUserToGroup", target("group", "admins"), request(`{"groupName":"admins","userName":"svc"}`))
	f.add("2026-03-29 02:12:00", mallory, "iam:AttachUserPolicy", target("user", "svc"), request(`{"userName":"svc","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`))
	f.add("2026-03-29 02:13:00", mallory, "iam:CreateLoginProfile", target("user", "svc"), request(`{"userName":"svc","passwordResetRequired":false}`))
	f.add("2026-03-29 02:14:00", mallory, "iam:CreateRole", target("role", "Backdoor"), request(`{"roleName":"Backdoor","assumeRolePolicyDocument":"{\"Principal\":\"*\"}"}`))
	f.add("2026-03-29 02:15:00", mallory, "iam:DeactivateMFADevice", target("user", "alice"), request(`{"userName":"alice","serialNumber":"arn:aws:iam::111111111111:mfa/alice"}`))
	f.add("2026-03-29 02:16:00", mallory, "iam:UpdateAccessKey", target("user", "alice"), request(`{"userName":"alice","accessKeyId":"AKIAALICE","status":"Inactive"}`))
	f.add("2026-03-29 02:17:00", mallory, "cloudtrail:StopLogging", denied, request(`{"name":"main"}`))
	f.add("2026-03-29 02:18:00", mallory, "sts:AssumeRole", target("role", "Deploy"), account(acctB), func(e *event.Event) { e.TargetARN = "arn:aws:iam::222222222222:role/Deploy" })
	f.add("2026-03-29 02:19:00", trail, "iam:CreateRole", target("role", "Kept"), func(e *event.Event) { e.FilteredBy = "service" })
	// The bounds of the off hours, 22:00 to 06:00, in UTC and in Berlin (UTC+2).
	f.add("2026-03-30 03:59:59.999", alice, "iam:GetUser")
	f.add("2026-03-30 04:00:00", alice, "iam:GetUser")
	f.add("2026-03-30 05:59:59.999", alice, "iam:GetUser")
	f.add("2026-03-30 06:00:00", alice, "iam:GetUser")
	f.add("2026-03-30 19:59:59.999", alice, "iam:GetGroup")
	f.add("2026-03-30 20:00:00", alice, "iam:GetGroup")
	f.add("2026-03-30 21:59:59.999", alice, "iam:GetGroup")
	f.add("2026-03-30 22:00:00", alice, "iam:GetGroup")
	f.add("2026-03-30 23:30:00", alice, "iam:GetRole", region("ap-southeast-2"), from("198.51.100.77"))
	f.add("2026-03-31 09:00:00", alice, "iam:DeleteUser", target("user", "svc"))
	// Failures that give no error, and a sign-in whose MFA the identity provider saw.
	nameless := func(extra string) func(*event.Event) {
		return func(e *event.Event) { e.Outcome, e.AdditionalEventData = "failed", extra }
	}
	f.add("2026-03-27 12:00:00", bob, "signin:SwitchRole", nameless(""))
	f.add("2026-03-27 12:01:00", idc, "signin:CredentialVerification", nameless(`{"CredentialType":"TOTP"}`))
	f.add("2026-03-27 12:02:00", idc, "signin:CredentialVerification", nameless(`{"CredentialType":"TOTP"}`))
	f.add("2026-03-27 12:10:00", carol, "signin:ConsoleLogin", mfa(false))
	f.add("2026-03-27 12:11:00", carol, "signin:ConsoleLogin", mfa(false))

	var noise []event.Filtered
	for i, name := range []string{"AssumeRole", "AssumeRole", "AssumeRole", "GetCallerIdentity"} {
		reason := "service"
		if i == 3 {
			reason = "role"
		}
		noise = append(noise, event.Filtered{EventID: fmt.Sprint("n", i), EventTime: time.Date(2026, 3, 28, 12, i, 0, 0, time.UTC).UnixMilli(),
			AccountID: acctA, AWSRegion: "us-east-1", EventSource: "sts.amazonaws.com", EventName: name, Reason: reason})
	}
	dir := filepath.Join(tb.TempDir(), "lake")
	writeLake(tb, dir, f.events, noise)
	return dir
}

// packValues are the answers to parameters that have no default.
var packValues = map[string]map[string]string{
	"session_activity": {"key": "ASIACAROL"},
	"ip_activity":      {"ip": "203.0.113.6*"},
}

// Every query of the packs, in UTC and in two zones that change their clocks,
// gives the rows of its golden file, which were checked by hand against the
// fixture.
func TestPacks(t *testing.T) {
	e := open(t, duckdb.Options{LakeDir: packLake(t)})
	c, err := query.LoadCatalogue("")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range c.List() {
		t.Run(q.Name, func(t *testing.T) {
			var b strings.Builder
			first := ""
			for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York"} {
				tz, err := time.LoadLocation(name)
				if err != nil {
					t.Fatal(err)
				}
				p := query.Params{Now: packNow, TZ: tz, Values: packValues[q.Name]}
				rows, err := q.Run(t.Context(), e, p)
				if err != nil {
					t.Fatal(err)
				}
				columns := rows.Columns()
				values, err := all(rows, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(values) == 0 {
					t.Errorf("no rows in %s", name)
				}
				checkOrder(t, q, columns, values)
				answer := header(columns) + text(values)
				if answer == first {
					answer = "the same\n"
				} else if first == "" {
					first = answer
				}
				fmt.Fprintf(&b, "# %s\n%s", name, answer)
			}
			path := filepath.Join("testdata", "packs", q.Name+".golden")
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func header(columns []query.Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return strings.Join(names, "|") + "\n"
}

var orderForm = regexp.MustCompile(`ORDER BY ([^()]*)\n\$\{limit\}\n$`)

// checkOrder asserts that the columns shown in tables exist, and that no two
// rows tie in the query's order.
func checkOrder(t *testing.T, q query.Query, columns []query.Column, rows [][]any) {
	t.Helper()
	at := func(name string) int {
		i := slices.IndexFunc(columns, func(c query.Column) bool { return c.Name == name })
		if i < 0 {
			t.Fatalf("%s has no column %s", q.Name, name)
		}
		return i
	}
	for _, name := range q.Table {
		at(name)
	}
	seen := map[string]bool{}
	for _, row := range rows {
		key := ""
		for _, item := range strings.Split(orderForm.FindStringSubmatch(q.SQL())[1], ", ") {
			key += fmt.Sprint(row[at(strings.TrimSuffix(item, " DESC"))]) + "\x00"
		}
		if seen[key] {
			t.Errorf("%s: two rows tie: %q", q.Name, key)
		}
		seen[key] = true
	}
}

// The event at exactly the start is off hours, the one at the end isn't, over
// midnight and not, in UTC and in Berlin.
func TestOffHoursBounds(t *testing.T) {
	e := open(t, duckdb.Options{LakeDir: packLake(t)})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "off.sql"), []byte("SELECT strftime(event_time, '%H:%M:%S') FROM events WHERE ${range} AND actor = 'alice' AND ${off_hours} ORDER BY event_time\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := query.LoadCatalogue(dir)
	if err != nil {
		t.Fatal(err)
	}
	q, err := c.Get("off")
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ zone, start, end, want string }{
		{"UTC", "22:00", "06:00", "03:59:59 04:00:00 05:59:59 22:00:00 23:30:00"},
		{"Europe/Berlin", "22:00", "06:00", "03:59:59 20:00:00 21:59:59 22:00:00 23:30:00"}, // 05:59:59.999, 22:00, 23:59:59.999, 00:00 and 01:30 there
		{"UTC", "04:00", "06:00", "04:00:00 05:59:59"},
		{"Europe/Berlin", "06:00", "08:00", "04:00:00 05:59:59"},
		{"UTC", "23:30", "23:31", "23:30:00"},
		{"UTC", "20:00", "24:00", "20:00:00 21:59:59 22:00:00 23:30:00"},
		{"UTC", "22:00", "22:00", ""},
		{"America/New_York", "18:00", "00:00", "03:59:59 22:00:00 23:30:00"}, // UTC-4: 23:59:59.999 the day before, 18:00, 19:30
	} {
		tz, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := all(q.Run(t.Context(), e, query.Params{Now: packNow, Since: day, Until: day.Add(24 * time.Hour), TZ: tz, OffStart: c.start, OffEnd: c.end}))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(text(rows)), " "); got != c.want {
			t.Errorf("%s %s-%s:\ngot  %s\nwant %s", c.zone, c.start, c.end, got, c.want)
		}
	}
}

// The clock that the SQL computes is Go's, for every instant around changes of
// the clock, in zones of all kinds.
func TestLocalClockIsGos(t *testing.T) {
	lake := t.TempDir()
	start := time.Date(2025, 9, 1, 0, 0, 0, 0, time.UTC)
	var events []event.Event
	for i := range 365 * 24 / 5 {
		at := start.Add(time.Duration(i) * 5 * time.Hour).Add(time.Duration(i%60) * time.Minute)
		events = append(events, event.Event{EventID: fmt.Sprint(i), EventTime: at.UnixMilli()})
	}
	writeLake(t, lake, events, nil)
	e := open(t, duckdb.Options{LakeDir: lake})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clock.sql"), []byte("SELECT event_time, ${local_time}, ${local_date}, ${local_hour} FROM events WHERE ${range} ORDER BY event_time\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := query.LoadCatalogue(dir)
	if err != nil {
		t.Fatal(err)
	}
	q, err := c.Get("clock")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca", "Pacific/Chatham"} {
		tz, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := all(q.Run(t.Context(), e, query.Params{Now: packNow, Since: start, Until: start.Add(365 * 24 * time.Hour), TZ: tz}))
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) < 1700 {
			t.Fatalf("%s: %d rows", name, len(rows))
		}
		for _, row := range rows {
			local := row[0].(time.Time).In(tz)
			y, m, d := local.Date()
			want := []any{row[0], time.Date(y, m, d, local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC),
				query.Date(local.Format(time.DateOnly)), int64(local.Hour())}
			if diff := cmp.Diff(want, row); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}
