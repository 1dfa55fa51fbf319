package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Status is what is kept, in numbers.
type Status struct {
	DataDir    string                      `json:"data_dir,omitempty"`
	Stack      *StackStatus                `json:"stack,omitempty"`
	Events     int64                       `json:"events"`
	Categories map[string]int64            `json:"categories"`
	Filtered   int64                       `json:"filtered"`
	Rejected   int64                       `json:"rejected"`
	Conflicts  int64                       `json:"conflicts"`
	Alerts     map[string]map[string]int64 `json:"alerts"`   // by state, then severity
	Messages   map[string]map[string]int64 `json:"messages"` // by channel, then state
	Unrouted   int64                       `json:"unrouted"` // alerts that no message tells of yet
	Days       int                         `json:"days"`     // with events
	FirstDay   string                      `json:"first_day,omitempty"`
	LastDay    string                      `json:"last_day,omitempty"`
	HotEvents  int64                       `json:"hot_events"`
	DirtyDays  int                         `json:"dirty_days"`
	StoreBytes int64                       `json:"store_bytes"`
	LakeBytes  int64                       `json:"lake_bytes"`
	Late       int64                       `json:"late"` // events that came after their time had been read
	Accounts   []store.AccountName         `json:"accounts"`
	Streams    []coverage.Status           `json:"streams"` // collected; imported files claim no coverage
}

// StackStatus is Status.Stack: where a stack keeps its data, and how current its lake
// is.
type StackStatus struct {
	Name   string    `json:"name"`
	Table  string    `json:"table"`
	Bucket string    `json:"bucket,omitempty"`
	AsOf   time.Time `json:"as_of"`
	Newer  int64     `json:"newer_events"` // stored, and not in the lake yet
}

// Status counts what the lake and the store hold; call Refresh before, so that
// the lake has everything.
func (a *App) Status(ctx context.Context) (Status, error) {
	s := Status{
		DataDir: a.Config.DataDir, Categories: map[string]int64{},
		Accounts: []store.AccountName{}, Streams: []coverage.Status{},
	}
	ledgers, err := a.Store.Streams(ctx)
	if err != nil {
		return s, err
	}
	for _, l := range ledgers {
		l.Expire(a.now().Unix()) // what CloudTrail dropped since the last run
		s.Streams = append(s.Streams, l.Status(a.now().Unix()))
		s.Late += l.Late
	}
	names, err := a.Store.AccountNames(ctx)
	if err != nil {
		return s, err
	}
	s.Accounts = append(s.Accounts, names...)
	days, err := a.Store.LakeDays(ctx)
	if err != nil {
		return s, err
	}
	for _, d := range days {
		s.Events += d.Events
		s.Filtered += d.Filtered
		s.LakeBytes += d.Bytes
		for c, n := range d.Categories {
			s.Categories[c] += n
		}
		if d.Events == 0 {
			continue
		}
		s.Days++
		if s.FirstDay == "" {
			s.FirstDay = d.Date.String()
		}
		s.LastDay = d.Date.String()
	}
	months, err := a.Lake.RollUpBytes(ctx)
	if err != nil {
		return s, err
	}
	s.LakeBytes += months
	dirty, err := a.Store.DirtyDays(ctx)
	if err != nil {
		return s, err
	}
	s.DirtyDays = len(dirty)
	c, err := a.Store.Counts(ctx)
	if err != nil {
		return s, err
	}
	s.HotEvents, s.Rejected, s.Conflicts, s.Alerts = c.HotEvents, c.Rejected, c.Conflicts, c.Alerts
	s.Messages, s.Unrouted = c.Messages, c.Unrouted
	if s.Messages == nil {
		s.Messages = map[string]map[string]int64{}
	}
	if a.Parts.Table == "" {
		s.StoreBytes, err = fileSizes(filepath.Join(a.Config.DataDir, storeFile))
		return s, err
	}
	f, err := a.waiting(ctx)
	if err != nil {
		return s, err
	}
	s.DataDir, s.StoreBytes = "", c.SizeBytes
	s.Stack = &StackStatus{a.Parts.Stack, a.Parts.Table, a.Parts.Bucket, f.AsOf, f.Newer}
	if a.TableOnly() {
		s.Events, s.Filtered = c.HotEvents, c.HotFiltered
	}
	return s, nil
}

// fileSizes adds up a database and its log.
func fileSizes(db string) (int64, error) {
	var sum int64
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(db + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	return sum, nil
}

// Rejected lists the records that could not be parsed.
func (a *App) Rejected(ctx context.Context) ([]store.Rejected, error) {
	var list []store.Rejected
	for r, err := range a.Store.Rejected(ctx) {
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}
