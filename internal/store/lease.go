package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// lease is one holder's handle on a row of leases: when the row is gone, or has
// another token, the lease was lost.
type lease struct {
	s            *sqlite
	name, holder string
	token        int64
	ttl          time.Duration
}

// Acquire implements Store.
func (s *sqlite) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error) {
	if ttl <= 0 {
		return nil, errTTL(name, ttl)
	}
	l := &lease{s: s, name: name, holder: holder, ttl: ttl}
	err := s.write(ctx, "acquire", "acquire lease "+name, func(tx *writer) error {
		now := s.now().UnixMilli()
		var kept string
		var by owner
		var since, expires int64
		err := tx.get("SELECT holder, pid, host, pid_space, since_ms, expires_ms FROM leases WHERE name = ?", []any{name},
			&kept, &by.pid, &by.host, &by.space, &since, &expires)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		// Whoever was killed can't give its lease up: nobody waits for it.
		if err == nil && now < expires && !by.gone() {
			return &HeldError{Name: name, Holder: kept, Since: time.UnixMilli(since).UTC()}
		}
		if l.token, err = tx.next("token"); err != nil {
			return err
		}
		me := thisProcess()
		_, err = tx.exec(`INSERT OR REPLACE INTO leases (name, holder, token, pid, host, pid_space, since_ms, heartbeat_ms, expires_ms)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, name, holder, l.token, me.pid, me.host, me.space, now, now, now+millis(ttl))
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// millis rounds up: a lease never lasts shorter than was asked for.
func millis(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// Renew implements Lease.
func (l *lease) Renew(ctx context.Context) error {
	return l.s.write(ctx, "lease.renew", "renew lease "+l.name, func(tx *writer) error {
		now := l.s.now().UnixMilli()
		n, err := tx.exec("UPDATE leases SET heartbeat_ms = ?, expires_ms = ? WHERE name = ? AND token = ?", now, now+millis(l.ttl), l.name, l.token)
		if err == nil && n == 0 {
			err = errLost(l.name, l.holder)
		}
		return err
	})
}

// Release implements Lease.
func (l *lease) Release(ctx context.Context) error {
	return l.s.write(ctx, "lease.release", "release lease "+l.name, func(tx *writer) error {
		_, err := tx.exec("DELETE FROM leases WHERE name = ? AND token = ?", l.name, l.token)
		return err
	})
}
