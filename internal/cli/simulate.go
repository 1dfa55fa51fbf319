package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

type simulateOptions struct {
	listen   string
	seed     uint64
	days     int
	events   int
	accounts int
	faults   []string
	roles    []string
	truth    string
	trail    string
	delivery time.Duration
	ahead    time.Duration
}

func newSimulateCmd(e *env) *cobra.Command {
	o := simulateOptions{}
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Serve a simulated AWS organization that AWS's own tools can talk to",
		Long: `Serve a simulated organization over AWS's own protocols, until interrupted: any AWS
SDK, boto3 and the AWS CLI work with it unchanged, with AWS_ENDPOINT_URL and dummy
credentials. It has CloudTrail's event history with its limits (50 events a page,
90 days, 2 requests a second, tokens that expire), STS, Organizations, regions,
Identity Center, SNS, and the trail's bucket in S3 with --trail.

Standard output has the environment that clients need, as shell commands. The same
seed gives the same organization, day and request for day and request.

Faults (--fault, as often as wanted):

` + indent(server.FaultHelp, "    "),
		Example: "  iamtrack simulate --fault throttle=0.2 --fault deny=eu-west-3\n  iamtrack simulate --trail trail --days 7",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runSimulate(cmd.Context(), e, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:4580", "address and port to serve at; port 0 takes a free one")
	f.Uint64Var(&o.seed, "seed", 42, "which organization: the same seed gives the same events")
	f.IntVar(&o.days, "days", 90, "days of history")
	f.IntVar(&o.events, "events", 24_000, "how many events at least")
	f.IntVar(&o.accounts, "accounts", 3, "how many accounts, 3 to 40")
	f.StringArrayVar(&o.faults, "fault", nil, "what goes wrong: NAME=VALUE, see above")
	f.StringArrayVar(&o.roles, "role", nil, "NAME[:EXTERNAL_ID] of a role of each account (default OrganizationAccountAccessRole, iamtrack-read)")
	f.StringVar(&o.truth, "truth", "", "write what really happened to this file, as JSON")
	f.StringVar(&o.trail, "trail", "", "write trail files with digests to this folder, and serve them as the bucket "+simulate.TrailBucket)
	f.DurationVar(&o.delivery, "delivery", 0, "how long after its time an event can be seen")
	f.DurationVar(&o.ahead, "ahead", 0, "how much of the time is still to come, so that new events appear")
	return cmd
}

// indent puts prefix before each line.
func indent(text, prefix string) string {
	return prefix + strings.ReplaceAll(text, "\n", "\n"+prefix)
}

// dummyKey is the access key that clients are told to use; any other does too.
const dummyKey = "AKIAIAMTRACKSIMULATE"

func runSimulate(ctx context.Context, e *env, o simulateOptions) error {
	faults, err := server.ParseFaults(o.faults...)
	if err != nil {
		return usagef("--fault: %v", err)
	}
	switch {
	case o.ahead < 0 || o.delivery < 0:
		return usagef("--ahead and --delivery can't be negative")
	case o.days < 0 || time.Duration(o.days)*24*time.Hour+o.ahead < simulate.MinDays*24*time.Hour:
		return withHint(usagef("--days %d is too short: what happens in the simulated organization takes at least %d days", o.days, simulate.MinDays),
			"`iamtrack events --since 3d` asks about fewer days of it")
	case o.accounts < 3 || o.accounts > 40:
		return usagef("--accounts %d: there can be 3 to 40", o.accounts)
	case o.events < 0:
		return usagef("--events can't be negative")
	}
	end := e.now().UTC().Truncate(time.Hour).Add(o.ahead)
	world, err := simulate.New(simulate.Config{Seed: o.seed, Start: end.Add(-o.ahead).AddDate(0, 0, -o.days), End: end, Events: o.events, Accounts: o.accounts,
		Burst: faults.Burst, DenseHour: faults.DenseHour})
	if err != nil {
		return usagef("%v", err)
	}
	options := server.Options{World: world, Clock: clock{e.now}, StrictTime: true, Delivery: o.delivery, Faults: faults}
	for _, r := range o.roles {
		name, external, _ := strings.Cut(r, ":")
		options.Roles = append(options.Roles, server.Role{Name: name, ExternalID: external})
	}
	if o.truth != "" {
		if err := writeTruth(o.truth, world.Truth()); err != nil {
			return err
		}
		e.note("wrote what really happened to %s", o.truth)
	}
	if o.trail != "" {
		e.note("writing trail files to %s", o.trail)
		sum, err := simulate.WriteTrail(ctx, world, o.trail, simulate.TrailOptions{Compress: true, Digests: true, Every: time.Hour})
		if err != nil {
			return fmt.Errorf("write the simulated trail: %w", err)
		}
		e.note("wrote %s and %s", count(sum.Files, "log file"), count(sum.Digests, "digest"))
		options.Bucket.Dir = o.trail
	}
	s, err := server.New(options)
	if err != nil {
		return err
	}
	return e.serveSimulated(ctx, s, o.listen, world)
}

// clock is the program's.
type clock struct{ now func() time.Time }

func (c clock) Now() time.Time { return c.now() }

func (clock) Sleep(ctx context.Context, d time.Duration) error { return server.Real{}.Sleep(ctx, d) }

func writeTruth(file string, t *simulate.Truth) (err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the user's file
	if err != nil {
		return fmt.Errorf("write the truth: %w", err)
	}
	return errors.Join(simulate.WriteTruth(f, t), f.Close())
}

// serveSimulated serves until ctx ends, which is how it is meant to end.
func (e *env) serveSimulated(ctx context.Context, s *server.Server, address string, world *simulate.World) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return withHint(fmt.Errorf("listen: %w", err), "name another address with --listen")
	}
	cfg := world.Config()
	e.note("%s from %s to %s; interrupt to end", count(cfg.Accounts, "account"), cfg.Start.Format(time.RFC3339), cfg.End.Format(time.RFC3339))
	_, err = fmt.Fprintf(e.stdout, `export AWS_ENDPOINT_URL=http://%s
export AWS_ACCESS_KEY_ID=%s
export AWS_SECRET_ACCESS_KEY=dummy
export AWS_REGION=us-east-1
export AWS_DEFAULT_REGION=us-east-1
unset AWS_PROFILE AWS_SESSION_TOKEN
`, listener.Addr(), dummyKey)
	if err != nil {
		return errors.Join(fmt.Errorf("write where it listens: %w", err), listener.Close())
	}
	web := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = web.Close() }) // whoever asks has broken off too
	defer stop()
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	total := s.Total("cloudtrail:LookupEvents")
	e.note("%s to LookupEvents, %d throttled", count(total.Requests, "request"), total.Throttled)
	return nil
}
