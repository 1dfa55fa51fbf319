package store

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// Job implements Store.
func (m *Mem) Job(ctx context.Context, name string) (map[string]FileState, error) {
	var files map[string]FileState
	err := m.write(ctx, "job", func() error {
		if m.jobs[name] == nil {
			m.jobs[name] = map[string]FileState{}
		}
		files = maps.Clone(m.jobs[name])
		return nil
	})
	return files, err
}

// FileDone implements Store.
func (m *Mem) FileDone(ctx context.Context, job string, files []FileState) error {
	return m.write(ctx, "filedone", func() error {
		if m.jobs[job] == nil {
			m.jobs[job] = map[string]FileState{}
		}
		for _, f := range files {
			f.ModTime = f.ModTime.UTC().Round(0)
			m.jobs[job][f.Path] = f
			m.imported[f.Path] = f
		}
		return nil
	})
}

// EndJob implements Store.
func (m *Mem) EndJob(ctx context.Context, job string) error {
	return m.write(ctx, "endjob", func() error {
		delete(m.jobs, job)
		return nil
	})
}

// Imported implements Store.
func (m *Mem) Imported(ctx context.Context, paths []string) (map[string]FileState, error) {
	found := map[string]FileState{}
	err := m.read(ctx, func() {
		for _, p := range paths {
			if f, ok := m.imported[p]; ok {
				found[p] = f
			}
		}
	})
	return found, err
}

// Meta implements Store.
func (m *Mem) Meta(ctx context.Context, key string) (value string, err error) {
	err = m.read(ctx, func() { value = m.meta[key] })
	return value, err
}

// SetMeta implements Store.
func (m *Mem) SetMeta(ctx context.Context, key, value string) error {
	return m.write(ctx, "setmeta", func() error {
		m.meta[key] = value
		return nil
	})
}

// memLease is a lease as it is kept, and one holder's handle on it: a handle
// whose token is no longer the kept one has lost it.
type memLease struct {
	m            *Mem
	name, holder string
	token        int64
	ttl          time.Duration
	since        time.Time
	expires      time.Time
}

// Acquire implements Store.
func (m *Mem) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error) {
	if ttl <= 0 {
		return nil, errTTL(name, ttl)
	}
	var l memLease
	err := m.write(ctx, "acquire", func() error {
		now := m.Now()
		if kept := m.leases[name]; kept != nil && now.Before(kept.expires) {
			return &HeldError{Name: name, Holder: kept.holder, Since: kept.since}
		}
		m.lastToken++
		l = memLease{m: m, name: name, holder: holder, token: m.lastToken, ttl: ttl,
			since: CanonicalTime(now), expires: CanonicalTime(now).Add(ttl)}
		kept := l
		m.leases[name] = &kept
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &l, nil
}

func errTTL(name string, ttl time.Duration) error {
	return fmt.Errorf("acquire lease %s for %v: the time must be positive", name, ttl)
}

// Renew implements Lease.
func (l *memLease) Renew(ctx context.Context) error {
	return l.m.write(ctx, "lease.renew", func() error {
		kept := l.m.leases[l.name]
		if kept == nil || kept.token != l.token {
			return errLost(l.name, l.holder)
		}
		kept.expires = CanonicalTime(l.m.Now()).Add(l.ttl)
		return nil
	})
}

func errLost(name, holder string) error {
	return fmt.Errorf("renew lease %s of %s: %w", name, holder, ErrLeaseLost)
}

// Release implements Lease.
func (l *memLease) Release(ctx context.Context) error {
	return l.m.write(ctx, "lease.release", func() error {
		if kept := l.m.leases[l.name]; kept != nil && kept.token == l.token {
			delete(l.m.leases, l.name)
		}
		return nil
	})
}
