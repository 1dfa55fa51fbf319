package awsapi

import (
	"context"
	"encoding/json"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
)

// MaxPage is how many events LookupEvents returns at most.
const MaxPage = 50

// LookupInput asks for a page of events, newest first.
type LookupInput struct {
	// Source is the event source, such as iam.amazonaws.com; empty: any.
	Source string
	// Attribute narrows the events otherwise, without Source: CloudTrail takes one.
	Attribute Attribute
	// Start and End are UTC, whole seconds (a fraction is cut), both inclusive.
	Start, End time.Time
	// Token continues the page that gave it; all else must be the same then.
	Token string
	// Max is how many events to return, 1 to MaxPage; 0: MaxPage.
	Max int
}

// Attribute is what events are looked up by: EventId, EventName, EventSource,
// Username, ResourceName, AccessKeyId, each equal to the value, case included.
// The zero value is none.
//
// Source: AWS CloudTrail API Reference, "LookupAttribute".
type Attribute struct{ Key, Value string }

// Page is an answer of LookupEvents.
type Page struct {
	// Records are the events as CloudTrail writes them (JSON), newest first.
	Records [][]byte
	// Token asks for the next page; empty at the end. An empty page may have one.
	Token string
	// Newest and Oldest are the times of the page's events; zero when it is empty.
	Newest, Oldest time.Time
	// ServerTime is when AWS answered; zero when it didn't tell.
	ServerTime time.Time
}

// Lookup asks CloudTrail for a page of an account's events of the last 90 days
// in a region. Permission: cloudtrail:LookupEvents.
//
// It doesn't wait and doesn't retry, but for a wrong clock and expired
// credentials (see the package). Errors are *Error; ErrThrottled, ErrNetwork and
// ErrUnavailable are worth another try, after ErrTokenExpired without the token.
// When the context ends, its cause is wrapped instead.
//
// Source: AWS CloudTrail API Reference, "LookupEvents".
func (a *Account) Lookup(ctx context.Context, region string, in LookupInput) (Page, error) {
	if in.Max <= 0 || in.Max > MaxPage {
		in.Max = MaxPage
	}
	ask := &cloudtrail.LookupEventsInput{
		StartTime: aws.Time(in.Start.UTC().Truncate(time.Second)), EndTime: aws.Time(in.End.UTC().Truncate(time.Second)),
		MaxResults: aws.Int32(int32(in.Max)), //nolint:gosec // at most MaxPage
	}
	by := in.Attribute
	if in.Source != "" {
		by = Attribute{string(types.LookupAttributeKeyEventSource), in.Source}
	}
	if by.Key != "" {
		ask.LookupAttributes = []types.LookupAttribute{{AttributeKey: types.LookupAttributeKey(by.Key), AttributeValue: aws.String(by.Value)}}
	}
	if in.Token != "" {
		ask.NextToken = aws.String(in.Token)
	}
	var out *cloudtrail.LookupEventsOutput
	now, err := a.do(ctx, call{op: "read CloudTrail events", action: "cloudtrail:LookupEvents", region: region}, func(ctx context.Context) (err error) {
		out, err = a.trail(region).LookupEvents(ctx, ask)
		return err
	})
	if err != nil {
		return Page{}, err
	}
	p := Page{Token: aws.ToString(out.NextToken), ServerTime: now, Records: make([][]byte, 0, len(out.Events))}
	for i := range out.Events {
		e := &out.Events[i]
		if t := aws.ToTime(e.EventTime).UTC(); !t.IsZero() {
			if p.Newest.IsZero() || t.After(p.Newest) {
				p.Newest = t
			}
			if p.Oldest.IsZero() || t.Before(p.Oldest) {
				p.Oldest = t
			}
		}
		p.Records = append(p.Records, record(e))
	}
	return p, nil
}

// record is the event's JSON. One without (never seen) becomes what the outer
// fields tell, which is rejected later, and so counted and shown, not lost.
func record(e *types.Event) []byte {
	if s := aws.ToString(e.CloudTrailEvent); s != "" {
		return []byte(s)
	}
	text, err := json.Marshal(map[string]string{"eventID": aws.ToString(e.EventId), "eventName": aws.ToString(e.EventName), "eventSource": aws.ToString(e.EventSource)})
	if err != nil { // strings always marshal
		return []byte("{}")
	}
	return text
}

// trail is the region's CloudTrail client; a client remembers the server's time.
func (a *Account) trail(region string) *cloudtrail.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.trails[region]
	if c == nil {
		c = cloudtrail.NewFromConfig(a.cfg, func(o *cloudtrail.Options) { o.Region, o.Retryer = region, once })
		a.trails[region] = c
	}
	return c
}
