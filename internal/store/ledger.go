package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
)

// AccountName is how an account is called.
type AccountName struct {
	AccountID string    `json:"account_id"` // 12 digits
	Name      string    `json:"name"`
	Source    string    `json:"source"` // who said so, such as organizations
	Seen      time.Time `json:"seen"`   // kept to the millisecond
}

// Newer reports whether a replaces b: it was seen later. Of two of one moment the
// texts decide, so that the order of writing doesn't.
func (a *AccountName) Newer(b *AccountName) bool {
	return cmp.Or(cmp.Compare(a.Seen.UnixMilli(), b.Seen.UnixMilli()), strings.Compare(a.Source, b.Source), strings.Compare(a.Name, b.Name)) > 0
}

// ChangeLedger runs change on the ledger that old encodes, or on a new one when
// old is nil, and returns it encoded; nil when it is as it was.
func ChangeLedger(stream coverage.Stream, old []byte, change func(*coverage.Ledger) error) ([]byte, error) {
	l := &coverage.Ledger{Stream: stream}
	if old != nil {
		var err error
		if l, err = coverage.Decode(stream, old); err != nil {
			return nil, err
		}
	}
	if err := change(l); err != nil {
		return nil, err
	}
	if now := l.Encode(); old == nil || !bytes.Equal(now, old) {
		return now, nil
	}
	return nil, nil
}

// Streams implements Store.
func (s *sqlite) Streams(ctx context.Context) ([]*coverage.Ledger, error) {
	var all []*coverage.Ledger
	err := s.read(ctx, "read coverage", `SELECT account_id, aws_region, event_source, ledger FROM streams
		ORDER BY account_id, aws_region, event_source`, nil, func(scan func(...any) error) error {
		var stream coverage.Stream
		var text []byte
		if err := scan(&stream.AccountID, &stream.Region, &stream.Source, &text); err != nil {
			return err
		}
		l, err := coverage.Decode(stream, text)
		all = append(all, l)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// UpdateStream implements Store.
func (s *sqlite) UpdateStream(ctx context.Context, stream coverage.Stream, change func(*coverage.Ledger) error) error {
	return s.write(ctx, "updatestream", "write coverage", func(tx *writer) error {
		var old []byte
		err := tx.get("SELECT ledger FROM streams WHERE account_id = ? AND aws_region = ? AND event_source = ?",
			[]any{stream.AccountID, stream.Region, stream.Source}, &old)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		now, err := ChangeLedger(stream, old, change)
		if err != nil || now == nil {
			return err
		}
		_, err = tx.exec(`INSERT INTO streams (account_id, aws_region, event_source, ledger) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET ledger = excluded.ledger`, stream.AccountID, stream.Region, stream.Source, string(now))
		return err
	})
}

// AccountNames implements Store.
func (s *sqlite) AccountNames(ctx context.Context) ([]AccountName, error) {
	var all []AccountName
	err := s.read(ctx, "read account names", "SELECT account_id, name, source, seen_ms FROM account_names ORDER BY account_id", nil,
		func(scan func(...any) error) error {
			var a AccountName
			var ms int64
			if err := scan(&a.AccountID, &a.Name, &a.Source, &ms); err != nil {
				return err
			}
			a.Seen = time.UnixMilli(ms).UTC()
			all = append(all, a)
			return nil
		})
	return all, err
}

// PutAccountNames implements Store.
func (s *sqlite) PutAccountNames(ctx context.Context, names []AccountName) error {
	return s.write(ctx, "putaccountnames", "write account names", func(tx *writer) error {
		for i := range names {
			a := &names[i]
			// Row values compare in the order of AccountName.Newer, text by bytes.
			if _, err := tx.exec(`INSERT INTO account_names (account_id, name, source, seen_ms) VALUES (?, ?, ?, ?)
				ON CONFLICT DO UPDATE SET name = excluded.name, source = excluded.source, seen_ms = excluded.seen_ms
				WHERE (excluded.seen_ms, excluded.source, excluded.name) > (seen_ms, source, name)`,
				a.AccountID, a.Name, a.Source, a.Seen.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}
