package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
)

const (
	// doctorRequests bounds what is asked at once.
	doctorRequests = 64
	// clockOff is how wrong the clock may be; AWS refuses requests at 5 minutes.
	clockOff = time.Minute
	// The quota is tried with so many requests, at a distance that leaves as much
	// to others as they may have.
	quotaTries = 4
	quotaPace  = 700 * time.Millisecond
)

// aws checks all that AWS must be asked for. readable: the event history of some
// region can be read.
func (d *doctor) aws(ctx context.Context, bucket, prefix string) (readable bool) {
	const name = "credentials"
	session, err := d.env.aws(ctx)()
	if err != nil {
		d.failed(name, err.Error(), "the checks of AWS were left out")
		return false
	}
	own := session.Own()
	asked := d.now()
	me, err := own.Caller(ctx)
	if err != nil {
		d.failure(name, checkFailed, "", err)
		d.alsoDo("the checks of AWS were left out")
		return false
	}
	d.add(name, checkOK, me.AccountID, me.ARN, "")
	d.clock(me.At, asked)
	readable = d.accounts(ctx, session)
	if bucket != "" {
		d.trail(ctx, session, bucket, prefix)
	}
	d.topics(ctx, own)
	return readable
}

// clock compares the local clock with AWS's, whose times are whole seconds.
func (d *doctor) clock(at, asked time.Time) {
	if at.IsZero() {
		return
	}
	answered := d.now()
	off := at.Add(500 * time.Millisecond).Sub(asked.Add(answered.Sub(asked) / 2)).Round(time.Second)
	switch {
	case off.Abs() <= clockOff:
		d.ok("clock", fmt.Sprintf("%s from AWS's", off.Abs()))
	default:
		word := "behind"
		if off < 0 {
			word = "ahead of"
		}
		d.warning("clock", fmt.Sprintf("the local clock is %s %s AWS's", off.Abs(), word), "set it, with NTP: AWS refuses requests that are 5 minutes off, and --since means another time")
	}
}

// accounts checks each account that is read from.
func (d *doctor) accounts(ctx context.Context, session *awsapi.Session) (readable bool) {
	accounts, err := app.Accounts(ctx, d.config, session)
	if err != nil {
		d.failure("organizations:ListAccounts", checkFailed, "", err)
		accounts = []*awsapi.Account{session.Own()}
	} else if d.config.Organization {
		d.ok("organizations:ListAccounts", count(len(accounts), "active account"))
	}
	limit := make(chan struct{}, doctorRequests)
	parts := make([]doctor, len(accounts))
	ok := make([]bool, len(accounts))
	var g errgroup.Group
	g.SetLimit(doctorRequests)
	for i, a := range accounts {
		parts[i].env = d.env
		g.Go(func() error {
			ok[i] = parts[i].account(ctx, a, i == 0, limit)
			return nil
		})
	}
	_ = g.Wait() // they return none
	for i := range parts {
		d.checks = append(d.checks, parts[i].checks...)
	}
	return slices.Contains(ok, true)
}

// account checks what reading one account needs.
func (d *doctor) account(ctx context.Context, a *awsapi.Account, first bool, limit chan struct{}) (readable bool) {
	who, err := a.Caller(ctx)
	if role := a.Spec().RoleARN; role != "" || err != nil {
		if err != nil {
			id := a.ID()
			if parts := strings.Split(role, ":"); id == "" && len(parts) > 4 {
				id = parts[4]
			}
			d.failure("sts:AssumeRole", checkFailed, id, err)
			return false
		}
		d.add("sts:AssumeRole", checkOK, who.AccountID, role, "")
	}
	const regional = "ec2:DescribeRegions or account:ListRegions"
	regions, err := a.Regions(ctx)
	switch {
	case err != nil:
		d.failure(regional, checkFailed, who.AccountID, err)
		d.checks[len(d.checks)-1].Hint = "give one of the permissions ec2:DescribeRegions and account:ListRegions, or name the regions (setting regions)"
		regions = []string{who.GlobalRegion()}
	case len(a.Spec().Regions) > 0:
		d.add("regions", checkOK, who.AccountID, "named by the settings: "+listed(regions), "")
	default:
		d.add(regional, checkOK, who.AccountID, count(len(regions), "region is|regions are")+" enabled", "")
	}
	var throttled int
	readable, throttled = d.history(ctx, a, who.AccountID, regions, limit)
	d.identityCenter(ctx, a, who.AccountID, regions)
	if readable && first {
		d.quota(ctx, a, who, regions, throttled)
	}
	return readable
}

// history tries LookupEvents in each region; a refusal for the rate shows that it
// is permitted.
func (d *doctor) history(ctx context.Context, a *awsapi.Account, id string, regions []string, limit chan struct{}) (readable bool, throttled int) {
	const name = "cloudtrail:LookupEvents"
	var (
		mu   sync.Mutex
		good []string
		bad  = map[string][]string{} // regions by reason
		errs = map[string]error{}
		g    errgroup.Group
	)
	for _, region := range regions {
		g.Go(func() error {
			limit <- struct{}{}
			err := d.try(ctx, a, region)
			<-limit
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				good = append(good, region)
			case errors.Is(err, awsapi.ErrThrottled):
				good = append(good, region)
				throttled++
			default:
				reason := err.Error()
				var e *awsapi.Error
				if errors.As(err, &e) {
					reason = e.Reason()
				}
				bad[reason] = append(bad[reason], region)
				errs[reason] = err
			}
			return nil
		})
	}
	_ = g.Wait() // they return none
	if len(good) > 0 {
		d.add(name, checkOK, id, "in "+count(len(good), "region"), "")
	}
	var reasons []string
	for reason := range bad {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		d.failure(name, checkFailed, id, errs[reason])
		c := &d.checks[len(d.checks)-1]
		c.Detail = listed(bad[reason]) + ": " + c.Detail
	}
	return len(good) > 0, throttled
}

// try asks for one event of the last hour.
func (d *doctor) try(ctx context.Context, a *awsapi.Account, region string) error {
	now := d.now()
	_, err := a.Lookup(ctx, region, awsapi.LookupInput{Start: now.Add(-time.Hour), End: now, Max: 1})
	return err
}

func (d *doctor) identityCenter(ctx context.Context, a *awsapi.Account, id string, regions []string) {
	const name = "sso:ListInstances"
	home, err := a.IdentityCenterRegions(ctx, regions)
	switch {
	case len(home) > 0:
		d.add(name, checkOK, id, "Identity Center is in "+listed(home), "")
		d.users(ctx, a, id, home[0])
	case err != nil:
		d.failure(name, checkWarning, id, err)
		d.alsoDo("without, its events are looked for in every region")
	default:
		d.add(name, checkOK, id, "no Identity Center here", "")
	}
}

// users tells whether the users of Identity Center can be named.
func (d *doctor) users(ctx context.Context, a *awsapi.Account, id, region string) {
	const name = "identitystore:ListUsers"
	users, err := a.IdentityCenterUsers(ctx, region)
	if err != nil {
		d.failure(name, checkWarning, id, err)
		d.alsoDo("without, users are named by their sessions, or by the setting identities_file")
		return
	}
	d.add(name, checkOK, id, count(len(users), "user")+" of Identity Center can be named", "")
}

// quota tells whether others use CloudTrail's quota so much that a slow sequence
// of requests is refused, in the region where most is recorded.
func (d *doctor) quota(ctx context.Context, a *awsapi.Account, who awsapi.Caller, regions []string, throttled int) {
	const name = "quota"
	region := who.GlobalRegion()
	if !slices.Contains(regions, region) {
		region = regions[0]
	}
	tries := 1 // one of each region was sent before
	for range quotaTries - 1 {
		select {
		case <-time.After(quotaPace):
		case <-ctx.Done():
			return
		}
		err := d.try(ctx, a, region)
		if err != nil && !errors.Is(err, awsapi.ErrThrottled) {
			break
		}
		tries++
		if err != nil {
			throttled++
		}
	}
	if throttled > 0 {
		d.add(name, checkWarning, who.AccountID, fmt.Sprintf("%s refused for the rate: others ask CloudTrail, too", count(throttled, "request was|requests were")),
			"collecting takes longer; the setting request_rate leaves more to others")
		return
	}
	d.add(name, checkOK, who.AccountID, fmt.Sprintf("%d requests in %s, none refused", tries, region), "")
}

// trail tries to list and to read the trail's bucket.
func (d *doctor) trail(ctx context.Context, session *awsapi.Session, bucket, prefix string) {
	b, err := session.Bucket(ctx, bucket)
	if err != nil {
		d.failure("s3:ListBucket", checkFailed, "", err)
		return
	}
	list, err := b.List(ctx, awsapi.ListInput{Prefix: prefix})
	if err != nil {
		d.failure("s3:ListBucket", checkFailed, "", err)
		return
	}
	d.ok("s3:ListBucket", "s3://"+bucket+"/"+prefix+" in "+b.Region())
	i := slices.IndexFunc(list.Objects, func(o awsapi.Object) bool { return o.Size > 0 && !o.Archived })
	if i < 0 {
		d.warning("s3:GetObject", "no object below the prefix to try it with", "check the prefix")
		return
	}
	r, err := b.Get(ctx, list.Objects[i].Key)
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		d.failure("s3:GetObject", checkFailed, "", err)
		return
	}
	d.ok("s3:GetObject", list.Objects[i].Key)
}

// topics asks whether messages may be published, and publishes none.
func (d *doctor) topics(ctx context.Context, own *awsapi.Account) {
	const name = "sns:Publish"
	for _, c := range d.config.Channels {
		if c.Type != "sns" || c.Off {
			continue
		}
		switch ok, err := own.Permitted(ctx, name, c.TopicARN); {
		case err != nil:
			d.failure(name, checkWarning, "", err)
			k := &d.checks[len(d.checks)-1]
			k.Detail = "channel " + c.Name + ": not known: " + k.Detail
			k.Hint = d.typed("`iamtrack alerts test " + c.Name + "` sends a message")
		case !ok:
			d.failed(name, "channel "+c.Name+": not permitted on "+c.TopicARN, "permit it to the caller: `iamtrack permissions alerts` prints how")
		default:
			d.ok(name, "channel "+c.Name+": "+c.TopicARN)
		}
	}
}
