package awsapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// callTimeout bounds one request: LookupEvents was seen to take 35 seconds.
const callTimeout = 90 * time.Second

// Account is an AWS account as its credentials show it.
type Account struct {
	s    *Session
	cfg  aws.Config
	spec AccountSpec
	// served: a request with these credentials was answered, so that "unknown
	// access key" elsewhere means a region that isn't enabled.
	served atomic.Bool

	mu     sync.Mutex
	trails map[string]*cloudtrail.Client // by region
	caller *Caller
}

func newAccount(s *Session, cfg aws.Config, spec AccountSpec) *Account {
	return &Account{s: s, cfg: cfg, spec: spec, trails: map[string]*cloudtrail.Client{}}
}

// Spec is what the account was made from.
func (a *Account) Spec() AccountSpec { return a.spec }

// Caller is who the credentials belong to.
type Caller struct {
	AccountID string // 12 digits
	ARN       string
	UserID    string
	Partition string // aws, aws-us-gov, aws-cn, …
	// At is when AWS answered, by its clock; zero when it didn't tell.
	At time.Time
}

// GlobalRegion is where the caller's IAM is recorded.
func (c Caller) GlobalRegion() string { return GlobalRegion(c.Partition) }

// Caller asks STS who the credentials belong to, once; no permission is needed.
// For an account whose id the specification tells, another answer is an error.
func (a *Account) Caller(ctx context.Context) (Caller, error) {
	a.mu.Lock()
	known := a.caller
	a.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	var out *sts.GetCallerIdentityOutput
	at, err := a.do(ctx, call{op: "ask who the credentials belong to", action: "sts:GetCallerIdentity", region: a.cfg.Region},
		func(ctx context.Context) (err error) {
			out, err = sts.NewFromConfig(a.cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			return err
		})
	if err != nil {
		return Caller{}, err
	}
	c := Caller{AccountID: aws.ToString(out.Account), ARN: aws.ToString(out.Arn), UserID: aws.ToString(out.UserId), Partition: partitionOf(a.cfg.Region), At: at}
	if parts := strings.SplitN(c.ARN, ":", 3); len(parts) == 3 {
		c.Partition = parts[1]
	}
	if want := a.spec.AccountID; want != "" && want != c.AccountID {
		return Caller{}, fmt.Errorf("account %s: the credentials belong to account %s (%s): name a role in account %s (role_arn)", want, c.AccountID, c.ARN, want)
	}
	a.mu.Lock()
	a.caller = &c
	a.mu.Unlock()
	return c, nil
}

// ID is the account's id, as far as it is known without asking.
func (a *Account) ID() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.caller != nil {
		return a.caller.AccountID
	}
	return a.spec.AccountID
}

// call is a request, for messages.
type call struct {
	op       string // what is done, for people
	action   string // as IAM names it
	region   string
	resource string        // ARN or name; may be empty
	limit    time.Duration // of one request; 0: callTimeout
}

// do sends a request, once more when the credentials turn out to have expired,
// and explains its error. It returns the server's time, zero if none was told.
func (a *Account) do(ctx context.Context, c call, send func(context.Context) error) (time.Time, error) {
	for again := false; ; again = true {
		limited, cancel := context.WithTimeoutCause(ctx, cmp.Or(c.limit, callTimeout), tooLong(cmp.Or(c.limit, callTimeout)))
		observed, saw := watch(limited, c.resource)
		err := send(observed)
		cancel()
		seen := saw.get()
		if err == nil {
			a.served.Store(true)
			return seen.serverTime, nil
		}
		if ctx.Err() != nil {
			return seen.serverTime, fmt.Errorf("%s: %w", c.op, context.Cause(ctx))
		}
		e := a.explain(c, err, seen)
		if e.Kind == CredentialsExpired && !again {
			if cache, ok := a.cfg.Credentials.(*aws.CredentialsCache); ok && !errors.Is(err, errCredentials) {
				// The clock may be wrong, or somebody revoked the session.
				cache.Invalidate()
				continue
			}
		}
		return seen.serverTime, e
	}
}
