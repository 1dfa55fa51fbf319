package lake

import (
	"context"
	"errors"
	"fmt"

	"github.com/iamtrack/iamtrack/internal/fault"
)

// commit replaces the table's file of the day by the planned result, unless its
// rows are the same and rewrite is false. It reports whether it did anything,
// which may be so even if it fails.
func (s *share[T]) commit(ctx context.Context, rewrite bool) (bool, error) {
	if !s.changed && (!rewrite || s.old == nil) {
		s.size, s.counts = s.old.bytes(), map[string]int64{}
		if s.old != nil {
			s.counts = s.old.counts
		}
		return false, nil
	}
	if s.rows == 0 {
		s.counts = map[string]int64{}
		return true, s.remove(ctx)
	}
	key := s.t.path(s.date)
	out, err := s.l.bucket.Create(ctx, key)
	if err != nil {
		return false, err
	}
	defer func() { _ = out.Abort() }() // nothing is left to do after Commit
	w := s.t.write(out, s.l.version)
	w.meta[metaSources] = s.sources
	err = s.each(ctx, true, func(row *T, old bool) error {
		if !s.keep(row, old) {
			return nil
		}
		if s.fill != nil {
			if _, err := s.fill(row); err != nil {
				return err
			}
		}
		return w.add(row)
	})
	if err == nil {
		err = w.close()
	}
	if err != nil {
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	if w.rows != s.rows {
		// The input isn't what it was when it was planned: writing it could drop
		// a row in favour of one that is no longer there.
		return false, fmt.Errorf("write %s: %d rows instead of %d, the input changed meanwhile: %w", key, w.rows, s.rows, ErrChanged)
	}
	if err := fault.At(s.t.fault + ".before"); err != nil {
		return false, err
	}
	o, err := out.Commit(s.old.etag())
	if err != nil {
		return false, err
	}
	s.size, s.counts = o.Size, w.counts
	return true, fault.At(s.t.fault + ".after")
}

// remove deletes the file of a day that has become empty.
func (s *share[T]) remove(ctx context.Context) error {
	key := s.t.path(s.date)
	now, err := s.l.bucket.Open(ctx, key)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	etag := now.Object().ETag
	if err := now.Close(); err != nil {
		return err
	}
	if etag != s.old.etag() {
		return fmt.Errorf("delete %s: %w", key, ErrChanged)
	}
	if err := fault.At(s.t.fault + ".before"); err != nil {
		return err
	}
	if err := s.l.bucket.Delete(ctx, key); err != nil {
		return err
	}
	return fault.At(s.t.fault + ".after")
}
