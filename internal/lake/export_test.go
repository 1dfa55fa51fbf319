package lake

import (
	"context"

	"github.com/iamtrack/iamtrack/internal/event"
)

// ExtendKeys adds keys to the index as a merge does, for tests that need a large
// index and no day files.
func (l *Lake) ExtendKeys(ctx context.Context, d event.Date, keys []event.Key) error {
	list := make([]uint64, len(keys))
	for i, k := range keys {
		list[i] = entryOf(hashKey(k), d)
	}
	return l.keys.extend(ctx, d, list)
}
