package server_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/smithy-go"

	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

var end = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

// start makes a server of a small world whose clock stands at the end of the
// world, unless the options say otherwise.
func start(t testing.TB, o server.Options) *server.Server {
	t.Helper()
	if o.World == nil {
		o.World = world(t, simulate.Config{Seed: 7, Days: 8, Events: 3000})
	}
	if o.Clock == nil {
		o.Clock = server.NewVirtual(o.World.Config().End)
	}
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func world(t testing.TB, cfg simulate.Config) *simulate.World {
	t.Helper()
	if cfg.End.IsZero() {
		cfg.End = end
	}
	w, err := simulate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sdk configures the AWS SDK for a server, without retries.
func sdk(s *server.Server, region, key string) aws.Config {
	return aws.Config{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider(key, "dummy", ""), HTTPClient: s.Client(),
		BaseEndpoint: aws.String(server.Endpoint), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func trail(s *server.Server, account, region string) *cloudtrail.Client {
	return cloudtrail.NewFromConfig(sdk(s, region, account))
}

// code returns an error's code as the API has it.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// list reads a listing to its end; no limit is met, as the clock is moved.
func list(t testing.TB, s *server.Server, clock *server.Virtual, account, region string, in cloudtrail.LookupEventsInput) (all []types.Event, pages int) {
	t.Helper()
	client := trail(s, account, region)
	for {
		clock.Advance(time.Second)
		out, err := client.LookupEvents(context.Background(), &in)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out.Events...)
		pages++
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return all, pages
		}
	}
}

func ids(events []types.Event) []string {
	var list []string
	for _, e := range events {
		list = append(list, aws.ToString(e.EventId))
	}
	return list
}

// recorded lists the world's events of a stream, newest first.
func recorded(w *simulate.World, keep func(simulate.Record) bool) []string {
	var list []string
	for r := range w.Events() {
		if keep(r) {
			list = append(list, r.ID)
		}
	}
	slices.Reverse(list)
	return list
}
