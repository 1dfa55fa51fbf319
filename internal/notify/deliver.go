package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/store"
)

const (
	// claimFor is how long a message is one process's to send: longer than an
	// attempt takes.
	claimFor = 2 * time.Minute
	// firstWait and longestWait bound the distance between attempts, which
	// doubles each time.
	firstWait, longestWait = 15 * time.Second, time.Hour
	// giveUp is how long a message is tried.
	giveUp = 7 * 24 * time.Hour
	// mostFailures in a row end a pass of a channel.
	mostFailures = 3
	// lastWord is how long a message that is being sent may still take when the
	// program is to end.
	lastWord = 5 * time.Second
	// keepSent is how long what was sent is remembered.
	keepSent = 90 * 24 * time.Hour
)

// Delivered counts what a pass of Deliver did.
type Delivered struct {
	Sent, Failed, Dropped, GaveUp int
	// Errors has the last failure of each channel that had one.
	Errors map[string]error
	took   map[string]bool // the channels that a message was sent on
}

// Deliver sends what is due, and returns when nothing is, or when the channels of
// what is left fail. Failures of channels are no errors: they are noted, and tried
// again at a later pass.
func (n *Notifier) Deliver(ctx context.Context) (Delivered, error) {
	targets, err := n.due(ctx)
	if err != nil {
		return Delivered{}, err
	}
	d := Delivered{Errors: map[string]error{}, took: map[string]bool{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	for _, t := range targets {
		wg.Go(func() {
			err := n.deliverTo(ctx, t, func(o store.Outcome, why error) {
				mu.Lock()
				defer mu.Unlock()
				switch o.State {
				case store.MessageSent:
					d.Sent++
					d.took[t.Name] = true
				case store.MessageDropped:
					d.Dropped++
				case store.MessageGaveUp:
					d.GaveUp++
				default:
					d.Failed++
				}
				if why != nil {
					d.Errors[t.Name] = why
				}
			})
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return d, errors.Join(errs...)
}

// due are the channels that have something to send now. Those that are off or not
// configured any more are among them: their messages wait for them to come back,
// and are given up in the end.
func (n *Notifier) due(ctx context.Context) (targets []*target, err error) {
	names, err := n.store.Due(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		i := slices.IndexFunc(n.channels, func(t *target) bool { return t.Name == name && !t.Off })
		if i >= 0 {
			targets = append(targets, n.channels[i])
		} else {
			targets = append(targets, &target{Channel: Channel{Name: name}, sender: absent{}, style: plainStyle, limit: plainLimit})
		}
	}
	return targets, nil
}

// absent stands for a channel that isn't configured, or off.
type absent struct{}

var errAbsent = errors.New("the channel is off or not configured")

func (absent) send(context.Context, *outgoing) error { return errAbsent }

// deliverTo sends what is due on one channel.
func (n *Notifier) deliverTo(ctx context.Context, t *target, count func(store.Outcome, error)) error {
	for failures := 0; failures < mostFailures && ctx.Err() == nil; {
		m, err := n.store.Claim(ctx, t.Name, claimFor)
		if m == nil {
			if ctx.Err() != nil { // then that is what the store reports
				err = nil
			}
			return err
		}
		if err := fault.At("notify.send.before"); err != nil {
			return err
		}
		why := n.attempt(ctx, t, m)
		if err := fault.At("notify.send.after"); err != nil {
			return err
		}
		o := n.outcome(m, why)
		// That it was sent must be noted also when the program is to end.
		if err := n.store.Settle(context.WithoutCancel(ctx), m, o); err != nil && !errors.Is(err, store.ErrLeaseLost) {
			return err
		}
		if o.State == store.MessageDropped {
			why = nil
		}
		count(o, why)
		switch {
		case why == nil || isWarning(why):
			failures = 0
		case errors.Is(why, context.DeadlineExceeded):
			return nil //nolint:nilerr // it was noted; the channel hangs, and would hang again
		default:
			failures++
		}
	}
	return nil
}

// outcome is what becomes of a message after an attempt.
func (n *Notifier) outcome(m *store.Message, why error) store.Outcome {
	now := n.o.Now()
	switch {
	case why == nil:
		return store.Outcome{State: store.MessageSent}
	case isWarning(why):
		return store.Outcome{State: store.MessageSent, Error: why.Error()}
	case errors.Is(why, errNothing):
		return store.Outcome{State: store.MessageDropped, Error: why.Error()}
	case now.Sub(m.Created) >= giveUp:
		return store.Outcome{State: store.MessageGaveUp, Error: why.Error()}
	}
	wait := longestWait
	if m.Attempts < 8 {
		wait = firstWait << m.Attempts
	}
	wait = min(wait+time.Duration(n.o.Jitter()*0.2*float64(wait)), longestWait)
	var asked *retryError
	if errors.As(why, &asked) {
		wait = max(wait, min(asked.after, 24*time.Hour))
	}
	return store.Outcome{State: store.MessagePending, Error: why.Error(), Due: now.Add(wait)}
}

// attempt composes and sends one message, within the time that it may take.
func (n *Notifier) attempt(ctx context.Context, t *target, m *store.Message) error {
	out, err := n.compose(ctx, t, m)
	if err != nil {
		return err
	}
	return n.send(ctx, t, out)
}

// send gives a message to the channel. The attempt isn't broken off as soon as
// the program is to end: then nobody would know whether it arrived.
func (n *Notifier) send(ctx context.Context, t *target, out *outgoing) (err error) {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.o.Timeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWord, cancel) })()
	defer func() {
		if p := recover(); p != nil { // a library's fault isn't a reason to collect nothing
			err = fmt.Errorf("send: it failed badly: %v", p)
		}
	}()
	if err := t.send(sending, out); err != nil {
		if sending.Err() != nil && !isWarning(err) {
			return fmt.Errorf("no answer within %s: %w", n.o.Timeout, context.DeadlineExceeded)
		}
		return err
	}
	return nil
}

// retryError says when to try again.
type retryError struct {
	error
	after time.Duration
}

// warning is an error of a message that was sent all the same.
type warning struct{ error }

func isWarning(err error) bool {
	var w warning
	return errors.As(err, &w)
}

// Run routes news, delivers and summarizes until the context ends. What is found
// in history is left to Route, which is to be called at the end of each reading:
// a first one takes hours, and its digest is to be one. Errors, which are the
// store's, go to the log: the next look may do better.
func (n *Notifier) Run(ctx context.Context) {
	last := ""
	troubles := map[string]string{}
	for ctx.Err() == nil {
		said := ""
		d, err := n.look(ctx, false)
		n.sayTroubles(d, troubles)
		if err != nil && ctx.Err() == nil {
			said = err.Error()
		}
		if said != "" && said != last {
			n.o.Log(said)
		}
		last = said
		timer := time.NewTimer(n.o.Poll)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// sayTroubles logs what keeps channels from taking messages, once: troubles has
// what was said, by channel, until the channel takes one again.
func (n *Notifier) sayTroubles(d Delivered, troubles map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(d.took)) {
		if _, had := troubles[name]; had && d.Errors[name] == nil {
			delete(troubles, name)
			n.o.Log(fmt.Sprintf("channel %s takes messages again", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Errors)) {
		if why := d.Errors[name].Error(); troubles[name] != why {
			troubles[name] = why
			n.o.Log(fmt.Sprintf("channel %s: %s", name, why))
		}
	}
}

// Pass is one look: it routes, summarizes the day when that is due, and delivers,
// each of which also when another one fails.
func (n *Notifier) Pass(ctx context.Context) (Delivered, error) { return n.look(ctx, true) }

func (n *Notifier) look(ctx context.Context, history bool) (Delivered, error) {
	_, err := n.route(ctx, history)
	err = errors.Join(err, n.Summarize(ctx))
	d, err2 := n.Deliver(ctx)
	return d, errors.Join(err, err2, n.prune(ctx))
}

// prune forgets what was sent long ago, once a day.
func (n *Notifier) prune(ctx context.Context) error {
	if ctx.Err() != nil { // the time is up: another look will
		return nil //nolint:nilerr // nothing is wrong
	}
	now := n.o.Now()
	text, err := n.store.Meta(ctx, metaPruned)
	if err != nil {
		return err
	}
	last, _ := strconv.ParseInt(text, 10, 64) // never, without one
	if d := now.Sub(time.Unix(last, 0)); d >= 0 && d < 24*time.Hour {
		return nil
	}
	if _, err := n.store.PruneOutbox(ctx, now.Add(-keepSent)); err != nil {
		return err
	}
	return n.store.SetMeta(ctx, metaPruned, strconv.FormatInt(now.Unix(), 10))
}

// Outcome is what became of a test message.
type Outcome struct {
	Channel string
	Err     error // nil: the channel took it
	Took    time.Duration
}

// Test sends a test message to channels, also to those that are off when they are
// named; to all that are on without a name. It doesn't go through the outbox and
// isn't tried again.
func (n *Notifier) Test(ctx context.Context, names ...string) ([]Outcome, error) {
	targets, err := n.named(names)
	if err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() {
			now := n.o.Now()
			began := time.Now()
			m := message(t, KindTest, nil, "", now, now.Format(time.RFC3339Nano))
			outcomes[i] = Outcome{Channel: t.Name, Err: n.attempt(ctx, t, &m), Took: time.Since(began)}
		})
	}
	wg.Wait()
	return outcomes, nil
}

// Resend enqueues one message for each alert and channel, whatever the alert's
// state: for the channel that is named, else for those that are on and want the
// alert. ids are those of alerts, or beginnings of them. Deliver sends what it
// returns.
func (n *Notifier) Resend(ctx context.Context, ids []string, channel string) ([]store.Message, error) {
	var names []string
	if channel != "" {
		names = []string{channel}
	}
	targets, err := n.named(names)
	if err != nil {
		return nil, err
	}
	now := n.o.Now()
	var messages []store.Message
	for _, id := range ids {
		a, err := n.store.Alert(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, t := range targets {
			if channel != "" || t.Wants(&a) {
				messages = append(messages, message(t, KindResend, []string{a.ID}, "", now, now.Format(time.RFC3339Nano)))
			}
		}
	}
	if _, err := n.store.Enqueue(ctx, messages, nil); err != nil {
		return nil, fmt.Errorf("send alerts again: %w", err)
	}
	return messages, nil
}
