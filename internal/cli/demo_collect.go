package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// demoRate is how many LookupEvents requests a second the demo's organization
// permits in each account and region, so that nobody has to wait for minutes.
const demoRate = 200

// collectSimulated serves a world on this computer, collects from all its
// accounts, and brings the lake up to date. Nothing of the user's AWS settings
// counts, not even a proxy, and nothing listens any more when it returns.
func (e *env) collectSimulated(ctx context.Context, a *app.App, world *simulate.World) (sum lookup.Summary, err error) {
	s, err := server.New(server.Options{World: world, Clock: clock{e.now}, Rate: demoRate})
	if err != nil {
		return sum, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return sum, fmt.Errorf("serve the simulated organization: %w", err)
	}
	web := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}} // and no proxy
	defer func() {
		client.CloseIdleConnections()
		err = errors.Join(err, web.Close())
		if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
			err = errors.Join(err, fmt.Errorf("serve the simulated organization: %w", serr))
		}
	}()
	cfg := world.Config()
	e.note("collecting %s of a simulated organization with %s, which is served at %s", count(int(cfg.End.Sub(cfg.Start).Hours()/24), "day"), count(cfg.Accounts, "account"), listener.Addr())

	session, err := awsapi.Open(ctx, awsapi.Config{
		Alone: true, EndpointURL: "http://" + listener.Addr().String(), HTTPClient: client, UserAgent: "iamtrack-" + e.version,
		Keys: &awsapi.Keys{AccessKeyID: dummyKey, SecretAccessKey: "dummy"},
	})
	if err != nil {
		return sum, err
	}
	specs, err := session.Organization(ctx, server.DefaultRoles[0].Name)
	if err != nil {
		return sum, fmt.Errorf("list the simulated accounts: %w", err)
	}
	accounts := make([]*awsapi.Account, len(specs))
	for i, spec := range specs {
		accounts[i] = session.Assume(spec)
	}
	c, err := a.Collector(ctx, accounts)
	if err != nil {
		return sum, err
	}
	c.Sources, c.Rate = nil, demoRate
	if sum, err = e.collectOnce(ctx, a, c); err != nil || !sum.Incomplete() {
		return sum, err
	}
	if ctx.Err() != nil {
		return sum, context.Cause(ctx)
	}
	e.collectNotes(&sum)
	return sum, collectResult(&sum)
}
