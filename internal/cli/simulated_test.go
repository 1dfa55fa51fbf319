package cli

import (
	"bytes"
	"context"
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
	return &account{t: t, data: t.TempDir(), now: now, aws: srv}
}

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
