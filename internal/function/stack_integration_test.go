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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/awsapi"
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

const account = "111122223333" // the simulated organization's management account

func deploy(t *testing.T, events int, change ...func(*simulate.Config, *server.Options)) *deployed {
	t.Helper()
	d := &deployed{t: t, program: filepath.Join(t.TempDir(), "bootstrap")}
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", d.program, "github.com/iamtrack/iamtrack/cmd/bootstrap")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build bootstrap: %v\n%s", err, out)
	}
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
	const bucket, table = "lake-of-the-stack", "events-of-the-stack"
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
	f := &runtimetest.Function{Program: d.program, Env: d.env, Handler: handler, Timeout: timeout}
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

// Twelve days come in through invocations of few seconds, killed at random, two at
// once; in the end store, lake, coverage and alerts equal the declared truth, and the
// queue that is subscribed to the topic got each alert.
func TestDeployed(t *testing.T) {
	d := deploy(t, 2500)
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	one, two := d.function(function.Tracker, 15*time.Second), d.function(function.Tracker, 15*time.Second)
	killed := 0
	for range 3 {
		var wg sync.WaitGroup
		for _, f := range []*runtimetest.Function{one, two} {
			after := time.Duration(rng.IntN(4000)) * time.Millisecond
			wg.Go(func() {
				cancel := f.Kill(after)
				defer cancel()
				r, err := f.Invoke([]byte(`{}`))
				if err != nil {
					t.Error(err)
				}
				if r.Failed == "Runtime exited" {
					killed++
				}
			})
		}
		wg.Wait()
	}
	if killed == 0 {
		t.Error("nothing was killed")
	}
	deadline := time.Now().Add(25 * time.Minute)
	runs := 0
	for done := false; !done; runs++ {
		if time.Now().After(deadline) {
			t.Fatal("the days don't come to an end")
		}
		r, err := one.Invoke([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed != "" {
			// The lease of one that was killed runs out after a minute.
			t.Logf("tracker: %s", r.Failed)
			time.Sleep(5 * time.Second)
			continue
		}
		var out struct {
			Unfinished bool
			Problems   int
		}
		if err := json.Unmarshal(r.Payload, &out); err != nil {
			t.Fatal(err)
		}
		if r.Cold {
			t.Logf("cold start: %s of processor time, peak %d MB", r.Start, r.Peak>>20)
		}
		if done = !out.Unfinished && out.Problems == 0; !done {
			time.Sleep(time.Second)
		}
	}
	t.Logf("%d invocations after the kills", runs)

	exporter := d.function(function.Exporter, time.Minute)
	cancel := exporter.Kill(1500 * time.Millisecond)
	_, err := exporter.Invoke([]byte(`{}`))
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	for left := 1.; left > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the export doesn't come to an end")
		}
		r := d.must(exporter)
		if left = r["dirty_days"].(float64); left > 0 {
			time.Sleep(time.Second)
		}
	}
	if r := d.must(exporter); r["written"] != 0. || r["days"] != 0. {
		t.Errorf("the second export writes %v", r)
	}

	got := map[string]bool{}
	dates, err := d.lake.Dates(ctx)
	if err != nil {
		t.Fatal(err)
	}
	add := func(id string) {
		if got[id] {
			t.Errorf("event %s is there twice", id)
		}
		got[id] = true
	}
	for _, day := range dates {
		for e, err := range d.lake.Events(ctx, day) {
			if err != nil {
				t.Fatal(err)
			}
			add(e.EventID)
		}
		for f, err := range d.lake.Filtered(ctx, day) {
			if err != nil {
				t.Fatal(err)
			}
			add(f.EventID)
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
			if !got[id] {
				t.Errorf("%v: event %s is missing", stream, id)
			}
		}
	}
	if n < 300 {
		t.Fatalf("the account shows %d events: too few", n)
	}

	notifier := d.function(function.Notifier, time.Minute)
	cancel = notifier.Kill(300 * time.Millisecond)
	if _, err := notifier.Invoke([]byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	cancel()
	for pending := 1.; pending > 0; {
		if time.Now().After(deadline) {
			t.Fatal("messages don't get away")
		}
		if pending = d.must(notifier)["pending"].(float64); pending > 0 {
			time.Sleep(2 * time.Second)
		}
	}
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
