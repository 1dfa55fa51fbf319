package store

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"time"
)

// Unrouted implements Store.
func (m *Mem) Unrouted(ctx context.Context) iter.Seq2[Recorded, error] {
	return snapshot(ctx, m, func() []Recorded {
		var all []Recorded
		for _, kept := range m.alerts {
			if !kept.routed && !kept.superseded {
				all = append(all, Recorded{Alert: kept.get(), At: kept.recorded})
			}
		}
		slices.SortFunc(all, func(a, b Recorded) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID)) })
		return all
	})
}

// Enqueue implements Store.
func (m *Mem) Enqueue(ctx context.Context, messages []Message, routed []string) (done bool, err error) {
	err = m.write(ctx, "enqueue", func() error {
		seen := map[string]bool{}
		for _, id := range routed {
			if a := m.alerts[id]; a == nil || a.routed || seen[id] {
				return nil
			}
			seen[id] = true
		}
		for _, id := range routed {
			m.alerts[id].routed = true
		}
		for i := range messages {
			if _, ok := m.outbox[messages[i].ID]; !ok {
				kept := NewMessage(messages[i])
				m.outbox[kept.ID] = &kept
			}
		}
		done = true
		return nil
	})
	return done && err == nil, err
}

// MarkTold implements Store.
func (m *Mem) MarkTold(ctx context.Context, ids []string) error {
	return m.write(ctx, "marktold", func() error {
		for _, id := range ids {
			if a := m.alerts[id]; a != nil {
				a.routed = true
			} else {
				m.told[id] = true
			}
		}
		return nil
	})
}

// Claimable reports whether the message may be claimed at a time.
func (m *Message) Claimable(now time.Time) bool {
	return m.State == MessagePending && !m.Due.After(now) && !m.ClaimedUntil.After(now)
}

// Due implements Store.
func (m *Mem) Due(ctx context.Context) (channels []string, err error) {
	err = m.read(ctx, func() {
		now := CanonicalTime(m.Now())
		for _, kept := range m.outbox {
			if kept.Claimable(now) && !slices.Contains(channels, kept.Channel) {
				channels = append(channels, kept.Channel)
			}
		}
	})
	slices.Sort(channels)
	return channels, err
}

// Claim implements Store.
func (m *Mem) Claim(ctx context.Context, channel string, ttl time.Duration) (claimed *Message, err error) {
	if ttl <= 0 {
		return nil, errTTL("outbox", ttl)
	}
	err = m.write(ctx, "claim", func() error {
		now := CanonicalTime(m.Now())
		var found *Message
		for _, kept := range m.outbox {
			if kept.Channel == channel && kept.Claimable(now) && (found == nil || CompareMessages(kept, found) < 0) {
				found = kept
			}
		}
		if found == nil {
			return nil
		}
		m.lastToken++
		found.Token = m.lastToken
		found.ClaimedUntil = now.Add(time.Duration(millis(ttl)) * time.Millisecond)
		c := cloneMessage(found)
		claimed = &c
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// Settle implements Store.
func (m *Mem) Settle(ctx context.Context, msg *Message, o Outcome) error {
	if !o.Valid() {
		return errOutcome(o.State)
	}
	return m.write(ctx, "settle", func() error {
		kept := m.outbox[msg.ID]
		if kept == nil || kept.Token != msg.Token {
			return errClaimLost(msg.ID)
		}
		if kept.ClaimedUntil.IsZero() { // the same call again
			return nil
		}
		if o.State == MessagePending {
			kept.Due = CanonicalTime(o.Due)
		}
		kept.State, kept.LastError, kept.Changed = o.State, o.Error, CanonicalTime(m.Now())
		kept.Attempts++
		kept.ClaimedUntil = time.Time{}
		return nil
	})
}

// Messages implements Store.
func (m *Mem) Messages(ctx context.Context, f MessageFilter) ([]Message, error) {
	var found []Message
	err := m.read(ctx, func() {
		for _, kept := range m.outbox {
			if f.Matches(kept) {
				c := cloneMessage(kept)
				c.Token = 0
				found = append(found, c)
			}
		}
	})
	slices.SortFunc(found, func(a, b Message) int { return CompareMessages(&a, &b) })
	return found, err
}

// PruneOutbox implements Store.
func (m *Mem) PruneOutbox(ctx context.Context, before time.Time) (removed int64, err error) {
	err = m.write(ctx, "pruneoutbox", func() error {
		for id, kept := range m.outbox {
			if kept.State != MessagePending && kept.Changed.Before(CanonicalTime(before)) {
				delete(m.outbox, id)
				removed++
			}
		}
		return nil
	})
	return removed, err
}

func cloneMessage(m *Message) Message {
	c := *m
	c.AlertIDs = append([]string{}, m.AlertIDs...)
	return c
}
