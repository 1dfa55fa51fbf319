package store

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
)

// memLedgers is what Mem keeps for collection; ledgers encoded, so that callers
// and store share nothing.
type memLedgers struct {
	streams map[coverage.Stream][]byte
	names   map[string]AccountName // by account id
}

// Streams implements Store.
func (m *Mem) Streams(ctx context.Context) ([]*coverage.Ledger, error) {
	var all []*coverage.Ledger
	var failed error
	err := m.read(ctx, func() {
		for _, stream := range slices.SortedFunc(maps.Keys(m.streams), coverage.Stream.Compare) {
			l, err := coverage.Decode(stream, m.streams[stream])
			if err != nil {
				all, failed = nil, err
				return
			}
			all = append(all, l)
		}
	})
	if err == nil {
		err = failed
	}
	return all, err
}

// UpdateStream implements Store.
func (m *Mem) UpdateStream(ctx context.Context, stream coverage.Stream, change func(*coverage.Ledger) error) error {
	return m.write(ctx, "updatestream", func() error {
		now, err := ChangeLedger(stream, m.streams[stream], change)
		if err != nil || now == nil {
			return err
		}
		if m.streams == nil {
			m.streams = map[coverage.Stream][]byte{}
		}
		m.streams[stream] = now
		return nil
	})
}

// AccountNames implements Store.
func (m *Mem) AccountNames(ctx context.Context) ([]AccountName, error) {
	var all []AccountName
	err := m.read(ctx, func() {
		all = slices.SortedFunc(maps.Values(m.names), func(a, b AccountName) int { return strings.Compare(a.AccountID, b.AccountID) })
	})
	return all, err
}

// PutAccountNames implements Store.
func (m *Mem) PutAccountNames(ctx context.Context, names []AccountName) error {
	return m.write(ctx, "putaccountnames", func() error {
		if m.names == nil {
			m.names = map[string]AccountName{}
		}
		for _, a := range names {
			a.Seen = time.UnixMilli(a.Seen.UnixMilli()).UTC()
			if old, ok := m.names[a.AccountID]; !ok || a.Newer(&old) {
				m.names[a.AccountID] = a
			}
		}
		return nil
	})
}
