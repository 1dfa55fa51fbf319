package dynamo

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// The item of an alert: pk "alert", sk its id.
//
//	I t v R A C  id, event time, severity, rule, account, actor; the rest in b
//	z            1 when it is superseded
//	p            of how much it was made, see groupFacts
//	w            who made it first, and rec when, ms since 1970
//	ka kb kn     its acknowledgement: when, by whom, note
//	q            it was routed: "!", or the Enqueue that does so
//
// One with a q and nothing else is of MarkTold, and no alert until it is made.
// One that isn't routed has a marker: pk "unrouted", sk its id; I the id.
const (
	alertPK    = "alert"
	unroutedPK = "unrouted"
)

func alertKey(id string) key    { return key{alertPK, "=" + safe(id)} }
func unroutedKey(id string) key { return key{unroutedPK, "=" + safe(id)} }

// putAlert adds an alert, or replaces the content of one that was made of less.
func (s *Store) putAlert(ctx context.Context, a *rule.Alert, known int64) (isNew bool, err error) {
	me := randomID()
	rest := item{}
	if err := s.store(ctx, "alert", rest, compress(store.EncodeAlert(a))); err != nil {
		return false, err
	}
	values := item{
		":I": bin(a.ID), ":t": num(a.EventTime), ":v": num(int64(a.Severity)), ":R": bin(a.Rule), ":A": bin(a.AccountID), ":C": bin(a.Actor),
		":z": num(boolNumber(a.Superseded)), ":p": num(known), ":w": str(me), ":rec": num(s.now()),
	}
	expression := "SET I = :I, t = :t, v = :v, R = :R, A = :A, C = :C, z = :z, p = :p, w = if_not_exists(w, :w), rec = if_not_exists(rec, :rec)"
	removed := ""
	for _, name := range [...]string{"b", "l", "ln"} {
		if v, ok := rest[name]; ok {
			expression += ", " + name + " = :" + name
			values[":"+name] = v
		} else {
			removed += ", " + name
		}
	}
	expression += " REMOVE " + removed[2:]
	_, now, err := s.update(ctx, alertKey(a.ID), expression, values, condition{text: "attribute_not_exists(p) OR p < :p"})
	return getString(now, "w") == me, err
}

// made tells an alert from what MarkTold left for one.
func made(it item) bool { return it != nil && has(it, "p") }

func boolNumber(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (s *Store) alertOf(ctx context.Context, it item) (a rule.Alert, err error) {
	a = rule.Alert{ID: getString(it, "I"), EventTime: getNumber(it, "t"), Severity: rule.Severity(getNumber(it, "v")),
		Rule: getString(it, "R"), AccountID: getString(it, "A"), Actor: getString(it, "C")}
	plain, err := s.unpacked(ctx, it)
	if err != nil {
		return a, err
	}
	if err := store.DecodeAlert(plain, &a); err != nil {
		return a, s.damaged(keyOf(it), err.Error())
	}
	store.SetState(&a, getNumber(it, "z") != 0, ackOf(it))
	return a, nil
}

func ackOf(it item) *store.Ack {
	if !has(it, "ka") {
		return nil
	}
	return &store.Ack{At: getNumber(it, "ka"), By: getString(it, "kb"), Note: getString(it, "kn")}
}

// allAlerts calls take with each alert and its item.
func (s *Store) allAlerts(ctx context.Context, b between, take func(*rule.Alert, item)) error {
	for it, err := range s.query(ctx, alertPK, b) {
		if err != nil {
			return err
		}
		if !made(it) {
			continue
		}
		a, err := s.alertOf(ctx, it)
		if err != nil {
			return err
		}
		take(&a, it)
	}
	return nil
}

// Alerts implements store.Store.
func (s *Store) Alerts(ctx context.Context, f store.AlertFilter) (found []rule.Alert, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		found = nil
		if err := s.allAlerts(ctx, between{}, func(a *rule.Alert, _ item) {
			if f.Matches(a) {
				found = append(found, *a)
			}
		}); err != nil {
			return err
		}
		slices.SortFunc(found, store.CompareAlerts)
		if f.Limit > 0 && len(found) > f.Limit {
			found = found[:f.Limit]
		}
		return nil
	})
	return found, err
}

// Alert implements store.Store.
func (s *Store) Alert(ctx context.Context, id string) (found rule.Alert, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		k := alertKey(id)
		items, err := s.get(ctx, []key{k})
		if err != nil {
			return err
		}
		if it := items[k]; made(it) {
			found, err = s.alertOf(ctx, it)
			return err
		}
		n := 0
		if len(id) >= store.MinPrefix {
			if err := s.allAlerts(ctx, between{prefix: "=" + id}, func(a *rule.Alert, _ item) {
				if strings.HasPrefix(a.ID, id) {
					found = *a
					n++
				}
			}); err != nil {
				return err
			}
		}
		return store.OneAlert(id, n)
	})
	if err != nil {
		return rule.Alert{}, err
	}
	return found, nil
}

// Ack implements store.Store.
func (s *Store) Ack(ctx context.Context, ids []string, by, note string, at time.Time) error {
	return s.write(ctx, "ack", func(ctx context.Context) error {
		keys := make([]key, len(ids))
		for i, id := range ids {
			keys[i] = alertKey(id)
		}
		found, err := s.get(ctx, keys, "ka", "kb", "kn", "p")
		if err != nil {
			return err
		}
		for i, k := range keys {
			if !made(found[k]) {
				return fmt.Errorf("acknowledge alert %q: %w", ids[i], store.ErrNotFound)
			}
		}
		ack := store.Ack{At: at.UnixMilli(), By: by, Note: note}
		distinct := slices.Compact(slices.SortedFunc(slices.Values(keys), func(a, b key) int { return strings.Compare(a.sk, b.sk) }))
		return parallel(ctx, len(distinct), func(ctx context.Context, i int) error {
			k := distinct[i]
			kept := found[k]
			return s.again(ctx, "acknowledge alerts", func(ctx context.Context) (bool, error) {
				c := condition{text: "attribute_exists(pk) AND attribute_not_exists(ka)"}
				if old := ackOf(kept); old != nil {
					if ack.Compare(*old) <= 0 {
						return true, nil
					}
					c = condition{"ka = :oa AND kb = :ob AND kn = :on", item{":oa": kept["ka"], ":ob": kept["kb"], ":on": kept["kn"]}}
				}
				done, now, err := s.update(ctx, k, "SET ka = :a, kb = :b, kn = :n", item{":a": num(ack.At), ":b": bin(by), ":n": bin(note)}, c)
				kept = now
				return done, err
			})
		})
	})
}

// unroutedAlerts returns the alerts that nobody was told of, with their items.
func (s *Store) unroutedAlerts(ctx context.Context) (list []store.Recorded, err error) {
	var keys []key
	for it, err := range s.query(ctx, unroutedPK, between{}) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, alertKey(getString(it, "I")))
	}
	found, err := s.get(ctx, keys)
	if err != nil {
		return nil, err
	}
	state, err := s.routings(ctx, found)
	if err != nil {
		return nil, err
	}
	for _, it := range found {
		if !made(it) || getNumber(it, "z") != 0 || state.routed(it) {
			continue
		}
		a, err := s.alertOf(ctx, it)
		if err != nil {
			return nil, err
		}
		list = append(list, store.Recorded{Alert: a, At: time.UnixMilli(getNumber(it, "rec")).UTC()})
	}
	slices.SortFunc(list, func(a, b store.Recorded) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// Unrouted implements store.Store.
func (s *Store) Unrouted(ctx context.Context) iter.Seq2[store.Recorded, error] {
	return sequence(ctx, s, s.unroutedAlerts)
}

// MarkTold implements store.Store.
func (s *Store) MarkTold(ctx context.Context, ids []string) error {
	return s.write(ctx, "marktold", func(ctx context.Context) error {
		ids := slices.Compact(slices.Sorted(slices.Values(ids)))
		keys := make([]key, len(ids))
		for i, id := range ids {
			keys[i] = alertKey(id)
		}
		found, err := s.get(ctx, keys, "q")
		if err != nil {
			return err
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return getString(found[alertKey(id)], "q") == routed })
		markers := make([]key, len(ids))
		if err := parallel(ctx, len(ids), func(ctx context.Context, i int) error {
			markers[i] = unroutedKey(ids[i])
			_, _, err := s.update(ctx, alertKey(ids[i]), "SET q = :q", item{":q": str(routed)}, condition{})
			return err
		}); err != nil {
			return err
		}
		return s.writeAll(ctx, nil, markers)
	})
}

// An Enqueue of more alerts than a transaction holds marks them as its own first,
// and they count as routed when it has said that it's done, or while it may yet:
// pk "routing", sk its name; z when it's done.
const routingPK = "routing"

// routed is the mark of an alert that was routed.
const routed = "!"

type routings map[string]item

func (s *Store) routings(ctx context.Context, alerts map[key]item) (routings, error) {
	var keys []key
	for _, it := range alerts {
		if q := getString(it, "q"); q != "" && q != routed {
			keys = append(keys, key{routingPK, q})
		}
	}
	found, err := s.get(ctx, keys)
	if err != nil {
		return nil, err
	}
	r := routings{}
	for k, it := range found {
		r[k.sk] = it
	}
	return r, nil
}

func (r routings) routed(it item) bool {
	q := getString(it, "q")
	return q == routed || q != "" && (has(r[q], "z") || r[q] != nil && !dead(q))
}

// Enqueue implements store.Store. When there are more messages than a transaction
// holds, the first ones are written before the alerts are marked: a program that is
// killed in between tells twice.
func (s *Store) Enqueue(ctx context.Context, messages []store.Message, ids []string) (done bool, err error) {
	err = s.write(ctx, "enqueue", func(ctx context.Context) error {
		return s.again(ctx, "write the outbox", func(ctx context.Context) (over bool, err error) {
			done, over, err = s.enqueueOnce(ctx, messages, ids)
			return over, err
		})
	})
	return done && err == nil, err
}

// enqueueOnce reports whether it's done, and whether that is the last word: else
// somebody else has written the same.
func (s *Store) enqueueOnce(ctx context.Context, messages []store.Message, ids []string) (done, over bool, err error) {
	keys := make([]key, len(ids))
	seen := map[key]bool{}
	for i, id := range ids {
		if keys[i] = alertKey(id); seen[keys[i]] {
			return false, true, nil
		}
		seen[keys[i]] = true
	}
	found, err := s.get(ctx, keys, "q")
	if err != nil {
		return false, false, err
	}
	state, err := s.routings(ctx, found)
	if err != nil {
		return false, false, err
	}
	free := make([]condition, len(keys))
	for i, k := range keys {
		it := found[k]
		switch {
		case it == nil || state.routed(it):
			return false, true, nil
		case has(it, "q"): // of one that died
			free[i] = condition{"q = :was", item{":was": it["q"]}}
		default:
			free[i] = condition{"attribute_exists(pk) AND attribute_not_exists(q)", nil}
		}
	}
	fresh, err := s.newMessages(ctx, messages)
	if err != nil {
		return false, false, err
	}
	if err := s.markPending(ctx, fresh); err != nil {
		return false, false, err
	}
	if done, err = s.route(ctx, fresh, keys, free); err != nil || !done {
		return false, false, err
	}
	markers := make([]key, len(ids))
	for i, id := range ids {
		markers[i] = unroutedKey(id)
	}
	return true, true, s.writeAll(ctx, nil, markers)
}

// newMessages are the items of messages that aren't there.
func (s *Store) newMessages(ctx context.Context, messages []store.Message) ([]item, error) {
	keys := make([]key, len(messages))
	for i := range messages {
		keys[i] = messageKey(messages[i].ID)
	}
	found, err := s.get(ctx, keys, "st")
	if err != nil {
		return nil, err
	}
	var items []item
	seen := map[key]bool{}
	for i, k := range keys {
		if found[k] != nil || seen[k] {
			continue
		}
		seen[k] = true
		m := store.NewMessage(messages[i])
		it, err := s.messageItem(ctx, &m)
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

// markPending writes the markers of messages that are about to be written.
func (s *Store) markPending(ctx context.Context, messages []item) error {
	markers := make([]item, len(messages))
	for i, m := range messages {
		it := pendingKey(getString(m, "I")).item()
		it["I"], it["ma"] = m["I"], num(s.now())
		markers[i] = it
	}
	return s.writeAll(ctx, markers, nil)
}

// route marks alerts and writes messages, all or nothing.
func (s *Store) route(ctx context.Context, messages []item, keys []key, free []condition) (done bool, err error) {
	mark := func(i int, q string) types.TransactWriteItem {
		return s.updating(keys[i], "SET q = :q", item{":q": str(q)}, free[i])
	}
	for len(messages) > mostTogether/2 {
		if _, _, err := s.put(ctx, messages[0], absent); err != nil {
			return false, err
		}
		messages = messages[1:]
	}
	var last []types.TransactWriteItem
	for _, it := range messages {
		last = append(last, s.putting(it, absent))
	}
	me := ""
	if len(last)+len(keys) > mostTogether {
		me = newWriter()
		it := key{routingPK, me}.item()
		if _, _, err := s.put(ctx, it, absent); err != nil {
			return false, err
		}
		for from := 0; from < len(keys); from += mostTogether {
			var part []types.TransactWriteItem
			for i := from; i < min(len(keys), from+mostTogether); i++ {
				part = append(part, mark(i, me))
			}
			failed, err := s.transact(ctx, part)
			if err != nil {
				return false, err
			}
			if len(failed) > 0 {
				return false, s.unroute(ctx, me, keys[:from])
			}
		}
		last = append(last, s.updating(key{routingPK, me}, "SET z = :z", item{":z": num(1)}, condition{"attribute_exists(pk)", nil}))
	} else {
		for i := range keys {
			last = append(last, mark(i, routed))
		}
	}
	if len(last) == 0 {
		return true, nil
	}
	failed, err := s.transact(ctx, last)
	if err != nil {
		return false, err
	}
	switch {
	case len(failed) > 0 && me != "":
		return false, s.unroute(ctx, me, keys)
	case len(failed) > 0:
		return false, nil
	}
	return true, s.settleRouting(ctx, me, keys)
}

// unroute takes back the marks of an Enqueue that came too late.
func (s *Store) unroute(ctx context.Context, me string, keys []key) error {
	if err := parallel(ctx, len(keys), func(ctx context.Context, i int) error {
		_, _, err := s.update(ctx, keys[i], "REMOVE q", nil, condition{"q = :q", item{":q": str(me)}})
		return err
	}); err != nil {
		return err
	}
	_, err := s.remove(ctx, key{routingPK, me}, condition{})
	return err
}

// settleRouting gives alerts the mark for good, after which nobody asks for that of
// the Enqueue.
func (s *Store) settleRouting(ctx context.Context, me string, keys []key) error {
	if me == "" {
		return nil
	}
	if err := parallel(ctx, len(keys), func(ctx context.Context, i int) error {
		_, _, err := s.update(ctx, keys[i], "SET q = :r", item{":r": str(routed)}, condition{"q = :q", item{":q": str(me)}})
		return err
	}); err != nil {
		return err
	}
	_, err := s.remove(ctx, key{routingPK, me}, condition{})
	return err
}
