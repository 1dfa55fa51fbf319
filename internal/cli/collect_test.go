package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// testOrganization is a simulated organization of eight days, and some time to
// come. Waiting there lasts until whoever waits breaks off.
type testOrganization struct {
	server *server.Server
	web    *httptest.Server

	mu     sync.Mutex
	at     time.Time
	waited chan struct{} // closed when somebody waits
}

func (o *testOrganization) Now() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}

func (o *testOrganization) Sleep(ctx context.Context, d time.Duration) error {
	if d > 0 {
		o.mu.Lock()
		select {
		case <-o.waited:
		default:
			close(o.waited)
		}
		o.mu.Unlock()
		<-ctx.Done()
	}
	return ctx.Err()
}

func (o *testOrganization) set(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at = at
}

var testWorld = sync.OnceValues(func() (*simulate.World, error) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	return simulate.New(simulate.Config{Seed: 5, Start: noon.AddDate(0, 0, -8), End: noon.Add(4 * time.Hour), Events: 1500})
})

// testRate is what the test organization permits.
const testRate = "500"

func newTestOrganization() (*testOrganization, error) {
	world, err := testWorld()
	if err != nil {
		return nil, err
	}
	o := &testOrganization{at: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), waited: make(chan struct{})}
	if o.server, err = server.New(server.Options{
		World: world, Clock: o, Rate: 500,
		Roles: []server.Role{{Name: "OrganizationAccountAccessRole"}, {Name: "reader", ExternalID: "c0ffee"}},
	}); err != nil {
		return nil, err
	}
	o.web = httptest.NewServer(o.server)
	return o, nil
}

// environment is what reaches it, and nothing else.
func (o *testOrganization) environment(dir string) map[string]string {
	none := filepath.Join(dir, "none")
	return map[string]string{
		"AWS_ENDPOINT_URL": o.web.URL, "AWS_ACCESS_KEY_ID": dummyKey, "AWS_SECRET_ACCESS_KEY": "dummy", "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_REGION": "us-east-1", "AWS_CA_BUNDLE": "", "AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
		"AWS_EC2_METADATA_DISABLED": "true", "IAMTRACK_REQUEST_RATE": testRate,
	}
}

// scriptAWS: aws [FAULT…] serves the test organization with these faults from then
// on, and points the environment at it; aws --at TIME|now sets its clock; aws --asked
// waits until a request hangs in its latency.
func scriptAWS(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: aws [FAULT…] | --at TIME | --asked")
	}
	o, _ := ts.Value(organizationKey{}).(*testOrganizationHolder)
	if o.o == nil {
		var err error
		o.o, err = newTestOrganization()
		ts.Check(err)
		ts.Defer(o.o.web.Close)
		for name, value := range o.o.environment(ts.Getenv("WORK")) {
			ts.Setenv(name, value)
		}
	}
	switch {
	case len(args) == 2 && args[0] == "--at":
		at := time.Now() // by which the SDK signs
		if args[1] != "now" {
			var err error
			at, err = time.Parse(time.RFC3339, args[1])
			ts.Check(err)
		}
		o.o.set(at)
		ts.Setenv("IAMTRACK_TEST_NOW", at.UTC().Format(time.RFC3339))
	case len(args) == 1 && args[0] == "--asked":
		<-o.o.waited
	default:
		faults, err := server.ParseFaults(args...)
		ts.Check(err)
		o.o.server.SetFaults(faults)
	}
}

type (
	organizationKey        struct{}
	testOrganizationHolder struct{ o *testOrganization }
)

// A watch prints an object for each run, ends in good order when it is
// interrupted between runs, and the next one goes on.
func TestCollectWatch(t *testing.T) {
	o, err := newTestOrganization()
	if err != nil {
		t.Fatal(err)
	}
	defer o.web.Close()
	dir := t.TempDir()
	for name, value := range o.environment(dir) {
		t.Setenv(name, value)
	}
	watch := func(format string) (first, stderr string, code int) {
		t.Helper()
		out, stdout := io.Pipe()
		var notes bytes.Buffer
		e := &env{
			stdin: strings.NewReader(""), stdout: stdout, stderr: &notes, version: "v0.0.0-test", now: o.Now,
			lookupEnv: func(name string) (string, bool) {
				v, ok := map[string]string{"IAMTRACK_REQUEST_RATE": testRate}[name]
				return v, ok
			},
		}
		ctx, interrupt := context.WithCancel(t.Context())
		done := make(chan int, 1)
		go func() {
			done <- run(ctx, e, []string{"--data-dir", filepath.Join(dir, "data"), "--format", format, "collect", "--watch", "24h"})
			_ = stdout.Close()
		}()
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		if lines.Scan() {
			first = lines.Text()
		}
		interrupt()
		for lines.Scan() {
			t.Errorf("another line: %s", lines.Text())
		}
		return first, notes.String(), <-done
	}
	var runs [2]struct {
		Stored, Requests int
		Unfinished       bool
	}
	for i := range runs {
		o.set(o.Now().Add(time.Duration(i) * time.Hour))
		line, stderr, code := watch("json")
		if code != exitDone || !strings.HasSuffix(stderr, "watched for 1 run\n") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		if err := json.Unmarshal([]byte(line), &runs[i]); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
	}
	if a, b := runs[0], runs[1]; a.Stored < 50 || b.Requests == 0 || b.Stored > a.Stored/5 || a.Unfinished || b.Unfinished {
		t.Errorf("%+v", runs)
	}
}

// Progress fits a terminal: one column below the other, and where many regions
// are under way, those that take longest.
func TestRegionLines(t *testing.T) {
	p := lookup.Progress{Elapsed: 10 * time.Second}
	for i, region := range []string{"ap-northeast-1", "eu-west-1", "us-east-1", "us-west-2"} {
		p.Regions = append(p.Regions, lookup.RegionStats{
			AccountID: "111122223333", Region: region, Requests: 1 << (4 * i), Events: 10 << (5 * i), Seconds: 10, PagesLeft: 100 * i, Rate: 2, Done: region == "eu-west-1",
		})
	}
	want := []string{
		"  us-east-1         256 requests   10,240 events   1024.0/s  100 s left",
		"  us-west-2       4,096 requests  327,680 events  32768.0/s  2 min left",
		"  and 1 more region",
		"1 of 4 regions, 4,369 requests, 338,250 events, 0 new, 33825.0/s, 2 min left",
	}
	if diff := cmp.Diff(want, regionLines(p, 2)); diff != "" {
		t.Errorf("lines differ (-want +got):\n%s", diff)
	}
	p.Regions[3].AccountID = "444455556666"
	if got := regionLines(p, 9); len(got) != 4 || !strings.HasPrefix(got[0], "  111122223333 ap-northeast-1  ") || !strings.HasPrefix(got[1], "  111122223333 us-east-1       ") {
		t.Errorf("%q", got)
	}
}
