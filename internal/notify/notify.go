// Package notify tells people: it turns alerts into messages (Route) and gets
// the messages to the channels that are configured (Deliver). Between the two
// lies the store's outbox, so that nothing is lost when the program is killed at
// any point:
//
//  1. an alert is recorded with the events (the store does that),
//  2. Route writes its messages and marks it as routed, in one transaction,
//  3. Deliver claims a message, sends it, and marks it as sent.
//
// A message is sent at least once: a double is possible only when sending ended
// without an answer, as when the program is killed between 3's last two steps.
// It carries its id and those of its alerts, by which a double is known. What a
// channel doesn't take is sent again, with growing distances, for a week. Each
// channel is served on its own, so that one that fails or hangs holds up nothing.
//
// Alerts about events that were old when they were first seen are history: a run
// tells of them in one digest. Many alerts at once become one message that lists
// them by id.
//
// Whatever a message says of events is hostile; text.go makes it harmless in the
// language of each channel, and keeps every message within the channel's limit.
package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Channel says where messages go, and which.
type Channel struct {
	Name string // unique; in messages and errors
	Type string // see Types
	// URL is where to send; a secret for most types.
	URL string
	// Path is the file of type file.
	Path string
	// TopicARN is the topic of type sns.
	TopicARN string
	// Secret signs what a webhook gets; empty: no signature.
	Secret string
	// From and To are the addresses of type mail.
	From string
	To   []string
	// MinSeverity, Rules and Accounts narrow the alerts; zero values don't.
	MinSeverity rule.Severity
	Rules       []string
	Accounts    []string
	// Off: nothing new is sent.
	Off bool
	// Err is why the channel can't be used, such as a secret that isn't there;
	// nil when it can. Its messages wait for it to be mended.
	Err error
}

// Wants reports whether an alert goes to the channel.
func (c *Channel) Wants(a *rule.Alert) bool {
	return !c.Off && a.Severity >= c.MinSeverity &&
		(len(c.Rules) == 0 || slices.Contains(c.Rules, a.Rule)) &&
		(len(c.Accounts) == 0 || slices.Contains(c.Accounts, a.AccountID))
}

// Publication is what an SNS topic gets.
type Publication struct {
	TopicARN, Subject, Body, ID string
	Attributes                  map[string]string
}

// Options of New; zero fields mean what they say.
type Options struct {
	Channels []Channel
	// Horizon is how old an event may be, when its alert is recorded, to be told
	// by itself; 0: 24 hours.
	Horizon time.Duration
	// Window is for how long alerts of a burst are held back, to become one
	// message; 0: not at all, for programs that end after this run.
	Window time.Duration
	// Now is the clock, the same as the store's; nil: time.Now.
	Now func() time.Time
	// Zone is where times are shown; nil: UTC.
	Zone *time.Location
	// Rules tell what to do next.
	Rules []rule.Rule
	// Command is how `iamtrack WORDS…` is to be typed; nil: just so.
	Command func(words ...string) string

	Terminal io.Writer                                // of type terminal; nil: it fails
	Publish  func(context.Context, Publication) error // of type sns; nil: it fails
	HTTP     *http.Client                             // nil: one without redirects
	// Log is told what isn't worth failing for; nil: nobody is.
	Log func(text string)

	// DailySummary is when a day's summary is sent, in minutes after midnight in
	// Zone; negative: never.
	DailySummary int
	// Status gives lines for the summary, such as gaps of coverage; may be nil.
	Status func(context.Context) ([]string, error)

	// Timeout bounds one attempt to send; 0: 20 seconds.
	Timeout time.Duration
	// Poll is how often Run looks; 0: 15 seconds.
	Poll time.Duration
	// Jitter spreads attempts, from -1 to 1; nil: random.
	Jitter func() float64
}

// Notifier routes and delivers. Its methods may be called concurrently, also by
// several processes on one store.
type Notifier struct {
	store    store.Store
	o        Options
	channels []*target
	rules    map[string]*rule.Rule
	problems []error
}

// target is a channel and how to reach it.
type target struct {
	Channel
	sender
	style style
	limit int // of a text, in what style.size counts
}

// sender gets one message to a channel. Errors carry no secret, and say nothing
// of the channel's name.
type sender interface {
	send(ctx context.Context, m *outgoing) error
}

// New makes a notifier. A channel that can't be used, see Problems, keeps the
// others from nothing: sending to it fails.
func New(s store.Store, o Options) *Notifier {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Horizon == 0 {
		o.Horizon = 24 * time.Hour
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Poll == 0 {
		o.Poll = 15 * time.Second
	}
	if o.Jitter == nil {
		o.Jitter = func() float64 { return rand.Float64()*2 - 1 } //nolint:gosec // no secret
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	if o.Command == nil {
		o.Command = plainCommand
	}
	if o.HTTP == nil {
		o.HTTP = newHTTPClient()
	}
	n := &Notifier{store: s, o: o, rules: map[string]*rule.Rule{}}
	for i := range o.Rules {
		n.rules[o.Rules[i].ID] = &o.Rules[i]
	}
	for _, c := range o.Channels {
		err := c.Err
		var t *target
		if err == nil {
			t, err = n.open(c)
		}
		if err != nil {
			n.problems = append(n.problems, fmt.Errorf("channel %s: %w", c.Name, err))
			t = &target{Channel: c, sender: broken{err}, style: plainStyle, limit: plainLimit}
		}
		n.channels = append(n.channels, t)
	}
	return n
}

// broken stands for a channel that can't be used.
type broken struct{ err error }

func (b broken) send(context.Context, *outgoing) error { return b.err }

// Problems says which channels can't be used, and why; errors name channel and
// key.
func (n *Notifier) Problems() []error { return n.problems }

// Active reports whether there is a channel that is on.
func (n *Notifier) Active() bool { return len(n.active()) > 0 }

// active are the channels that get new messages.
func (n *Notifier) active() (on []*target) {
	for _, t := range n.channels {
		if !t.Off {
			on = append(on, t)
		}
	}
	return on
}

// named returns channels by name; all that are on without a name.
func (n *Notifier) named(names []string) ([]*target, error) {
	if len(names) == 0 {
		return n.active(), nil
	}
	var found []*target
	for _, name := range names {
		i := slices.IndexFunc(n.channels, func(t *target) bool { return t.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("channel %q: %w", name, ErrNoChannel)
		}
		found = append(found, n.channels[i])
	}
	return found, nil
}

// ErrNoChannel is wrapped when a channel is named that isn't configured.
var ErrNoChannel = errors.New("no channel of that name is configured")

// messageID derives the id of a message from what makes it one.
func messageID(parts ...string) string {
	var text []byte
	for _, p := range parts {
		text = fmt.Appendf(text, "%d:%s", len(p), p)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

func plainCommand(words ...string) string {
	text := "iamtrack"
	for _, w := range words {
		text += " " + w
	}
	return text
}
