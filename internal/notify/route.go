package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Kinds of messages.
const (
	KindAlert   = "alert"   // one alert
	KindGroup   = "group"   // alerts of a burst
	KindDigest  = "digest"  // what a run found in history
	KindResend  = "resend"  // one alert, asked for by a person
	KindSummary = "summary" // a day
	KindSilence = "silence" // collection has stopped
	KindGap     = "gap"     // times that could not be read
	KindTest    = "test"
)

const (
	// perActor is how many alerts of one rule and actor are told one by one;
	// with more of them, all become one message.
	perActor = 3
	// perChannel is how many messages about alerts one run, or a window, gives a
	// channel; with more of them, all become one.
	perChannel = 10
	// newsAge is how old a recorded alert may be to be told by itself: longer
	// than anything that holds up Route, such as a machine that is switched off
	// over a weekend.
	newsAge = 7 * 24 * time.Hour
)

// Routed counts what Route did.
type Routed struct {
	Alerts   int // routed now
	Messages int // written
	Held     int // left to become part of a later message
}

// Route turns alerts that nobody was told of into messages. Without a channel
// that is on it does nothing, and what it would tell stays to be told. Alerts
// that a person has acknowledged are told to nobody.
func (n *Notifier) Route(ctx context.Context) (Routed, error) { return n.route(ctx, true) }

// route leaves alone, unless history is to be told, what would become a digest.
func (n *Notifier) route(ctx context.Context, history bool) (sum Routed, err error) {
	// Another process may route the same alerts: then look again.
	for tries := 0; tries < 10 && len(n.active()) > 0; tries++ {
		r, done, more, err := n.routeOnce(ctx, history)
		sum.Alerts, sum.Messages, sum.Held = sum.Alerts+r.Alerts, sum.Messages+r.Messages, r.Held
		switch {
		case err != nil:
			return sum, fmt.Errorf("route alerts: %w", err)
		case done && !more:
			return sum, nil
		case done:
			tries = -1
		}
	}
	if len(n.active()) == 0 {
		return sum, nil
	}
	return sum, errors.New("route alerts: other programs route the same ones all the time")
}

// routeOnce reports whether nobody else routed the same, and whether more of history is
// left.
func (n *Notifier) routeOnce(ctx context.Context, history bool) (r Routed, done, more bool, err error) {
	now := n.o.Now()
	active := n.active()
	digests := make([]digest, len(active))
	var news []fresh
	var ids, old []string
	for a, err := range n.store.Unrouted(ctx) {
		if err != nil {
			return r, false, false, err
		}
		switch {
		case a.State == rule.StateAcknowledged:
			ids = append(ids, a.ID)
		case n.isNews(&a, now):
			news = append(news, fresh{id: a.ID, key: a.Rule + "\x00" + a.Actor, severity: a.Severity, at: a.At, rule: a.Rule, account: a.AccountID})
		case history && len(old) < mostHistory:
			old = append(old, a.ID)
			for i, t := range active {
				if t.Wants(&a.Alert) {
					digests[i].add(&a.Alert)
				}
			}
		}
	}
	if r.Held, err = n.hold(ctx, &news, now); err != nil {
		return r, false, false, err
	}
	for i := range news {
		ids = append(ids, news[i].id)
	}
	// News first: history may be so much that writing it takes longer than there is.
	var about []store.Message
	for _, t := range active {
		about = append(about, burst(t, news, now)...)
	}
	if done, err = n.enqueue(ctx, about, ids, &r); err != nil || !done {
		return r, false, false, err
	}
	about = nil
	for i, t := range active {
		if digests[i].Alerts > 0 {
			m, err := digests[i].message(t, now)
			if err != nil {
				return r, false, false, err
			}
			about = append(about, m)
		}
	}
	done, err = n.enqueue(ctx, about, old, &r)
	return r, done, len(old) == mostHistory, err
}

// mostHistory is how many alerts a digest is about at most; what is more has another one.
const mostHistory = 3000

func (n *Notifier) enqueue(ctx context.Context, messages []store.Message, ids []string, r *Routed) (done bool, err error) {
	if len(ids) == 0 {
		return true, nil
	}
	if done, err = n.store.Enqueue(ctx, messages, ids); done && err == nil {
		r.Alerts += len(ids)
		r.Messages += len(messages)
	}
	return done, err
}

// isNews reports whether an alert is to be told by itself.
func (n *Notifier) isNews(a *store.Recorded, now time.Time) bool {
	return a.At.Sub(time.UnixMilli(a.EventTime)) <= n.o.Horizon && now.Sub(a.At) <= newsAge
}

// fresh is an alert that is news; little of it, since there may be many.
type fresh struct {
	id, key, rule, account string
	severity               rule.Severity
	at                     time.Time
}

func (f *fresh) wanted(t *target) bool {
	return t.Wants(&rule.Alert{Rule: f.rule, AccountID: f.account, Severity: f.severity})
}

// hold takes those alerts out of news that belong to a burst of which the window
// has seen enough already, until the first of them has waited for a window.
// Critical alerts never wait.
func (n *Notifier) hold(ctx context.Context, news *[]fresh, now time.Time) (held int, err error) {
	if n.o.Window <= 0 || len(*news) == 0 {
		return 0, nil
	}
	told, err := n.store.Messages(ctx, store.MessageFilter{Since: now.Add(-n.o.Window)})
	if err != nil {
		return 0, err
	}
	byKey, seen := map[string]int{}, map[string]bool{}
	for i := range told {
		if told[i].Kind != KindAlert && told[i].Kind != KindGroup {
			continue
		}
		for _, id := range told[i].AlertIDs {
			if seen[id] {
				continue
			}
			seen[id] = true
			a, err := n.store.Alert(ctx, id)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return 0, err
			}
			byKey[a.Rule+"\x00"+a.Actor]++
		}
	}
	waits := func(f *fresh) bool {
		return f.severity < rule.Critical && (byKey[f.key] >= perActor || len(seen) >= perChannel)
	}
	first := map[string]time.Time{}
	for i := range *news {
		f := &(*news)[i]
		if at, ok := first[f.key]; !ok || f.at.Before(at) {
			first[f.key] = f.at
		}
	}
	*news = slices.DeleteFunc(*news, func(f fresh) bool {
		wait := waits(&f) && now.Sub(first[f.key]) < n.o.Window
		if wait {
			held++
		}
		return wait
	})
	return held, nil
}

// burst makes the messages of a channel for news.
func burst(t *target, news []fresh, now time.Time) []store.Message {
	groups := map[string][]fresh{}
	var keys []string
	for _, f := range news {
		if !f.wanted(t) {
			continue
		}
		if groups[f.key] == nil {
			keys = append(keys, f.key)
		}
		groups[f.key] = append(groups[f.key], f)
	}
	total := 0
	for _, g := range groups {
		if len(g) > perActor {
			total++
		} else {
			total += len(g)
		}
	}
	if total > perChannel {
		var all []fresh
		for _, k := range keys {
			all = append(all, groups[k]...)
		}
		keys, groups = []string{""}, map[string][]fresh{"": all}
	}
	var messages []store.Message
	for _, k := range keys {
		g := groups[k]
		if len(g) <= perActor && total <= perChannel {
			for _, f := range g {
				messages = append(messages, message(t, KindAlert, []string{f.id}, "", now))
			}
			continue
		}
		// The gravest first, should there be more than one message has room for.
		slices.SortStableFunc(g, func(a, b fresh) int {
			return cmp.Or(cmp.Compare(b.severity, a.severity), a.at.Compare(b.at), cmp.Compare(a.id, b.id))
		})
		for part := range slices.Chunk(g, t.most()) {
			ids := make([]string, len(part))
			for i := range part {
				ids[i] = part[i].id
			}
			messages = append(messages, message(t, KindGroup, ids, "", now))
		}
	}
	return messages
}

// message makes a row of the outbox that is due at once.
func message(t *target, kind string, ids []string, body string, now time.Time, more ...string) store.Message {
	parts := append([]string{t.Name, kind}, more...)
	return store.Message{ID: messageID(append(parts, ids...)...), Channel: t.Name, Kind: kind, AlertIDs: ids, Body: body, Created: now, Due: now}
}

// digest is what a run found in history, for one channel.
type digest struct {
	Alerts     int            `json:"alerts"`
	BySeverity map[string]int `json:"by_severity"`
	ByRule     map[string]int `json:"by_rule"`
	From       int64          `json:"from"` // event times, ms since the epoch
	To         int64          `json:"to"`
	Gravest    []string       `json:"gravest"` // ids, the newest of the gravest first

	ids     []string
	gravest []rule.Alert
}

// digestTop is how many alerts a digest or a summary names.
const digestTop = 10

func (d *digest) add(a *rule.Alert) {
	if d.Alerts == 0 {
		d.BySeverity, d.ByRule, d.From, d.To = map[string]int{}, map[string]int{}, a.EventTime, a.EventTime
	}
	d.Alerts++
	d.BySeverity[a.Severity.String()]++
	d.ByRule[a.Rule]++
	d.From, d.To = min(d.From, a.EventTime), max(d.To, a.EventTime)
	d.ids = append(d.ids, a.ID)
	d.gravest = top(append(d.gravest, rule.Alert{ID: a.ID, Severity: a.Severity, EventTime: a.EventTime}), digestTop)
}

// top keeps the gravest alerts, the newest first.
func top(list []rule.Alert, most int) []rule.Alert {
	slices.SortFunc(list, func(a, b rule.Alert) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.EventTime, a.EventTime), cmp.Compare(a.ID, b.ID))
	})
	return list[:min(most, len(list))]
}

func (d *digest) message(t *target, now time.Time) (store.Message, error) {
	d.Gravest = nil
	for i := range d.gravest {
		d.Gravest = append(d.Gravest, d.gravest[i].ID)
	}
	body, err := json.Marshal(d)
	return message(t, KindDigest, d.ids, string(body), now), err
}
