package dynamo

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/iamtrack/iamtrack/internal/store"
)

// The item of a message: pk "outbox", sk its id.
//
//	I C K   id, channel, kind; alerts and body in b
//	cr du ch cu  created, due, changed, claimed until: ms since 1970; cu 0: not claimed
//	tries st le  attempts, state, last error
//	k       token of the last claim
//
// One that is pending has a marker, so that those that were sent aren't read to find
// it: pk "pending", sk its id; I the id, ma when it was marked, ms since 1970. The marker is there
// before the message, and may be there without one that is pending.
const (
	outboxPK  = "outbox"
	pendingPK = "pending"
)

func messageKey(id string) key { return key{outboxPK, "=" + safe(id)} }
func pendingKey(id string) key { return key{pendingPK, "=" + safe(id)} }

func (s *Store) messageItem(ctx context.Context, m *store.Message) (item, error) {
	it := messageKey(m.ID).item()
	it["I"], it["C"], it["K"], it["st"], it["le"] = bin(m.ID), bin(m.Channel), bin(m.Kind), str(m.State), bin(m.LastError)
	it["cr"], it["du"], it["ch"], it["cu"], it["at"] = num(m.Created.UnixMilli()), num(m.Due.UnixMilli()), num(m.Changed.UnixMilli()), num(0), num(0)
	var p packer
	p.columns = make([][]byte, 1)
	p.text(0, m.Body)
	for _, id := range m.AlertIDs {
		p.text(0, id)
	}
	return it, s.store(ctx, "message", it, p.bytes())
}

func (s *Store) messageOf(ctx context.Context, it item) (m store.Message, err error) {
	ms := func(name string) time.Time { return time.UnixMilli(getNumber(it, name)).UTC() }
	m = store.Message{ID: getString(it, "I"), Channel: getString(it, "C"), Kind: getString(it, "K"), AlertIDs: []string{}, State: getString(it, "st"),
		LastError: getString(it, "le"), Created: ms("cr"), Due: ms("du"), Changed: ms("ch"), Attempts: int(getNumber(it, "tries"))}
	if getNumber(it, "cu") != 0 {
		m.ClaimedUntil = ms("cu")
	}
	packed, err := s.load(ctx, it)
	if err != nil {
		return m, err
	}
	u, err := unpack(packed, 1)
	if err != nil {
		return m, s.damaged(keyOf(it), err.Error())
	}
	m.Body = u.text(0)
	for u.more(0) {
		m.AlertIDs = append(m.AlertIDs, u.text(0))
	}
	if u.bad {
		err = s.damaged(keyOf(it), "it can't be read")
	}
	return m, err
}

// messages returns those that match, in the order in which they are sent.
func (s *Store) messages(ctx context.Context, match func(*store.Message) bool) (found []store.Message, err error) {
	return s.matching(ctx, s.query(ctx, outboxPK, between{}), match)
}

// pending is messages for those that are pending.
func (s *Store) pending(ctx context.Context, match func(*store.Message) bool) ([]store.Message, error) {
	markers, err := all(s.query(ctx, pendingPK, between{}))
	if err != nil {
		return nil, err
	}
	keys := make([]key, len(markers))
	for i, it := range markers {
		keys[i] = messageKey(getString(it, "I"))
	}
	found, err := s.get(ctx, keys)
	if err != nil {
		return nil, err
	}
	items := func(yield func(item, error) bool) {
		for _, it := range found {
			if getString(it, "st") == store.MessagePending && !yield(it, nil) {
				return
			}
		}
	}
	return s.matching(ctx, items, match)
}

func (s *Store) matching(ctx context.Context, items iter.Seq2[item, error], match func(*store.Message) bool) (found []store.Message, err error) {
	for it, err := range items {
		if err != nil {
			return nil, err
		}
		m, err := s.messageOf(ctx, it)
		if err != nil {
			return nil, err
		}
		if match(&m) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b store.Message) int { return store.CompareMessages(&a, &b) })
	return found, nil
}

// Messages implements store.Store.
func (s *Store) Messages(ctx context.Context, f store.MessageFilter) (found []store.Message, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		some := s.messages
		if slices.Equal(f.States, []string{store.MessagePending}) {
			some = s.pending
		}
		found, err = some(ctx, f.Matches)
		return err
	})
	return found, err
}

// claimable returns the messages of a channel, or of all, that Claim may take.
func (s *Store) claimable(ctx context.Context, channel string) ([]store.Message, error) {
	now := time.UnixMilli(s.now()).UTC()
	return s.pending(ctx, func(m *store.Message) bool { return (channel == "" || m.Channel == channel) && m.Claimable(now) })
}

// Due implements store.Store.
func (s *Store) Due(ctx context.Context) (channels []string, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		channels = nil
		list, err := s.claimable(ctx, "")
		for _, m := range list {
			channels = append(channels, m.Channel)
		}
		slices.Sort(channels)
		channels = slices.Compact(channels)
		return err
	})
	return channels, err
}

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, channel string, ttl time.Duration) (claimed *store.Message, err error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("claim a message for %v: the time must be positive", ttl)
	}
	err = s.write(ctx, "claim", func(ctx context.Context) error {
		token := randomMark()
		return s.again(ctx, "claim a message", func(ctx context.Context) (bool, error) {
			claimed = nil
			list, err := s.claimable(ctx, channel)
			if err != nil {
				return false, err
			}
			for i := range list {
				m := &list[i]
				until := s.now() + millis(ttl)
				done, now, err := s.update(ctx, messageKey(m.ID), "SET k = :k, cu = :cu", item{":k": num(token), ":cu": num(until)},
					condition{"st = :st AND du = :du AND cu = :was", item{":st": str(m.State), ":du": num(m.Due.UnixMilli()), ":was": num(claimedUntil(m))}})
				if err != nil {
					return false, err
				}
				if done || getNumber(now, "k") == token { // or the answer to claiming it got lost
					m.Token, m.ClaimedUntil = token, time.UnixMilli(until).UTC()
					claimed = m
					return true, nil
				}
			}
			// All that were due are somebody else's now; later ones may be due since.
			return len(list) == 0, nil
		})
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

func claimedUntil(m *store.Message) int64 {
	if m.ClaimedUntil.IsZero() {
		return 0
	}
	return m.ClaimedUntil.UnixMilli()
}

// Settle implements store.Store.
func (s *Store) Settle(ctx context.Context, m *store.Message, o store.Outcome) error {
	if !o.Valid() {
		return fmt.Errorf("settle message: %q is no state", o.State)
	}
	return s.write(ctx, "settle", func(ctx context.Context) error {
		due := cmp.Or(m.Due, m.Created).UnixMilli()
		if o.State == store.MessagePending {
			due = o.Due.UnixMilli()
		}
		done, now, err := s.update(ctx, messageKey(m.ID), "SET st = :st, du = :du, le = :le, ch = :ch, cu = :zero ADD tries :one",
			item{":st": str(o.State), ":du": num(due), ":le": bin(o.Error), ":ch": num(s.now()), ":zero": num(0), ":one": num(1)},
			condition{"k = :k AND cu <> :zero", item{":k": num(m.Token)}})
		// The claim stays in the item, so that the same call again is known as such.
		if err == nil && !done && (now == nil || getNumber(now, "k") != m.Token) {
			err = fmt.Errorf("settle message %s: the claim on it: %w", m.ID, store.ErrLeaseLost)
		}
		if err != nil || o.State == store.MessagePending {
			return err
		}
		return s.writeAll(ctx, nil, []key{pendingKey(m.ID)})
	})
}

// staleMarker is how long a marker without a message may yet get one.
const staleMarker = 24 * time.Hour

// PruneOutbox implements store.Store.
func (s *Store) PruneOutbox(ctx context.Context, before time.Time) (removed int64, err error) {
	err = s.write(ctx, "pruneoutbox", func(ctx context.Context) error {
		removed = 0
		limit := store.CanonicalTime(before)
		list, err := s.messages(ctx, func(m *store.Message) bool { return m.State != store.MessagePending && m.Changed.Before(limit) })
		if err != nil {
			return err
		}
		keys := make([]key, len(list))
		for i := range list {
			keys[i] = messageKey(list[i].ID)
		}
		removed = int64(len(keys))
		if err := s.writeAll(ctx, nil, keys); err != nil {
			return err
		}
		return s.pruneMarkers(ctx)
	})
	return removed, err
}

// pruneMarkers removes those that a program left that was killed between the steps of
// Enqueue or Settle, unless somebody writes them anew meanwhile.
func (s *Store) pruneMarkers(ctx context.Context) error {
	markers, err := all(s.query(ctx, pendingPK, between{}))
	if err != nil {
		return err
	}
	keys := make([]key, len(markers))
	for i, it := range markers {
		keys[i] = messageKey(getString(it, "I"))
	}
	found, err := s.get(ctx, keys, "st")
	if err != nil {
		return err
	}
	return parallel(ctx, len(markers), func(ctx context.Context, i int) error {
		m := found[keys[i]]
		if m != nil && getString(m, "st") == store.MessagePending || m == nil && getNumber(markers[i], "ma") > s.now()-millis(staleMarker) {
			return nil
		}
		_, err := s.remove(ctx, keyOf(markers[i]), condition{"ma = :at", item{":at": markers[i]["ma"]}})
		return err
	})
}
