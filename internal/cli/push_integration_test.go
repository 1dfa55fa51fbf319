//go:build integration

package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
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

// A data directory is pushed to a real DynamoDB and a real S3 server, while an exporter
// is at work, and pulled into another one, which then answers alike; with no more
// permissions than `iamtrack permissions push` and `pull` print.
func TestPushOverPeers(t *testing.T) {
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
	data, local := filled(t, now)
	var mu sync.Mutex
	asked := map[string]bool{} // actions
	move := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		e := &env{
			stdin: strings.NewReader(""), stdout: &out, stderr: &errs, version: "v0.0.0-test", now: func() time.Time { return now },
			lookupEnv: func(string) (string, bool) { return "", false },
			openAWS: func(ctx context.Context, c config.Config) (*awsapi.Session, error) {
				return awsapi.Open(ctx, awsapi.Config{Region: c.AWSRegion, Record: func(c awsapi.Call) {
					mu.Lock()
					defer mu.Unlock()
					asked[c.Action] = true
				}})
			},
		}
		clear(asked)
		if code := run(context.Background(), e, append(args, "--stack", "prod")); code != exitDone {
			t.Fatalf("%q: exit code %d\n%s%s", args, code, out.String(), errs.String())
		}
		policy, err := permission.OnStack(args[0], permission.Stack{Partition: "aws", Name: "prod", Table: table, Bucket: bucket}, false, true, permission.Options{})
		if err != nil {
			t.Fatal(err)
		}
		may := map[string]bool{}
		for _, s := range policy.Statement {
			for _, action := range s.Action {
				may[action] = true
			}
		}
		for action := range asked {
			if !may[action] {
				t.Errorf("%q asks for %s, which its policy doesn't permit", args, action)
			}
		}
		if args[0] == "push" && args[len(args)-1] == data {
			for action := range may {
				switch action {
				// Files of the lake are read by their version from 4 MB on; uploads are given up,
				// and contradicting indexes are removed, when something goes wrong.
				case "s3:GetObjectVersion", "s3:AbortMultipartUpload", "s3:DeleteObject":
				default:
					if !asked[action] && strings.Contains(out.String(), "new to") {
						t.Errorf("push asks for no %s, which its policy permits", action)
					}
				}
			}
		}
		return out.String()
	}
	cfg, err := config.Load(config.Input{Flags: map[string]string{"data-dir": t.TempDir()}, LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := app.OpenStack(t.Context(), cfg, session, app.Parts{Stack: "prod", Table: table, Bucket: bucket}, app.Options{Command: "tracker", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tracker.Close(); err != nil {
			t.Error(err)
		}
	}()
	// The tracker has some of it, which waits in the inbox, and its exporter works beside.
	line := `{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","userName":"alice","accountId":"111122223333","arn":"arn:aws:iam::111122223333:user/alice"},"eventTime":"2026-11-22T11:00:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateUser","awsRegion":"us-east-1","sourceIPAddress":"198.51.100.7","userAgent":"aws-cli/2","requestParameters":{"userName":"mallory"},"responseElements":null,"eventID":"00000000-0000-4000-8000-000000000001","recipientAccountId":"111122223333"}`
	if _, err := tracker.Pipeline.Ingest(t.Context(), []collect.Live{{Data: []byte(line), From: "test"}}); err != nil {
		t.Fatal(err)
	}
	exported := make(chan error, 1)
	go func() {
		_, err := tracker.Pipeline.Export(context.WithoutCancel(t.Context()), collect.ExportOptions{Wait: true})
		exported <- err
	}()
	stdout := move("push", "--data-dir", data)
	if err := <-exported; err != nil {
		t.Fatal(err)
	}
	t.Log(stdout)
	if stdout = move("push", "--data-dir", data); !strings.HasPrefix(stdout, "nothing to push") {
		t.Errorf("a second push:\n%s", stdout)
	}
	// The tracker's own event comes along.
	if stdout = move("pull", "--data-dir", data); !strings.HasPrefix(stdout, "1 event new to the data directory") {
		t.Errorf("pull:\n%s", stdout)
	}
	fresh := filepath.Join(t.TempDir(), "copy")
	t.Log(move("pull", "--data-dir", fresh))
	copied := teller(t, fresh)
	for _, args := range [][]string{
		{"sql", "SELECT * FROM events ORDER BY account_id, event_time, event_id", "--format", "json"},
		{"sql", "SELECT * FROM filtered ORDER BY account_id, event_time, event_id, reason", "--format", "csv"},
		{"alerts", "list", "--format", "json"}, {"status", "--rejected", "--format", "json"},
	} {
		want, stderr, code := local(args...)
		if code != exitDone {
			t.Fatalf("%q: exit code %d\n%s", args, code, stderr)
		}
		if got, stderr, code := copied(args...); code != exitDone || got != want {
			t.Errorf("%q of the copy: exit code %d\n%s", args, code, stderr)
		}
	}
	want, _, _ := local("status", "--format", "json")
	got, _, _ := copied("status", "--format", "json")
	if diff := cmp.Diff(told(t, want), told(t, got)); diff != "" {
		t.Errorf("status of the copy (-want +got):\n%s", diff)
	}
}
