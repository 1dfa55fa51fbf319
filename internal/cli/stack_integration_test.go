//go:build integration

package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/permission"
	"github.com/iamtrack/iamtrack/internal/store/dynamo"
)

// The commands on a stack over a real DynamoDB and a real S3 server answer as on a
// data directory, and see what the exporter hasn't merged yet only when it has.
func TestStackOverPeers(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	front := newStack(t, now, lake.OpenMem()) // CloudFormation, whose outputs name the peers' parts
	db, s3 := peers.DynamoDB(t), peers.S3(t)
	const table, bucket = "events", "lake"
	peers.S3Bucket(t, s3, bucket, true)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": peers.AccessKeyID, "AWS_SECRET_ACCESS_KEY": peers.SecretAccessKey, "AWS_REGION": peers.Region,
		"AWS_ENDPOINT_URL": front.aws.URL, "AWS_ENDPOINT_URL_DYNAMODB": db, "AWS_ENDPOINT_URL_S3": s3,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	session, err := awsapi.Open(t.Context(), awsapi.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := dynamo.Create(t.Context(), session.DynamoDB(""), table, dynamo.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	trail := trailOf(t, now)
	local := teller(t, filepath.Join(t.TempDir(), "data"))
	if _, stderr, code := local("import", trail); code != exitDone {
		t.Fatalf("import: exit code %d\n%s", code, stderr)
	}
	cfg, err := config.Load(config.Input{Flags: map[string]string{"data-dir": t.TempDir()}, LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.OpenStack(t.Context(), cfg, session, app.Parts{Stack: "prod", Table: table, Bucket: bucket}, app.Options{Command: "tracker", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := a.Pipeline.Import(t.Context(), collect.ImportOptions{Paths: []string{trail}}); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	var mu sync.Mutex
	asked := map[string]bool{}  // actions
	ever := map[string]bool{}   // by some command
	needed := map[string]bool{} // by some command, of the table and the bucket
	deployed := func(args ...string) (stdout, stderr string, code int) {
		var out, errs bytes.Buffer
		e := &env{
			stdin: strings.NewReader(""), stdout: &out, stderr: &errs, version: "v0.0.0-test", now: func() time.Time { return now },
			openAWS: func(ctx context.Context, c config.Config) (*awsapi.Session, error) {
				return awsapi.Open(ctx, awsapi.Config{Region: c.AWSRegion, Record: func(c awsapi.Call) {
					mu.Lock()
					defer mu.Unlock()
					asked[c.Action] = true
				}})
			},
		}
		e.lookupEnv = func(name string) (string, bool) {
			if name == "IAMTRACK_DATA_DIR" {
				return data, true
			}
			return "", false
		}
		code = run(context.Background(), e, append(args, "--stack", "prod"))
		return strings.ReplaceAll(out.String(), "iamtrack --stack prod ", "iamtrack "), errs.String(), code
	}
	if stdout, stderr, code := deployed("events", "--limit", "1"); code != exitDone || !strings.Contains(stdout, "not in the lake yet") {
		t.Errorf("before the first export: exit code %d\n%s%s", code, stdout, stderr)
	}
	clear(asked)
	if _, err := a.Pipeline.Export(t.Context(), collect.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	stdout, _, _ := local("alerts", "list", "--format", "csv")
	_, row, _ := strings.Cut(stdout, "\n")
	alert, _, _ := strings.Cut(row, ",")
	for _, args := range [][]string{
		{"events"}, {"events", "--outcome", "denied", "--format", "csv", "--limit", "0"}, {"who", "AssumeRole"}, {"who", "CreateUser", "--format", "json"},
		{"alerts", "list"}, {"alerts", "show", alert}, {"query", "user_lookup", "--engine", "duckdb"}, {"verify"},
		{"sql", "SELECT reason, count(*) AS n FROM filtered GROUP BY reason ORDER BY reason", "--engine", "duckdb"},
	} {
		locally, _, _ := strings.Cut(strings.Join(args, "\x00"), "\x00--engine")
		want, stderr, code := local(strings.Split(locally, "\x00")...)
		if code != exitDone {
			t.Fatalf("%q: exit code %d\n%s", args, code, stderr)
		}
		got, stderr, code := deployed(args...)
		policy, err := permission.OnStack(args[0], permission.Stack{Partition: "aws", Name: "prod", Table: table, Bucket: bucket}, false, true, permission.Options{})
		if err != nil {
			t.Fatal(err)
		}
		may := map[string]bool{}
		for _, s := range policy.Statement {
			for _, action := range s.Action {
				may[action] = true
				// Files of the lake are read by their version from 4 MB on.
				if !slices.Contains([]string{"dynamodb:UpdateItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "s3:GetObjectVersion"}, action) {
					needed[action] = true
				}
			}
		}
		for action := range asked {
			if !may[action] {
				t.Errorf("%q asks for %s, which its policy doesn't permit", args, action)
			}
			ever[action] = true
		}
		clear(asked)
		if code != exitDone {
			t.Errorf("%q: exit code %d\n%s", args, code, stderr)
			continue
		}
		if diff := cmp.Diff(want, dropFreshness(got)); diff != "" {
			t.Errorf("%q: (-data directory +stack)\n%s", args, diff)
		}
	}
	stdout, stderr, code := deployed("status")
	if code != exitDone || !strings.Contains(stdout, "s3://lake") || !strings.Contains(stdout, "table") {
		t.Errorf("status: exit code %d\n%s%s", code, stdout, stderr)
	}
	t.Log(stdout)
	for action := range needed {
		if !ever[action] {
			t.Errorf("policies permit %s, and no command asks for it", action)
		}
	}
}
