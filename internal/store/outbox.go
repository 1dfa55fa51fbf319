package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
)

// States of a message.
const (
	MessagePending = "pending" // to be sent, or sent again
	MessageSent    = "sent"    // the channel took it
	MessageGaveUp  = "gave up" // the channel didn't take it for too long
	MessageDropped = "dropped" // there was nothing left to tell
)

// Message is a row of the outbox: something to tell on one channel.
type Message struct {
	ID       string    `json:"id"` // derived from what makes it one
	Channel  string    `json:"channel"`
	Kind     string    `json:"kind"`      // the sender's own
	AlertIDs []string  `json:"alert_ids"` // of what it tells; may be empty
	Body     string    `json:"body"`      // what else it tells, in the sender's own form; may be empty
	Created  time.Time `json:"created"`
	Due      time.Time `json:"due"` // not before
	Attempts int       `json:"attempts"`
	State    string    `json:"state"`
	Changed  time.Time `json:"changed"` // when the last attempt ended; else Created
	// LastError is why the last attempt failed; without secrets.
	LastError string `json:"last_error"`
	// ClaimedUntil is until when nobody else may send it; zero when it isn't claimed.
	ClaimedUntil time.Time `json:"claimed_until"`

	// Token is what Settle knows a claim by; set by Claim only.
	Token int64 `json:"-"`
}

// Outcome is how an attempt to send a message ended.
type Outcome struct {
	State string // MessagePending: try again at Due
	Due   time.Time
	Error string
}

// MessageFilter narrows Messages; zero fields do not.
type MessageFilter struct {
	ID, Channel string
	States      []string
	Since       time.Time // created at or after
}

// Recorded is an alert, and when it was recorded first.
type Recorded struct {
	rule.Alert
	At time.Time
}

// Matches reports whether a message passes the filter.
func (f *MessageFilter) Matches(m *Message) bool {
	return (f.ID == "" || m.ID == f.ID) && (f.Channel == "" || m.Channel == f.Channel) &&
		(len(f.States) == 0 || slices.Contains(f.States, m.State)) && (f.Since.IsZero() || !m.Created.Before(f.Since))
}

// CompareMessages is the order of Messages, and in which they are sent.
func CompareMessages(a, b *Message) int {
	return cmp.Or(a.Due.Compare(b.Due), a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
}

// NewMessage is a message as Enqueue keeps it.
func NewMessage(m Message) Message {
	return Message{ID: m.ID, Channel: m.Channel, Kind: m.Kind, AlertIDs: append([]string{}, m.AlertIDs...), Body: m.Body,
		Created: CanonicalTime(m.Created), Due: CanonicalTime(m.Due), Changed: CanonicalTime(m.Created), State: MessagePending}
}

func errClaimLost(id string) error {
	return fmt.Errorf("settle message %s: the claim on it: %w", id, ErrLeaseLost)
}

func errOutcome(state string) error {
	return fmt.Errorf("settle message: %q is no state", state)
}

// Valid reports whether the state is one.
func (o *Outcome) Valid() bool {
	return slices.Contains([]string{MessagePending, MessageSent, MessageGaveUp, MessageDropped}, o.State)
}

// Unrouted implements Store.
func (s *sqlite) Unrouted(ctx context.Context) iter.Seq2[Recorded, error] {
	return stream(ctx, s, "read unrouted alerts",
		"SELECT recorded_ms, "+alertColumns+" FROM alerts WHERE routed = 0 AND superseded = 0 ORDER BY recorded_ms, id", nil,
		func(scan func(...any) error) (r Recorded, err error) {
			var ms int64
			r.Alert, err = scanAlert(func(into ...any) error { return scan(append([]any{&ms}, into...)...) })
			r.At = time.UnixMilli(ms).UTC()
			return r, err
		})
}

// errRouted ends a transaction that came too late.
var errRouted = errors.New("routed already")

// Enqueue implements Store.
func (s *sqlite) Enqueue(ctx context.Context, messages []Message, routed []string) (done bool, err error) {
	err = s.write(ctx, "enqueue", "write the outbox", func(tx *writer) error {
		for _, id := range routed {
			if err := tx.check(); err != nil {
				return err
			}
			n, err := tx.exec("UPDATE alerts SET routed = 1 WHERE id = ? AND routed = 0", id)
			if err != nil {
				return err
			}
			if n == 0 {
				return errRouted
			}
		}
		for i := range messages {
			m := NewMessage(messages[i])
			ids, err := json.Marshal(m.AlertIDs)
			if err != nil {
				return err
			}
			if _, err := tx.exec(`INSERT INTO outbox (id, channel, kind, alert_ids, body, created_ms, due_ms, attempts, state, changed_ms, last_error, claimed_until_ms, claim)
				VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, '', 0, 0) ON CONFLICT DO NOTHING`,
				m.ID, m.Channel, m.Kind, string(ids), m.Body, m.Created.UnixMilli(), m.Due.UnixMilli(), m.State, m.Changed.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errRouted) {
		return false, nil
	}
	return err == nil, err
}

// MarkTold implements Store.
func (s *sqlite) MarkTold(ctx context.Context, ids []string) error {
	return s.write(ctx, "marktold", "mark alerts as told", func(tx *writer) error {
		for _, id := range ids {
			if err := tx.check(); err != nil {
				return err
			}
			n, err := tx.exec("UPDATE alerts SET routed = 1 WHERE id = ?", id)
			if err == nil && n == 0 {
				_, err = tx.exec("INSERT INTO told (id) VALUES (?) ON CONFLICT DO NOTHING", id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

const messageColumns = "id, channel, kind, alert_ids, body, created_ms, due_ms, attempts, state, changed_ms, last_error, claimed_until_ms"

func scanMessage(scan func(...any) error) (m Message, err error) {
	var ids []byte
	var created, due, changed, claimed int64
	if err := scan(&m.ID, &m.Channel, &m.Kind, &ids, &m.Body, &created, &due, &m.Attempts, &m.State, &changed, &m.LastError, &claimed); err != nil {
		return m, err
	}
	m.Created, m.Due, m.Changed = time.UnixMilli(created).UTC(), time.UnixMilli(due).UTC(), time.UnixMilli(changed).UTC()
	if claimed != 0 {
		m.ClaimedUntil = time.UnixMilli(claimed).UTC()
	}
	return m, json.Unmarshal(ids, &m.AlertIDs)
}

// Due implements Store.
func (s *sqlite) Due(ctx context.Context) (channels []string, err error) {
	now := s.now().UnixMilli()
	err = s.read(ctx, "look into the outbox", `SELECT DISTINCT channel FROM outbox WHERE state = 'pending' AND due_ms <= ? AND claimed_until_ms <= ?
		ORDER BY channel`, []any{now, now}, func(scan func(...any) error) error {
		var channel string
		err := scan(&channel)
		channels = append(channels, channel)
		return err
	})
	return channels, err
}

// Claim implements Store.
func (s *sqlite) Claim(ctx context.Context, channel string, ttl time.Duration) (claimed *Message, err error) {
	if ttl <= 0 {
		return nil, errTTL("outbox", ttl)
	}
	err = s.write(ctx, "claim", "claim a message", func(tx *writer) error {
		claimed = nil
		now := s.now().UnixMilli()
		var found *Message
		if err := tx.each("SELECT "+messageColumns+` FROM outbox WHERE channel = ? AND state = 'pending' AND due_ms <= ? AND claimed_until_ms <= ?
			ORDER BY due_ms, created_ms, id LIMIT 1`, []any{channel, now, now}, func(scan func(...any) error) error {
			m, err := scanMessage(scan)
			found = &m
			return err
		}); err != nil || found == nil {
			return err
		}
		if found.Token, err = tx.next("token"); err != nil {
			return err
		}
		found.ClaimedUntil = time.UnixMilli(now + millis(ttl)).UTC()
		if _, err := tx.exec("UPDATE outbox SET claim = ?, claimed_until_ms = ? WHERE id = ?", found.Token, found.ClaimedUntil.UnixMilli(), found.ID); err != nil {
			return err
		}
		claimed = found
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// Settle implements Store.
func (s *sqlite) Settle(ctx context.Context, m *Message, o Outcome) error {
	if !o.Valid() {
		return errOutcome(o.State)
	}
	return s.write(ctx, "settle", "settle message "+m.ID, func(tx *writer) error {
		due := m.Due.UnixMilli()
		if o.State == MessagePending {
			due = o.Due.UnixMilli()
		}
		n, err := tx.exec(`UPDATE outbox SET state = ?, due_ms = ?, last_error = ?, attempts = attempts + 1, changed_ms = ?, claimed_until_ms = 0
			WHERE id = ? AND claim = ? AND claimed_until_ms <> 0`, o.State, due, o.Error, s.now().UnixMilli(), m.ID, m.Token)
		if err != nil || n > 0 {
			return err
		}
		// The claim stays in the row, so that the same call again is known as such.
		err = tx.get("SELECT 1 FROM outbox WHERE id = ? AND claim = ?", []any{m.ID, m.Token}, &n)
		if errors.Is(err, sql.ErrNoRows) {
			err = errClaimLost(m.ID)
		}
		return err
	})
}

// Messages implements Store.
func (s *sqlite) Messages(ctx context.Context, f MessageFilter) ([]Message, error) {
	query, args := "SELECT "+messageColumns+" FROM outbox WHERE created_ms >= ?", []any{int64(0)}
	if !f.Since.IsZero() {
		args[0] = f.Since.UnixMilli()
	}
	for column, value := range map[string]string{"id": f.ID, "channel": f.Channel} {
		if value != "" {
			query += " AND " + column + " = ?"
			args = append(args, value)
		}
	}
	var found []Message
	err := s.read(ctx, "read the outbox", query+" ORDER BY due_ms, created_ms, id", args, func(scan func(...any) error) error {
		m, err := scanMessage(scan)
		if err == nil && f.Matches(&m) {
			found = append(found, m)
		}
		return err
	})
	return found, err
}

// PruneOutbox implements Store.
func (s *sqlite) PruneOutbox(ctx context.Context, before time.Time) (removed int64, err error) {
	err = s.write(ctx, "pruneoutbox", "prune the outbox", func(tx *writer) error {
		removed, err = tx.exec("DELETE FROM outbox WHERE state <> 'pending' AND changed_ms < ?", before.UnixMilli())
		return err
	})
	return removed, err
}

// countOutbox adds the outbox to the counts.
func (s *sqlite) countOutbox(ctx context.Context, c *Counts) error {
	err := s.read(ctx, "count messages", "SELECT channel, state, count(*) FROM outbox GROUP BY channel, state", nil,
		func(scan func(...any) error) error {
			var channel, state string
			var n int64
			if err := scan(&channel, &state, &n); err != nil {
				return err
			}
			c.AddMessages(channel, state, n)
			return nil
		})
	if err != nil {
		return err
	}
	return s.read(ctx, "count unrouted alerts", "SELECT count(*) FROM alerts WHERE routed = 0 AND superseded = 0", nil,
		func(scan func(...any) error) error { return scan(&c.Unrouted) })
}

// AddMessages counts messages.
func (c *Counts) AddMessages(channel, state string, n int64) {
	if c.Messages == nil {
		c.Messages = map[string]map[string]int64{}
	}
	if c.Messages[channel] == nil {
		c.Messages[channel] = map[string]int64{}
	}
	c.Messages[channel][state] += n
}
