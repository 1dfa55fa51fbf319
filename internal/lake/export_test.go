package lake

import (
	"context"

	"github.com/iamtrack/iamtrack/internal/event"
)

// ExtendKeys adds keys to the index as a merge does, for tests that need a large
// index and no day files.
func (l *Lake) ExtendKeys(ctx context.Context, d event.Date, keys []event.Key) error {
	hashes := make([]hash128, len(keys))
	for i, k := range keys {
		hashes[i] = hashKey(k)
	}
	return l.keys.extend(ctx, d, hashes)
}
