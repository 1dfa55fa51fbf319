package callstest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

func TestNames(t *testing.T) {
	r := Recorder{Names: map[string]string{
		"arn:aws:dynamodb:eu-west-1:*:table/t": "table", "arn:aws:s3:::b": "bucket", "arn:aws:sns:eu-west-1:111122223333:a": "topic",
	}}
	for call, want := range map[awsapi.Call]string{
		{Action: "dynamodb:PutItem", Resource: "arn:aws:dynamodb:eu-west-1:*:table/t"}:               "store dynamodb:PutItem table",
		{Action: "dynamodb:Query", Resource: "arn:aws:dynamodb:eu-west-1:*:table/t/index/principal"}: "tracker dynamodb:Query table/index/principal",
		{Action: "dynamodb:Query", Resource: "arn:aws:dynamodb:eu-west-1:*:table/t2"}:                "tracker dynamodb:Query arn:aws:dynamodb:eu-west-1:*:table/t2",
		{Action: "s3:ListBucket", Resource: "arn:aws:s3:::b"}:                                        "ingest s3:ListBucket bucket",
		{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/inbox/2026-11-22/x.zst"}:                  "ingest s3:GetObject bucket/inbox/*",
		{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/README"}:                                  "ingest s3:GetObject bucket/README",
		{Action: "sns:Publish", Resource: "arn:aws:sns:eu-west-1:111122223333:a"}:                    "tracker sns:Publish topic",
		{Action: "cloudtrail:LookupEvents", Resource: "trail"}:                                       "tracker cloudtrail:LookupEvents *",
		{Action: "sts:GetCallerIdentity"}:                                                            "",
	} {
		l, ok := r.Line("tracker", call)
		if got := l.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%v: %q, want %q", call, got, want)
		}
	}
}

// failures counts what a check finds.
type failures struct {
	testing.TB
	texts []string
}

func (f *failures) Helper() {}

func (f *failures) Errorf(format string, args ...any) {
	for _, a := range args {
		f.texts = append(f.texts, a.(Line).String())
	}
}

// A call that isn't in the list is found, and a line that nobody needed.
func TestCheck(t *testing.T) {
	old := text
	defer func() { text = old }()
	text = "# why\n\nexporter s3:GetObject bucket/events/*\ntracker s3:ListBucket bucket\nstore dynamodb:Query table\n"
	r := Recorder{Names: map[string]string{"arn:aws:s3:::b": "bucket"}}
	r.As("exporter")(awsapi.Call{Action: "s3:PutObject", Resource: "arn:aws:s3:::b/events/x"})
	var f failures
	r.Check(&f, "exporter")
	if d := cmp.Diff([]string{"exporter s3:PutObject bucket/events/*", "exporter s3:GetObject bucket/events/*"}, f.texts); d != "" {
		t.Error(d)
	}
	var needs []string
	for _, l := range Needs("exporter") {
		needs = append(needs, l.String())
	}
	if d := cmp.Diff([]string{" dynamodb:Query table", " s3:GetObject bucket/events/*", " s3:GetObjectVersion bucket/events/*"}, needs); d != "" {
		t.Error(d)
	}
}

// The list has no line twice, and no resource that is one machine's.
func TestList(t *testing.T) {
	lines := Lines()
	for i, l := range lines {
		if strings.Contains(l.Resource, "arn:") || !strings.Contains(l.Action, ":") || slices.Contains(lines[:i], l) {
			t.Errorf("%v", l)
		}
	}
}

// An object of any folder may have some MB, and is read by its version then, and written
// in parts: an inbox object has whatever came in a run.
func TestLargeObjects(t *testing.T) {
	for _, who := range []string{"tracker", "realtime", "exporter", "notifier"} {
		needs := Needs(who)
		for _, l := range Of(who) {
			more, ok := map[string]string{"s3:GetObject": "s3:GetObjectVersion", "s3:PutObject": "s3:AbortMultipartUpload"}[l.Action]
			if ok && strings.HasPrefix(l.Resource, "bucket/") && !slices.Contains(needs, Line{Action: more, Resource: l.Resource}) {
				t.Errorf("%s may %s, and not %s", who, l, more)
			}
		}
	}
}
