package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

func faults(t testing.TB, specs ...string) server.Faults {
	t.Helper()
	f, err := server.ParseFaults(specs...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	got := faults(t, "throttle=0.2", "quota-share=0.5", "token-expiry=30s", "credentials-expire=15m", "unknown-key=AKIAX", "deny=eu-west-3",
		"deny=111122223333/*:ec2:DescribeRegions", "error=Oops:us-east-1", "error500=0.02", "latency=4s", "latency=ap-south-1:200ms", "reset=0.05", "clock-skew=3m",
		"late=2h:0.03", "duplicates=0.01", "empty-page=0.1", "hide=eu-west-1:2026-11-01T10:00:00Z/2026-11-01T11:00:00Z", "kms-denied", "burst", "dense-hour=2000")
	want := server.Faults{
		Throttle: 0.2, QuotaShare: 0.5, TokenExpiry: 30 * time.Second, CredentialsExpire: 15 * time.Minute, UnknownKeys: []string{"AKIAX"},
		Deny:     []server.Denial{{Region: "eu-west-3"}, {Account: "111122223333", Service: "ec2", Operation: "DescribeRegions"}},
		Errors:   []server.ForcedError{{Code: "Oops", Region: "us-east-1"}},
		Error500: 0.02, Latency: 4 * time.Second, RegionLatency: map[string]time.Duration{"ap-south-1": 200 * time.Millisecond}, Reset: 0.05, ClockSkew: 3 * time.Minute,
		Late: 2 * time.Hour, LateShare: 0.03, Duplicates: 0.01, EmptyPage: 0.1,
		Hide:      []server.Hidden{{Region: "eu-west-1", From: time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 1, 11, 0, 0, 0, time.UTC)}},
		KMSDenied: true, Burst: 300, DenseHour: 2000,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, wrong := range []string{"", "thottle=1", "throttle", "throttle=2", "throttle=x", "latency=4", "latency=x:4", "late=2h:2", "hide=x", "hide=x:1/2", "deny=", "deny=a:b:c:d", "error=", "burst=x", "kms-denied=1"} {
		if _, err := server.ParseFaults(wrong); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
	for line := range strings.SplitSeq(server.FaultHelp, "\n") {
		if name, _, _ := strings.Cut(strings.Fields(line)[0], "="); !strings.HasPrefix(line, " ") {
			name, _, _ = strings.Cut(name, "[")
			if _, err := server.ParseFaults(name); err != nil && strings.Contains(err.Error(), ": unknown;") {
				t.Errorf("the help names %s, which is no fault", name)
			}
		}
	}
}

// Whatever the fault, reading to the end with retries gives what is there; and all
// faults are the same each time.
func TestFaultsLoseNothing(t *testing.T) {
	t.Parallel()
	for _, specs := range [][]string{
		{"throttle=0.3"}, {"quota-share=0.5"}, {"error500=0.2"}, {"reset=0.3"}, {"empty-page=0.4"}, {"duplicates=0.1"}, {"latency=4s"}, {"clock-skew=3m"},
		{"throttle=0.2", "reset=0.1"}, {"duplicates=0.2", "empty-page=0.3"}, {"burst=300"}, {"late=2h:0.1"},
	} {
		t.Run(fmt.Sprint(specs), func(t *testing.T) {
			t.Parallel()
			f := faults(t, specs...)
			var runs [2]string
			for run := range runs {
				synctest.Test(t, func(t *testing.T) {
					now := time.Now().UTC()
					w := world(t, simulate.Config{Seed: 9, Days: 8, Events: 3000, End: now, Burst: f.Burst})
					s := start(t, server.Options{World: w, Clock: server.Real{}, Faults: f})
					time.Sleep(3 * time.Hour) // so that late events have come
					got, requests := readAll(t, s, w.Accounts()[1], "us-east-1")
					want := map[string]int{}
					for _, id := range recorded(w, func(r simulate.Record) bool { return r.Account == w.Accounts()[1] && r.Region == "us-east-1" }) {
						want[id] = 1
					}
					for id := range got {
						if f.Duplicates > 0 {
							got[id] = 1
						}
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
					runs[run] = fmt.Sprint(time.Since(now), requests, s.Counts())
				})
			}
			if runs[0] != runs[1] {
				t.Errorf("two runs differ:\n%s\n%s", runs[0], runs[1])
			}
		})
	}
}

// readAll reads a region one page after the other, half a second apart, and tries
// each page until it comes. It counts how often each event came.
func readAll(t *testing.T, s *server.Server, account, region string) (events map[string]int, requests int) {
	t.Helper()
	events = map[string]int{}
	client := trail(s, account, region)
	for in := (cloudtrail.LookupEventsInput{}); ; {
		out, err := client.LookupEvents(t.Context(), &in)
		requests++
		if requests > 2000 {
			t.Fatalf("no end: %v", err)
		}
		time.Sleep(500 * time.Millisecond)
		if err != nil {
			if c := code(err); c != "ThrottlingException" && c != "InternalFailure" && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			continue
		}
		for _, e := range out.Events {
			events[*e.EventId]++
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return events, requests
		}
	}
}

func TestDuplicatesComeOnTheNextPage(t *testing.T) {
	t.Parallel()
	clock := server.NewVirtual(end)
	w := world(t, simulate.Config{Seed: 9, Days: 8, Events: 3000})
	s := start(t, server.Options{World: w, Clock: clock, Faults: faults(t, "duplicates=0.1"), KeepServed: true})
	got, _ := list(t, s, clock, w.Accounts()[1], "us-east-1", cloudtrail.LookupEventsInput{EndTime: aws.Time(end)})
	want := recorded(w, func(r simulate.Record) bool { return r.Account == w.Accounts()[1] && r.Region == "us-east-1" })
	twice := len(got) - len(want)
	if twice < len(want)/20 || twice > len(want)/5 {
		t.Errorf("%d of %d events came twice", twice, len(want))
	}
	served := 0
	for _, m := range s.Served() {
		for _, n := range m {
			served += n
		}
	}
	if served != len(got) {
		t.Errorf("%d events noted, %d given", served, len(got))
	}
}

// An event is there from when it has been delivered.
func TestDelivery(t *testing.T) {
	t.Parallel()
	w := world(t, simulate.Config{Seed: 9, Days: 8, Events: 3000})
	clock := server.NewVirtual(end)
	s := start(t, server.Options{World: w, Clock: clock, Delivery: 12 * time.Hour, Faults: faults(t, "late=24h:0.2")})
	count := func() int {
		got, _ := list(t, s, clock, w.Accounts()[1], "us-east-1", cloudtrail.LookupEventsInput{EndTime: aws.Time(end)})
		if n := s.Visible(w.Config().Start, w.Config().End, allSources(w)...); total(n, w.Accounts()[1], "us-east-1") != len(got) {
			t.Errorf("%d events visible, %d given", total(n, w.Accounts()[1], "us-east-1"), len(got))
		}
		return len(got)
	}
	all := len(recorded(w, func(r simulate.Record) bool { return r.Account == w.Accounts()[1] && r.Region == "us-east-1" }))
	before := count()
	clock.Advance(12 * time.Hour)
	between := count()
	clock.Advance(24 * time.Hour)
	if after := count(); !(before < between && between < after && after == all) {
		t.Errorf("%d, %d, %d of %d events", before, between, after, all)
	}
}

func allSources(w *simulate.World) []string {
	var list []string
	for name := range w.Truth().Counts.Sources {
		list = append(list, name+".amazonaws.com")
	}
	return list
}

func total(m map[simulate.Stream][]string, account, region string) (n int) {
	for s, list := range m {
		if s.Account == account && s.Region == region {
			n += len(list)
		}
	}
	return n
}

func TestHide(t *testing.T) {
	t.Parallel()
	w := world(t, simulate.Config{Seed: 9, Days: 8, Events: 3000})
	clock := server.NewVirtual(end)
	from, to := end.AddDate(0, 0, -3), end.AddDate(0, 0, -2)
	s := start(t, server.Options{World: w, Clock: clock, Faults: faults(t, "hide=us-east-1:"+from.Format(time.RFC3339)+"/"+to.Format(time.RFC3339))})
	got, _ := list(t, s, clock, w.Accounts()[1], "us-east-1", cloudtrail.LookupEventsInput{})
	want := recorded(w, func(r simulate.Record) bool {
		return r.Account == w.Accounts()[1] && r.Region == "us-east-1" && (r.Time.Before(from) || !r.Time.Before(to))
	})
	if diff := cmp.Diff(want, ids(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Two requests a second, of each account and region by itself.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]int{"quota-share=0": 2, "quota-share=0.5": 1} {
		synctest.Test(t, func(t *testing.T) {
			w := world(t, simulate.Config{Seed: 9, Days: 8, Events: 3000, End: time.Now()})
			s := start(t, server.Options{World: w, Clock: server.Real{}, Faults: faults(t, spec)})
			for range 600 { // a minute at ten a second
				for _, at := range [][2]string{{w.Accounts()[0], "us-east-1"}, {w.Accounts()[0], "eu-west-1"}, {w.Accounts()[1], "us-east-1"}} {
					_, _ = trail(s, at[0], at[1]).LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{})
				}
				time.Sleep(100 * time.Millisecond)
			}
			for _, c := range s.Counts() {
				if ok := c.Requests - c.Throttled; c.Requests != 600 || ok < 60*want || ok > 60*want+2 {
					t.Errorf("%s: %+v", spec, c)
				}
			}
			if sum := s.Total("cloudtrail:LookupEvents"); sum.Requests != 1800 {
				t.Errorf("%+v", sum)
			}
		})
	}
}

// Whoever keeps to two a second is never throttled; answers that take four seconds
// cost no real time, and several are under way at once.
func TestLatencyIsVirtual(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := world(t, simulate.Config{Seed: 9, Days: 8, Events: 3000, End: time.Now()})
		s := start(t, server.Options{World: w, Clock: server.Real{}, Faults: faults(t, "latency=4s")})
		client := trail(s, w.Accounts()[0], "us-east-1")
		began := time.Now()
		done := make(chan error)
		const n = 200
		for i := range n {
			go func() {
				time.Sleep(time.Duration(i) * 500 * time.Millisecond)
				_, err := client.LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{})
				done <- err
			}()
		}
		for range n {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != (n-1)*500*time.Millisecond+4*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// The SDK's own retries get over throttling, resets and internal errors.
func TestSDKRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := world(t, simulate.Config{Seed: 9, Days: 8, Events: 3000, End: time.Now()})
		s := start(t, server.Options{World: w, Clock: server.Real{}, Faults: faults(t, "throttle=0.3", "reset=0.2", "error500=0.1")})
		cfg := sdk(s, "us-east-1", w.Accounts()[1])
		cfg.Retryer = func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), 12) }
		pages := cloudtrail.NewLookupEventsPaginator(cloudtrail.NewFromConfig(cfg), &cloudtrail.LookupEventsInput{EndTime: aws.Time(w.Config().End)})
		n := 0
		for range 3 {
			out, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n += len(out.Events)
			time.Sleep(time.Minute)
		}
		if n != 150 {
			t.Errorf("%d events", n)
		}
	})
}

// A week's watch of all regions in virtual time.
func TestWeekInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := world(t, simulate.Config{Seed: 9, Start: began.AddDate(0, 0, -2), End: began.AddDate(0, 0, 8), Events: 3000})
		s := start(t, server.Options{World: w, Clock: server.Real{}, Delivery: 3 * time.Minute})
		got := map[string]bool{}
		for time.Since(began) < 7*24*time.Hour {
			for _, region := range w.Regions() {
				client := trail(s, w.Accounts()[1], region)
				for in := (cloudtrail.LookupEventsInput{StartTime: aws.Time(time.Now().Add(-2 * time.Hour))}); ; {
					out, err := client.LookupEvents(t.Context(), &in)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range out.Events {
						got[*e.EventId] = true
					}
					time.Sleep(500 * time.Millisecond)
					if in.NextToken = out.NextToken; in.NextToken == nil {
						break
					}
				}
			}
			time.Sleep(time.Hour)
		}
		want := map[string]bool{}
		for _, id := range recorded(w, func(r simulate.Record) bool {
			return r.Account == w.Accounts()[1] && r.Time.After(began) && r.Time.Before(began.AddDate(0, 0, 7).Add(-2*time.Hour))
		}) {
			want[id] = true
		}
		for id := range want {
			if !got[id] {
				t.Errorf("event %s was not seen", id)
			}
		}
		if len(want) < 100 {
			t.Errorf("only %d events in the week", len(want))
		}
	})
}

// Over a real network, connections are reset.
func TestResetOverTheNetwork(t *testing.T) {
	t.Parallel()
	w := world(t, simulate.Config{Seed: 9, Days: 8, Events: 3000, End: time.Now()})
	s := start(t, server.Options{World: w, Clock: server.Real{}, Faults: faults(t, "reset=1")})
	host := httptest.NewServer(s)
	defer host.Close()
	cfg := sdk(s, "us-east-1", "dummy")
	cfg.HTTPClient, cfg.BaseEndpoint = host.Client(), aws.String(host.URL)
	broken := 0
	for range 20 {
		_, err := cloudtrail.NewFromConfig(cfg).LookupEvents(context.Background(), &cloudtrail.LookupEventsInput{})
		if err != nil && code(err) == err.Error() { // no answer of the service's
			broken++
		}
	}
	// Half of them before, and half of the others after the answer was made.
	if n := s.Total("cloudtrail:LookupEvents").Broken; n != broken || n < 10 || n > 20 {
		t.Errorf("%d broken connections seen, %d counted", broken, n)
	}
}

// The account's clock is told by its answers.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	clock := server.NewVirtual(end)
	s := start(t, server.Options{Clock: clock, Faults: faults(t, "clock-skew=3m")})
	out, err := trail(s, "dummy", "us-east-1").LookupEvents(context.Background(), &cloudtrail.LookupEventsInput{})
	if err != nil {
		t.Fatal(err)
	}
	if at := serverTime(out); !at.Equal(end.Add(3 * time.Minute)) {
		t.Errorf("Date is %s", at)
	}
	strict := start(t, server.Options{World: world(t, simulate.Config{Seed: 1, Days: 8, End: time.Now()}), Clock: server.Real{}, StrictTime: true, Faults: faults(t, "clock-skew=6m")})
	_, err = trail(strict, "dummy", "us-east-1").LookupEvents(context.Background(), &cloudtrail.LookupEventsInput{})
	if code(err) != "InvalidSignatureException" {
		t.Errorf("error %v", err)
	}
}

func serverTime(out *cloudtrail.LookupEventsOutput) time.Time {
	at, _ := middleware.GetServerTime(out.ResultMetadata)
	return at
}

func TestVirtualClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := server.NewVirtual(end)
		woken := make(chan int, 3)
		ctx, cancel := context.WithCancel(t.Context())
		for i, d := range []time.Duration{time.Second, time.Minute, time.Hour} {
			go func() {
				if c.Sleep(ctx, d) == nil {
					woken <- i
				}
			}()
		}
		synctest.Wait()
		if c.Sleepers() != 3 {
			t.Errorf("%d sleep", c.Sleepers())
		}
		c.Advance(time.Second)
		if i := <-woken; i != 0 {
			t.Errorf("%d woke", i)
		}
		c.Advance(59 * time.Second)
		if i := <-woken; i != 1 {
			t.Errorf("%d woke", i)
		}
		cancel()
		synctest.Wait()
		if len(woken) != 0 || c.Sleepers() != 0 {
			t.Error("the last one woke, or still sleeps")
		}
		if want := end.Add(time.Minute); !c.Now().Equal(want) {
			t.Errorf("it is %s, want %s", c.Now(), want)
		}
	})
}

// What is given out does not depend on how, or how often, it's asked for.
func TestWorldIsTheSame(t *testing.T) {
	t.Parallel()
	var got [2][]string
	for i := range got {
		clock := server.NewVirtual(end)
		s := start(t, server.Options{Clock: clock, Faults: faults(t, "late=2h:0.2", "duplicates=0.1", "empty-page=0.2"), HistoryLimit: 1 + 1000*i})
		events, _ := list(t, s, clock, "012345678901", "us-east-1", cloudtrail.LookupEventsInput{EndTime: aws.Time(end)})
		got[i] = ids(events)
	}
	if diff := cmp.Diff(got[0], got[1]); diff != "" {
		t.Errorf("(-one +other):\n%s", diff)
	}
}
