package awsapi_test

import (
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// Permitted tells what is permitted without doing it; a refused question is an
// error, not "no". Lookup narrows by one attribute of any kind.
func TestPermittedAndAttributes(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	world, err := simulate.New(simulate.Config{Seed: 3, End: now, Days: 8, Events: 2000})
	if err != nil {
		t.Fatal(err)
	}
	sim, err := server.New(server.Options{World: world, Clock: still{now}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(sim)
	defer web.Close()
	lonely(t)
	s, err := awsapi.Open(t.Context(), awsapi.Config{EndpointURL: web.URL, Keys: &awsapi.Keys{AccessKeyID: "AKIA", SecretAccessKey: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	const topic = "arn:aws:sns:us-east-1:111122223333:alerts"
	if ok, err := s.Own().Permitted(t.Context(), "sns:Publish", topic); !ok || err != nil {
		t.Errorf("permitted: %v, %v", ok, err)
	}
	sim.SetFaults(server.Faults{Deny: []server.Denial{{Service: "sns"}}})
	if ok, err := s.Own().Permitted(t.Context(), "sns:Publish", topic); ok || err != nil {
		t.Errorf("denied: %v, %v", ok, err)
	}
	sim.SetFaults(server.Faults{Deny: []server.Denial{{Service: "iam"}}})
	if _, err := s.Own().Permitted(t.Context(), "sns:Publish", topic); !errors.Is(err, awsapi.ErrDenied) {
		t.Errorf("may not ask: %v", err)
	}
	if len(sim.Messages()) != 0 {
		t.Error("a message was sent")
	}

	sim.SetFaults(server.Faults{})
	all, err := s.Own().Lookup(t.Context(), "us-east-1", awsapi.LookupInput{Start: now.AddDate(0, 0, -8), End: now})
	if err != nil {
		t.Fatal(err)
	}
	some, err := s.Own().Lookup(t.Context(), "us-east-1", awsapi.LookupInput{
		Start: now.AddDate(0, 0, -8), End: now, Attribute: awsapi.Attribute{Key: "EventName", Value: "no such"},
	})
	if err != nil || len(some.Records) != 0 || len(all.Records) == 0 {
		t.Errorf("%d of %d records, %v", len(some.Records), len(all.Records), err)
	}
}
