package awsapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// still is a time that stands still, so that nothing waits.
type still struct{ at time.Time }

func (c still) Now() time.Time { return c.at }

func (still) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func TestSimulatedOrganization(t *testing.T) {
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
	var (
		mu      sync.Mutex
		actions []string
	)
	s, err := awsapi.Open(t.Context(), awsapi.Config{
		EndpointURL: web.URL, Keys: &awsapi.Keys{AccessKeyID: "AKIA", SecretAccessKey: "x"},
		Record: func(c awsapi.Call) { mu.Lock(); defer mu.Unlock(); actions = append(actions, c.Action) },
	})
	if err != nil {
		t.Fatal(err)
	}
	me, err := s.Own().Caller(t.Context())
	if err != nil || len(me.AccountID) != 12 || me.Partition != "aws" || me.GlobalRegion() != "us-east-1" || !me.At.Equal(now) {
		t.Errorf("%+v, %v", me, err)
	}
	regions, err := s.Own().Regions(t.Context())
	if err != nil || len(regions) < 17 || !slices.IsSorted(regions) {
		t.Errorf("%q, %v", regions, err)
	}
	home, err := s.Own().IdentityCenterRegions(t.Context(), regions)
	if err != nil || len(home) != 1 {
		t.Errorf("%q, %v", home, err)
	}
	users, err := s.Own().IdentityCenterUsers(t.Context(), home[0])
	if err != nil || len(users) < 5 || users[0].StoreID == "" || users[0].UserID == "" || !strings.Contains(users[0].Name, "@") {
		t.Errorf("%+v, %v", users, err)
	}
	accounts, err := s.Organization(t.Context(), "iamtrack-read")
	if err != nil || len(accounts) != 3 {
		t.Fatalf("%+v, %v", accounts, err)
	}
	direct := 0
	for _, spec := range accounts {
		if spec.RoleARN == "" {
			direct++
		}
		acc := s.Assume(spec)
		c, err := acc.Caller(t.Context())
		if err != nil || c.AccountID != spec.AccountID || spec.Name == "" {
			t.Errorf("%+v: %+v, %v", spec, c, err)
		}
		if _, err := acc.Lookup(t.Context(), "us-east-1", awsapi.LookupInput{Start: now.Add(-time.Hour), End: now}); err != nil {
			t.Errorf("%s: %v", spec.AccountID, err)
		}
	}
	if direct != 1 {
		t.Errorf("%d accounts without a role", direct)
	}
	topic := "arn:aws:sns:eu-west-1:" + me.AccountID + ":alerts"
	if id, err := s.Publish(t.Context(), awsapi.Message{TopicARN: topic, Subject: "s", Body: "b", Attributes: map[string]string{"severity": "high"}}); err != nil || id == "" {
		t.Errorf("%q, %v", id, err)
	}
	if m := sim.Messages(); len(m) != 1 {
		t.Errorf("%d messages", len(m))
	}
	if _, err := s.Publish(t.Context(), awsapi.Message{TopicARN: "alerts"}); err == nil || !strings.Contains(err.Error(), "topic ARN") {
		t.Errorf("error %v", err)
	}
	slices.Sort(actions)
	want := []string{"cloudtrail:LookupEvents", "ec2:DescribeRegions", "identitystore:ListUsers", "organizations:ListAccounts", "sns:Publish", "sso:ListInstances", "sts:AssumeRole", "sts:GetCallerIdentity"}
	if got := slices.Compact(actions); !slices.Equal(got, want) {
		t.Errorf("actions %q", got)
	}
}

// Without permission to ask EC2 the account's own list tells; without both, the
// error names the permissions and the setting.
func TestRegionsFallBack(t *testing.T) {
	both := false
	f := newFake(t, func(w http.ResponseWriter, r request) {
		if r.Service == "ec2" || both {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized. Encoded authorization failure message: ` + strings.Repeat("x", 900) + `</Message></Error></Errors></Response>`))
			return
		}
		if strings.Contains(r.Body, "NextToken") {
			answerJSON(w, map[string]any{"Regions": []any{map[string]any{"RegionName": "af-south-1"}}})
			return
		}
		answerJSON(w, map[string]any{"Regions": []any{map[string]any{"RegionName": "eu-west-3"}}, "NextToken": "n"})
	})
	regions, err := open(t, f).Own().Regions(t.Context())
	if err != nil || !slices.Equal(regions, []string{"af-south-1", "eu-west-3"}) {
		t.Errorf("%q, %v", regions, err)
	}
	both = true
	_, err = open(t, f).Own().Regions(t.Context())
	for _, says := range []string{"ec2:DescribeRegions", "account:ListRegions", "setting regions"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v doesn't say %s", err, says)
		}
	}
	if err != nil && strings.Contains(err.Error(), "xxx") {
		t.Errorf("%v", err)
	}
	asked := len(f.requests())
	s := open(t, f, func(c *awsapi.Config) { c.Regions = []string{"us-east-1", "eu-west-3"} })
	if regions, err = s.Own().Regions(t.Context()); err != nil || !slices.Equal(regions, []string{"eu-west-3", "us-east-1"}) || len(f.requests()) != asked {
		t.Errorf("%q, %v", regions, err)
	}
}

func TestPartitions(t *testing.T) {
	for partition, region := range map[string]string{"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1", "aws-eusc": "eusc-de-east-1", "aws-new": "us-east-1"} {
		if got := awsapi.GlobalRegion(partition); got != region {
			t.Errorf("%s: %s", partition, got)
		}
	}
}
