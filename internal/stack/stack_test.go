package stack

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/cost"
)

const oneChange = `<Changes><member><Type>Resource</Type><ResourceChange><Action>Modify</Action><LogicalResourceId>Table</LogicalResourceId><PhysicalResourceId>prod-Table</PhysicalResourceId><ResourceType>AWS::DynamoDB::Table</ResourceType><Replacement>True</Replacement><Scope><member>Properties</member></Scope></ResourceChange></member></Changes>`

var at = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func request(st awsapi.Stack) Request {
	return Request{
		Stack: st, Now: at, Program: []byte("the program"), Tags: map[string]string{"team": "sec"},
		Template: func(bucket, key string) string { return "template of " + bucket + " " + key },
		Values: []Value{
			{Name: "LogLevel", Value: "debug", Origin: "flag --parameter"}, {Name: "HotDays", Value: "9", Origin: FromStack}, {Name: "LakeDays", Value: "0", Origin: FromTemplate},
		},
	}
}

func find(t *testing.T, s *awsapi.Session) awsapi.Stack {
	t.Helper()
	st, err := Find(t.Context(), s, "prod")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func quiet(string) {}

// A stack is made: the bucket, the program, the template, the change set, and what
// happens until its end.
func TestMake(t *testing.T) {
	f, s := newFake(t)
	f.changeSet = strings.NewReplacer("Modify", "Add", "True", "").Replace(oneChange)
	f.onExecute = []step{
		{status: "REVIEW_IN_PROGRESS"},
		{status: "CREATE_IN_PROGRESS", events: []awsapi.StackEvent{{Resource: "prod", Type: "AWS::CloudFormation::Stack", Status: "CREATE_IN_PROGRESS"}}},
		{status: "CREATE_IN_PROGRESS", events: []awsapi.StackEvent{{Resource: "Table", Type: "AWS::DynamoDB::Table", Status: "CREATE_COMPLETE"}}},
		{status: "CREATE_COMPLETE", events: []awsapi.StackEvent{{Resource: "prod", Type: "AWS::CloudFormation::Stack", Status: "CREATE_COMPLETE"}}},
	}
	p, err := Prepare(t.Context(), s, request(find(t, s)), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Create || p.Nothing() || p.Changes[0].Action != "Add" || p.Changes[0].Resource != "Table" {
		t.Errorf("%+v", p)
	}
	bucket := "iamtrack-artifacts-111122223333-us-east-1"
	if f.buckets[bucket] != testAccount || !strings.Contains(string(f.objects[bucket+"?policy"]), "aws:SecureTransport") || strings.Count(string(f.objects[bucket+"?public"]), "true") != 4 {
		t.Errorf("the bucket is %q with %q", f.buckets, f.objects)
	}
	q := f.asked
	for name, want := range map[string]string{
		"ChangeSetType": "CREATE", "Capabilities.member.1": "CAPABILITY_IAM", "Capabilities.member.2": "CAPABILITY_AUTO_EXPAND",
		"Parameters.member.1.ParameterKey": "LogLevel", "Parameters.member.1.ParameterValue": "debug", "Parameters.member.1.UsePreviousValue": "",
		"Parameters.member.2.ParameterKey": "HotDays", "Parameters.member.2.ParameterValue": "", "Parameters.member.2.UsePreviousValue": "true",
		"Parameters.member.3.ParameterKey": "", "Tags.member.1.Key": "team",
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	template := string(f.objects[strings.TrimPrefix(mustPath(t, q.Get("TemplateURL")), "/")])
	if !regexp.MustCompile(`^template of ` + bucket + ` iamtrack/code-[0-9a-f]{32}\.zip$`).MatchString(template) {
		t.Errorf("template %q at %s", template, q.Get("TemplateURL"))
	}
	var seen []string
	out, err := p.Execute(t.Context(), s, func(e awsapi.StackEvent) { seen = append(seen, e.Resource+" "+e.Status) })
	if err != nil || out.Stack.Status != "CREATE_COMPLETE" {
		t.Fatalf("%+v, %v", out, err)
	}
	if diff := cmp.Diff([]string{"prod CREATE_IN_PROGRESS", "Table CREATE_COMPLETE", "prod CREATE_COMPLETE"}, seen); diff != "" {
		t.Error(diff)
	}

	// Again, with nothing to change: nothing is written, and no change set is left.
	f.failed = "The submitted information didn't contain changes. Submit different information to create a change set."
	f.calls = nil
	if p, err = Prepare(t.Context(), s, request(find(t, s)), quiet); err != nil || !p.Nothing() || p.Create {
		t.Errorf("%+v, %v", p, err)
	}
	if slices.Contains(f.calls, "s3:PutObject") || !slices.Contains(f.calls, "cloudformation:DeleteChangeSet") {
		t.Errorf("%q", f.calls)
	}
}

func mustPath(t *testing.T, text string) string {
	t.Helper()
	_, path, ok := strings.Cut(strings.TrimPrefix(text, "http://"), "/")
	if !ok {
		t.Fatalf("%q is no URL", text)
	}
	return "/" + path
}

// What failed is told by its cause, with what to do, and not by what followed from it.
func TestFailures(t *testing.T) {
	for reason, want := range map[string]string{
		"Resource handler returned message: \"User: x is not authorized to perform: iam:CreateRole on resource: y\"": "permissions aws deploy",
		"my-lake already exists": "--parameter BucketName=NAME",
		"The maximum number of tables is reached (Service: DynamoDb, LimitExceededException)": "Service Quotas",
		"Access to the KMS key is not allowed":                                                "KmsKeyArn",
		"Something odd":                                                                       "Something odd",
	} {
		f, s := newFake(t)
		f.changeSet = oneChange
		f.stack = awsapi.Stack{ID: testID, Status: "CREATE_COMPLETE"}
		f.events = []awsapi.StackEvent{{ID: "event-1", Resource: "Old", Status: "CREATE_FAILED", Reason: "long ago"}}
		f.onExecute = []step{{status: "UPDATE_IN_PROGRESS", events: []awsapi.StackEvent{
			{Resource: "Bucket", Type: "AWS::S3::Bucket", Status: "UPDATE_FAILED", Reason: reason},
			{Resource: "Table", Type: "AWS::DynamoDB::Table", Status: "UPDATE_FAILED", Reason: "Resource update cancelled"},
		}}, {status: "UPDATE_ROLLBACK_COMPLETE"}}
		p, err := Prepare(t.Context(), s, request(find(t, s)), quiet)
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.Execute(t.Context(), s, func(awsapi.StackEvent) {})
		if !errors.Is(err, ErrChangeFailed) || !strings.Contains(err.Error(), "UPDATE_ROLLBACK_COMPLETE") {
			t.Errorf("%s: %v", reason, err)
		}
		if len(out.Failures) != 1 || !strings.Contains(out.Failures[0].String(), want) || !strings.HasPrefix(out.Failures[0].String(), "Bucket (AWS::S3::Bucket): ") {
			t.Errorf("%s: %v", reason, out.Failures)
		}
	}
}

// Each permission that is missing is named, and nothing is changed without it.
func TestDenied(t *testing.T) {
	for action, want := range map[string]string{
		"cloudformation:DescribeStacks":      "cloudformation:DescribeStacks",
		"cloudformation:CreateChangeSet":     "cloudformation:CreateChangeSet",
		"cloudformation:DescribeChangeSet":   "cloudformation:DescribeChangeSet",
		"cloudformation:ExecuteChangeSet":    "cloudformation:ExecuteChangeSet",
		"cloudformation:DescribeStackEvents": "cloudformation:DescribeStackEvents",
		"s3:CreateBucket":                    "s3:CreateBucket on arn:aws:s3:::iamtrack-artifacts-111122223333-us-east-1",
		"s3:PutBucketPolicy":                 "s3:PutBucketPolicy",
		"s3:PutBucketPublicAccessBlock":      "s3:PutBucketPublicAccessBlock",
		"s3:PutObject":                       "s3:PutObject on arn:aws:s3:::iamtrack-artifacts-111122223333-us-east-1/iamtrack/code-",
	} {
		f, s := newFake(t)
		f.changeSet, f.onExecute = oneChange, []step{{status: "CREATE_IN_PROGRESS"}, {status: "CREATE_COMPLETE"}}
		f.deny[action] = true
		st, err := Find(t.Context(), s, "prod")
		if err == nil {
			var p *Plan
			if p, err = Prepare(t.Context(), s, request(st), quiet); err == nil {
				_, err = p.Execute(t.Context(), s, func(awsapi.StackEvent) {})
			}
		}
		if !errors.Is(err, awsapi.ErrDenied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", action, err)
		}
	}
}

func TestArtifacts(t *testing.T) {
	f, s := newFake(t)
	f.changeSet = oneChange
	const name = "iamtrack-artifacts-111122223333-us-east-1"
	f.buckets[name] = "999988887777"
	_, err := Prepare(t.Context(), s, request(awsapi.Stack{Name: "prod"}), quiet)
	if !errors.Is(err, awsapi.ErrTaken) || !strings.Contains(err.Error(), "--artifacts-bucket") {
		t.Errorf("another account's: %v", err)
	}
	if len(f.objects) != 0 {
		t.Errorf("something was written to another account's bucket: %v", f.objects)
	}
	r := request(awsapi.Stack{Name: "prod"})
	r.ArtifactsBucket = "mine"
	if _, err = Prepare(t.Context(), s, r, quiet); !errors.Is(err, awsapi.ErrNotFound) || !strings.Contains(err.Error(), "leave out --artifacts-bucket") {
		t.Errorf("one that isn't there: %v", err)
	}
	f.buckets["mine"] = testAccount
	if _, err = Prepare(t.Context(), s, r, quiet); err != nil {
		t.Error(err)
	}
	if f.objects["mine?policy"] != nil {
		t.Error("a bucket that was given is left as it is")
	}
}

// A change set that CloudFormation can't work out says why; dropped ones leave nothing.
func TestChangeSets(t *testing.T) {
	f, s := newFake(t)
	f.failed = "Transform AWS::Serverless-2016-10-31 failed with: Invalid Serverless Application Specification document."
	if _, err := Prepare(t.Context(), s, request(find(t, s)), quiet); err == nil || !strings.Contains(err.Error(), "Invalid Serverless Application") {
		t.Errorf("%v", err)
	}
	f.failed, f.changeSet = "", oneChange
	st := find(t, s)
	if standing, _ := StandingOf(st); standing != Absent {
		t.Errorf("in review: %v", st)
	}
	p, err := Prepare(t.Context(), s, request(st), quiet)
	if err != nil || !p.Create {
		t.Fatalf("%+v %v", p, err)
	}
	if err := p.Cancel(t.Context(), s); err != nil || f.stack.ID != "" {
		t.Errorf("%v, and there is %+v", err, f.stack)
	}
	f.stack = awsapi.Stack{ID: testID, Status: "CREATE_COMPLETE"}
	if p, err = Prepare(t.Context(), s, request(find(t, s)), quiet); err != nil {
		t.Fatal(err)
	}
	f.calls = nil
	if err := p.Cancel(t.Context(), s); err != nil || !cmp.Equal(f.calls, []string{"cloudformation:DeleteChangeSet"}) {
		t.Errorf("%v, %q", err, f.calls)
	}
}

func TestStandings(t *testing.T) {
	for status, want := range map[string]struct {
		standing Standing
		says     string
	}{
		"": {Absent, ""}, "REVIEW_IN_PROGRESS": {Absent, ""}, "DELETE_COMPLETE": {Absent, ""},
		"CREATE_COMPLETE": {Ready, ""}, "UPDATE_ROLLBACK_COMPLETE": {Ready, ""},
		"ROLLBACK_COMPLETE": {Ruined, "can only be deleted"}, "CREATE_FAILED": {Ruined, "can only be deleted"}, "DELETE_FAILED": {Ruined, "must be repeated: its state is DELETE_FAILED (why)"},
		"UPDATE_IN_PROGRESS": {Busy, "UPDATE_IN_PROGRESS"}, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": {Busy, ""},
		"UPDATE_ROLLBACK_FAILED": {Blocked, "continue-update-rollback --stack-name prod"}, "UPDATE_FAILED": {Blocked, "rollback-stack --stack-name prod"},
		"IMPORT_ROLLBACK_FAILED": {Blocked, "console"}, "MOON": {Blocked, "doesn't know"},
	} {
		got, says := StandingOf(awsapi.Stack{Name: "prod", Status: status, Reason: "why."})
		if got != want.standing || !strings.Contains(says, want.says) || got > Ready && says == "" {
			t.Errorf("%s: %v, %q", status, got, says)
		}
	}
	for version, want := range map[string]string{"1": "", "99": "use a newer iamtrack", "x": "no number"} {
		err := Foreign(awsapi.Stack{Name: "prod", Status: "CREATE_COMPLETE", Outputs: map[string]string{deploy.OutputVersion: version}})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("version %s: %v", version, err)
		}
	}
	if err := Foreign(awsapi.Stack{Name: "prod", Status: "CREATE_COMPLETE"}); err == nil || !strings.Contains(err.Error(), "isn't one of iamtrack's") {
		t.Errorf("%v", err)
	}
	if err := Foreign(awsapi.Stack{Name: "prod", Status: "ROLLBACK_COMPLETE"}); err != nil {
		t.Errorf("never made: %v", err)
	}
}

// An interrupt ends the watching; the next run goes on with what it finds.
func TestInterrupted(t *testing.T) {
	f, s := newFake(t)
	f.stack = awsapi.Stack{ID: testID, Status: "CREATE_IN_PROGRESS"}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	f.advance(step{status: "CREATE_IN_PROGRESS", events: []awsapi.StackEvent{{Resource: "Table", Status: "CREATE_IN_PROGRESS"}}})
	if _, err := Watch(ctx, s, testID, "", func(awsapi.StackEvent) { cancel(stop) }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	f.pending = []step{{status: "CREATE_IN_PROGRESS"}, {status: "CREATE_COMPLETE", events: []awsapi.StackEvent{{Resource: "Table", Status: "CREATE_COMPLETE"}}}}
	n := 0
	out, err := Watch(t.Context(), s, testID, "", func(awsapi.StackEvent) { n++ })
	if err != nil || out.Stack.Status != "CREATE_COMPLETE" || n != 2 {
		t.Errorf("%+v, %v, %d events", out, err, n)
	}
}

func TestDelete(t *testing.T) {
	f, s := newFake(t)
	f.stack = awsapi.Stack{ID: testID, Status: "CREATE_COMPLETE", Parameters: map[string]string{"DeleteData": "false", "LogLevel": "info"}}
	f.resources = []awsapi.StackResource{
		{Resource: "Table", PhysicalID: "prod-Table-1", Type: "AWS::DynamoDB::Table"}, {Resource: "Bucket", PhysicalID: "prod-lake", Type: "AWS::S3::Bucket"}, {Resource: "Role", PhysicalID: "r", Type: "AWS::IAM::Role"},
	}
	f.buckets["prod-lake"], f.versions["prod-lake"] = testAccount, 5
	kept, err := Keeps(t.Context(), s, find(t, s))
	want := []Kept{
		{"AWS::DynamoDB::Table", "prod-Table-1", []string{"aws dynamodb delete-table --table-name prod-Table-1 --region us-east-1"}},
		{"AWS::S3::Bucket", "prod-lake", []string{"aws s3 rm s3://prod-lake --recursive --region us-east-1", "aws s3api delete-bucket --bucket prod-lake --region us-east-1"}},
	}
	if diff := cmp.Diff(want, kept); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	event := func(status string) []awsapi.StackEvent {
		return []awsapi.StackEvent{{Resource: "prod", Type: "AWS::CloudFormation::Stack", Status: status}}
	}
	gone := []step{{status: "DELETE_IN_PROGRESS", events: event("DELETE_IN_PROGRESS")}, {status: "DELETE_COMPLETE", events: event("DELETE_COMPLETE")}}
	o := DeleteOptions{Now: at, Step: quiet, See: func(awsapi.StackEvent) {}}
	f.onDelete = [][]step{gone}
	if _, err := Delete(t.Context(), s, find(t, s), o); err != nil {
		t.Fatal(err)
	}
	if f.versions["prod-lake"] != 5 || f.asked != nil {
		t.Error("data was touched that nobody wanted deleted")
	}

	// With its data: the stack learns that it goes, the bucket is emptied, once more
	// when a function was still writing.
	f.stack.Status, f.changeSet = "CREATE_COMPLETE", oneChange
	f.onExecute = []step{{status: "UPDATE_IN_PROGRESS"}, {status: "UPDATE_COMPLETE"}}
	f.onDelete = [][]step{{
		{status: "DELETE_IN_PROGRESS", events: event("DELETE_IN_PROGRESS")},
		{status: "DELETE_FAILED", events: []awsapi.StackEvent{{Resource: "Bucket", Type: "AWS::S3::Bucket", Status: "DELETE_FAILED", Reason: "The bucket you tried to delete is not empty"}}},
	}, gone}
	o.Data = true
	o.Step = func(text string) {
		if strings.Contains(text, "more objects") {
			f.mu.Lock()
			f.versions["prod-lake"] = 1
			f.mu.Unlock()
		}
	}
	out, err := Delete(t.Context(), s, find(t, s), o)
	if err != nil || out.Stack.Status != "DELETE_COMPLETE" {
		t.Fatalf("%+v %v", out, err)
	}
	if f.versions["prod-lake"] != 0 || f.asked.Get("UsePreviousTemplate") != "true" || f.asked.Get("Parameters.member.1.ParameterValue") != "true" || f.asked.Get("Parameters.member.2.UsePreviousValue") != "true" {
		t.Errorf("%d objects are left; asked %v", f.versions["prod-lake"], f.asked)
	}

	// What can't be deleted is said.
	f.stack.Status = "ROLLBACK_COMPLETE"
	f.onDelete = [][]step{{
		{status: "DELETE_IN_PROGRESS", events: event("DELETE_IN_PROGRESS")},
		{status: "DELETE_FAILED", events: []awsapi.StackEvent{{Resource: "Role", Type: "AWS::IAM::Role", Status: "DELETE_FAILED", Reason: "Access denied"}}},
	}}
	out, err = Delete(t.Context(), s, find(t, s), o)
	if !errors.Is(err, ErrChangeFailed) || len(out.Failures) != 1 {
		t.Errorf("%+v %v", out, err)
	}
}

// What the template keeps is what a deletion says that it keeps.
func TestKeepers(t *testing.T) {
	types := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^    Type: (\S+)\n(?:    [^ ].*\n)*?    DeletionPolicy: .*Retain.*$`).FindAllStringSubmatch(deploy.Template, -1) {
		if m[1] != "AWS::S3::BucketPolicy" { // goes with its bucket
			types[m[1]] = true
		}
	}
	for name := range keepers {
		if !types[name] {
			t.Errorf("the template keeps no %s", name)
		}
		delete(types, name)
	}
	if len(types) > 0 {
		t.Errorf("the template keeps %v, and no deletion says so", types)
	}
}

func TestCollect(t *testing.T) {
	now := func() time.Time { return at }
	f, s := newFake(t)
	f.functions["tracker"] = []string{
		`{"stored":10,"unfinished":true,"missing_seconds":90,"promised_seconds":100,"read_back_to":"2026-11-20T00:00:00Z"}`,
		"busy",
		`{"errorMessage":"2026 Task timed out after 300.00 seconds"}`,
		`{"stored":0,"unfinished":true,"missing_seconds":40,"promised_seconds":100,"read_back_to":"2026-11-01T00:00:00Z"}`,
		`{"stored":5,"unfinished":false,"missing_seconds":0,"promised_seconds":100,"read_back_to":"2026-08-24T00:00:00Z"}`,
	}
	var shares []float64
	got, err := Collect(t.Context(), s, "tracker", now, func(f Filling) { shares = append(shares, f.Share()) })
	if err != nil || got.Stored != 15 || got.Runs != 5 {
		t.Errorf("%+v %v", got, err)
	}
	if diff := cmp.Diff([]float64{0.09999999999999998, 0.09999999999999998, 0.09999999999999998, 0.6, 1}, shares); diff != "" {
		t.Error(diff)
	}
	f.functions["tracker"] = []string{`{"unfinished":false,"problems":2,"missing_seconds":50,"promised_seconds":100}`}
	if _, err := Collect(t.Context(), s, "tracker", now, func(Filling) {}); !errors.Is(err, ErrStuck) {
		t.Errorf("%v", err)
	}
	f.functions["tracker"] = []string{`{"errorMessage":"nothing could be read: access denied"}`}
	if _, err := Collect(t.Context(), s, "tracker", now, func(Filling) {}); err == nil || !strings.Contains(err.Error(), "nothing could be read: access denied") {
		t.Errorf("%v", err)
	}
}

func TestExport(t *testing.T) {
	f, s := newFake(t)
	f.functions["exporter"] = []string{`{"written":5,"dirty_days":3,"unfinished":true}`, `{"busy":true,"dirty_days":0}`, `{"busy":true,"dirty_days":3}`, `{"written":3,"dirty_days":0}`}
	n := 0
	if err := Export(t.Context(), s, "exporter", func(Exported) { n++ }); err != nil || n != 4 {
		t.Errorf("%v after %d", err, n)
	}
	f.functions["exporter"] = []string{`{"dirty_days":3}`}
	if err := Export(t.Context(), s, "exporter", func(Exported) {}); !errors.Is(err, ErrStuck) || !strings.Contains(err.Error(), "3 days") {
		t.Errorf("%v", err)
	}
}

func TestTestAlerts(t *testing.T) {
	f, s := newFake(t)
	f.functions["notifier"] = []string{`{"tested":[{"channel":"topic","type":"sns","ok":true,"error":"","seconds":0.2}]}`, `{"sent":0,"failed":0,"pending":0}`}
	got, err := TestAlerts(t.Context(), s, "notifier", nil)
	if diff := cmp.Diff([]Tested{{Channel: "topic", Type: "sns", OK: true, Seconds: 0.2}}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := TestAlerts(t.Context(), s, "notifier", nil); err == nil || !strings.Contains(err.Error(), "aws update") {
		t.Errorf("an older program: %v", err)
	}
}

func TestZip(t *testing.T) {
	program := bytes.Repeat([]byte("program "), 1000)
	a, err := Zip(program)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Zip(program)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("the same program gives other bytes: %v", err)
	}
	r, err := zip.NewReader(bytes.NewReader(a), int64(len(a)))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.File) != 1 || r.File[0].Name != "bootstrap" || r.File[0].Mode() != 0o755 {
		t.Fatalf("%+v", r.File[0].FileHeader)
	}
	c, err := r.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, program) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestCheckProgram(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-o", file, filepath.Join(dir, "main.go"))
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckProgram(program, ARM); err != nil {
		t.Error(err)
	}
	for want, c := range map[string]struct {
		program []byte
		arch    string
	}{
		"it is built for arm64, and the parameter Architecture is x86_64": {program, X86},
		`there is no architecture "mips"`:                                 {program, "mips"},
		"it is no program for Linux":                                      {[]byte("#!/bin/sh"), ARM},
	} {
		if err := CheckProgram(c.program, c.arch); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{"ScheduleExpression": "schedule_expression", "SSORegion": "sso_region", "ProcessIAMEvents": "process_iam_events", "FilterAWSServiceEvents": "filter_aws_service_events", "HotDays": "hot_days"} {
		if got := snake(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// A stack that has a lake keeps it: without, what is older than its table would be lost to
// those who ask.
func TestLakeStays(t *testing.T) {
	template, err := deploy.Parameters(deploy.Template)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ had, given, want string }{{"true", "false", "can't do without"}, {"true", "true", ""}, {"false", "true", ""}, {"false", "false", ""}} {
		_, err := Values(template, Inputs{Given: []string{"EnableAnalytics=" + c.given}, Stack: awsapi.Stack{Parameters: map[string]string{"EnableAnalytics": c.had}}})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestValues(t *testing.T) {
	template, err := deploy.Parameters(deploy.Template)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(slices.Clone(legacyNames), deletesData) {
		if !slices.ContainsFunc(template, func(p deploy.Parameter) bool { return p.Name == name }) {
			t.Errorf("the template has no parameter %s", name)
		}
	}
	env := map[string]string{"SCHEDULE_EXPRESSION": "rate(1 hour)", "BUCKET_NAME": "not-for-us", "IAMTRACK_BUCKET_NAME": "our-lake", "MAX_WORKERS": "4", "SSO_REGION": "", "IAMTRACK_HOT_DAYS": "90", "DELETE_DATA": "true"}
	in := Inputs{
		Given:     []string{"MaxWorkers=8", "hotdays=3"},
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Settings: []config.Setting{
			{Key: "off_hours_start", Value: "20:00", Origin: "/etc/iamtrack.yaml:3"}, {Key: "off_hours_end", Value: "06:00", Origin: "default"}, {Key: "lake_days", Value: "30", Origin: "/etc/iamtrack.yaml:4"},
		},
		Stack: awsapi.Stack{Parameters: map[string]string{"OffHoursStart": "21:00", "OffHoursEnd": "07:00", "Retired": "x"}},
	}
	values, err := Values(template, in)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range values {
		got[v.Name] = v.Value + " (" + v.Origin + ")"
	}
	for name, want := range map[string]string{
		"ScheduleExpression": "rate(1 hour) (environment SCHEDULE_EXPRESSION)", "BucketName": "our-lake (environment IAMTRACK_BUCKET_NAME)",
		"MaxWorkers": "8 (flag --parameter)", "HotDays": "3 (flag --parameter)", "SSORegion": " (default)", "LakeDays": "0 (default)", "DeleteData": "false (default)",
		"OffHoursStart": "20:00 (/etc/iamtrack.yaml:3)", "OffHoursEnd": "07:00 (the stack)",
	} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	for given, want := range map[string]string{
		"MaxWorkers=33":                 "parameter MaxWorkers: \"33\" is too large: the most is 32 (flag --parameter)",
		"ScheduleExpression=every hour": "is no schedule",
		"ScheduleExpression=rate(1 day": "",
		"MaxWorker=3":                   "did you mean MaxWorkers?",
		"Xyzzy=3":                       "its parameters are",
		"MaxWorkers":                    "use NAME=VALUE",
		"BillingMode=cheap":             "use PROVISIONED, PAY_PER_REQUEST",
		"KmsKeyArn=alias/x":             "arn:aws:kms",
	} {
		_, err := Values(template, Inputs{Given: []string{given}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", given, err)
		}
	}
	if _, err := Values(template, Inputs{Given: []string{"MaxWorkers=3", "maxworkers=4"}}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("%v", err)
	}
	if _, err := Values([]deploy.Parameter{{Name: "Needed", Type: "String", Required: true, Description: "What for."}}, Inputs{}); err == nil || !strings.Contains(err.Error(), "--parameter Needed=VALUE (What for.)") {
		t.Errorf("%v", err)
	}
}

func TestAlarmsAreCounted(t *testing.T) {
	if got, want := strings.Count(deploy.Template, "Type: AWS::CloudWatch::Alarm\n"), cost.DefaultUnits().AllAlarms; float64(got) != want {
		t.Errorf("%d alarms, and the cost page is computed with %v", got, want)
	}
}
