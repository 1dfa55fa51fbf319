package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/permission"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

const kmsKey = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// policyCase is a policy, and the runs that must make just the calls that it
// permits. Its name is that of its file in testdata/permissions, which is checked
// in so that stacks and pages can take the policies from there.
type policyCase struct {
	name     string
	args     []string // of permissions
	settings string
	member   bool // the policy of the role in other accounts belongs to it, in NAME-member
	runs     []policyRun
}

type policyRun struct {
	args   []string
	faults server.Faults
	code   int
	// decrypts: the key was needed, as the command's words show: S3 asks for it,
	// not the program.
	decrypts bool
}

// noEC2 makes the second choice of finding regions necessary.
var noEC2 = server.Faults{Deny: []server.Denial{{Service: "ec2"}}}

func policyCases(accountsFile string) []policyCase {
	trail := "s3://" + simulate.TrailBucket + "/AWSLogs/"
	both := func(args ...string) []policyRun {
		return []policyRun{{args: args}, {args: args, faults: noEC2}}
	}
	nothing := func(args ...string) []policyRun {
		args = append([]string{"wait", "--event-name", "NoSuchEvent", "--timeout", "30s"}, args...)
		return []policyRun{{args: args, code: 1}, {args: args, code: 1, faults: noEC2}}
	}
	return []policyCase{
		{name: "collect", args: []string{"collect"}, runs: both("collect")},
		{name: "collect-regions", args: []string{"collect", "--regions", "us-east-1,eu-west-1"}, runs: []policyRun{{args: []string{"collect", "--regions", "us-east-1,eu-west-1"}}}},
		{name: "collect-organization", args: []string{"collect", "--organization"}, member: true, runs: both("collect", "--organization")},
		{name: "collect-accounts", args: []string{"collect", "--accounts", accountsFile}, member: true, runs: both("collect", "--accounts", accountsFile)},
		{name: "collect-topic", args: []string{"collect", "--regions", "us-east-1,eu-west-1"}, settings: topicSettings, runs: []policyRun{{args: []string{"collect", "--regions", "us-east-1,eu-west-1"}}}},
		{name: "wait", args: []string{"wait"}, runs: nothing()},
		{name: "wait-organization", args: []string{"wait", "--organization"}, member: true, runs: nothing("--organization")},
		{name: "wait-topic", args: []string{"wait", "--regions", "us-east-1"}, settings: topicSettings, runs: []policyRun{
			{args: []string{"wait", "--grep", "no such text", "--since", "3d", "--regions", "us-east-1", "--timeout", "1h"}, code: 1},
		}},
		{name: "doctor", args: []string{"doctor"}, runs: both("doctor")},
		{name: "doctor-organization", args: []string{"doctor", "--organization"}, member: true, runs: both("doctor", "--organization")},
		{name: "doctor-all", args: []string{"doctor", trail, "--kms-key", kmsKey}, settings: topicSettings, runs: append(both("doctor", trail),
			policyRun{args: []string{"doctor", trail}, faults: server.Faults{KMSDenied: true}, code: 3, decrypts: true})},
		{name: "import", args: []string{"import", trail}, runs: []policyRun{{args: []string{"import", trail, "--since", "4d"}}}},
		{name: "import-kms-topic", args: []string{"import", trail, "--kms-key", kmsKey}, settings: topicSettings, runs: []policyRun{
			{args: []string{"import", trail, "--since", "5d"}},
			{args: []string{"import", trail, "--since", "4d"}, faults: server.Faults{KMSDenied: true}, code: 3, decrypts: true},
		}},
		{name: "verify", args: []string{"verify", trail}, runs: []policyRun{{args: []string{"verify", "--trail", trail, "--since", "4d"}}}},
		{name: "verify-copy", args: []string{"verify"}, runs: []policyRun{{args: []string{"verify", "--trail", "COPY", "--since", "4d"}}}},
		{name: "alerts", args: []string{"alerts"}, settings: topicSettings, runs: []policyRun{{args: []string{"alerts", "test"}}}},
	}
}

// Each policy permits just what the command asks of AWS: no call without
// permission, no permission without a call.
func TestPermissions(t *testing.T) {
	trail := t.TempDir()
	inBubble(t, server.Options{Bucket: server.Bucket{Dir: trail}}, func(t *testing.T, a *account, _ expected) {
		// A trail of one region, whose digests take less time.
		world, err := simulate.New(simulate.Config{Seed: 5, End: waitToday, Days: 7, Events: 1000, Regions: []string{"us-east-1"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := simulate.WriteTrail(t.Context(), world, trail, simulate.TrailOptions{Compress: true, Digests: true, Every: time.Hour}); err != nil {
			t.Fatal(err)
		}
		var list strings.Builder
		for _, id := range a.world.Accounts()[1:] {
			list.WriteString("- role_arn: arn:aws:iam::" + id + ":role/iamtrack-read\n")
		}
		accountsFile := filepath.Join(t.TempDir(), "accounts.yaml")
		if err := os.WriteFile(accountsFile, []byte(list.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range policyCases(accountsFile) {
			caller := a.policy(c.name, c.settings, c.args...)
			docs := []permission.Document{caller}
			if c.member {
				docs = append(docs, a.policy(c.name+"-member", c.settings, append(c.args, "--document", "member")...))
			}
			a.aws.ResetCounts()
			calls := a.calling(c, trail)
			for _, problem := range compareCalls(docs, calls) {
				t.Errorf("%s: %s", c.name, problem)
			}
			if c.member {
				own, others := a.asked()
				for who, pair := range map[string][2][]string{"caller": {own, actionsOf(caller)}, "member": {others, actionsOf(docs[1])}} {
					if d := cmp.Diff(pair[1], pair[0]); d != "" {
						t.Errorf("%s: %s (-policy +calls):\n%s", c.name, who, d)
					}
				}
			}
		}
	})
}

// policy runs permissions and compares with the file of that name.
func (a *account) policy(name, settings string, args ...string) permission.Document {
	a.t.Helper()
	a.fresh()
	if settings != "" {
		a.settings(settings)
	}
	out, stderr, code := a.run(a.t.Context(), append([]string{"permissions"}, args...)...)
	var d permission.Document
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != 0 {
		a.t.Fatalf("%s: exit code %d, %v\n%s%s", name, code, err, out, stderr)
	}
	if calls := a.recorded(); len(calls) != 0 {
		a.t.Errorf("permissions %q asked AWS: %v", args, calls)
	}
	file := filepath.Join("testdata", "permissions", name+".json")
	if *update {
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil { //nolint:gosec // a file of the repository
			a.t.Fatal(err)
		}
	} else if diff := cmp.Diff(read(a.t.(*testing.T), file), out); diff != "" {
		a.t.Errorf("%s is not what is printed (-file +printed); write it with -update:\n%s", file, diff)
	}
	return d
}

// calling runs what a policy is for, and returns what was asked of AWS.
func (a *account) calling(c policyCase, trail string) []awsapi.Call {
	a.t.Helper()
	var calls []awsapi.Call
	for _, r := range c.runs {
		a.fresh()
		if c.settings != "" {
			a.settings(c.settings)
		}
		args := slices.Clone(r.args)
		if i := slices.Index(args, "COPY"); i >= 0 {
			args[i] = trail
		}
		a.aws.SetFaults(r.faults)
		_, stderr, code := a.run(a.t.Context(), args...)
		a.aws.SetFaults(server.Faults{})
		if code != r.code {
			a.t.Errorf("%s: %q: exit code %d, want %d\n%s", c.name, args, code, r.code, stderr)
		}
		calls = append(calls, a.recorded()...)
		if r.decrypts {
			calls = append(calls, awsapi.Call{Action: "kms:Decrypt", Resource: kmsKey})
		}
		time.Sleep(time.Hour)
	}
	return calls
}

// asked are the actions that were asked for with the caller's credentials, and
// with those of other accounts.
func (a *account) asked() (own, others []string) {
	for _, c := range a.aws.Counts() {
		switch {
		case c.Operation == free:
		case c.Account == a.world.Accounts()[0]:
			own = append(own, c.Operation)
		default:
			others = append(others, c.Operation)
		}
	}
	slices.Sort(own)
	slices.Sort(others)
	return slices.Compact(own), slices.Compact(others)
}

// free needs no permission (AWS STS API Reference, "GetCallerIdentity").
const free = "sts:GetCallerIdentity"

func actionsOf(d permission.Document) (list []string) {
	for _, s := range d.Statement {
		list = append(list, s.Action...)
	}
	slices.Sort(list)
	return list
}

// compareCalls says which calls nothing permits, and which permissions nobody used.
func compareCalls(docs []permission.Document, calls []awsapi.Call) (problems []string) {
	used := map[string]bool{}
	for _, call := range calls {
		permitted := call.Action == free
		for _, d := range docs {
			for _, s := range d.Statement {
				for _, resource := range s.Resource {
					if slices.Contains(s.Action, call.Action) && resourceMatches(resource, call.Resource) {
						permitted, used[call.Action+" "+resource] = true, true
					}
				}
			}
		}
		if problem := "nothing permits " + call.Action + " on " + call.Resource; !permitted && !slices.Contains(problems, problem) {
			problems = append(problems, problem)
		}
	}
	for _, d := range docs {
		for _, s := range d.Statement {
			for _, action := range s.Action {
				for _, resource := range s.Resource {
					if !used[action+" "+resource] {
						problems = append(problems, "nobody needs "+action+" on "+resource)
					}
				}
			}
		}
	}
	return problems
}

// resourceMatches knows the wildcard of policies.
func resourceMatches(pattern, arn string) bool {
	expr := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")
	return regexp.MustCompile("^" + expr + "$").MatchString(arn)
}

// The comparison notices both kinds of difference.
func TestCompareCalls(t *testing.T) {
	d := permission.Document{Statement: []permission.Statement{{Action: []string{"a:B", "a:C"}, Resource: []string{"arn:x/*"}}}}
	got := compareCalls([]permission.Document{d}, []awsapi.Call{{Action: "a:B", Resource: "arn:x/1"}, {Action: "a:B", Resource: "arn:y"}, {Action: "a:D"}, {Action: free}})
	want := []string{"nothing permits a:B on arn:y", "nothing permits a:D on ", "nobody needs a:C on arn:x/*"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPermissionsUsage(t *testing.T) {
	a := newAccount(t, mustWorld(t), server.Options{}, time.Now)
	for args, want := range map[string]string{
		"":                         "needs a command",
		"colect":                   "did you mean collect?",
		"events":                   "events asks AWS for nothing: no permission is needed",
		"import":                   "import asks AWS for nothing with these settings",
		"import /tmp":              "no place in S3",
		"collect s3://x/":          "collect reads nothing from S3",
		"alerts":                   "alerts go to no SNS topic",
		"collect --document trust": "--principal",
		"collect --principal x":    "--document trust",
		"collect --document trust --principal me": "is not the ARN of a user or role",
		"collect --document x":                    `unknown document "x"`,
		"collect --partition moon":                `unknown partition "moon"`,
		"import s3://x/ --kms-key alias/x":        "--kms-key takes the ARN of a key",
		"import --document member":                "assumes no role",
	} {
		_, stderr, code := a.run(t.Context(), append([]string{"permissions"}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit code %d, want %q in\n%s", args, code, want, stderr)
		}
	}
	out, _, code := a.run(t.Context(), "permissions", "collect", "--regions", "cn-north-1", "--organization")
	if code != 0 || !strings.Contains(out, `"arn:aws-cn:iam::*:role/OrganizationAccountAccessRole"`) {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
