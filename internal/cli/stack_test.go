package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/athena/athenatest"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/store"
)

// stackOf is a stack whose table and bucket are in memory (both are held to the suites
// of DynamoDB's and S3's), with CloudFormation, Lambda and Athena as AWS speaks them.
type stackOf struct {
	t      *testing.T
	now    time.Time
	store  store.Store
	bucket lake.Bucket // nil: the stack keeps no lake
	athena *athenatest.Server
	aws    *httptest.Server
	ran    int    // how often the exporter ran
	fails  string // its error
}

// kept is a store that outlives the commands.
type kept struct{ store.Store }

func (kept) Close() error { return nil }

func newStack(t *testing.T, now time.Time, bucket lake.Bucket) *stackOf {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	s := &stackOf{t: t, now: now, store: kept{store.OpenMem()}, bucket: bucket}
	if bucket != nil {
		engine, err := duckdb.OpenRemote(t.Context(), duckdb.RemoteOptions{Bucket: bucket, Name: "mem", CacheDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		s.athena = athenatest.New(t, athenatest.Options{
			Run:        func(ctx context.Context, sql string) (query.Rows, error) { return engine.Query(ctx, sql) },
			Workgroups: map[string]athenatest.Workgroup{"trackers": {Output: "s3://results/"}}, Databases: []string{"tracker"},
		})
	}
	s.aws = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.aws.Close)
	return s
}

// serve answers for the services that a request may be signed for.
func (s *stackOf) serve(w http.ResponseWriter, r *http.Request) {
	scope := strings.Split(r.Header.Get("Authorization"), "/")
	service := ""
	if len(scope) > 3 {
		service = scope[3]
	}
	switch service {
	case "cloudformation":
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		w.Header().Set("Content-Type", "text/xml")
		if name := form.Get("StackName"); name != "prod" {
			w.WriteHeader(400)
			_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id %s does not exist</Message></Error><RequestId>1</RequestId></ErrorResponse>`, name)
			return
		}
		p := s.parts()
		outputs := map[string]string{
			app.OutputTable: p.Table, app.OutputBucket: p.Bucket, app.OutputDatabase: p.Database, app.OutputWorkgroup: p.Workgroup,
			app.OutputExporter: p.Exporter, app.OutputResults: p.Results,
		}
		_, _ = io.WriteString(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>prod</StackName><StackId>`+p.ID+`</StackId><StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-11-22T12:00:00Z</CreationTime><Outputs>`)
		for k, v := range outputs {
			if v == "" {
				continue
			}
			_, _ = fmt.Fprintf(w, `<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>`, k, v)
		}
		_, _ = io.WriteString(w, `</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`)
	case "athena":
		target, err := url.Parse(s.athena.URL)
		if err != nil {
			panic(err)
		}
		httputil.NewSingleHostReverseProxy(target).ServeHTTP(w, r)
	case "lambda":
		s.ran++
		w.Header().Set("Content-Type", "application/json")
		if s.fails != "" {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			_, _ = fmt.Fprintf(w, `{"errorMessage":%q,"errorType":"errorString"}`, s.fails)
			return
		}
		a := s.open(app.Options{Command: "exporter"})
		f := &function.Functions{App: a, Log: slog.New(slog.DiscardHandler), Metrics: &function.Metrics{W: io.Discard}, Now: a.Pipeline.Now}
		result, err := f.Invoke(r.Context(), function.Exporter, nil)
		if err != nil {
			panic(err)
		}
		_ = json.NewEncoder(w).Encode(result)
	default:
		panic("a request for " + service)
	}
}

// open ties the stack's parts as app.OpenStack does.
func (s *stackOf) open(o app.Options) *app.App {
	s.t.Helper()
	o.Now = func() time.Time { return s.now }
	cfg, err := config.Load(config.Input{Flags: map[string]string{"data-dir": s.t.TempDir()}, LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.HotDays = 7
	bucket := s.bucket
	if bucket == nil {
		bucket = lake.OpenMem()
	}
	a, err := app.New(cfg, s.store, bucket, o)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.bucket == nil {
		a.Pipeline.Inbox, a.Pipeline.NoLake = nil, true
	}
	a.Parts = s.parts()
	return a
}

// parts are what the stack is made of.
func (s *stackOf) parts() app.Parts {
	p := app.Parts{Stack: "prod", Table: "events", ID: "arn:aws:cloudformation:us-east-1:111122223333:stack/prod/1"}
	if s.bucket != nil {
		p.Bucket, p.Database, p.Workgroup, p.Exporter, p.Results = "lake", "tracker", "trackers", "prod-exporter", "s3://lake/athena-results/"
	}
	return p
}

// run runs a command on the stack.
func (s *stackOf) run(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	e := &env{
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs, version: "v0.0.0-test", now: func() time.Time { return s.now },
		lookupEnv: func(name string) (string, bool) {
			if name == "IAMTRACK_DATA_DIR" {
				return s.t.TempDir(), true
			}
			return "", false
		},
		openAWS: func(ctx context.Context, c config.Config) (*awsapi.Session, error) {
			return awsapi.Open(ctx, awsapi.Config{
				Alone: true, EndpointURL: s.aws.URL, Region: c.AWSRegion, Keys: &awsapi.Keys{AccessKeyID: dummyKey, SecretAccessKey: "dummy"},
			})
		},
		openParts: func(_ context.Context, _ config.Config, _ *awsapi.Session, p app.Parts, o app.Options) (*app.App, error) {
			a := s.open(o)
			if diff := cmp.Diff(a.Parts, p); diff != "" {
				s.t.Errorf("parts of the stack (-want +got):\n%s", diff)
			}
			return a, nil
		},
	}
	code = run(context.Background(), e, args)
	return out.String(), errs.String(), code
}

// trailOf writes a simulated organization's trail files.
func trailOf(t *testing.T, end time.Time) string {
	t.Helper()
	w, err := simulate.New(simulate.Config{Seed: 11, Start: end.AddDate(0, 0, -12), End: end, Events: 1500})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "trail")
	if _, err := simulate.WriteTrail(t.Context(), w, dir, simulate.TrailOptions{Compress: true}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Every answer from a stack is the one that a data directory gives of the same
// events: with a lake, by DuckDB and by Athena, and without one.
func TestStackAnswersAlike(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	trail := trailOf(t, now)
	local := teller(t, filepath.Join(t.TempDir(), "data"))
	if _, stderr, code := local("import", trail); code != exitDone {
		t.Fatalf("import: exit code %d\n%s", code, stderr)
	}
	first := func(args ...string) string { // of the first row's first column
		stdout, stderr, code := local(append(args, "--format", "csv", "--limit", "1")...)
		_, row, _ := strings.Cut(stdout, "\n")
		value, _, _ := strings.Cut(row, ",")
		if value = strings.TrimSpace(value); code != exitDone || value == "" {
			t.Fatalf("%q: exit code %d\n%s%s", args, code, stdout, stderr)
		}
		return value
	}
	alert := first("alerts", "list")
	id := first("sql", "SELECT event_id FROM events WHERE event_name = 'AssumeRole' AND issued_access_key_id IS NOT NULL ORDER BY event_time DESC, event_id LIMIT 1")
	key := first("sql", "SELECT issued_access_key_id FROM events WHERE event_id = '"+id+"'")
	person := first("sql", "SELECT actor FROM events WHERE actor_kind = 'identity-center-user' GROUP BY actor ORDER BY count(*) DESC, actor LIMIT 1")
	stories := [][]string{
		{"events"}, {"events", "--outcome", "denied", "--since", "10d", "--limit", "7"}, {"events", "--grep", "admin", "--format", "json"}, {"events", id}, {"events", "--format", "csv", "--limit", "0"},
		{"who", "AssumeRole"}, {"who", key}, {"who", person}, {"who", "AttachUserPolicy", "--format", "json"},
		{"timeline", person, "--since", "20d"}, {"timeline", person, "--writes", "--format", "markdown"}, {"trace", key}, {"trace", id, "--format", "json"},
		{"alerts", "list"}, {"alerts", "list", "--severity", "critical", "--format", "csv"}, {"alerts", "show", alert}, {"alerts", "show", alert, "--format", "json"},
	}
	asked := [][]string{
		{"sql", "SELECT event_date, count(*) AS n FROM events GROUP BY event_date ORDER BY event_date", "--format", "csv"},
		{"sql", "SELECT reason, count(*) AS n FROM filtered GROUP BY reason ORDER BY reason", "--format", "json"},
		{"query", "user_lookup"}, {"query", "root_usage", "--format", "json"}, {"query", "daily_summary", "--since", "15d", "--format", "csv"},
		{"query", "off_hours", "--tz", "Europe/Berlin"}, {"query", "role_assumptions", "--format", "markdown"},
	}
	fill := func(s *stackOf) {
		t.Helper()
		a := s.open(app.Options{Command: "import"})
		if _, err := a.Pipeline.Import(t.Context(), collect.ImportOptions{Paths: []string{trail}}); err != nil {
			t.Fatal(err)
		}
		if s.bucket != nil {
			if _, err := a.Pipeline.Export(t.Context(), collect.ExportOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		bucket   lake.Bucket
		commands [][]string
		asks     []string // how the same is asked of the stack
	}{
		"lake, DuckDB": {lake.OpenMem(), slices.Concat(stories, asked), []string{"--engine", "duckdb"}},
		"lake, Athena": {lake.OpenMem(), asked, nil},
		"table":        {nil, [][]string{stories[0], stories[3], stories[6], stories[9], stories[12], stories[15], asked[1], asked[3]}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, now, c.bucket)
			fill(s)
			for _, args := range c.commands {
				want, stderr, code := local(args...)
				if code != exitDone {
					t.Fatalf("%q: exit code %d\n%s", args, code, stderr)
				}
				more := []string{"--stack", "prod"}
				if args[0] == "sql" || args[0] == "query" {
					more = append(more, c.asks...)
				}
				got, stderr, code := s.run(append(append([]string{}, args...), more...)...)
				if code != exitDone {
					t.Errorf("%q: exit code %d\n%s", args, code, stderr)
					continue
				}
				// JSON says how current the stack's lake is.
				got = strings.ReplaceAll(got, "iamtrack --stack prod ", "iamtrack ")
				if diff := cmp.Diff(want, dropFreshness(got)); diff != "" {
					t.Errorf("%q: (-data directory +stack)\n%s", args, diff)
				}
				if c.bucket != nil && args[0] != "alerts" && args[len(args)-1] != id && !strings.Contains(got, `"as_of"`) && !strings.Contains(stderr, "as of 2026-11-22 1") {
					t.Errorf("%q doesn't say how current it is:\n%s", args, stderr)
				}
			}
		})
	}
}

// dropFreshness takes out of JSON what only a stack's answers have.
func dropFreshness(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, `"as_of":`) && !strings.Contains(line, `"newer_events":`) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// What is stored and not in the lake yet is told of under each answer, in every
// format, until --fresh has the exporter add it.
func TestStackFreshness(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s := newStack(t, now, lake.OpenMem())
	a := s.open(app.Options{Command: "tracker"})
	line := `{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","userName":"alice","accountId":"111122223333","arn":"arn:aws:iam::111122223333:user/alice"},"eventTime":"2026-11-22T11:00:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateUser","awsRegion":"us-east-1","sourceIPAddress":"198.51.100.7","userAgent":"aws-cli/2","requestParameters":{"userName":"mallory"},"responseElements":null,"eventID":"00000000-0000-4000-8000-000000000001","recipientAccountId":"111122223333"}` + "\n"
	path := filepath.Join(t.TempDir(), "one.json")
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Pipeline.Import(t.Context(), collect.ImportOptions{Paths: []string{path}}); err != nil {
		t.Fatal(err)
	}
	const says = "1 event is not in the lake yet"
	for _, format := range []string{"table", "json", "csv", "markdown"} {
		for _, args := range [][]string{{"events"}, {"who", "CreateUser"}, {"timeline", "alice"}, {"query", "user_lookup"}, {"query", "user_lookup", "--engine", "duckdb"}, {"sql", "SELECT 1 AS x"}} {
			stdout, stderr, code := s.run(append(args, "--stack", "prod", "--format", format)...)
			if !strings.Contains(stdout+stderr, says) && !strings.Contains(stdout, `"newer_events": 1`) {
				t.Errorf("%q in %s: exit code %d\n%s%s", args, format, code, stdout, stderr)
			}
		}
	}
	stdout, stderr, code := s.run("status", "--stack", "prod")
	if code != exitDone || !strings.Contains(stdout, "1 event for the exporter") || !strings.Contains(stdout, "s3://lake") {
		t.Errorf("status: exit code %d\n%s%s", code, stdout, stderr)
	}
	stdout, _, _ = s.run("alerts", "list", "--stack", "prod")
	if !strings.Contains(stdout, "mallory") {
		t.Errorf("alerts, which are the table's:\n%s", stdout)
	}
	if s.ran > 0 {
		t.Errorf("the exporter ran %d times unasked", s.ran)
	}
	s.fails = "the bucket lake is gone"
	if _, stderr, code := s.run("events", "--stack", "prod", "--fresh"); code != exitFailed || !strings.Contains(stderr, "--fresh: the function prod-exporter failed: the bucket lake is gone") {
		t.Errorf("a failing exporter: exit code %d\n%s", code, stderr)
	}
	s.fails = ""
	stdout, stderr, code = s.run("events", "--stack", "prod", "--fresh")
	if code != exitDone || s.ran != 2 || !strings.Contains(stdout, "CreateUser") || strings.Contains(stdout+stderr, says) {
		t.Errorf("--fresh: exit code %d, the exporter ran %d times\n%s%s", code, s.ran, stdout, stderr)
	}
	if stdout, stderr, code = s.run("verify", "--stack", "prod"); code != exitDone || !strings.Contains(stdout, "store and lake agree") {
		t.Errorf("verify: exit code %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code = s.run("alerts", "ack", "--stack", "prod", "--note", "seen", firstAlert(t, s)); code != exitDone {
		t.Errorf("ack: exit code %d\n%s%s", code, stdout, stderr)
	}
	if stdout, _, _ = s.run("alerts", "list", "--stack", "prod", "--state", "acknowledged"); !strings.Contains(stdout, "mallory") {
		t.Errorf("acknowledged:\n%s", stdout)
	}
	// What the stack has already needs no waiting.
	if stdout, stderr, code = s.run("wait", "--stack", "prod", "--for", "event-name=CreateUser", "--since", "2h"); code != exitDone || !strings.Contains(stdout, "CreateUser") {
		t.Errorf("wait: exit code %d\n%s%s", code, stdout, stderr)
	}
}

func firstAlert(t *testing.T, s *stackOf) string {
	t.Helper()
	stdout, stderr, code := s.run("alerts", "list", "--stack", "prod", "--format", "csv")
	_, row, _ := strings.Cut(stdout, "\n")
	id, _, ok := strings.Cut(row, ",")
	if code != exitDone || !ok {
		t.Fatalf("alerts list: exit code %d\n%s%s", code, stdout, stderr)
	}
	return id
}

func TestStackIsNamedWrongly(t *testing.T) {
	s := newStack(t, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), lake.OpenMem())
	none := newStack(t, s.now, nil)
	for _, c := range []struct {
		on   *stackOf
		args []string
		code int
		says string
	}{
		{s, []string{"events", "--stack", "test"}, exitFailed, "look for the stack"},
		{s, []string{"events", "--stack", "no name"}, exitUsage, "the name of a CloudFormation stack"},
		{s, []string{"events", "--stack", "prod", "--data-dir", "x"}, exitUsage, "--data-dir and --stack"},
		{s, []string{"import", "x", "--stack", "prod"}, exitUsage, "--stack does not apply to `iamtrack import`"},
		{s, []string{"events", "--fresh"}, exitUsage, "--fresh goes with --stack"},
		{s, []string{"events", "--profile", "p"}, exitUsage, "--profile goes with --stack"},
		{s, []string{"sql", "SELECT 1", "--engine", "athena"}, exitUsage, "--engine goes with --stack"},
		{s, []string{"sql", "SELECT 1", "--engine", "presto", "--stack", "prod"}, exitUsage, "use athena or duckdb"},
		{none, []string{"sql", "SELECT 1", "--engine", "athena", "--stack", "prod"}, exitFailed, "keeps no lake"},
	} {
		if _, stderr, code := c.on.run(c.args...); code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit code %d\n%s", c.args, code, stderr)
		}
	}
}

// A setting names the stack for every command, but those that work on a data
// directory say so instead of filling another one than was meant.
func TestStackBySetting(t *testing.T) {
	s := newStack(t, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), lake.OpenMem())
	path := filepath.Join(t.TempDir(), "iamtrack.yaml")
	if err := os.WriteFile(path, []byte("stack: prod\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := s.run("--config", path, "status"); code != exitDone || !strings.Contains(stdout, "prod") {
		t.Errorf("status: exit code %d\n%s%s", code, stdout, stderr)
	}
	if _, stderr, code := s.run("--config", path, "import", path); code != exitUsage || !strings.Contains(stderr, "the setting stack") {
		t.Errorf("import: exit code %d\n%s", code, stderr)
	}
}

// Who asks a stack needs no more than to read its own parts.
func TestStackPermissions(t *testing.T) {
	s := newStack(t, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), lake.OpenMem())
	none := newStack(t, s.now, nil)
	for _, c := range []struct {
		on        *stackOf
		args      []string
		has, lack []string
	}{
		{s, []string{"events"}, []string{"dynamodb:Query", `"arn:aws:dynamodb:us-east-1:111122223333:table/events"`, "s3:GetObject", "arn:aws:s3:::lake/*", "cloudformation:DescribeStacks"}, []string{"athena:", "lambda:", "PutItem", "UpdateItem", "glue:"}},
		{s, []string{"query", "--fresh"}, []string{"athena:StartQueryExecution", "workgroup/trackers", "glue:GetTable", "table/tracker/*", "arn:aws:s3:::lake/athena-results/*", "lambda:InvokeFunction", "function:prod-exporter"}, []string{"PutItem"}},
		{s, []string{"sql", "--engine", "duckdb"}, []string{"s3:GetObject"}, []string{"athena:", "s3:PutObject"}},
		{s, []string{"alerts"}, []string{"dynamodb:UpdateItem"}, []string{"dynamodb:PutItem", "sns:"}},
		{s, []string{"wait"}, []string{"cloudtrail:LookupEvents"}, []string{"UpdateItem"}},
		{none, []string{"query"}, []string{"dynamodb:Query"}, []string{"s3:", "athena:"}},
	} {
		stdout, stderr, code := c.on.run(append([]string{"permissions", "--stack", "prod"}, c.args...)...)
		if code != exitDone {
			t.Errorf("%q: exit code %d\n%s", c.args, code, stderr)
		}
		for _, text := range c.has {
			if !strings.Contains(stdout, text) {
				t.Errorf("%q permits no %s:\n%s", c.args, text, stdout)
			}
		}
		for _, text := range c.lack {
			if strings.Contains(stdout, text) {
				t.Errorf("%q permits %s:\n%s", c.args, text, stdout)
			}
		}
	}
	if _, stderr, code := s.run("permissions", "collect", "--stack", "prod"); code != exitUsage || !strings.Contains(stderr, "asks no stack") {
		t.Errorf("collect: exit code %d\n%s", code, stderr)
	}
	if _, stderr, code := s.run("permissions", "events"); code != exitUsage || !strings.Contains(stderr, "--stack NAME") {
		t.Errorf("without a stack: exit code %d\n%s", code, stderr)
	}
}
