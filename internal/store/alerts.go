package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
)

// settleAll settles all groups that wait for it.
func (tx *writer) settleAll(settle func([]rule.Fact) []rule.Alert) (newAlerts int, err error) {
	var groups []string
	if err := tx.each("SELECT fact_group FROM unsettled ORDER BY fact_group", nil, func(scan func(...any) error) error {
		var g string
		err := scan(&g)
		groups = append(groups, g)
		return err
	}); err != nil {
		return 0, err
	}
	for _, g := range groups {
		if err := tx.check(); err != nil {
			return 0, err
		}
		facts, err := tx.groupFacts(g)
		if err != nil {
			return 0, err
		}
		for _, a := range settle(facts) {
			isNew, err := tx.putAlert(&a)
			if err != nil {
				return 0, err
			}
			if isNew && !a.Superseded {
				newAlerts++
			}
		}
	}
	if len(groups) > 0 {
		_, err = tx.exec("DELETE FROM unsettled")
	}
	return newAlerts, err
}

// groupFacts returns the facts of a group as settle wants them.
func (tx *writer) groupFacts(group string) (facts []rule.Fact, err error) {
	err = tx.each(`SELECT rule, kind, account_id, event_id, record_hash, fact, EXISTS (SELECT 1 FROM conflicts c
			WHERE c.account_id = f.account_id AND c.event_id = f.event_id AND c.record_hash = f.record_hash)
		FROM facts f WHERE fact_group = ?`, []any{group}, func(scan func(...any) error) error {
		f := rule.Fact{Group: group}
		var hash int64
		var blob sql.RawBytes
		if err := scan(&f.Rule, &f.Kind, &f.AccountID, &f.EventID, &hash, &blob, &f.Superseded); err != nil {
			return err
		}
		f.Version.Hash = uint64(hash)
		if err := DecodeFact(blob, &f); err != nil {
			return err
		}
		facts = append(facts, f)
		return nil
	})
	slices.SortFunc(facts, CompareFacts)
	return facts, err
}

// putAlert adds an alert or replaces its content.
func (tx *writer) putAlert(a *rule.Alert) (isNew bool, err error) {
	content := []any{a.EventTime, int64(a.Severity), a.Rule, a.AccountID, a.Actor, a.Superseded, EncodeAlert(a), a.ID}
	n, err := tx.exec(`UPDATE alerts SET event_time_ms = ?, severity = ?, rule = ?, account_id = ?, actor = ?,
		superseded = ?, alert = ? WHERE id = ?`, content...)
	if err != nil || n > 0 {
		return false, err
	}
	_, err = tx.exec(`INSERT INTO alerts (event_time_ms, severity, rule, account_id, actor, superseded, alert, id, recorded_ms, routed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, EXISTS (SELECT 1 FROM told WHERE id = ?))`, append(content, tx.s.now().UnixMilli(), a.ID)...)
	if err != nil {
		return false, err
	}
	_, err = tx.exec("DELETE FROM told WHERE id = ?", a.ID)
	return true, err
}

const alertColumns = "id, event_time_ms, severity, rule, account_id, actor, superseded, alert, acked_at_ms, acked_by, note"

func scanAlert(scan func(...any) error) (a rule.Alert, err error) {
	var superseded bool
	var blob sql.RawBytes
	var at sql.NullInt64
	var k Ack
	if err := scan(&a.ID, &a.EventTime, &a.Severity, &a.Rule, &a.AccountID, &a.Actor, &superseded, &blob, &at, &k.By, &k.Note); err != nil {
		return a, err
	}
	if err := DecodeAlert(blob, &a); err != nil {
		return a, err
	}
	if at.Valid {
		k.At = at.Int64
		SetState(&a, superseded, &k)
	} else {
		SetState(&a, superseded, nil)
	}
	return a, nil
}

// Alerts implements Store.
func (s *sqlite) Alerts(ctx context.Context, f AlertFilter) (found []rule.Alert, err error) {
	// What an index or a plain column can tell is told here; all of the filter
	// is in matches.
	since, until := f.bounds()
	query := "SELECT " + alertColumns + " FROM alerts WHERE event_time_ms >= ? AND event_time_ms < ? AND severity >= ?"
	args := []any{since, until, int64(f.MinSeverity)}
	if f.AccountID != "" {
		query += " AND account_id = ?"
		args = append(args, f.AccountID)
	}
	err = s.read(ctx, "read alerts", query+" ORDER BY event_time_ms DESC, id", args, func(scan func(...any) error) error {
		a, err := scanAlert(scan)
		if err != nil {
			return err
		}
		if !f.Matches(&a) {
			return nil
		}
		if found = append(found, a); len(found) == f.Limit {
			return errStop
		}
		return nil
	})
	return found, err
}

// Alert implements Store.
func (s *sqlite) Alert(ctx context.Context, id string) (found rule.Alert, err error) {
	n := 0
	err = s.read(ctx, "read alert", "SELECT "+alertColumns+" FROM alerts WHERE id >= ? ORDER BY id LIMIT 2", []any{id},
		func(scan func(...any) error) error {
			a, err := scanAlert(scan)
			switch {
			case err != nil:
				return err
			case a.ID == id:
				found, n = a, 1
				return errStop
			case len(id) >= MinPrefix && strings.HasPrefix(a.ID, id):
				found = a
				n++
			}
			return nil
		})
	if err == nil {
		err = OneAlert(id, n)
	}
	if err != nil {
		return rule.Alert{}, err
	}
	return found, nil
}

// Ack implements Store.
func (s *sqlite) Ack(ctx context.Context, ids []string, by, note string, at time.Time) error {
	return s.write(ctx, "ack", "acknowledge alerts", func(tx *writer) error {
		k := Ack{At: at.UnixMilli(), By: by, Note: note}
		for _, id := range ids {
			var old Ack
			var oldAt sql.NullInt64
			err := tx.get("SELECT acked_at_ms, acked_by, note FROM alerts WHERE id = ?", []any{id}, &oldAt, &old.By, &old.Note)
			if errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("acknowledge alert %q: %w", id, ErrNotFound)
			}
			if err != nil {
				return err
			}
			if old.At = oldAt.Int64; oldAt.Valid && k.Compare(old) <= 0 {
				continue
			}
			if _, err := tx.exec("UPDATE alerts SET acked_at_ms = ?, acked_by = ?, note = ? WHERE id = ?", k.At, k.By, k.Note, id); err != nil {
				return err
			}
		}
		return nil
	})
}
