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

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// account is a simulated account that commands talk to without a network.
type account struct {
	t    testing.TB
	data string
	now  func() time.Time
	aws  *server.Server
	// world is what the account is made of.
	world *simulate.World

	mu    sync.Mutex
	calls []awsapi.Call
}

// newAccount serves a world; now is the program's clock.
func newAccount(t testing.TB, world *simulate.World, o server.Options, now func() time.Time) *account {
	t.Helper()
	o.World = world
	srv, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	a := &account{t: t, now: now, aws: srv, world: world}
	a.fresh()
	return a
}

// fresh names a data directory that isn't there yet.
func (a *account) fresh() { a.data = filepath.Join(a.t.TempDir(), "data") }

// run runs a command of the program.
func (a *account) run(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	e := &env{
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs, version: "v0.0.0-test", now: a.now,
		lookupEnv: func(string) (string, bool) { return "", false },
		openAWS: func(ctx context.Context, c config.Config) (*awsapi.Session, error) {
			return awsapi.Open(ctx, awsapi.Config{
				Alone: true, EndpointURL: server.Endpoint, Regions: c.Regions, HTTPClient: a.aws.Client(),
				Keys: &awsapi.Keys{AccessKeyID: dummyKey, SecretAccessKey: "dummy"},
				Record: func(c awsapi.Call) {
					a.mu.Lock()
					defer a.mu.Unlock()
					a.calls = append(a.calls, c)
				},
			})
		},
	}
	code = run(ctx, e, append([]string{"--data-dir", a.data}, args...))
	return out.String(), errs.String(), code
}

// recorded are the calls since it was asked last.
func (a *account) recorded() []awsapi.Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls := a.calls
	a.calls = nil
	return calls
}

// topicSettings has a channel that is an SNS topic.
const (
	topicARN      = "arn:aws:sns:us-east-1:111122223333:alerts"
	topicSettings = "channels:\n  - name: topic\n    type: sns\n    topic_arn: " + topicARN + "\n"
)

// settings writes the settings file.
func (a *account) settings(text string) {
	a.t.Helper()
	if err := os.MkdirAll(a.data, 0o700); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.data, config.FileName), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}
