package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/query"
)

const (
	// waitEvery is the distance between two looks at a region.
	waitEvery = 10 * time.Second
	// waitShare is how much of the requests that are permitted in a region a wait
	// makes at most: collectors use the same quota.
	waitShare = 0.25
	// waitSlowest is the rate, in requests a second, that refusals lead to.
	waitSlowest = 1.0 / 30
	// waitAhead is how far the end of what is asked for lies ahead, in case the
	// local clock is behind.
	waitAhead = 10 * time.Minute
	// maxQuestions bounds how many values of a filter are asked for one by one.
	maxQuestions = 4
)

// waitRegion is an account's region that is asked for an event.
type waitRegion struct {
	account   *awsapi.Account
	id, name  string
	since     time.Time
	questions []awsapi.Attribute
	most      float64 // requests a second
	now       func() time.Time
	pace      *rate.Limiter
	seen      map[[sha256.Size]byte]struct{} // records that were passed on
}

// regions finds where events that match can be recorded.
func (w *waiter) regions(ctx context.Context) ([]*waitRegion, error) {
	session, err := w.e.aws(ctx)()
	if err != nil {
		return nil, err
	}
	accounts, err := app.Accounts(ctx, w.e.config, session)
	if err != nil {
		return nil, err
	}
	var list []*waitRegion
	var failed []error
	for _, a := range accounts {
		if id := a.ID(); id != "" && len(w.filter.Accounts) > 0 && !slices.Contains(w.filter.Accounts, id) {
			continue
		}
		caller, err := a.Caller(ctx)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if len(w.filter.Accounts) > 0 && !slices.Contains(w.filter.Accounts, caller.AccountID) {
			continue
		}
		enabled, err := a.Regions(ctx)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		for _, name := range waitPlaces(&w.filter, coverage.Place{AccountID: caller.AccountID, Global: caller.GlobalRegion(), Regions: enabled, IdentityCenter: enabled}) {
			most := w.e.config.RequestRate * waitShare
			list = append(list, &waitRegion{
				account: a, id: caller.AccountID, name: name, since: w.filter.Since, questions: questions(&w.filter), most: most, now: w.e.now,
				pace: rate.NewLimiter(rate.Limit(most), 1), seen: map[[sha256.Size]byte]struct{}{},
			})
		}
	}
	if len(list) == 0 {
		if len(failed) > 0 {
			return nil, errors.Join(failed...)
		}
		return nil, errors.New("no account and region to look in matches the filter")
	}
	for _, err := range failed {
		w.fail(err)
	}
	return list, nil
}

// waitPlaces are the regions in which an account records events that match.
func waitPlaces(f *query.EventFilter, p coverage.Place) []string {
	names := slices.Clone(p.Regions)
	if len(f.EventSources) > 0 && !slices.ContainsFunc(f.EventSources, isPattern) {
		var sources []string
		for _, s := range f.EventSources {
			sources = append(sources, strings.ToLower(s))
		}
		names = names[:0]
		for _, s := range coverage.Streams(p, sources) {
			names = append(names, s.Region)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(f.Regions) == 0 {
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return !slices.ContainsFunc(f.Regions, func(pattern string) bool { return likeName(pattern, name) })
	})
}

func isPattern(s string) bool { return strings.Contains(s, "*") }

// likeName matches as filters do: * is any text, case doesn't matter.
func likeName(pattern, name string) bool {
	expr := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")
	return regexp.MustCompile("(?is)^" + expr + "$").MatchString(name)
}

// questions are the attributes that CloudTrail itself looks for: those of the
// filter that it is surest of and that narrows most. None of them shows all
// events, one after the other.
//
// A key is asked for as the one that signed, and as a resource, which it is where
// it was issued; a target as a resource.
func questions(f *query.EventFilter) []awsapi.Attribute {
	for _, by := range []struct {
		keys   []string
		values []string
	}{
		{[]string{"EventId"}, f.EventIDs},
		{[]string{"EventName"}, f.EventNames},
		{[]string{"Username"}, f.Users},
		{[]string{"AccessKeyId", "ResourceName"}, f.Keys},
		{[]string{"ResourceName"}, f.Targets},
		{[]string{"EventSource"}, f.EventSources},
	} {
		if n := len(by.values); n == 0 || n > maxQuestions || slices.ContainsFunc(by.values, isPattern) {
			continue
		}
		var list []awsapi.Attribute
		for _, key := range by.keys {
			for _, v := range by.values {
				if key == "EventSource" && !strings.Contains(v, ".") {
					v += ".amazonaws.com"
				}
				list = append(list, awsapi.Attribute{Key: key, Value: v})
			}
		}
		return list
	}
	return []awsapi.Attribute{{}}
}

// watch looks again and again, and passes on what it has not seen, until the
// context ends or the region can't be read.
func (r *waitRegion) watch(ctx context.Context, records chan<- []collect.Live) error {
	for {
		begun := time.Now()
		for _, q := range r.questions {
			if err := r.look(ctx, q, records); err != nil {
				return err
			}
		}
		select {
		case <-time.After(waitEvery - time.Since(begun)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// look reads all there is now for a question. What may pass is left to the next
// look.
func (r *waitRegion) look(ctx context.Context, q awsapi.Attribute, records chan<- []collect.Live) error {
	ask := awsapi.LookupInput{Attribute: q, Start: r.since, End: r.now().Add(waitAhead)}
	for {
		if r.pace.Wait(ctx) != nil {
			<-ctx.Done() // it may only end before the turn comes
			return context.Cause(ctx)
		}
		page, err := r.account.Lookup(ctx, r.name, ask)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, awsapi.ErrThrottled):
			r.pace.SetLimit(max(r.pace.Limit()/2, waitSlowest))
			continue
		case errors.Is(err, awsapi.ErrTokenExpired), errors.Is(err, awsapi.ErrNetwork), errors.Is(err, awsapi.ErrUnavailable):
			return nil
		case err != nil:
			return fmt.Errorf("%s %s: %w", r.id, r.name, err)
		}
		r.pace.SetLimit(min(r.pace.Limit()*1.2, rate.Limit(r.most)))
		if live := r.fresh(page.Records); len(live) > 0 {
			select {
			case records <- live:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if ask.Token = page.Token; ask.Token == "" {
			return nil
		}
	}
}

// fresh are the records that were not passed on yet.
func (r *waitRegion) fresh(records [][]byte) []collect.Live {
	var live []collect.Live
	for _, data := range records {
		sum := sha256.Sum256(data)
		if _, ok := r.seen[sum]; ok {
			continue
		}
		r.seen[sum] = struct{}{}
		live = append(live, collect.Live{Data: data, From: "LookupEvents " + r.id + "/" + r.name})
	}
	return live
}
