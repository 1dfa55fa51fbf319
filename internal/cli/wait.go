package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/query"
)

type waitOptions struct {
	filter  query.EventFilter
	by      []string // --for
	timeout time.Duration
}

func newWaitCmd(e *env) *cobra.Command {
	var o waitOptions
	cmd := taking(&cobra.Command{
		Use:   "wait --for FILTER",
		Short: "Wait until CloudTrail has delivered an event",
		Long: `Wait until CloudTrail has delivered an event that matches, and print it, so that a
script can go on. FILTER is an event id, or filters of ` + "`iamtrack events`" + ` as
name=value with commas between them; the same filters are flags, too. All must
match. CloudTrail delivers most events within 5 minutes, and some after 15.

Looked at are events since 15 minutes ago, or --since: those that are stored, and
then every 10 seconds those that CloudTrail shows, in the regions where such an
event is recorded, with a quarter of the requests that it permits. CloudTrail
itself looks for one of the filters, so give the event id, or event-name, user,
event-source, key or target without *, in the right case: a busy account has too
many events otherwise. What is found is stored as if it had been collected.

JSON is the event's object, as ` + "`iamtrack events EVENT_ID`" + ` prints it; of several
events the newest. The exit code is 1 when the time is up.`,
		Example: `  iamtrack wait --for event-name=CreateUser,target=alice
  iamtrack wait --event-name CreateAccessKey --user bob --timeout 20m
  iamtrack wait --for 0f5c7b1e-7d1a-4a43-9a3a-7a3f8b1f9c01 --format json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := readFor(cmd, &o); err != nil {
				return err
			}
			return runWait(cmd.Context(), e, o)
		},
	}, "since")
	f := cmd.Flags()
	f.StringArrayVar(&o.by, "for", nil, "event id, or NAME=VALUE[,VALUE…][,NAME=VALUE…] with the names of the filters below")
	f.DurationVar(&o.timeout, "timeout", 15*time.Minute, "fail when there is no such event after that time")
	filterFlags(cmd, &o.filter)
	awsFlags(cmd, awsFlagNames...)
	cmd.Annotations[withoutStack] = "profile endpoint-url"
	return onStack(cmd)
}

// filterNames are the flags that --for has names of.
var filterNames = []string{
	"actor", "user", "role", "key", "ip", "event-name", "event-source", "target", "account", "region", "outcome", "error", "category", "grep",
}

var filterName = regexp.MustCompile(`^[a-z-]+$`)

// readFor makes flags of what --for says.
func readFor(cmd *cobra.Command, o *waitOptions) error {
	hint := "use an event id, or NAME=VALUE with one of " + strings.Join(filterNames, ", ")
	for _, text := range o.by {
		last := ""
		for part := range strings.SplitSeq(text, ",") {
			name, value, ok := strings.Cut(part, "=")
			if ok = ok && filterName.MatchString(name); ok && !slices.Contains(filterNames, name) {
				return unknown("filter", name, filterNames, hint)
			}
			switch {
			case ok:
				last = name
			case last != "":
				value = part // one more of the same filter
			default:
				if err := checkEventID(part); err != nil {
					return withHint(usagef("--for %q is neither an event id nor NAME=VALUE", part), hint)
				}
				o.filter.EventIDs = append(o.filter.EventIDs, part)
				continue
			}
			if value == "" {
				return withHint(usagef("--for %q: %s has no value", text, last), hint)
			}
			if err := cmd.Flags().Set(last, value); err != nil {
				return withHint(usagef("--for %q: %v", text, err), hint)
			}
		}
	}
	for _, name := range filterNames {
		if cmd.Flags().Changed(name) {
			return nil
		}
	}
	if len(o.filter.EventIDs) == 0 {
		return withHint(usagef("%s needs to know what for", cmd.CommandPath()), hint)
	}
	return nil
}

// waitBack is how far back is looked without --since: what has just been done may
// have been delivered already.
const waitBack = 15 * time.Minute

// waitLook is the least distance between two looks at what is stored, which take a
// tenth of a second each.
const waitLook = time.Second

var errWaited = errors.New("the time is up")

func runWait(ctx context.Context, e *env, o waitOptions) error {
	if o.timeout <= 0 {
		return usagef("--timeout %s: a time to wait is positive", o.timeout)
	}
	o.filter.Since = e.since
	if o.filter.Since.IsZero() {
		o.filter.Since = e.now().Add(-waitBack).UTC()
	}
	if _, err := query.EventsSQL(o.filter); err != nil {
		return withHint(usagef("wait: %v", err), "`iamtrack events --help` lists the filters")
	}
	if e.config.Stack != "" {
		return e.waitOnStack(ctx, o)
	}
	return e.with(ctx, "wait", true, func(a *app.App) error { return e.waitIn(ctx, a, o) })
}

// waitOnStack looks at what the stack has, then asks CloudTrail itself, and keeps what
// it gets for itself: the stack's tracker gets it, too.
func (e *env) waitOnStack(ctx context.Context, o waitOptions) error {
	done := false
	err := e.with(ctx, "wait", false, func(a *app.App) error {
		found, _, err := e.stored(ctx, a, o.filter)
		if done = err == nil && len(found) > 0; done {
			err = e.printFirst(ctx, a, found)
		}
		return err
	})
	if done || err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "iamtrack-wait-")
	if err != nil {
		return fmt.Errorf("wait: make a folder for what is delivered: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	own := *e
	own.config.Stack, own.config.DataDir = "", dir
	own.config.Channels = nil // the stack tells of its alerts
	return own.with(ctx, "wait", true, func(a *app.App) error { return own.waitIn(ctx, a, o) })
}

// printFirst prints the first of the events found.
func (e *env) printFirst(ctx context.Context, a *app.App, found []place) error {
	if len(found) > 1 {
		e.note("more than one event matches: this is the newest; `iamtrack events` with the same filters lists them")
	}
	return e.printEvents(ctx, a, found[:1])
}

// waitIn waits over a data directory, where what is delivered is stored.
func (e *env) waitIn(ctx context.Context, a *app.App, o waitOptions) error {
	found, _, err := e.stored(ctx, a, o.filter)
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if len(found) == 0 {
		limited, cancel := context.WithTimeoutCause(ctx, o.timeout, errWaited)
		defer cancel()
		w := &waiter{e: e, a: a, filter: o.filter}
		found, err = w.wait(limited)
		if w.alerts > 0 {
			e.tell(context.WithoutCancel(ctx), a)
		}
		switch {
		case err != nil && ctx.Err() == nil && errors.Is(context.Cause(limited), errWaited):
			return w.timeUp(o.timeout)
		case err != nil:
			return awsHint(fmt.Errorf("wait: %w", err))
		}
	}
	return e.printFirst(ctx, a, found)
}

// stored looks for events that are stored; newest first, two at most. unsure says
// that the newest may be missing, as another program brings the lake up to date.
func (e *env) stored(ctx context.Context, a *app.App, f query.EventFilter) (found []place, unsure bool, err error) {
	fresh, err := a.Refresh(ctx)
	if err != nil {
		return nil, false, err
	}
	engine, err := e.overLake(ctx, a)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	f.Columns, f.Limit = []string{"account_id", "event_id", "event_date"}, 2
	sql, err := query.EventsSQL(f)
	if err != nil {
		return nil, false, err
	}
	found, err = readPlaces(ctx, engine, sql)
	return found, len(fresh.DirtyDays) > 0, err
}

// waiter asks CloudTrail until a matching event is there.
type waiter struct {
	e      *env
	a      *app.App
	filter query.EventFilter

	alerts             int
	filtered, rejected int64
	failed             []error // of regions that were given up
}

// wait returns the places of matching events. Regions are asked side by side;
// what they find is stored and looked at here.
func (w *waiter) wait(ctx context.Context) ([]place, error) {
	regions, err := w.regions(ctx)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	records := make(chan []collect.Live)
	ended := make(chan error)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	for _, r := range regions {
		watching.Go(func() {
			err := r.watch(ctx, records)
			select {
			case ended <- err:
			case <-ctx.Done():
			}
		})
	}
	left := len(regions)
	w.e.note("waiting for CloudTrail, in %s", count(len(regions), "region"))
	looks := time.NewTicker(waitLook)
	defer looks.Stop()
	look := false // something new is stored, or was not seen yet
	for {
		select {
		case live := <-records:
			if err := w.ingest(ctx, drain(live, records)); err != nil {
				return nil, err
			}
			look = true
			continue
		case <-looks.C:
			if !look {
				continue
			}
		case err := <-ended:
			if left--; ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			w.fail(err)
			if left == 0 {
				return nil, errors.New("no region could be read")
			}
			continue
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		var found []place
		if found, look, err = w.e.stored(ctx, w.a, w.filter); err != nil || len(found) > 0 {
			return found, err
		}
	}
}

// drain adds what others have to pass on, up to what one transaction holds well.
func drain(live []collect.Live, records <-chan []collect.Live) []collect.Live {
	const most = 2000
	for len(live) < most {
		select {
		case more := <-records:
			live = append(live, more...)
		default:
			return live
		}
	}
	return live
}

// fail notes that a region, or an account, can't be read; of those with the same
// reason the first is told.
func (w *waiter) fail(err error) {
	reason := func(err error) string {
		var e *awsapi.Error
		if errors.As(err, &e) {
			return e.Action + " " + e.Reason()
		}
		return err.Error()
	}
	if !slices.ContainsFunc(w.failed, func(f error) bool { return reason(f) == reason(err) }) {
		w.e.warn("%v", err)
	}
	w.failed = append(w.failed, err)
}

func (w *waiter) ingest(ctx context.Context, live []collect.Live) error {
	in, err := w.a.Pipeline.Ingest(ctx, live)
	if err != nil {
		return fmt.Errorf("store what was delivered: %w", err)
	}
	w.alerts += in.Alerts
	w.filtered += in.Filtered + in.NotSelected
	w.rejected += in.Rejected
	return nil
}

// timeUp is the error of a wait in vain, with what may be the reason.
func (w *waiter) timeUp(after time.Duration) error {
	text := fmt.Sprintf("wait: no such event within %s", after)
	if w.filtered > 0 {
		text += fmt.Sprintf("; %s left out by the settings (filtered_roles, filter_aws_service_events, sources)", count(w.filtered, "event that came was|events that came were"))
	}
	if w.rejected > 0 {
		text += fmt.Sprintf("; %s not readable: see `iamtrack status --rejected`", count(w.rejected, "event that came was|events that came were"))
	}
	if n := len(w.failed); n > 0 {
		text += fmt.Sprintf("; %s could not be read", count(n, "region or account|regions or accounts"))
	}
	return withHint(errors.New(text), "CloudTrail delivers most events within 5 minutes, and some after 15; it promises no time. "+
		"Check the filter's case, or wait on with --timeout and --since")
}
