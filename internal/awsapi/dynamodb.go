package awsapi

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// DynamoDB is one region's DynamoDB, with the session's own credentials. Its requests
// have the SDK's retries, five attempts; whoever is throttled for longer waits
// himself.
type DynamoDB struct {
	*dynamodb.Client

	s      *Session
	region string
}

// DynamoDB returns a region's DynamoDB; an empty region is the session's. It asks
// nobody.
func (s *Session) DynamoDB(region string) *DynamoDB {
	if region == "" {
		region = s.base.Region
	}
	return &DynamoDB{s: s, region: region, Client: dynamodb.NewFromConfig(s.base, func(o *dynamodb.Options) {
		o.Region = region
		// The SDK's bucket of retry tokens is for bursts; a table with little capacity
		// refuses for longer, and then lets some through.
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.MaxBackoff = 5, 5*time.Second
			r.RateLimiter = unlimited{}
		})
	})}
}

// unlimited permits every retry.
type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (unlimited) AddTokens(uint) error { return nil }

// Region is where the tables are.
func (d *DynamoDB) Region() string { return d.region }

// Do sends a request, which is about a table and needs an action such as
// dynamodb:PutItem, and explains its error: an *Error that wraps the SDK's. op says
// what is done, for people.
func (d *DynamoDB) Do(ctx context.Context, op, action, table string, send func(context.Context) error) error {
	_, err := d.s.own.do(ctx, call{op: op, action: action, region: d.region, resource: "table " + table}, send)
	return err
}
