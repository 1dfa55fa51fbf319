package store

import (
	"context"
	"iter"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// Record implements Store.
func (s *sqlite) Record(ctx context.Context, r Findings, settle func([]rule.Fact) []rule.Alert) (newAlerts int, err error) {
	err = s.write(ctx, "record", "record findings", func(tx *writer) error {
		newAlerts = 0
		if err := tx.insert(&insertRejected, len(r.Rejected), func(args []any, i int) []any {
			x := &r.Rejected[i]
			return append(args, x.SHA256, x.Seen.UnixMilli(), x.File, x.Offset, x.Length, x.Reason, x.Excerpt)
		}); err != nil {
			return err
		}
		var plain []byte
		for i := range r.Conflicts {
			if _, err := tx.addConflict(&r.Conflicts[i], &plain); err != nil {
				return err
			}
		}
		for i := range r.Facts {
			if err := tx.addFact(&r.Facts[i]); err != nil {
				return err
			}
		}
		if settle == nil {
			return nil
		}
		newAlerts, err = tx.settleAll(settle)
		return err
	})
	return newAlerts, err
}

var insertRejected = inserting{
	into: "rejected (sha256, seen_ms, file, offset_bytes, length_bytes, reason, excerpt)", columns: 7,
	// The order of CompareRejected.
	end: `ON CONFLICT DO UPDATE SET seen_ms = excluded.seen_ms, file = excluded.file, offset_bytes = excluded.offset_bytes,
			length_bytes = excluded.length_bytes, reason = excluded.reason, excerpt = excluded.excerpt
		WHERE (excluded.seen_ms, excluded.file, excluded.offset_bytes, excluded.length_bytes, excluded.reason, excluded.excerpt)
			< (seen_ms, file, offset_bytes, length_bytes, reason, excerpt)`,
}

// addConflict adds a content that lost, unless it's known.
func (tx *writer) addConflict(e *event.Event, plain *[]byte) (isNew bool, err error) {
	ref := RefOf(e)
	var blob []byte
	blob, *plain = encodeEvent(nil, *plain, e)
	n, err := tx.exec("INSERT INTO conflicts (account_id, event_id, record_hash, event) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		ref.Key.AccountID, ref.Key.EventID, int64(ref.Hash), blob)
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.unsettle(ref)
}

// displace copies the stored content of a key to the conflicts.
func (tx *writer) displace(ref ConflictRef) (isNew bool, err error) {
	n, err := tx.exec(`INSERT INTO conflicts (account_id, event_id, record_hash, event)
		SELECT account_id, event_id, record_hash, event FROM events WHERE account_id = ? AND event_id = ?
		ON CONFLICT DO NOTHING`, ref.Key.AccountID, ref.Key.EventID)
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.unsettle(ref)
}

// unsettle marks the groups with a fact of a content that was superseded.
func (tx *writer) unsettle(ref ConflictRef) error {
	_, err := tx.exec(`INSERT INTO unsettled (fact_group)
		SELECT fact_group FROM facts WHERE account_id = ? AND event_id = ? AND record_hash = ?
		ON CONFLICT DO NOTHING`, ref.Key.AccountID, ref.Key.EventID, int64(ref.Hash))
	return err
}

// addFact adds a fact, unless it's known, and marks its group.
func (tx *writer) addFact(f *rule.Fact) error {
	if err := tx.check(); err != nil {
		return err
	}
	n, err := tx.exec(`INSERT INTO facts (fact_group, rule, kind, account_id, event_id, record_hash, fact)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		f.Group, f.Rule, f.Kind, f.AccountID, f.EventID, int64(f.Version.Hash), EncodeFact(f))
	if err != nil || n == 0 {
		return err
	}
	_, err = tx.exec("INSERT INTO unsettled (fact_group) VALUES (?) ON CONFLICT DO NOTHING", f.Group)
	return err
}

var conflictsByRef = lookup{table: "conflicts", by: []string{"account_id", "event_id", "record_hash"}, columns: "1"}

// IsConflict implements Store.
func (s *sqlite) IsConflict(ctx context.Context, refs []ConflictRef) (map[ConflictRef]bool, error) {
	known := map[ConflictRef]bool{}
	var one int
	err := conflictsByRef.find(s.reading(ctx, "find conflicts"), len(refs), func(args []any, i int) []any {
		return append(args, refs[i].Key.AccountID, refs[i].Key.EventID, int64(refs[i].Hash))
	}, []any{&one}, func(i int) { known[refs[i]] = true })
	return known, err
}

// Conflicts implements Store.
func (s *sqlite) Conflicts(ctx context.Context) iter.Seq2[event.Event, error] {
	// Hashes are unsigned: those with the highest bit come last.
	return s.events(ctx, "read the conflicts",
		"SELECT event FROM conflicts ORDER BY account_id, event_id, record_hash < 0, record_hash")
}

// Rejected implements Store.
func (s *sqlite) Rejected(ctx context.Context) iter.Seq2[Rejected, error] {
	return stream(ctx, s, "read the rejected records",
		"SELECT sha256, seen_ms, file, offset_bytes, length_bytes, reason, excerpt FROM rejected ORDER BY seen_ms, sha256", nil,
		func(scan func(...any) error) (r Rejected, err error) {
			var seen int64
			err = scan(&r.SHA256, &seen, &r.File, &r.Offset, &r.Length, &r.Reason, &r.Excerpt)
			r.Seen = time.UnixMilli(seen).UTC()
			return r, err
		})
}
