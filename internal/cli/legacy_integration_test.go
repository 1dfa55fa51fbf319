//go:build integration

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/permission"
)

// A table of the earlier tool in a real DynamoDB, of several pages, is imported whole,
// with the permissions that `iamtrack permissions` prints.
func TestLegacyTableOverPeers(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": peers.AccessKeyID, "AWS_SECRET_ACCESS_KEY": peers.SecretAccessKey, "AWS_REGION": peers.Region, "AWS_ENDPOINT_URL_DYNAMODB": peers.DynamoDB(t),
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	session, err := awsapi.Open(t.Context(), awsapi.Config{})
	if err != nil {
		t.Fatal(err)
	}
	db := session.DynamoDB("")
	create := func(name string, keys ...string) {
		t.Helper()
		in := &dynamodb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest}
		for i, k := range keys {
			in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: aws.String(k), KeyType: []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i]})
			in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String(k), AttributeType: types.ScalarAttributeTypeS})
		}
		if _, err := db.CreateTable(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	const table = "iam-activity-tracker-events"
	create(table, "event_date", "event_id")
	create("iam-activity-tracker-control", "region")
	const events = 1200 // of some 2 KB: three pages
	long := strings.Repeat("x", 1500)
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	var writes []types.WriteRequest
	for n := range events {
		at := time.Date(2026, 11, 1+n%20, 10, n/60%60, n%60, 0, time.UTC)
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: map[string]types.AttributeValue{
			"event_date": text(at.Format(time.DateOnly)), "event_id": text(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)), "event_time": text(at.Format("2006-01-02T15:04:05+00:00")),
			"event_name": text("CreateUser"), "event_source": text("iam.amazonaws.com"), "event_type": text("iam"), "aws_region": text("us-east-1"),
			"user_name": text("ann"), "source_ip": text("198.51.100.7"), "user_agent": text(long), "request_parameters": text(`{"userName": "new"}`),
			"response_elements": text("null"), "error_code": &types.AttributeValueMemberNULL{Value: true}, "error_message": &types.AttributeValueMemberNULL{Value: true},
		}}})
	}
	for part := range slices.Chunk(writes, 25) {
		if _, err := db.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: part}}); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(t.TempDir(), "data")
	var mu sync.Mutex
	asked := map[string]bool{}
	tell := func(args ...string) (string, string, int) {
		var out, errs bytes.Buffer
		e := &env{
			stdin: strings.NewReader(""), stdout: &out, stderr: &errs, version: "v0.0.0-test",
			now:       func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) },
			lookupEnv: func(string) (string, bool) { return "", false },
			openAWS: func(ctx context.Context, c config.Config) (*awsapi.Session, error) {
				return awsapi.Open(ctx, awsapi.Config{Region: c.AWSRegion, Record: func(c awsapi.Call) {
					mu.Lock()
					defer mu.Unlock()
					asked[c.Action] = true
				}})
			},
		}
		code := run(context.Background(), e, append(args, "--data-dir", data))
		return out.String(), errs.String(), code
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--from-legacy-table", table}, "not known whose events"}, // an emulator's account is zeros
		{[]string{"--from-legacy-table", "none", "--account", "111122223333"}, "there is no table none in " + peers.Region},
		{[]string{"--from-legacy-table", "iam-activity-tracker-control", "--account", "111122223333"}, "has the keys region"},
	} {
		if _, stderr, code := tell(append([]string{"import"}, c.args...)...); code != exitFailed || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit code %d\n%s", c.args, code, stderr)
		}
	}
	clear(asked)
	stdout, stderr, code := tell("import", "--from-legacy-table", table, "--account", "111122223333", "--read-units", "0", "--format", "json")
	if code != exitDone || !strings.Contains(stderr, "rows have no userIdentity") {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	var sum importView
	if err := json.Unmarshal([]byte(stdout), &sum); err != nil || sum.Records != events || sum.Stored != events || sum.Rejected != 0 || sum.Legacy == nil || sum.Legacy.Table != table || len(sum.Legacy.Missing) == 0 {
		t.Errorf("%v\n%s", err, stdout)
	}
	policy, err := permission.Caller(permission.Import, permission.Options{LegacyTable: table})
	if err != nil || len(policy.Statement) != 1 {
		t.Fatal(policy, err)
	}
	if want := policy.Statement[0].Action; len(asked) != len(want) || !asked[want[0]] || !asked[want[1]] {
		t.Errorf("asked for %v, permitted is %v", asked, want)
	}
	if stdout, stderr, code = tell("events", "--event-name", "CreateUser", "--limit", "1"); code != exitDone || !strings.Contains(stdout, "ann") {
		t.Errorf("events: exit code %d\n%s%s", code, stdout, stderr)
	}
	t.Log(stdout)
}
