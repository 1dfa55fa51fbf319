//go:build integration

package function_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/function/runtimetest"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/s3lake"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/store/dynamo"
)

// deployed is a stack of real peers, and the program that AWS Lambda would run.
type deployed struct {
	t       *testing.T
	sim     *simulate.World
	aws     *server.Server
	program string
	env     []string
	session *awsapi.Session
	store   store.Store
	lake    *lake.Lake
	moto    string
	queue   string
	topic   string
}

const stackTable = "events-of-the-stack"

const account = "111122223333" // the simulated organization's management account

func deploy(t *testing.T, events int, change ...func(*simulate.Config, *server.Options)) *deployed {
	t.Helper()
	d := &deployed{t: t}
	end := time.Now().UTC().Truncate(time.Hour)
	var err error
	c, o := simulate.Config{Seed: 5, Start: end.AddDate(0, 0, -12), End: end, Events: events}, server.Options{Rate: 25, Faults: server.Faults{Latency: 20 * time.Millisecond}}
	for _, f := range change {
		f(&c, &o)
	}
	if d.sim, err = simulate.New(c); err != nil {
		t.Fatal(err)
	}
	o.World = d.sim
	if d.aws, err = server.New(o); err != nil {
		t.Fatal(err)
	}
	sim := httptest.NewServer(d.aws)
	t.Cleanup(sim.Close)
	db, s3 := peers.DynamoDB(t), peers.S3(t)
	d.moto = peers.Moto(t)
	const bucket, table = "lake-of-the-stack", stackTable
	peers.S3Bucket(t, s3, bucket, true)
	d.topic = d.subscribe()

	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": peers.AccessKeyID, "AWS_SECRET_ACCESS_KEY": peers.SecretAccessKey, "AWS_REGION": peers.Region,
		"AWS_ENDPOINT_URL": sim.URL, "AWS_ENDPOINT_URL_DYNAMODB": db, "AWS_ENDPOINT_URL_S3": s3, "AWS_ENDPOINT_URL_SNS": d.moto,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"IAMTRACK_TABLE": table, "IAMTRACK_BUCKET": bucket, "IAMTRACK_STACK": "prod", "IAMTRACK_REQUEST_RATE": "25",
		"IAMTRACK_ALERT_HORIZON": "90d",
		"IAMTRACK_CHANNELS":      fmt.Sprintf(`[{name: topic, type: sns, topic_arn: %q}]`, d.topic),
	} {
		d.env = append(d.env, name+"="+value)
		t.Setenv(name, value)
	}
	ctx := context.Background()
	if d.session, err = awsapi.Open(ctx, awsapi.Config{}); err != nil {
		t.Fatal(err)
	}
	if err := dynamo.Create(ctx, d.session.DynamoDB(""), table, dynamo.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	d.store = dynamo.Open(d.session.DynamoDB(""), table, dynamo.Options{Keep: 7 * 24 * time.Hour})
	b, err := d.session.Bucket(ctx, bucket)
	if err != nil {
		t.Fatal(err)
	}
	d.lake = lake.New(s3lake.New(b, ""), lake.Options{ProgramVersion: "test"})
	return d
}

// bootstrap builds the program, which not each test runs, and returns its path.
func (d *deployed) bootstrap() string {
	d.t.Helper()
	if d.program == "" {
		program := filepath.Join(d.t.TempDir(), "bootstrap")
		build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", program, "github.com/iamtrack/iamtrack/cmd/bootstrap")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			d.t.Fatalf("build bootstrap: %v\n%s", err, out)
		}
		d.program = program
	}
	return d.program
}

// ask is a request of AWS's query protocol to moto, which checks no signature.
func (d *deployed) ask(service string, params url.Values, out any) {
	d.t.Helper()
	r, err := http.NewRequest(http.MethodPost, d.moto, strings.NewReader(params.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+peers.AccessKeyID+"/20260101/"+peers.Region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("moto %s: %d %s %v", params.Get("Action"), resp.StatusCode, text, err)
	}
	if out != nil {
		if err := xml.Unmarshal(text, out); err != nil {
			d.t.Fatalf("moto %s: %v in %s", params.Get("Action"), err, text)
		}
	}
}

// subscribe makes a topic and a queue that gets what is published.
func (d *deployed) subscribe() (topic string) {
	d.t.Helper()
	var made struct {
		ARN string `xml:"CreateTopicResult>TopicArn"`
	}
	d.ask("sns", url.Values{"Action": {"CreateTopic"}, "Name": {"alerts"}, "Version": {"2010-03-31"}}, &made)
	var queue struct {
		URL string `xml:"CreateQueueResult>QueueUrl"`
	}
	d.ask("sqs", url.Values{"Action": {"CreateQueue"}, "QueueName": {"alerts"}, "Version": {"2012-11-05"}}, &queue)
	d.queue = queue.URL
	owner := strings.Split(made.ARN, ":")[4]
	d.ask("sns", url.Values{"Action": {"Subscribe"}, "TopicArn": {made.ARN}, "Protocol": {"sqs"}, "Version": {"2010-03-31"},
		"Endpoint": {"arn:aws:sqs:" + peers.Region + ":" + owner + ":alerts"}}, nil)
	return made.ARN
}

// received are the messages of the queue, which it gives away.
func (d *deployed) received() (bodies []string) {
	d.t.Helper()
	for {
		var got struct {
			Messages []struct{ Body, ReceiptHandle string } `xml:"ReceiveMessageResult>Message"`
		}
		d.ask("sqs", url.Values{"Action": {"ReceiveMessage"}, "QueueUrl": {d.queue}, "MaxNumberOfMessages": {"10"}, "Version": {"2012-11-05"}}, &got)
		if len(got.Messages) == 0 {
			return bodies
		}
		for _, m := range got.Messages {
			var note struct{ Message string }
			if err := json.Unmarshal([]byte(m.Body), &note); err != nil {
				d.t.Fatalf("%v in %s", err, m.Body)
			}
			bodies = append(bodies, note.Message)
			d.ask("sqs", url.Values{"Action": {"DeleteMessage"}, "QueueUrl": {d.queue}, "ReceiptHandle": {m.ReceiptHandle}, "Version": {"2012-11-05"}}, nil)
		}
	}
}

func (d *deployed) function(handler string, timeout time.Duration) *runtimetest.Function {
	d.t.Helper()
	f := &runtimetest.Function{Program: d.bootstrap(), Env: d.env, Handler: handler, Timeout: timeout}
	d.t.Cleanup(f.Stop)
	return f
}

// must invokes a function that may not fail, and returns its answer.
func (d *deployed) must(f *runtimetest.Function) map[string]any {
	d.t.Helper()
	r, err := f.Invoke([]byte(`{}`))
	if err != nil || r.Failed != "" {
		d.t.Fatalf("%s: %v %s\n%s", f.Handler, err, r.Failed, r.Log)
	}
	var out map[string]any
	if err := json.Unmarshal(r.Payload, &out); err != nil {
		d.t.Fatalf("%s answers %s", f.Handler, r.Payload)
	}
	return out
}

// passes lets time go by for what the killed left behind: leases, claims of messages, and
// writers that are believed alive for a quarter of an hour end that much earlier.
func (d *deployed) passes(by time.Duration) {
	d.t.Helper()
	db, ctx := d.session.DynamoDB(""), context.Background()
	for _, kind := range []struct{ pk, numbers, sets string }{{pk: "lease", numbers: "e"}, {pk: "outbox", numbers: "cu"}, {pk: "day", sets: "w f"}} {
		out, err := db.Query(ctx, &dynamodb.QueryInput{TableName: aws.String(stackTable), KeyConditionExpression: aws.String("pk = :pk"), ConsistentRead: aws.Bool(true),
			ExpressionAttributeValues: map[string]types.AttributeValue{":pk": &types.AttributeValueMemberS{Value: kind.pk}}})
		if err != nil {
			d.t.Fatal(err)
		}
		if out.LastEvaluatedKey != nil {
			d.t.Fatalf("more items of %s than fit a page", kind.pk)
		}
		for _, it := range out.Items {
			change := func(name string, to types.AttributeValue) {
				if _, err := db.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(stackTable), Key: map[string]types.AttributeValue{"pk": it["pk"], "sk": it["sk"]},
					UpdateExpression: aws.String("SET #n = :v"), ExpressionAttributeNames: map[string]string{"#n": name}, ExpressionAttributeValues: map[string]types.AttributeValue{":v": to}}); err != nil {
					d.t.Fatal(err)
				}
			}
			for _, name := range strings.Fields(kind.numbers) {
				if n, ok := it[name].(*types.AttributeValueMemberN); ok && n.Value != "0" {
					change(name, &types.AttributeValueMemberN{Value: earlier(d.t, n.Value, by.Milliseconds())})
				}
			}
			for _, name := range strings.Fields(kind.sets) {
				if set, ok := it[name].(*types.AttributeValueMemberSS); ok {
					var to []string
					for _, writer := range set.Value {
						end, id, _ := strings.Cut(writer, " ")
						to = append(to, earlier(d.t, end, int64(by/time.Second))+" "+id)
					}
					change(name, &types.AttributeValueMemberSS{Value: to})
				}
			}
		}
	}
}

func earlier(t *testing.T, number string, by int64) string {
	t.Helper()
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.FormatInt(n-by, 10)
}

// atWork waits until somebody holds a lease, for a few seconds.
func (d *deployed) atWork() {
	db := d.session.DynamoDB("")
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		out, err := db.Query(context.Background(), &dynamodb.QueryInput{TableName: aws.String(stackTable), KeyConditionExpression: aws.String("pk = :pk"),
			FilterExpression: aws.String("attribute_not_exists(f) AND e > :now"), ExpressionAttributeValues: map[string]types.AttributeValue{
				":pk": &types.AttributeValueMemberS{Value: "lease"}, ":now": &types.AttributeValueMemberN{Value: strconv.FormatInt(time.Now().UnixMilli(), 10)}}})
		if err != nil {
			d.t.Error(err)
			return
		}
		if out.Count > 0 {
			return
		}
	}
}

// dying is a function whose program kills itself at a point of package fault.
func (d *deployed) dying(handler, at string) *runtimetest.Function {
	d.t.Helper()
	program, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	f := &runtimetest.Function{Program: program, Env: append(slices.Clone(d.env), dieAt+"="+at), Handler: handler, Timeout: time.Minute}
	d.t.Cleanup(f.Stop)
	return f
}

// dies invokes a function that must be killed by its point.
func (d *deployed) dies(handler, at string) {
	d.t.Helper()
	if r, err := d.dying(handler, at).Invoke([]byte(`{}`)); err != nil || r.Failed != "Runtime exited" {
		d.t.Errorf("%s did not come to %s: %v %q %s", handler, at, err, r.Failed, r.Payload)
	}
	d.passes(time.Hour)
}

// Ninety days come in through invocations of at most a minute, two at once, killed at
// each step and at random; in the end store, lake, coverage, counts and alerts equal the
// declared truth, and the queue that is subscribed to the topic got each alert.
func TestDeployed(t *testing.T) {
	begun := time.Now()
	d := deploy(t, 4000, func(c *simulate.Config, o *server.Options) {
		c.Start = c.End.AddDate(0, 0, -90)
		o.Rate = 1000 // the rate is tested in virtual time
	})
	d.env = append(d.env, "IAMTRACK_REQUEST_RATE=1000", fmt.Sprintf("IAMTRACK_CHANNELS=[{name: one, type: sns, topic_arn: %[1]q}, {name: two, type: sns, topic_arn: %[1]q}, {name: three, type: sns, topic_arn: %[1]q}]", d.topic))
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	one, two := d.function(function.Tracker, time.Minute), d.function(function.Tracker, time.Minute)
	stage := func(what string) { t.Logf("%5.1f s: %s", time.Since(begun).Seconds(), what) }
	stage("deployed")
	for i, at := range []string{"inbox.put.before:1", "inbox.put.after:2", "collect.store.before:2", "collect.store.after:1", "lookup.events.after:2", "lookup.ledger.before:2", "lookup.ledger.after:2"} {
		// Beside the one that dies another is at work, which is killed some time.
		var wg sync.WaitGroup
		kill := time.Duration(50+i*100+rng.IntN(300)) * time.Millisecond
		wg.Go(func() {
			d.atWork()
			cancel := two.Kill(kill)
			defer cancel()
			if _, err := two.Invoke([]byte(`{}`)); err != nil {
				t.Error(err)
			}
		})
		r, err := d.dying(function.Tracker, at).Invoke([]byte(`{}`))
		wg.Wait()
		if err != nil || r.Failed != "Runtime exited" {
			t.Errorf("the tracker did not come to %s: %v %q %s", at, err, r.Failed, r.Payload)
		}
		d.passes(time.Hour)
	}
	stage("trackers were killed")
	deadline := time.Now().Add(10 * time.Minute)
	runs := 0
	for done := false; !done; runs++ {
		if time.Now().After(deadline) {
			t.Fatal("the days don't come to an end")
		}
		// At first two at once share the regions.
		var wg sync.WaitGroup
		if runs < 2 {
			wg.Go(func() {
				if r, err := two.Invoke([]byte(`{}`)); err != nil || (r.Failed != "" && !strings.Contains(r.Failed, "another collector reads it")) {
					t.Errorf("the tracker beside: %v %s", err, r.Failed)
				}
			})
		}
		r, err := one.Invoke([]byte(`{}`))
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		stage(fmt.Sprintf("run %d: %s %s", runs, r.Payload, r.Failed))
		if r.Failed != "" {
			t.Logf("tracker: %s", r.Failed)
			continue
		}
		var out struct {
			Unfinished bool
			Problems   int
		}
		if err := json.Unmarshal(r.Payload, &out); err != nil {
			t.Fatal(err)
		}
		done = !out.Unfinished && out.Problems == 0
	}
	stage(fmt.Sprintf("%d runs after the kills", runs))

	for _, at := range []string{"lake.merge.before:2", "lake.commit.before:1", "lake.commit.after:2", "lake.commit.filtered.after:1", "lake.index.after:1", "inbox.delete.before:3", "inbox.delete.after:2"} {
		d.dies(function.Exporter, at)
	}
	stage("exporters were killed")
	exporter := d.function(function.Exporter, time.Minute)
	cancel := exporter.Kill(500 * time.Millisecond)
	_, err := exporter.Invoke([]byte(`{}`))
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	d.passes(time.Hour)
	for left := 1.; left > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the export doesn't come to an end")
		}
		left = d.must(exporter)["dirty_days"].(float64)
	}
	if r := d.must(exporter); r["written"] != 0. || r["days"] != 0. {
		t.Errorf("the second export writes %v", r)
	}
	stage("exported")

	kept, leftOut := map[string]bool{}, map[string]bool{}
	dates, err := d.lake.Dates(ctx)
	if err != nil {
		t.Fatal(err)
	}
	add := func(to map[string]bool, id string) {
		if kept[id] || leftOut[id] {
			t.Errorf("event %s is there twice", id)
		}
		to[id] = true
	}
	hot := 0
	for _, day := range dates {
		var inLake, inTable []string
		for e, err := range d.lake.Events(ctx, day) {
			if err != nil {
				t.Fatal(err)
			}
			add(kept, e.EventID)
			inLake = append(inLake, e.AccountID+" "+e.EventID)
		}
		for f, err := range d.lake.Filtered(ctx, day) {
			if err != nil {
				t.Fatal(err)
			}
			add(leftOut, f.EventID)
		}
		if day < event.DateOf(time.Now().AddDate(0, 0, -6).UnixMilli()) {
			continue // the table keeps a week
		}
		for e, err := range d.store.Day(ctx, day) {
			if err != nil {
				t.Fatal(err)
			}
			inTable = append(inTable, e.AccountID+" "+e.EventID)
		}
		slices.Sort(inLake)
		slices.Sort(inTable)
		if diff := cmp.Diff(inLake, inTable); diff != "" {
			t.Errorf("%s (-lake +table):\n%s", day, diff)
		}
		hot += len(inTable)
	}
	if hot == 0 {
		t.Error("the table has no event of the last days")
	}
	days, err := d.store.LakeDays(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var events, filtered int64
	for _, day := range days {
		events, filtered = events+day.Events, filtered+day.Filtered
	}
	if events != int64(len(kept)) || filtered != int64(len(leftOut)) {
		t.Errorf("counted are %d events and %d that were left out, the lake has %d and %d", events, filtered, len(kept), len(leftOut))
	}
	ledgers, err := d.store.Streams(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ledgers {
		p := l.Promised()
		if gaps := l.Gaps(p); l.Ended == 0 && (len(gaps) > 0 || p.To-p.From < 89*86400) {
			t.Errorf("%v: promised are %d days, and there are gaps: %v", l.Stream, (p.To-p.From)/86400, gaps)
		}
	}
	noise := map[string]bool{}
	for e := range d.sim.Truth().Events {
		if e.Account == account {
			noise[e.EventID] = e.Filtered
		}
	}
	for _, ids := range []map[string]bool{kept, leftOut} {
		for id := range ids {
			if _, ok := noise[id]; !ok {
				t.Errorf("the lake has %s, which never happened", id)
			}
		}
	}
	n := 0
	shown := map[string]bool{}
	for stream, ids := range d.aws.Visible(time.Now().AddDate(0, 0, -89), time.Now()) {
		if stream.Account != account {
			continue
		}
		for _, id := range ids {
			n++
			shown[id] = true
			if is, isn := kept, leftOut; noise[id] {
				is, isn = leftOut, kept
				if !is[id] || isn[id] {
					t.Errorf("%v: event %s of a service was left out: %v, kept: %v", stream, id, is[id], isn[id])
				}
			} else if !is[id] || isn[id] {
				t.Errorf("%v: event %s was kept: %v, left out: %v", stream, id, is[id], isn[id])
			}
		}
	}
	if n < 300 {
		t.Fatalf("the account shows %d events: too few", n)
	}

	for _, at := range []string{"notify.send.before:2", "notify.send.after:1", "store.settle.after:1"} {
		d.dies(function.Notifier, at)
	}
	notifier := d.function(function.Notifier, time.Minute)
	for pending := 1.; pending > 0; {
		if time.Now().After(deadline) {
			t.Fatal("messages don't get away")
		}
		pending = d.must(notifier)["pending"].(float64)
	}
	stage("told")
	alerts, err := d.store.Alerts(ctx, store.AlertFilter{})
	if err != nil {
		t.Fatal(err)
	}
	truth := d.sim.Truth()
	var due, found, want, told []string
	for _, a := range truth.Alerts {
		if len(a.Events) > 0 {
			if i := slices.IndexFunc(a.Events, func(id string) bool { return shown[id] }); i >= 0 {
				a.EventID = a.Events[i]
			}
		}
		if shown[a.EventID] {
			due = append(due, a.Rule+" "+a.EventID)
		}
	}
	for _, a := range alerts {
		want = append(want, a.ID)
		if slices.Contains(truth.Rules, a.Rule) {
			found = append(found, a.Rule+" "+a.EventID)
		}
	}
	bodies := d.received()
	for _, id := range want {
		if slices.ContainsFunc(bodies, func(b string) bool { return strings.Contains(b, id) }) {
			told = append(told, id)
		}
	}
	slices.Sort(due)
	slices.Sort(found)
	if diff := cmp.Diff(due, found); diff != "" || len(due) == 0 {
		t.Errorf("alerts (-due +found):\n%s", diff)
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("alerts in the queue (-recorded +told):\n%s", diff)
	}
	for _, b := range bodies {
		for _, id := range regexp.MustCompile(`\b[0-9a-f]{16}\b`).FindAllString(b, -1) {
			if !slices.Contains(want, id) {
				t.Errorf("the queue tells of %s, which is no alert", id)
			}
		}
	}
}
