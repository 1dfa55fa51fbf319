package store

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// What all stores must decide alike, as pure functions: orders, ranks, states,
// copies.

// RefOf names the content of an event.
func RefOf(e *event.Event) ConflictRef {
	return ConflictRef{Key: e.Key(), Hash: uint64(e.RecordHash)}
}

// Compare orders conflicts by key, then hash.
func (r ConflictRef) Compare(o ConflictRef) int {
	return cmp.Or(r.Key.Compare(o.Key), cmp.Compare(r.Hash, o.Hash))
}

// FactRef names the content that states a fact.
func FactRef(f *rule.Fact) ConflictRef {
	return ConflictRef{Key: event.Key{AccountID: f.AccountID, EventID: f.EventID}, Hash: f.Version.Hash}
}

// CompareFacts is the order in which settle gets the facts of a group.
func CompareFacts(a, b rule.Fact) int {
	return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.EventID, b.EventID),
		strings.Compare(a.Kind, b.Kind), cmp.Compare(a.Version.Hash, b.Version.Hash),
		strings.Compare(a.AccountID, b.AccountID), strings.Compare(a.Rule, b.Rule))
}

// CompareFiltered is the order of DayFiltered; rows that are equal in it are the
// same row.
func CompareFiltered(a, b *event.Filtered) int {
	return cmp.Or(strings.Compare(a.AccountID, b.AccountID),
		cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.EventID, b.EventID),
		strings.Compare(a.AWSRegion, b.AWSRegion), strings.Compare(a.EventSource, b.EventSource),
		strings.Compare(a.EventName, b.EventName), strings.Compare(a.Reason, b.Reason))
}

// CompareRejected is by first sight. Of two sights of one record the lesser is
// kept, so that the order of arrival does not show.
func CompareRejected(a, b Rejected) int {
	return cmp.Or(cmp.Compare(a.Seen.UnixMilli(), b.Seen.UnixMilli()), strings.Compare(a.SHA256, b.SHA256),
		strings.Compare(a.File, b.File), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Length, b.Length),
		strings.Compare(a.Reason, b.Reason), strings.Compare(a.Excerpt, b.Excerpt))
}

// Ack is an acknowledgement of an alert.
type Ack struct {
	At       int64 // ms since the epoch
	By, Note string
}

// Compare ranks acknowledgements of one alert: the greatest stays.
func (a Ack) Compare(b Ack) int {
	return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.By, b.By), strings.Compare(a.Note, b.Note))
}

// SetState fills in the store's part of an alert from what it keeps: whether
// settling supersedes it, and its acknowledgement if any.
func SetState(a *rule.Alert, superseded bool, k *Ack) {
	a.Superseded, a.State = superseded, rule.StateFinding
	if k != nil {
		a.State, a.AckedAt, a.AckedBy, a.Note = rule.StateAcknowledged, k.At, k.By, k.Note
	}
	if superseded {
		a.State = rule.StateSuperseded
	}
}

// CompareAlerts is newest first, then by id.
func CompareAlerts(a, b rule.Alert) int {
	return cmp.Or(cmp.Compare(b.EventTime, a.EventTime), strings.Compare(a.ID, b.ID))
}

// Matches reports whether an alert passes the filter, Limit aside.
func (f *AlertFilter) Matches(a *rule.Alert) bool {
	since, until := f.bounds()
	switch {
	case a.EventTime < since || a.EventTime >= until:
	case a.Severity < f.MinSeverity:
	case len(f.Rules) > 0 && !slices.Contains(f.Rules, a.Rule):
	case len(f.States) > 0 && !slices.Contains(f.States, a.State):
	case len(f.States) == 0 && a.State == rule.StateSuperseded:
	case f.AccountID != "" && a.AccountID != f.AccountID:
	case f.Actor != "" && !strings.Contains(strings.ToLower(a.Actor), strings.ToLower(f.Actor)):
	default:
		return true
	}
	return false
}

// bounds returns [since, until) in ms since the epoch. Event times are whole
// milliseconds: a bound within one starts after it.
func (f *AlertFilter) bounds() (since, until int64) {
	const lowest, highest = -1 << 63, 1<<63 - 1
	ceil := func(t time.Time, none int64) int64 {
		if t.IsZero() {
			return none
		}
		ms := t.UnixMilli()
		if t.After(time.UnixMilli(ms)) {
			ms++
		}
		return ms
	}
	return ceil(f.Since, lowest), ceil(f.Until, highest)
}

// MinPrefix is the least number of characters that name an alert.
const MinPrefix = 4

func cloneBool(b *bool) *bool {
	if b == nil {
		return nil
	}
	v := *b
	return &v
}

func cloneEvent(e event.Event) event.Event {
	e.ReadOnly, e.MFA = cloneBool(e.ReadOnly), cloneBool(e.MFA)
	return e
}

// cloneFact copies a fact as the store gives it out: no empty list or map.
func cloneFact(f rule.Fact) rule.Fact {
	f.Targets = append([]string(nil), f.Targets...)
	if f.Data = maps.Clone(f.Data); len(f.Data) == 0 {
		f.Data = nil
	}
	return f
}

// cloneAlert copies an alert as the store gives it out: lists are never nil.
func cloneAlert(a rule.Alert) rule.Alert {
	a.Targets = append([]string{}, a.Targets...)
	a.Events = append([]rule.EventRef{}, a.Events...)
	return a
}

func cloneLakeDay(d LakeDay) LakeDay {
	if d.Categories = maps.Clone(d.Categories); len(d.Categories) == 0 {
		d.Categories = nil
	}
	return d
}

// CanonicalTime is a time as the store gives it out: UTC, whole milliseconds.
func CanonicalTime(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }
