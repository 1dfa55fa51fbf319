package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// The pages of any listing together are what the world recorded: newest first,
// nothing twice, nothing missing, whatever the range, attribute and page size.
func TestPagesAreTheTruth(t *testing.T) {
	t.Parallel()
	w := world(t, simulate.Config{Seed: 11, Days: 8, Events: 3000, Burst: 120})
	clock := server.NewVirtual(end)
	s := start(t, server.Options{World: w, Clock: clock})
	var records []simulate.Record
	for r := range w.Events() {
		records = append(records, r)
	}
	rapid.Check(t, func(rt *rapid.T) {
		account := rapid.SampledFrom(w.Accounts()).Draw(rt, "account")
		region := rapid.SampledFrom(w.Regions()).Draw(rt, "region")
		from := w.Config().Start.Unix() + int64(rapid.IntRange(-3600, 8*86400).Draw(rt, "from"))
		to := from + int64(rapid.IntRange(0, 2*86400).Draw(rt, "span"))
		if rapid.Bool().Draw(rt, "whole seconds of an event") {
			from = records[rapid.IntRange(0, len(records)-1).Draw(rt, "event")].Time.Unix()
			to = from + int64(rapid.IntRange(0, 3600).Draw(rt, "span2"))
		}
		in := cloudtrail.LookupEventsInput{StartTime: aws.Time(time.Unix(from, 0)), EndTime: aws.Time(time.Unix(to, 0))}
		if rapid.Bool().Draw(rt, "sized") {
			in.MaxResults = aws.Int32(int32(rapid.IntRange(7, 50).Draw(rt, "size")))
		}
		source := rapid.SampledFrom([]string{"", "iam.amazonaws.com", "sts.amazonaws.com", "signin.amazonaws.com"}).Draw(rt, "source")
		if source != "" {
			in.LookupAttributes = []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventSource, AttributeValue: aws.String(source)}}
		}
		got, pages := list(t, s, clock, account, region, in)
		var want []string
		for i := len(records) - 1; i >= 0; i-- {
			r := &records[i]
			if at := r.Time.Unix(); at < from || at > to || r.Account != account || r.Region != region {
				continue
			}
			if source == "" || strings.Contains(string(r.JSON), `"eventSource":"`+source+`"`) {
				want = append(want, r.ID)
			}
		}
		if diff := cmp.Diff(want, ids(got)); diff != "" {
			rt.Fatalf("%s %s (-want +got):\n%s", account, region, diff)
		}
		size := 50
		if in.MaxResults != nil {
			size = int(*in.MaxResults)
		}
		if most := max(1, (len(want)+size-1)/size); pages != most {
			rt.Fatalf("%d pages of %d for %d events", pages, size, len(want))
		}
	})
}

// Each attribute finds the events that have it, and no others.
func TestAttributes(t *testing.T) {
	t.Parallel()
	clock := server.NewVirtual(end)
	w := world(t, simulate.Config{Seed: 7, Days: 8, Events: 3000})
	s := start(t, server.Options{World: w, Clock: clock})
	account, region := w.Accounts()[1], "us-east-1"
	all, _ := list(t, s, clock, account, region, cloudtrail.LookupEventsInput{})
	value := func(e types.Event, key types.LookupAttributeKey) []string {
		switch key {
		case types.LookupAttributeKeyEventId:
			return []string{*e.EventId}
		case types.LookupAttributeKeyEventName:
			return []string{*e.EventName}
		case types.LookupAttributeKeyReadOnly:
			return []string{*e.ReadOnly}
		case types.LookupAttributeKeyUsername:
			return []string{aws.ToString(e.Username)}
		case types.LookupAttributeKeyEventSource:
			return []string{*e.EventSource}
		case types.LookupAttributeKeyAccessKeyId:
			return []string{aws.ToString(e.AccessKeyId)}
		}
		var list []string
		for _, r := range e.Resources {
			if key == types.LookupAttributeKeyResourceType {
				list = append(list, *r.ResourceType)
			} else {
				list = append(list, *r.ResourceName)
			}
		}
		return list
	}
	for _, key := range types.LookupAttributeKey("").Values() {
		t.Run(string(key), func(t *testing.T) {
			wanted := ""
			for _, e := range all { // the first value that there is
				if v := value(e, key); len(v) > 0 && v[0] != "" {
					wanted = v[0]
					break
				}
			}
			if wanted == "" {
				t.Fatal("no event has it")
			}
			var want []string
			for _, e := range all {
				if slices.Contains(value(e, key), wanted) {
					want = append(want, *e.EventId)
				}
			}
			for _, v := range []string{wanted, wanted + "x"} {
				if v != wanted {
					want = nil
				}
				got, _ := list(t, s, clock, account, region, cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{{AttributeKey: key, AttributeValue: aws.String(v)}}})
				if diff := cmp.Diff(want, ids(got)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", v, diff)
				}
			}
		})
	}
}

// An Event says what its record says.
func TestEvent(t *testing.T) {
	t.Parallel()
	clock := server.NewVirtual(end)
	w := world(t, simulate.Config{Seed: 7, Days: 8, Events: 3000})
	s := start(t, server.Options{World: w, Clock: clock})
	got, _ := list(t, s, clock, w.Accounts()[0], "us-east-1", cloudtrail.LookupEventsInput{})
	for _, e := range got {
		var r struct {
			EventID, EventName, EventSource string
			EventTime                       time.Time
			ReadOnly                        bool
			UserIdentity                    struct{ AccessKeyID string }
		}
		if err := json.Unmarshal([]byte(*e.CloudTrailEvent), &r); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintln(r.EventID, r.EventName, r.EventSource, r.EventTime.UTC(), r.ReadOnly, r.UserIdentity.AccessKeyID)
		if got := fmt.Sprintln(*e.EventId, *e.EventName, *e.EventSource, e.EventTime.UTC(), *e.ReadOnly, aws.ToString(e.AccessKeyId)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if len(got) == 0 {
		t.Error("no events")
	}
}

func TestLookupErrors(t *testing.T) {
	t.Parallel()
	attribute := func(key, value string) types.LookupAttribute {
		return types.LookupAttribute{AttributeKey: types.LookupAttributeKey(key), AttributeValue: aws.String(value)}
	}
	two := []types.LookupAttribute{attribute("EventName", "a"), attribute("EventName", "b")}
	for name, c := range map[string]struct {
		in     cloudtrail.LookupEventsInput
		faults []string
		want   string
	}{
		"two attributes":       {in: cloudtrail.LookupEventsInput{LookupAttributes: two}, want: "InvalidLookupAttributesException"},
		"unknown attribute":    {in: cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{attribute("Colour", "red")}}, want: "InvalidLookupAttributesException"},
		"empty value":          {in: cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{attribute("EventName", "")}}, want: "InvalidLookupAttributesException"},
		"long value":           {in: cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{attribute("EventName", strings.Repeat("_", 1001))}}, want: "InvalidLookupAttributesException"},
		"longest value":        {in: cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{attribute("EventName", strings.Repeat("_", 1000))}}},
		"insights by user":     {in: cloudtrail.LookupEventsInput{EventCategory: "insight", LookupAttributes: []types.LookupAttribute{attribute("Username", "a")}}, want: "InvalidLookupAttributesException"},
		"insights":             {in: cloudtrail.LookupEventsInput{EventCategory: "insight"}},
		"unknown category":     {in: cloudtrail.LookupEventsInput{EventCategory: "management"}, want: "InvalidEventCategoryException"},
		"page too large":       {in: cloudtrail.LookupEventsInput{MaxResults: aws.Int32(51)}, want: "InvalidMaxResultsException"},
		"page too small":       {in: cloudtrail.LookupEventsInput{MaxResults: aws.Int32(0)}, want: "InvalidMaxResultsException"},
		"start after end":      {in: cloudtrail.LookupEventsInput{StartTime: aws.Time(end), EndTime: aws.Time(end.Add(-time.Second))}, want: "InvalidTimeRangeException"},
		"time out of range":    {in: cloudtrail.LookupEventsInput{EndTime: aws.Time(time.Unix(-1, 0))}, want: "InvalidTimeRangeException"},
		"made-up token":        {in: cloudtrail.LookupEventsInput{NextToken: aws.String("AAAA")}, want: "InvalidNextTokenException"},
		"denied":               {faults: []string{"deny=us-east-1"}, want: "AccessDeniedException"},
		"denied operation":     {faults: []string{"deny=*:cloudtrail:LookupEvents"}, want: "AccessDeniedException"},
		"denied elsewhere":     {faults: []string{"deny=eu-west-1", "deny=012345678901/us-east-1", "deny=us-east-1:sts"}},
		"unknown key":          {faults: []string{"unknown-key=111122223333"}, want: "UnrecognizedClientException"},
		"operation refused":    {faults: []string{"error=OperationNotPermittedException"}, want: "OperationNotPermittedException"},
		"unsupported":          {faults: []string{"error=UnsupportedOperationException:us-east-1:LookupEvents"}, want: "UnsupportedOperationException"},
		"error elsewhere":      {faults: []string{"error=UnsupportedOperationException:eu-west-1"}},
		"internal error":       {faults: []string{"error500=1"}, want: "InternalFailure"},
		"throttled":            {faults: []string{"throttle=1"}, want: "ThrottlingException"},
		"throttled by others":  {faults: []string{"quota-share=0.9"}},
		"start before 90 days": {in: cloudtrail.LookupEventsInput{StartTime: aws.Time(end.AddDate(-1, 0, 0))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := server.ParseFaults(c.faults...)
			if err != nil {
				t.Fatal(err)
			}
			s := start(t, server.Options{Faults: f})
			_, err = trail(s, "111122223333", "us-east-1").LookupEvents(context.Background(), &c.in)
			if code(err) != c.want {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A token is good for the parameters that it was given for, and for its time.
func TestTokens(t *testing.T) {
	t.Parallel()
	clock := server.NewVirtual(end)
	f, err := server.ParseFaults("token-expiry=30s")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, server.Options{Clock: clock, Faults: f})
	ctx := context.Background()
	client := trail(s, "012345678901", "us-east-1")
	in := cloudtrail.LookupEventsInput{StartTime: aws.Time(end.AddDate(0, 0, -8))}
	first, err := client.LookupEvents(ctx, &in)
	if err != nil {
		t.Fatal(err)
	}
	in.NextToken = first.NextToken
	try := func(what string, client *cloudtrail.Client, in cloudtrail.LookupEventsInput, want string) {
		t.Helper()
		clock.Advance(time.Second)
		if _, err := client.LookupEvents(ctx, &in); code(err) != want {
			t.Errorf("%s: error %v, want %q", what, err, want)
		}
	}
	other := in
	try("the same", client, in, "")
	try("the same again", client, in, "")
	other.StartTime = aws.Time(end.AddDate(0, 0, -7))
	try("another start", client, other, "InvalidNextTokenException")
	other = in
	other.EndTime = aws.Time(end)
	try("an end", client, other, "InvalidNextTokenException")
	other = in
	other.MaxResults = aws.Int32(50)
	try("a page size", client, other, "InvalidNextTokenException")
	try("another region", trail(s, "012345678901", "eu-west-1"), in, "InvalidNextTokenException")
	try("another account", trail(s, "111122223333", "us-east-1"), in, "InvalidNextTokenException")
	clock.Advance(30 * time.Second)
	try("too late", client, in, "InvalidNextTokenException")
}

// What a listing has at its first page, it has to its end: events that happen
// while it is read are not in it.
func TestListingHasAnEnd(t *testing.T) {
	t.Parallel()
	w := world(t, simulate.Config{Seed: 7, Days: 8, Events: 3000})
	clock := server.NewVirtual(end.Add(-72 * time.Hour))
	s := start(t, server.Options{World: w, Clock: clock})
	client := trail(s, w.Accounts()[1], "us-east-1")
	var got []types.Event
	in := cloudtrail.LookupEventsInput{}
	for in.NextToken != nil || got == nil {
		out, err := client.LookupEvents(context.Background(), &in)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.Events...)
		in.NextToken = out.NextToken
		clock.Advance(20 * time.Minute)
	}
	until := end.Add(-72 * time.Hour)
	want := recorded(w, func(r simulate.Record) bool {
		return r.Account == w.Accounts()[1] && r.Region == "us-east-1" && !r.Time.After(until)
	})
	if diff := cmp.Diff(want, ids(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Only the last 90 days are there.
func TestNinetyDays(t *testing.T) {
	t.Parallel()
	w := world(t, simulate.Config{Seed: 7, Days: 100, Events: 3000})
	clock := server.NewVirtual(end)
	s := start(t, server.Options{World: w, Clock: clock})
	clock.Advance(-time.Second)
	client := trail(s, w.Accounts()[1], "us-east-1")
	got := 0
	oldest := end
	for in := (cloudtrail.LookupEventsInput{EndTime: aws.Time(end)}); ; {
		clock.Advance(time.Second)
		out, err := client.LookupEvents(context.Background(), &in)
		if err != nil {
			t.Fatal(err)
		}
		got += len(out.Events)
		for _, e := range out.Events {
			oldest = *e.EventTime
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	bound := clock.Now().AddDate(0, 0, -90)
	if oldest.Before(bound) || oldest.After(bound.AddDate(0, 0, 3)) || got == 0 {
		t.Errorf("%d events back to %s, want to %s", got, oldest, bound)
	}
}
