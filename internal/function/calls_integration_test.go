//go:build integration

package function_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/awsapi/callstest"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// gate stands before the peers and sees each request as IAM would. It works out by
// itself what a request asks for, so that it also proves what the program notes.
type gate struct {
	t     *testing.T
	names *callstest.Recorder

	mu     sync.Mutex
	refuse func(awsapi.Call) (code, message string) // "": let through
	said   int                                      // how often it refused
	seen   map[callstest.Line]bool
}

// before returns the URL of a gate before a peer.
func (g *gate) before(target string) string {
	to, err := url.Parse(target)
	if err != nil {
		g.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }, // the signature has the host in it
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		for _, c := range callsOf(r, body) {
			g.mu.Lock()
			if l, ok := g.names.Line("", c); ok {
				l.Who = ""
				g.seen[l] = true
			}
			code, message := "", ""
			if g.refuse != nil {
				code, message = g.refuse(c)
			}
			if code != "" {
				g.said++
			}
			g.mu.Unlock()
			if code != "" {
				refusal(w, r, code, message)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	g.t.Cleanup(s.Close)
	return s.URL
}

// set says what to refuse from now on.
func (g *gate) set(f func(awsapi.Call) (code, message string)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuse, g.said = f, 0
}

func (g *gate) refused() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.said
}

// callsOf reads from a request on the wire which permissions it needs.
func callsOf(r *http.Request, body []byte) (calls []awsapi.Call) {
	target := r.Header.Get("X-Amz-Target")
	service, operation, _ := strings.Cut(target, ".")
	switch {
	case strings.HasPrefix(service, "DynamoDB"):
		var in struct {
			TableName, IndexName string
			RequestItems         map[string]json.RawMessage
			TransactItems        []map[string]struct{ TableName string }
		}
		if json.Unmarshal(body, &in) != nil {
			return nil
		}
		add := func(operation, table, index string) {
			arn := "arn:aws:dynamodb:" + peers.Region + ":*:table/" + table
			if index != "" {
				arn += "/index/" + index
			}
			calls = append(calls, awsapi.Call{Action: "dynamodb:" + operation, Resource: arn})
		}
		switch {
		case in.TableName != "":
			add(operation, in.TableName, in.IndexName)
		case in.RequestItems != nil:
			for name := range in.RequestItems {
				add(operation, name, "")
			}
		default:
			kinds := map[string]string{"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
			for _, t := range in.TransactItems {
				for kind, of := range t {
					add(kinds[kind], of.TableName, "")
				}
			}
		}
	case service == "AmazonSSM":
		var in struct{ Name string }
		_ = json.Unmarshal(body, &in) //nolint:errcheck // a name that is missing is a call that isn't in the list
		calls = append(calls, awsapi.Call{Action: "ssm:" + operation, Resource: in.Name})
	case service == "secretsmanager":
		var in struct {
			SecretID string `json:"SecretId"`
		}
		_ = json.Unmarshal(body, &in) //nolint:errcheck // see above
		calls = append(calls, awsapi.Call{Action: "secretsmanager:" + operation, Resource: in.SecretID})
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		if form, err := url.ParseQuery(string(body)); err == nil {
			calls = append(calls, awsapi.Call{Action: "sns:" + form.Get("Action"), Resource: form.Get("TopicArn")})
		}
	default:
		bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		q := r.URL.Query()
		c := awsapi.Call{Resource: "arn:aws:s3:::" + bucket}
		if key != "" {
			c.Resource += "/" + key
		}
		switch {
		case key == "":
			c.Action = "s3:ListBucket"
		case r.Method == http.MethodDelete && q.Has("uploadId"):
			c.Action = "s3:AbortMultipartUpload"
		case r.Method == http.MethodDelete && q.Has("versionId"):
			c.Action = "s3:DeleteObjectVersion"
		case r.Method == http.MethodDelete:
			c.Action = "s3:DeleteObject"
		case r.Method == http.MethodPut, r.Method == http.MethodPost:
			c.Action = "s3:PutObject"
		case q.Has("versionId"):
			c.Action = "s3:GetObjectVersion"
		default:
			c.Action = "s3:GetObject"
		}
		calls = append(calls, c)
	}
	return calls
}

// refusal answers as the service that was asked does.
func refusal(w http.ResponseWriter, r *http.Request, code, message string) {
	w.Header().Set("X-Amzn-Requestid", "1")
	status := http.StatusForbidden
	kind, body := "application/xml", ""
	switch {
	case r.Header.Get("X-Amz-Target") != "":
		status, kind = http.StatusBadRequest, "application/x-amz-json-1.0"
		body = fmt.Sprintf(`{"__type":"com.amazon.coral.service#%s","message":%q}`, code, message)
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		body = "<ErrorResponse><Error><Type>Sender</Type><Code>" + code + "</Code><Message>" + message + "</Message></Error><RequestId>1</RequestId></ErrorResponse>"
	default:
		w.Header().Set("X-Amz-Request-Id", "1")
		if r.Method != http.MethodHead {
			var text bytes.Buffer
			_ = xml.EscapeText(&text, []byte(message)) // a buffer takes all
			body = "<Error><Code>" + code + "</Code><Message>" + text.String() + "</Message></Error>"
		}
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) //nolint:errcheck // the client may be gone
}

// denied is AWS's answer to who lacks a permission. (IAM User Guide, "Troubleshoot
// access denied error messages".)
func denied(c awsapi.Call) (code, message string) {
	code = "AccessDeniedException"
	switch {
	case strings.HasPrefix(c.Action, "s3:"):
		code = "AccessDenied"
	case strings.HasPrefix(c.Action, "sns:"):
		code = "AuthorizationError"
	}
	return code, fmt.Sprintf("User: arn:aws:sts::%s:assumed-role/stack-role/function is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
		account, c.Action, strings.Replace(c.Resource, ":*:", ":"+account+":", 1), c.Action)
}

// gated is a deployed stack whose functions run in this process, through a gate.
type gated struct {
	*deployed
	gate *gate
}

const (
	gatedTable, gatedBucket = "events-of-the-stack", "lake-of-the-stack"
	// A parameter and a secret of moto's, with the addresses of channels.
	gatedParameter, gatedSecret = "/iamtrack/hook", "hook"
)

func deployGated(t *testing.T) *gated {
	t.Helper()
	g := &gated{deployed: deploy(t, 600, func(c *simulate.Config, o *server.Options) {
		c.Regions, c.Start = []string{"us-east-1", "eu-west-1"}, c.End.AddDate(0, 0, -7)
		o.Rate = 500
	})}
	g.gate = &gate{t: t, seen: map[callstest.Line]bool{}, names: &callstest.Recorder{Names: map[string]string{
		"arn:aws:dynamodb:" + peers.Region + ":*:table/" + gatedTable: "table", "arn:aws:s3:::" + gatedBucket: "bucket", g.topic: "topic",
		gatedParameter: "parameter", gatedSecret: "secret",
	}}}
	t.Setenv("IAMTRACK_REQUEST_RATE", "500")
	for _, service := range []string{"DYNAMODB", "S3", "SNS"} {
		t.Setenv("AWS_ENDPOINT_URL_"+service, g.gate.before(os.Getenv("AWS_ENDPOINT_URL_"+service)))
	}
	for _, service := range []string{"SSM", "SECRETS_MANAGER"} {
		t.Setenv("AWS_ENDPOINT_URL_"+service, g.gate.before(g.moto))
	}
	g.keep("ssm", "AmazonSSM.PutParameter", `{"Name":"`+gatedParameter+`","Value":"https://127.0.0.1:1/","Type":"SecureString"}`)
	g.keep("secretsmanager", "secretsmanager.CreateSecret", `{"Name":"`+gatedSecret+`","SecretString":"https://127.0.0.1:1/"}`)
	return g
}

// keep puts a secret into moto.
func (g *gated) keep(service, target, body string) {
	g.t.Helper()
	r, err := http.NewRequest(http.MethodPost, g.moto, strings.NewReader(body)) //nolint:noctx // a test
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+peers.AccessKeyID+"/20260101/"+peers.Region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		g.t.Fatalf("moto %s: %s", target, resp.Status)
	}
}

// invoke opens a function as a new instance does, and invokes it once. said is what it
// wrote and, if it failed, its error.
func (g *gated) invoke(name string, payload []byte) (result map[string]any, said string, err error) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var log bytes.Buffer
	f, err := function.Open(ctx, function.Environment{Handler: name, Stack: "prod"}, "test", os.LookupEnv, &log, g.gate.names.As(name))
	if err != nil {
		return nil, err.Error(), err
	}
	f.Log = function.NewLog(&log, slog.LevelInfo)
	out, err := f.Invoke(ctx, name, payload)
	if err != nil {
		return nil, log.String() + err.Error(), err
	}
	text, err := json.Marshal(out)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &result); err != nil {
		g.t.Fatal(err)
	}
	return result, log.String(), nil
}

// done invokes a function that may not fail.
func (g *gated) done(name string, payload []byte) map[string]any {
	g.t.Helper()
	r, said, err := g.invoke(name, payload)
	if err != nil {
		g.t.Fatalf("%s: %s", name, said)
	}
	return r
}

// collected runs the tracker to its end.
func (g *gated) collected() {
	g.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; {
		if r := g.done(function.Tracker, nil); r["unfinished"] == false && r["problems"] == 0. {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatal("the collection doesn't come to an end")
		}
		time.Sleep(time.Second)
	}
}

// bridge is what EventBridge delivers of an event of that id, with some parameters; the
// event is one that raises an alert.
func bridge(id string, at time.Time, parameters string) []byte {
	detail := map[string]any{
		"eventVersion": "1.08", "eventID": id, "eventSource": "iam.amazonaws.com", "eventName": "AttachUserPolicy", "awsRegion": "us-east-1",
		"sourceIPAddress": "203.0.113.9", "userAgent": "aws-cli/2", "recipientAccountId": account,
		"userIdentity":      map[string]any{"type": "IAMUser", "userName": "eve", "accountId": account, "arn": "arn:aws:iam::" + account + ":user/eve", "principalId": "AIDAEVE"},
		"requestParameters": map[string]any{"userName": "eve", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess", "note": parameters},
	}
	if !at.IsZero() {
		detail["eventTime"] = at.UTC().Format(time.RFC3339)
	}
	text, err := json.Marshal(map[string]any{"version": "0", "id": "e-" + id, "detail-type": "AWS API Call via CloudTrail", "source": "aws.iam", "detail": detail})
	if err != nil {
		panic(err)
	}
	return text
}

// noise is text of that many bytes, of which no compression takes more than a quarter.
func noise(bytes int) string {
	rng := rand.New(rand.NewPCG(7, uint64(bytes))) //nolint:gosec // a test
	raw := make([]byte, bytes)
	for i := range raw {
		raw[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[rng.IntN(64)]
	}
	return string(raw)
}

// Each call that the functions make is in the list, and no line of the list is there
// for nothing.
func TestCalls(t *testing.T) {
	g := deployGated(t)
	ctx := context.Background()
	now := time.Now().UTC().Add(-time.Hour)
	g.collected()
	// Once more as an organization whose accounts are read by a role, and with the users
	// of Identity Center.
	t.Setenv("IAMTRACK_ORGANIZATION", "true")
	g.collected()
	t.Setenv("IAMTRACK_ORGANIZATION", "false")
	// And where EC2 may not be asked for the regions.
	f := g.aws.Faults()
	f.Deny = []server.Denial{{Service: "ec2"}}
	g.aws.SetFaults(f)
	g.collected()
	f.Deny = nil
	g.aws.SetFaults(f)

	for i, payload := range [][]byte{
		bridge("a1", now, ""), bridge("a1", now, ""), // a duplicate
		bridge("a1", now, "another content"), bridge("a2", time.Time{}, ""), // a conflict, one that is rejected
		bridge("a3", now, noise(1<<20)),          // too large for an item
		bridge("a3", now, noise(1<<20+2)),        // and in conflict
		bridge("a4", now.AddDate(0, 0, -30), ""), // older than the hot window
		// So that the day's file is read in pieces.
		bridge("a5", now, noise(3<<20)), bridge("a6", now, noise(3<<20+1)), bridge("a7", now, noise(3<<20+2)), bridge("a8", now, noise(3<<20+3)),
	} {
		want := map[int]string{1: "duplicate", 2: "conflict", 3: "rejected", 5: "conflict"}[i]
		if r := g.done(function.Realtime, payload); r["outcome"] != cmp.Or(want, "stored") {
			t.Errorf("%d: %v, want %s", i, r, want)
		}
	}
	b, err := g.session.Bucket(ctx, gatedBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(ctx, "inbox/"+now.Format(time.DateOnly)+"/00112233445566778899-e1.zst", []byte("no object of ours"), nil, awsapi.Condition{}); err != nil {
		t.Fatal(err)
	}
	g.done(function.Exporter, nil)
	g.done(function.Realtime, bridge("a11", now, ""))
	g.done(function.Realtime, bridge("a1", now, "yet another content")) // of an event that is in the lake
	g.done(function.Exporter, nil)

	t.Setenv("IAMTRACK_LAKE_DAYS", "2")
	if r := g.done(function.Exporter, nil); r["removed"] == 0. {
		t.Errorf("nothing is too old: %v", r)
	}
	g.done(function.Notifier, nil)
	g.done(function.Realtime, bridge("a12", now, ""))
	t.Setenv("IAMTRACK_CHANNELS", `[{name: one, type: webhook, url: "${ssm:`+gatedParameter+`}"}, {name: two, type: webhook, url: "${secretsmanager:`+gatedSecret+`}"}]`)
	if _, said, err := g.invoke(function.Notifier, nil); err == nil || !strings.Contains(said, "channel one") || !strings.Contains(said, "channel two") {
		t.Errorf("channels that nobody listens to: %s", said)
	}

	var noted []callstest.Line
	for _, l := range g.gate.names.Recorded() {
		switch service, _, _ := strings.Cut(l.Action, ":"); service {
		case "dynamodb", "s3", "sns", "ssm", "secretsmanager":
			l.Who = ""
			noted = append(noted, l)
		}
	}
	onWire := []callstest.Line{}
	for l := range g.gate.seen {
		onWire = append(onWire, l)
	}
	byText := func(a, b callstest.Line) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(noted, byText)
	slices.SortFunc(onWire, byText)
	if d := gocmp.Diff(onWire, slices.Compact(noted)); d != "" {
		t.Errorf("calls (-on the wire +noted):\n%s", d)
	}
	g.gate.names.Check(t, append(function.Names(), callstest.Ingest, callstest.Large)...)
}
