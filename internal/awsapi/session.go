// Package awsapi is everything that talks to AWS: no other package makes clients of
// the SDK, and only store/dynamo, whose requests are many, has one in its hands. It
// finds credentials (the SDK's standard chain: environment, profiles, SSO, web
// identity, instance roles), assumes roles in other accounts, asks CloudTrail, EC2,
// Account, Organizations, IAM Identity Center, S3, SNS, Athena and DynamoDB, and turns
// what AWS answers into errors that say what to do (Error).
//
// The retries of LookupEvents are the caller's, whose limiter paces them: a
// throttled or broken request comes back at once, as ErrThrottled, ErrNetwork or
// ErrUnavailable. Only two things are mended here, each with one more request: a
// wrong local clock (the SDK signs again with the server's time, when they are
// more than 4 minutes apart, and goes on so) and credentials that turned out to
// be expired (they are fetched anew). All other requests have the SDK's retries.
//
// Everything is safe for concurrent use.
package awsapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
)

// Config says how to reach AWS. The zero value is the SDK's standard behaviour.
type Config struct {
	Profile     string // of ~/.aws/config; "": AWS_PROFILE, else default
	EndpointURL string // for every service and region; "": AWS's own, or AWS_ENDPOINT_URL
	Region      string // for what isn't regional; "": AWS_REGION, the profile's, else us-east-1
	// Regions, when set, are the regions to read from: nobody is asked then.
	Regions []string
	// Roles are assumed one after the other, before anything else.
	Roles []Role
	// Keys are fixed credentials; nil: the standard chain.
	Keys *Keys
	// Alone: only what is here counts; the SDK's environment and files aren't read.
	Alone bool
	// HTTPClient replaces the SDK's; nil: one without limits on connections.
	HTTPClient aws.HTTPClient
	// Record, when set, is told of every permission that a request needs before the
	// request is sent, from many goroutines.
	Record func(Call)
	// UserAgent is appended to the SDK's, such as "iamtrack/1.2".
	UserAgent string
}

// Keys are fixed credentials.
type Keys struct{ AccessKeyID, SecretAccessKey, SessionToken string }

// Role is a role to assume.
type Role struct{ ARN, ExternalID string }

// fallbackRegion serves what isn't regional when no region is configured.
const fallbackRegion = "us-east-1"

// sessionName is the role session's name; it shows in CloudTrail.
const sessionName = "iamtrack"

// Session is the way into AWS: the credentials that the program was started
// with, and what was made of them.
type Session struct {
	c    Config
	base aws.Config
	own  *Account

	mu      sync.Mutex
	buckets map[string]*s3.Client // by region
}

// Open reads the SDK's configuration files and environment. It asks nobody:
// missing or wrong credentials show with the first request.
func Open(ctx context.Context, c Config) (*Session, error) {
	client := c.HTTPClient
	if client == nil {
		client = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 64
		})
	}
	base, err := load(ctx, c, client)
	if err != nil {
		return nil, explainConfig(c, err)
	}
	base.HTTPClient = sender{base.HTTPClient}
	s := &Session{c: c, base: base, buckets: map[string]*s3.Client{}}
	for _, r := range c.Roles {
		s.base = s.assuming(r)
	}
	s.own = newAccount(s, s.base, AccountSpec{Regions: c.Regions})
	return s, nil
}

// load makes the SDK's configuration.
func load(ctx context.Context, c Config, client aws.HTTPClient) (aws.Config, error) {
	var keys aws.CredentialsProvider
	if c.Keys != nil {
		keys = credentials.NewStaticCredentialsProvider(c.Keys.AccessKeyID, c.Keys.SecretAccessKey, c.Keys.SessionToken)
	}
	if c.Alone {
		return aws.Config{
			Region: cmp.Or(c.Region, fallbackRegion), Credentials: keys, HTTPClient: client, AppID: c.UserAgent, Logger: logging.Nop{},
			BaseEndpoint: aws.String(c.EndpointURL), APIOptions: []func(*middleware.Stack) error{observe(c.Record)},
		}, nil
	}
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithAPIOptions([]func(*middleware.Stack) error{observe(c.Record)}),
		config.WithDefaultRegion(fallbackRegion),
		config.WithLogger(logging.Nop{}), // what matters comes as an error
	}
	if c.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(c.Profile))
	}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	if c.EndpointURL != "" {
		options = append(options, config.WithBaseEndpoint(c.EndpointURL))
	}
	if c.UserAgent != "" {
		options = append(options, config.WithAppID(c.UserAgent))
	}
	if keys != nil {
		options = append(options, config.WithCredentialsProvider(keys))
	}
	return config.LoadDefaultConfig(ctx, options...)
}

// assuming returns the session's configuration with a role's credentials, which
// are fetched when first used, and again 5 minutes before they expire.
func (s *Session) assuming(r Role) aws.Config {
	cfg := s.base.Copy()
	if region := roleRegion(r.ARN); partitionOf(s.base.Region) != partitionOf(region) {
		cfg.Region = region
	}
	stsCfg := cfg.Copy()
	provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(stsCfg), r.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = sessionName
		o.Duration = time.Hour
		if r.ExternalID != "" {
			o.ExternalID = aws.String(r.ExternalID)
		}
	})
	cfg.Credentials = aws.NewCredentialsCache(roleProvider{provider, r.ARN}, func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow = 5 * time.Minute
	})
	return cfg
}

// roleProvider notes which role a failure and a request belong to.
type roleProvider struct {
	aws.CredentialsProvider
	arn string
}

func (p roleProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	// The request that needs the credentials is another one.
	ctx = about(context.WithValue(ctx, seenKey{}, (*sight)(nil)), p.arn)
	c, err := p.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return c, &roleError{p.arn, err}
	}
	return c, nil
}

type roleError struct {
	arn string
	err error
}

func (e *roleError) Error() string { return fmt.Sprintf("assume role %s: %v", e.arn, e.err) }
func (e *roleError) Unwrap() error { return e.err }

// cause is why the role could not be assumed; nil for none.
func (e *roleError) cause() error {
	if e == nil {
		return nil
	}
	return e.err
}

// Own returns the account of the session's own credentials.
func (s *Session) Own() *Account { return s.own }

// Assume returns the account that spec names: by its role, or, when it has none,
// with the session's own credentials. It asks nobody.
func (s *Session) Assume(spec AccountSpec) *Account {
	if len(spec.Regions) == 0 {
		spec.Regions = s.c.Regions
	}
	if spec.RoleARN == "" {
		return newAccount(s, s.base, spec)
	}
	return newAccount(s, s.assuming(Role{ARN: spec.RoleARN, ExternalID: spec.ExternalID}), spec)
}

// Region is the one for what isn't regional.
func (s *Session) Region() string { return s.base.Region }

// Profile is the profile in use, for messages; empty for the default one.
func (s *Session) Profile() string { return s.c.Profile }

// partitionOf tells a region's partition (AWS General Reference, "Regions and
// endpoints": names begin with it).
func partitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	case strings.HasPrefix(region, "us-iso-"):
		return "aws-iso"
	case strings.HasPrefix(region, "us-isob-"):
		return "aws-iso-b"
	case strings.HasPrefix(region, "us-isof-"):
		return "aws-iso-f"
	case strings.HasPrefix(region, "eu-isoe-"):
		return "aws-iso-e"
	case strings.HasPrefix(region, "eusc-"):
		return "aws-eusc"
	}
	return "aws"
}

// GlobalRegionFor is the GlobalRegion of a region's partition.
func GlobalRegionFor(region string) string { return GlobalRegion(partitionOf(region)) }

// GlobalRegion is where a partition's IAM, which isn't regional, is recorded.
// An unknown partition has the aws partition's.
func GlobalRegion(partition string) string {
	switch partition {
	case "aws-cn":
		return "cn-north-1"
	case "aws-us-gov":
		return "us-gov-west-1"
	case "aws-iso":
		return "us-iso-east-1"
	case "aws-iso-b":
		return "us-isob-east-1"
	case "aws-iso-f":
		return "us-isof-south-1"
	case "aws-iso-e":
		return "eu-isoe-west-1"
	case "aws-eusc":
		return "eusc-de-east-1"
	}
	return fallbackRegion
}

// roleRegion is a region of the partition that an ARN names.
func roleRegion(arn string) string {
	parts := strings.SplitN(arn, ":", 3)
	if len(parts) < 3 {
		return fallbackRegion
	}
	return GlobalRegion(parts[1])
}
