package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// The page lists the faults that there are.
func TestSimulatePage(t *testing.T) {
	if !strings.Contains(read(t, filepath.Join(repository, "docs", "simulate.md")), "\n```text\n"+server.FaultHelp+"\n```\n") {
		t.Error("docs/simulate.md does not show server.FaultHelp")
	}
}

// What is printed is what a client needs: it reaches the server, until an
// interrupt ends it in good order.
func TestSimulateServes(t *testing.T) {
	dir := t.TempDir()
	truth := filepath.Join(dir, "truth.json")
	out, stdout := io.Pipe()
	var stderr bytes.Buffer
	e := &env{
		stdin: strings.NewReader(""), stdout: stdout, stderr: &stderr, version: "v0.0.0-test",
		now:       func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) },
		lookupEnv: func(string) (string, bool) { return "", false },
	}
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		done <- run(ctx, e, []string{"--data-dir", dir, "simulate", "--listen", "127.0.0.1:0", "--days", "8", "--events", "2000", "--truth", truth, "--fault", "deny=eu-west-3"})
		_ = stdout.Close()
	}()
	vars := map[string]string{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if k, v, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "="); ok {
			vars[k] = v
		}
		if strings.HasPrefix(lines.Text(), "unset") {
			break
		}
	}
	ask := func(region string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, vars["AWS_ENDPOINT_URL"], strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+vars["AWS_ACCESS_KEY_ID"]+"/20261122/"+region+"/cloudtrail/aws4_request, SignedHeaders=host, Signature=0")
		r.Header.Set("X-Amz-Target", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents")
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.Body.Close() != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if got := ask(vars["AWS_REGION"]); !strings.Contains(got, `"EventId"`) {
		t.Errorf("answer %s", got)
	}
	if got := ask("eu-west-3"); !strings.Contains(got, "AccessDeniedException") {
		t.Errorf("answer %s", got)
	}
	interrupt()
	if code := <-done; code != exitDone {
		t.Errorf("exit code %d\n%s", code, stderr.String())
	}
	if !strings.Contains(stderr.String(), "2 requests to LookupEvents, 0 throttled") {
		t.Errorf("standard error:\n%s", stderr.String())
	}
	b, err := os.ReadFile(truth) //nolint:gosec // ours
	if err != nil {
		t.Fatal(err)
	}
	var declared struct{ Events, Alerts []json.RawMessage }
	if err := json.Unmarshal(b, &declared); err != nil || len(declared.Events) < 2000 || len(declared.Alerts) == 0 {
		t.Errorf("%v; %d events, %d alerts", err, len(declared.Events), len(declared.Alerts))
	}
}
