package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
)

type errorKind int

const (
	otherError errorKind = iota
	busyError
	fullError
	readOnlyError
	cantOpenError
	damagedError
)

// fail wraps an error of an operation with what it was, the file it happened to,
// and what to do about it. Errors that are answers pass as they are.
func (s *sqlite) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	var held *HeldError
	switch {
	case errors.As(err, &held), errors.Is(err, ErrNotFound), errors.Is(err, ErrAmbiguous), errors.Is(err, ErrLeaseLost):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", op, err)
	case errors.Is(err, sql.ErrConnDone), s.closed.Load():
		return fmt.Errorf("%s: store %s: %w", op, s.path, ErrClosed)
	}
	switch kindOf(err) {
	case busyError:
		err = fmt.Errorf("another process kept it locked for %v: try again (%w)", s.wait.Round(time.Second), err)
	case fullError:
		err = fmt.Errorf("%w: free some space, then repeat; nothing was written (%w)", ErrFull, err)
	case readOnlyError:
		err = fmt.Errorf("%w: check the permissions of the file and its folder (%w)", ErrReadOnly, err)
	case damagedError:
		err = fmt.Errorf("%w: restore it from a copy, or move it away and import again (%w)", ErrDamaged, err)
	}
	return fmt.Errorf("%s: store %s: %w", op, s.path, err)
}

func notFoundEvent(key event.Key) error {
	return fmt.Errorf("event %q: %w", key.EventID, ErrNotFound)
}
