package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iamtrack/iamtrack/internal/store"
)

// The item of a lease: pk "lease", sk its name. It stays when the lease is given up,
// so that tokens only grow.
//
//	o  holder; n what tells this taking of it from all others
//	k  token
//	b  when it was taken, and e when it ends: ms since 1970
//	f  it was given up
const leasePK = "lease"

type lease struct {
	s            *Store
	name, holder string
	token        int64
	ttl          time.Duration
}

func leaseKey(name string) key { return key{leasePK, "=" + safe(name)} }

// Acquire implements store.Store.
func (s *Store) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (store.Lease, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("acquire lease %s for %v: the time must be positive", name, ttl)
	}
	l := &lease{s: s, name: name, holder: holder, ttl: ttl}
	taking := randomID()
	err := s.write(ctx, "acquire", func(ctx context.Context) error {
		return s.again(ctx, "acquire lease "+name, func(ctx context.Context) (bool, error) {
			k := leaseKey(name)
			found, err := s.get(ctx, []key{k})
			if err != nil {
				return false, err
			}
			kept, c, now := found[k], absent, s.now()
			if kept != nil {
				if getString(kept, "n") == taking {
					l.token = getNumber(kept, "k") // the answer to taking it got lost
					return true, nil
				}
				if !has(kept, "f") && now < getNumber(kept, "e") {
					return false, &store.HeldError{Name: name, Holder: getString(kept, "o"), Since: time.UnixMilli(getNumber(kept, "b")).UTC()}
				}
				c = condition{"k = :k AND e = :e", item{":k": kept["k"], ":e": kept["e"]}}
			}
			l.token = getNumber(kept, "k") + 1
			it := k.item()
			it["o"], it["n"], it["k"], it["b"], it["e"] = bin(holder), bin(taking), num(l.token), num(now), num(now+millis(ttl))
			done, _, err := s.put(ctx, it, c)
			return done, err
		})
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// millis rounds up: a lease never lasts shorter than was asked for.
func millis(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

func (l *lease) held() condition {
	return condition{"k = :k AND attribute_not_exists(f)", item{":k": num(l.token)}}
}

// Renew implements store.Lease.
func (l *lease) Renew(ctx context.Context) error {
	return l.s.write(ctx, "lease.renew", func(ctx context.Context) error {
		done, _, err := l.s.update(ctx, leaseKey(l.name), "SET e = :e", item{":e": num(l.s.now() + millis(l.ttl))}, l.held())
		if err == nil && !done {
			err = l.lost()
		}
		return err
	})
}

func (l *lease) lost() error {
	return fmt.Errorf("renew lease %s of %s: %w", l.name, l.holder, store.ErrLeaseLost)
}

// Release implements store.Lease.
func (l *lease) Release(ctx context.Context) error {
	return l.s.write(ctx, "lease.release", func(ctx context.Context) error {
		_, _, err := l.s.update(ctx, leaseKey(l.name), "SET f = :f", item{":f": num(1)}, l.held())
		return err
	})
}

// Guard implements store.Guard.
func (l *lease) Guard(ctx context.Context) context.Context {
	return context.WithValue(ctx, guardKey{l.s}, l)
}

type guardKey struct{ s *Store }

// errFailed is that of a transaction of which a condition doesn't hold.
var errFailed = errors.New("others have written")

func unlessFailed(err error) error {
	if errors.Is(err, errFailed) {
		return nil
	}
	return err
}

// guarded writes all or nothing, and nothing when the lease that guards the context
// was lost.
func (s *Store) guarded(ctx context.Context, writes ...types.TransactWriteItem) error {
	l, _ := ctx.Value(guardKey{s}).(*lease)
	if l != nil {
		c := l.held()
		writes = append([]types.TransactWriteItem{{ConditionCheck: &types.ConditionCheck{
			TableName: aws.String(s.table), Key: leaseKey(l.name).item(), ConditionExpression: aws.String(c.text), ExpressionAttributeValues: c.values,
		}}}, writes...)
	}
	failed, err := s.transact(ctx, writes)
	switch {
	case err != nil:
		return err
	case len(failed) == 0:
		return nil
	case l != nil && failed[0] == 0:
		return l.lost()
	}
	return errFailed
}

func (s *Store) deleting(k key, c condition) types.TransactWriteItem {
	d := &types.Delete{TableName: aws.String(s.table), Key: k.item()}
	if c.text != "" {
		d.ConditionExpression = aws.String(c.text)
		d.ExpressionAttributeValues = c.values
	}
	return types.TransactWriteItem{Delete: d}
}
