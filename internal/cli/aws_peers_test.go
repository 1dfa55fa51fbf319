//go:build integration

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/function/runtimetest"
	"github.com/iamtrack/iamtrack/internal/lake/s3lake"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/athena/athenatest"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// cloud is moto with what it lacks in front of it: CloudFormation's transforms, by
// AWS's own translator; functions that run; CloudTrail, of the simulated account;
// Athena; and DynamoDB and S3 as strict as AWS's own for what the stack keeps.
type cloud struct {
	t         *testing.T
	moto      *url.URL
	tables    *url.URL
	buckets   *url.URL
	shown     *server.Server // the simulated account
	athena    *url.URL
	sim       *simulate.World
	url       string
	cfg       aws.Config // of moto
	program   string
	template  string                     // of the last change set
	artifacts string                     // the bucket that it was in
	given     map[string]string          // and its parameters
	outputs   map[string]string          // of the stack that was made last
	deny      string                     // an action, such as cloudformation:CreateChangeSet
	taken     bool                       // the bucket's name is somebody else's
	executed  func()                     // is told of a change that has begun
	asked     map[string]map[string]bool // permissions that each command needed
	// interrupt has the next command interrupted when its change has begun.
	interrupt bool
	mu        sync.Mutex
	denied    int
}

// actionsOf are the permissions of REST requests that the tests deny.
func restAction(service string, r *http.Request) string {
	switch {
	case service == "s3" && r.Method == http.MethodPut && strings.Count(strings.Trim(r.URL.Path, "/"), "/") == 0 && r.URL.RawQuery == "":
		return "CreateBucket"
	case service == "s3" && r.Method == http.MethodPut && r.URL.Query().Has("publicAccessBlock"):
		return "PutBucketPublicAccessBlock"
	case service == "s3" && r.Method == http.MethodPut && r.URL.Query().Has("encryption"):
		return "PutEncryptionConfiguration"
	case service == "s3" && r.Method == http.MethodPut && r.URL.RawQuery != "" && !strings.Contains(r.URL.RawQuery, "x-id=PutObject"):
		return "PutBucket"
	case service == "s3" && r.Method == http.MethodPut:
		return "PutObject"
	case service == "lambda" && strings.HasSuffix(r.URL.Path, "/invocations"):
		return "InvokeFunction"
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return operation
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, program: filepath.Join(t.TempDir(), "bootstrap"), given: map[string]string{}, asked: map[string]map[string]bool{}, executed: func() {}}
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", c.program, "github.com/iamtrack/iamtrack/cmd/bootstrap")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build bootstrap: %v\n%s", err, out)
	}
	var err error
	if c.moto, err = url.Parse(strings.Replace(peers.Moto(t), "127.0.0.1", "localhost", 1)); err != nil {
		t.Fatal(err)
	}
	parse := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	c.tables, c.buckets = parse(peers.DynamoDB(t)), parse(peers.S3(t))
	end := time.Now().UTC().Truncate(time.Hour)
	if c.sim, err = simulate.New(simulate.Config{Seed: 5, Days: 60, End: end, Events: 4000}); err != nil {
		t.Fatal(err)
	}
	if c.shown, err = server.New(server.Options{World: c.sim, Rate: 25}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	c.url = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	c.cfg = aws.Config{Region: peers.Region, BaseEndpoint: aws.String(c.moto.String()), Credentials: credentials.NewStaticCredentialsProvider(peers.AccessKeyID, peers.SecretAccessKey, "")}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": peers.AccessKeyID, "AWS_SECRET_ACCESS_KEY": peers.SecretAccessKey, "AWS_REGION": peers.Region, "AWS_ENDPOINT_URL": c.url,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "HOME": t.TempDir(),
	} {
		t.Setenv(name, value)
	}
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
		return
	}
	service := ""
	if scope := strings.Split(r.Header.Get("Authorization"), "/"); len(scope) > 3 {
		service = scope[3]
	}
	q, err := url.ParseQuery(string(body))
	if err != nil || !q.Has("Action") {
		q = url.Values{"Action": {restAction(service, r)}}
	}
	if c.deny != "" && service+":"+q.Get("Action") == c.deny {
		c.refuse(w, service)
		return
	}
	if c.taken && service == "s3" && q.Get("Action") == "CreateBucket" {
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("X-Amz-Request-Id", "1")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, "<Error><Code>BucketAlreadyExists</Code><Message>The requested bucket name is not available.</Message></Error>")
		return
	}
	to := c.moto
	switch {
	case service == "cloudtrail" || service == "ec2" || service == "sso" || service == "organizations" || service == "sts":
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.shown.ServeHTTP(w, r)
		return
	case service == "athena" && c.athena != nil:
		to = c.athena
	case service == "dynamodb":
		to = c.tables
	case service == "s3" && c.outputs[app.OutputBucket] != "" && strings.HasPrefix(r.URL.Path, "/"+c.outputs[app.OutputBucket]):
		to = c.buckets
	case q.Get("Action") == "InvokeFunction":
		c.invoke(w, strings.Split(r.URL.Path, "/")[3], body)
		return
	case r.URL.Query().Has("policy"): // moto takes no notice of its condition, and denies everything
		w.WriteHeader(http.StatusNoContent)
		return
	case q.Get("Action") == "CreateChangeSet":
		body = c.transform(q)
	case q.Get("Action") == "ExecuteChangeSet":
		defer c.executed()
		defer c.provide(q.Get("StackName"))
	case q.Get("Action") == "DeleteStack":
		c.given = map[string]string{}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	p := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host = p.In.Host // which is signed
	}}
	p.ServeHTTP(w, r)
}

// refuse answers as a service does that a policy forbids.
func (c *cloud) refuse(w http.ResponseWriter, service string) {
	c.mu.Lock()
	c.denied++
	c.mu.Unlock()
	w.Header().Set("X-Amzn-Requestid", "1")
	said := "User: arn:aws:iam::123456789012:user/me is not authorized to perform: " + c.deny
	switch service {
	case "cloudformation", "sns":
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>"+said+"</Message></Error></ErrorResponse>")
	case "s3":
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>"+said+"</Message></Error>")
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"`+said+`"}`)
	}
}

// provide makes what the stack keeps where it is kept here: its table and its bucket.
func (c *cloud) provide(name string) {
	ctx := context.Background()
	out, err := cloudformation.NewFromConfig(c.cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		c.t.Error(err)
		return
	}
	had := c.outputs
	c.outputs = map[string]string{}
	for _, o := range out.Stacks[0].Outputs {
		c.outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	if table := c.outputs[app.OutputTable]; table == had[app.OutputTable] || table == "" { // moto loses the name of a table whose tags change
		return
	}
	cfg := c.cfg.Copy()
	cfg.BaseEndpoint = aws.String(c.tables.String())
	made, err := dynamodb.NewFromConfig(c.cfg).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(c.outputs[app.OutputTable])})
	if err != nil {
		c.t.Error(err)
		return
	}
	in := &dynamodb.CreateTableInput{
		TableName: made.Table.TableName, KeySchema: made.Table.KeySchema, AttributeDefinitions: made.Table.AttributeDefinitions, BillingMode: ddbtypes.BillingModePayPerRequest,
	}
	for _, x := range made.Table.GlobalSecondaryIndexes {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, ddbtypes.GlobalSecondaryIndex{IndexName: x.IndexName, KeySchema: x.KeySchema, Projection: x.Projection})
	}
	if _, err := dynamodb.NewFromConfig(cfg).CreateTable(ctx, in); err != nil {
		c.t.Error(err)
	}
	peers.S3Bucket(c.t, c.buckets.String(), c.outputs[app.OutputBucket], true)
	session, err := awsapi.Open(ctx, awsapi.Config{})
	if err != nil {
		c.t.Error(err)
		return
	}
	objects, err := session.Bucket(ctx, c.outputs[app.OutputBucket])
	if err != nil {
		c.t.Error(err)
		return
	}
	engine, err := duckdb.OpenRemote(ctx, duckdb.RemoteOptions{Bucket: s3lake.New(objects, ""), Name: "s3", CacheDir: c.t.TempDir()})
	if err != nil {
		c.t.Error(err)
		return
	}
	athena := athenatest.New(c.t, athenatest.Options{
		Run:        func(ctx context.Context, sql string) (query.Rows, error) { return engine.Query(ctx, sql) },
		Workgroups: map[string]athenatest.Workgroup{c.outputs[app.OutputWorkgroup]: {Output: "s3://results/"}}, Databases: []string{c.outputs[app.OutputDatabase]},
	})
	if c.athena, err = url.Parse(athena.URL); err != nil {
		c.t.Error(err)
	}
}

// transform puts the template of a change set where moto finds it transformed.
func (c *cloud) transform(q url.Values) []byte {
	client := s3.NewFromConfig(c.cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if q.Get("ChangeSetType") == "CREATE" {
		// A stack that nobody made yet takes another change set; moto would have two.
		c.given = map[string]string{}
		if _, err := cloudformation.NewFromConfig(c.cfg).DeleteStack(context.Background(), &cloudformation.DeleteStackInput{StackName: aws.String(q.Get("StackName"))}); err != nil {
			c.t.Error(err)
		}
	}
	// The change set has all values that aren't the template's: those that stay, too.
	for i := 1; ; i++ {
		at := "Parameters.member." + strconv.Itoa(i)
		if !q.Has(at + ".ParameterKey") {
			break
		}
		if q.Get(at+".UsePreviousValue") != "true" {
			c.given[q.Get(at+".ParameterKey")] = q.Get(at + ".ParameterValue")
		}
		q.Del(at + ".ParameterKey")
		q.Del(at + ".ParameterValue")
		q.Del(at + ".UsePreviousValue")
	}
	for i, name := range slices.Sorted(maps.Keys(c.given)) {
		at := "Parameters.member." + strconv.Itoa(i+1)
		q.Set(at+".ParameterKey", name)
		q.Set(at+".ParameterValue", c.given[name])
	}
	bucket, key := "", "transformed.json"
	if at := q.Get("TemplateURL"); at != "" {
		u, err := url.Parse(at)
		if err != nil {
			c.t.Error(err)
			return nil
		}
		var object string
		bucket, object, _ = strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		c.artifacts = bucket
		out, err := client.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &bucket, Key: &object})
		if err != nil {
			c.t.Error(err)
			return nil
		}
		text, err := io.ReadAll(out.Body)
		if err != nil {
			c.t.Error(err)
		}
		c.template = string(text)
	} else {
		bucket = c.artifacts
		q.Del("UsePreviousTemplate")
	}
	text := peers.Transformed(c.t, c.template, c.given)
	if _, err := client.PutObject(context.Background(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(text)}); err != nil {
		c.t.Error(err)
	}
	q.Set("TemplateURL", c.moto.String()+"/"+bucket+"/"+key)
	return []byte(q.Encode())
}

// invoke runs the functions' program as AWS Lambda would, with the environment that the
// template gives it.
func (c *cloud) invoke(w http.ResponseWriter, name string, payload []byte) {
	// By hand: moto gives numbers as numbers, which AWS and its SDK don't.
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.moto.String()+"/2015-03-31/functions/"+name+"/configuration", http.NoBody)
	if err != nil {
		c.t.Error(err)
		return
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+peers.AccessKeyID+"/20260101/"+peers.Region+"/lambda/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	var function struct {
		Handler     string
		Environment struct{ Variables map[string]any }
	}
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	if err := d.Decode(&function); err != nil || function.Handler == "" {
		c.t.Errorf("function %s: %v, HTTP %d", name, err, resp.StatusCode)
		return
	}
	f := &runtimetest.Function{Program: c.program, Handler: function.Handler, Timeout: time.Minute, Env: []string{
		"AWS_ACCESS_KEY_ID=" + peers.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + peers.SecretAccessKey, "AWS_REGION=" + peers.Region, "AWS_ENDPOINT_URL=" + c.url, "IAMTRACK_REQUEST_RATE=25", "HOME=" + c.t.TempDir(),
	}}
	defer f.Stop()
	for k, v := range function.Environment.Variables {
		f.Env = append(f.Env, k+"="+fmt.Sprint(v))
	}
	r, err := f.Invoke(payload)
	if err != nil {
		c.t.Error(err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Requestid", "1")
	if r.Failed != "" {
		c.t.Logf("%s: %s\n%s", name, r.Failed, r.Log)
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		r.Payload, err = json.Marshal(map[string]string{"errorMessage": r.Failed, "errorType": "errorString"})
		if err != nil {
			c.t.Error(err)
		}
	}
	_, _ = w.Write(r.Payload)
}

// run is a command against the cloud; answers are what is typed.
func (c *cloud) run(answers string, args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	var out, errs bytes.Buffer
	e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: time.Now, lookupEnv: os.LookupEnv, version: "test"}
	if answers != "" {
		e.answers = bufio.NewReader(strings.NewReader(answers))
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	if c.interrupt {
		c.executed = cancel
		defer func() { c.interrupt, c.executed = false, func() {} }()
	}
	asked := map[string]bool{}
	e.openAWS = func(ctx context.Context, cfg config.Config) (*awsapi.Session, error) {
		return awsapi.Open(ctx, awsapi.Config{Region: cfg.AWSRegion, Record: func(call awsapi.Call) {
			c.mu.Lock()
			defer c.mu.Unlock()
			asked[call.Action] = true
		}})
	}
	code = run(ctx, e, args)
	if args[0] == "aws" {
		c.mu.Lock()
		if c.asked[args[1]] == nil {
			c.asked[args[1]] = map[string]bool{}
		}
		maps.Copy(c.asked[args[1]], asked)
		c.mu.Unlock()
	}
	c.t.Logf("%v: exit code %d\n%s%s", args, code, out.String(), errs.String())
	return out.String(), errs.String(), code
}

// A stack is made, found unchanged, changed, asked, and deleted on moto; the program
// of its functions runs with what the template gives it.
func TestStackLife(t *testing.T) {
	c := newCloud(t)
	with := []string{"--bootstrap", c.program, "-p", "Architecture=x86_64", "--stack", "prod"}
	deploy := func(more ...string) []string { return append(append([]string{"aws", "deploy"}, with...), more...) }

	c.taken = true
	if _, stderr, code := c.run("", deploy("--yes")...); code != exitFailed || !strings.Contains(stderr, "iamtrack-artifacts-") || !strings.Contains(stderr, "--artifacts-bucket") {
		t.Errorf("a bucket of somebody else: exit code %d\n%s", code, stderr)
	}
	c.taken = false
	for _, action := range []string{
		"cloudformation:DescribeStacks", "s3:CreateBucket", "s3:PutObject", "cloudformation:CreateChangeSet", "cloudformation:DescribeChangeSet",
		"cloudformation:ExecuteChangeSet",
	} {
		c.deny, c.denied = action, 0
		if _, stderr, code := c.run("", deploy("--yes")...); code != exitFailed || !strings.Contains(stderr, action) || c.denied == 0 {
			t.Errorf("without %s: exit code %d, refused %d times\n%s", action, code, c.denied, stderr)
		}
	}
	c.deny = ""
	stdout, stderr, code := c.run("n\n", deploy()...)
	if code != exitDone || !strings.Contains(stdout, "AWS::DynamoDB::Table") || !strings.Contains(stderr, "nothing was changed") {
		t.Fatalf("refused: exit code %d\n%s%s", code, stdout, stderr)
	}
	c.interrupt = true
	if stdout, stderr, code = c.run("", deploy("--yes")...); code == exitDone {
		t.Errorf("interrupted: exit code %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code = c.run("", deploy("--yes")...); code != exitDone || !strings.Contains(stdout, "nothing to change") {
		t.Errorf("after an interruption: exit code %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code = c.run("prod\n", "aws", "destroy", "--stack", "prod", "--delete-data"); code != exitDone {
		t.Fatalf("destroy: exit code %d\n%s%s", code, stdout, stderr)
	}
	stdout, stderr, code = c.run("y\nn\n", deploy("-p", "AlertsEmailAddress=security@example.com")...)
	if code != exitDone || !strings.Contains(stdout, "CREATE_COMPLETE") || !strings.Contains(stderr, "Collect the last 90 days now?") {
		t.Fatalf("made: exit code %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code = c.run("", deploy("--yes")...); code != exitDone || !strings.Contains(stdout, "nothing to change") {
		t.Fatalf("again: exit code %d\n%s%s", code, stdout, stderr)
	}
	stdout, stderr, code = c.run("", "aws", "update", "--stack", "prod", "--bootstrap", c.program, "-p", "LogLevel=DEBUG", "--yes", "--format", "json")
	var view deployView
	if err := json.Unmarshal([]byte(stdout), &view); err != nil || code != exitDone || view.State != "UPDATE_COMPLETE" || !view.Changed || view.Created {
		t.Fatalf("changed: exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	for _, p := range view.Parameters {
		if p.Name == "AlertsEmailAddress" && (*p.Value != "security@example.com" || p.Origin != "the stack") {
			t.Errorf("%+v didn't stay", p)
		}
	}

	stdout, stderr, code = c.run("", "aws", "init", "--stack", "prod", "--format", "json")
	var summary []map[string]any
	if err := json.Unmarshal([]byte(stdout), &summary); err != nil || code != exitDone || len(summary) == 0 {
		t.Fatalf("init: exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	// All that the account shows of what is collected is there, once.
	happened := map[string]bool{}
	for s, ids := range c.shown.Visible(time.Now().AddDate(0, 0, -90), time.Now()) {
		for _, id := range ids {
			if s.Account == c.sim.Accounts()[0] {
				happened[id] = true
			}
		}
	}
	stdout, _, _ = c.run("", "status", "--stack", "prod", "--format", "json")
	var counted struct{ Events, Filtered int }
	if err := json.Unmarshal([]byte(stdout), &counted); err != nil || counted.Events == 0 || counted.Events+counted.Filtered != len(happened) {
		t.Errorf("the stack has %+v, %v; %d happened", counted, err, len(happened))
	}
	stdout, stderr, code = c.run("", "query", "daily_summary", "--stack", "prod", "--since", "90d", "--format", "json")
	if err := json.Unmarshal([]byte(stdout), &summary); err != nil || code != exitDone || len(summary) < 30 {
		t.Errorf("query: exit code %d, %v, %d days\n%s", code, err, len(summary), stderr)
	}

	stdout, stderr, code = c.run("", "aws", "status", "--stack", "prod", "--format", "json")
	// moto doesn't speak CloudWatch's protocol; the fake CloudFormation's tests do.
	var status struct {
		State   string
		Outputs map[string]string
		Unread  []string
	}
	if err := json.Unmarshal([]byte(stdout), &status); err != nil || status.State != "UPDATE_COMPLETE" || status.Outputs[app.OutputTable] == "" ||
		len(status.Unread) != 1 || !strings.Contains(status.Unread[0], "alarms") || code != exitInPart {
		t.Fatalf("status: exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	c.log(status.Outputs["TrackerLogGroup"], `{"timestamp":"2026-11-22T12:00:00Z","level":"ERROR","message":"tracker failed","error":"no \u001b[31mcapacity"}`)
	if stdout, stderr, code = c.run("", "aws", "logs", "--stack", "prod", "--errors"); code != exitDone || !strings.Contains(stdout, "tracker failed") || strings.Contains(stdout, "\x1b[31m") {
		t.Errorf("logs: exit code %d\n%s%s", code, stdout, stderr)
	}
	if stdout, _, _ = c.run("", "aws", "status", "--stack", "prod"); !strings.Contains(stdout, "tracker failed") {
		t.Errorf("status doesn't tell of the error:\n%s", stdout)
	}
	if stdout, stderr, code = c.run("", "aws", "test-alerts", "--stack", "prod", "--format", "json"); code != exitDone || !strings.Contains(stdout, `"ok":true`) && !strings.Contains(stdout, `"ok": true`) {
		t.Errorf("test-alerts: exit code %d\n%s%s", code, stdout, stderr)
	}

	c.denyEach("aws", "status", "--stack", "prod")
	c.denyEach("aws", "logs", "--stack", "prod")
	c.denyEach("aws", "test-alerts", "--stack", "prod")
	c.denyEach("aws", "init", "--stack", "prod")

	if _, stderr, code = c.run("prd\n", "aws", "destroy", "--stack", "prod"); code != exitFailed || !strings.Contains(stderr, "nothing was deleted") {
		t.Errorf("a mistyped name: exit code %d\n%s", code, stderr)
	}
	c.deny = "cloudformation:DeleteStack"
	if _, stderr, code = c.run("prod\n", "aws", "destroy", "--stack", "prod"); code != exitFailed || !strings.Contains(stderr, c.deny) {
		t.Errorf("without %s: exit code %d\n%s", c.deny, code, stderr)
	}
	c.deny = ""
	table := status.Outputs[app.OutputTable]
	if stdout, stderr, code = c.run("prod\n", "aws", "destroy", "--stack", "prod"); code != exitDone || !strings.Contains(stdout, "aws dynamodb delete-table --table-name "+table) {
		t.Fatalf("destroy: exit code %d\n%s%s", code, stdout, stderr)
	}
	if _, err := dynamodb.NewFromConfig(c.cfg).DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table}); err != nil {
		t.Errorf("the table wasn't kept: %v", err)
	}
	if _, stderr, code = c.run("", "aws", "status", "--stack", "prod"); code != exitFailed || !strings.Contains(stderr, "not found") {
		t.Errorf("status of a stack that is gone: exit code %d\n%s", code, stderr)
	}
	// As after a deletion that was interrupted: there is nothing left to do.
	if stdout, stderr, code = c.run("", "aws", "destroy", "--stack", "prod", "--yes", "prod", "--format", "json"); code != exitDone ||
		!strings.Contains(stderr, "there is no stack prod in ") || !strings.Contains(stdout, `"deleted": false`) && !strings.Contains(stdout, `"deleted":false`) {
		t.Errorf("destroy again: exit code %d\n%s%s", code, stdout, stderr)
	}
	c.checkPolicies()
}

// denyEach denies a command one permission after the other, of those that it asked for
// before: each time it says which one it lacks.
func (c *cloud) denyEach(args ...string) {
	c.t.Helper()
	asked := slices.Sorted(maps.Keys(c.asked[args[1]]))
	refused := 0
	for _, action := range asked {
		c.deny, c.denied = action, 0
		_, stderr, code := c.run("", args...)
		if c.denied == 0 { // it isn't asked for each time, or goes to a peer that knows no permissions
			continue
		}
		refused++
		if code == exitDone || !strings.Contains(stderr, action) {
			c.t.Errorf("%v without %s: exit code %d\n%s", args, action, code, stderr)
		}
	}
	c.deny = ""
	if refused == 0 {
		c.t.Errorf("%v: nothing of %q was refused", args, asked)
	}
	c.t.Logf("%v: %d of %d permissions were refused", args, refused, len(asked))
}

// unasked are permissions that policies have and this test doesn't need, and why.
var unasked = map[string]string{
	"cloudformation:DeleteChangeSet": "a change that is refused of a stack that is there",
	"s3:GetObjectVersion":            "larger files of the lake",
	"s3:GetBucketLocation":           "Athena asks as the caller",
	"s3:AbortMultipartUpload":        "Athena asks as the caller",
	"s3:ListMultipartUploadParts":    "Athena asks as the caller",
	"glue:GetDatabase":               "Athena asks as the caller",
	"glue:GetTable":                  "Athena asks as the caller",
	"glue:GetPartitions":             "Athena asks as the caller",
	"account:ListRegions":            "when ec2:DescribeRegions is denied",
	"s3:PutObject":                   "a program that isn't in the bucket yet; results, which Athena writes as the caller",
	"s3:DeleteObject":                "a lake with something in it",
	"s3:DeleteObjectVersion":         "a lake with something in it",
	"athena:StopQueryExecution":      "an interruption",
}

// The policy of each command permits what it asked for, and nothing that it didn't,
// but for what CloudFormation does in the caller's name.
func (c *cloud) checkPolicies() {
	c.t.Helper()
	for command, asked := range c.asked {
		out, err := c.policy(command)
		if err != nil {
			c.t.Error(err)
			continue
		}
		for action := range asked {
			if !out[action] && action != "sts:GetCallerIdentity" { // which nobody can be denied
				c.t.Errorf("aws %s asks for %s, which its policy doesn't permit", command, action)
			}
		}
		for action := range out {
			if !asked[action] && unasked[action] == "" {
				c.t.Errorf("the policy of aws %s permits %s, which it doesn't ask for", command, action)
			}
		}
	}
}

// policy are the actions that `permissions aws COMMAND` permits.
func (c *cloud) policy(command string) (map[string]bool, error) {
	stdout, stderr, code := c.run("", "permissions", "aws", command, "--stack", "prod")
	var doc struct {
		Statement []struct {
			Sid    string
			Action []string
		}
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != exitDone {
		return nil, fmt.Errorf("permissions aws %s: exit code %d, %w\n%s", command, code, err, stderr)
	}
	may := map[string]bool{}
	for _, s := range doc.Statement {
		if strings.HasPrefix(s.Sid, "Make") && s.Sid != "MakeProgramBucket" || s.Sid == "ListLogs" {
			continue // CloudFormation's
		}
		for _, action := range s.Action {
			may[action] = true
		}
	}
	return may, nil
}

// log writes a line to a log group, as a function would.
func (c *cloud) log(group, text string) {
	c.t.Helper()
	client := cloudwatchlogs.NewFromConfig(c.cfg)
	if _, err := client.CreateLogStream(c.t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: aws.String("1")}); err != nil {
		c.t.Fatal(err)
	}
	if _, err := client.PutLogEvents(c.t.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: aws.String("1"),
		LogEvents: []logtypes.InputLogEvent{{Message: &text, Timestamp: aws.Int64(time.Now().UnixMilli())}}}); err != nil {
		c.t.Fatal(err)
	}
}
