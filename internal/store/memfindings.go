package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
)

// factID tells the facts of a group apart.
type factID struct {
	rule, kind string
	ref        ConflictRef
}

type memAlert struct {
	alert      rule.Alert
	superseded bool
	ack        *Ack
	recorded   time.Time // first
	routed     bool
}

func (a *memAlert) get() rule.Alert {
	c := cloneAlert(a.alert)
	SetState(&c, a.superseded, a.ack)
	return c
}

// Record implements Store.
func (m *Mem) Record(ctx context.Context, r Findings, settle func([]rule.Fact) []rule.Alert) (newAlerts int, err error) {
	err = m.write(ctx, "record", func() error {
		for _, x := range r.Rejected {
			x.Seen = CanonicalTime(x.Seen)
			if old, ok := m.rejected[x.SHA256]; !ok || CompareRejected(x, old) < 0 {
				m.rejected[x.SHA256] = x
			}
		}
		for i := range r.Conflicts {
			m.addConflict(&r.Conflicts[i])
		}
		for i := range r.Facts {
			m.addFact(&r.Facts[i])
		}
		if settle == nil {
			return nil
		}
		for _, g := range slices.Sorted(maps.Keys(m.unsettled)) {
			newAlerts += m.settle(g, settle)
		}
		return nil
	})
	return newAlerts, err
}

func (m *Mem) addFact(f *rule.Fact) {
	ref := FactRef(f)
	id := factID{f.Rule, f.Kind, ref}
	if _, ok := m.facts[f.Group][id]; ok {
		return
	}
	if m.facts[f.Group] == nil {
		m.facts[f.Group] = map[factID]rule.Fact{}
	}
	m.facts[f.Group][id] = cloneFact(*f)
	if m.factsOf[ref] == nil {
		m.factsOf[ref] = map[string]bool{}
	}
	m.factsOf[ref][f.Group] = true
	m.unsettled[f.Group] = true
}

func (m *Mem) settle(group string, settle func([]rule.Fact) []rule.Alert) (newAlerts int) {
	facts := make([]rule.Fact, 0, len(m.facts[group]))
	for id, f := range m.facts[group] {
		f = cloneFact(f)
		_, f.Superseded = m.conflicts[id.ref]
		facts = append(facts, f)
	}
	slices.SortFunc(facts, CompareFacts)
	for _, a := range settle(facts) {
		kept := m.alerts[a.ID]
		if kept == nil {
			kept = &memAlert{recorded: CanonicalTime(m.Now()), routed: m.told[a.ID]}
			delete(m.told, a.ID)
			m.alerts[a.ID] = kept
			if !a.Superseded {
				newAlerts++
			}
		}
		kept.superseded = a.Superseded
		kept.alert = cloneAlert(a)
		kept.alert.State, kept.alert.AckedBy, kept.alert.AckedAt, kept.alert.Note = "", "", 0, ""
	}
	delete(m.unsettled, group)
	return newAlerts
}

// IsConflict implements Store.
func (m *Mem) IsConflict(ctx context.Context, refs []ConflictRef) (map[ConflictRef]bool, error) {
	known := map[ConflictRef]bool{}
	err := m.read(ctx, func() {
		for _, r := range refs {
			if _, ok := m.conflicts[r]; ok {
				known[r] = true
			}
		}
	})
	return known, err
}

// Alerts implements Store.
func (m *Mem) Alerts(ctx context.Context, f AlertFilter) ([]rule.Alert, error) {
	var found []rule.Alert
	err := m.read(ctx, func() {
		for _, kept := range m.alerts {
			if a := kept.get(); f.Matches(&a) {
				found = append(found, a)
			}
		}
	})
	slices.SortFunc(found, CompareAlerts)
	if f.Limit > 0 && len(found) > f.Limit {
		found = found[:f.Limit]
	}
	return found, err
}

// Alert implements Store.
func (m *Mem) Alert(ctx context.Context, id string) (rule.Alert, error) {
	var found []*memAlert
	if err := m.read(ctx, func() {
		if a, ok := m.alerts[id]; ok {
			found = append(found, a)
			return
		}
		for full, a := range m.alerts {
			if len(id) >= MinPrefix && strings.HasPrefix(full, id) {
				found = append(found, a)
			}
		}
	}); err != nil {
		return rule.Alert{}, err
	}
	if err := OneAlert(id, len(found)); err != nil {
		return rule.Alert{}, err
	}
	var a rule.Alert
	err := m.read(ctx, func() { a = found[0].get() })
	return a, err
}

// OneAlert returns the error of a look-up that found n alerts; nil for one.
func OneAlert(id string, n int) error {
	switch {
	case n == 1:
		return nil
	case n > 1:
		return fmt.Errorf("alert %q: %w", id, ErrAmbiguous)
	case len(id) < MinPrefix:
		return fmt.Errorf("alert %q: %w: give at least %d characters", id, ErrNotFound, MinPrefix)
	}
	return fmt.Errorf("alert %q: %w", id, ErrNotFound)
}

// Ack implements Store.
func (m *Mem) Ack(ctx context.Context, ids []string, by, note string, at time.Time) error {
	return m.write(ctx, "ack", func() error {
		for _, id := range ids {
			if m.alerts[id] == nil {
				return fmt.Errorf("acknowledge alert %q: %w", id, ErrNotFound)
			}
		}
		k := Ack{At: at.UnixMilli(), By: by, Note: note}
		for _, id := range ids {
			if a := m.alerts[id]; a.ack == nil || k.Compare(*a.ack) > 0 {
				a.ack = &k
			}
		}
		return nil
	})
}

// Counts implements Store.
func (m *Mem) Counts(ctx context.Context) (Counts, error) {
	c := Counts{Alerts: map[string]map[string]int64{}}
	err := m.read(ctx, func() {
		c.HotEvents, c.HotFiltered = int64(len(m.events)), int64(len(m.filtered))
		c.Rejected, c.Conflicts = int64(len(m.rejected)), int64(len(m.conflicts))
		for _, kept := range m.alerts {
			a := kept.get()
			c.AddAlerts(a.State, a.Severity, 1)
			if !kept.routed && !kept.superseded {
				c.Unrouted++
			}
		}
		for _, kept := range m.outbox {
			c.AddMessages(kept.Channel, kept.State, 1)
		}
	})
	return c, err
}

// AddAlerts counts alerts.
func (c *Counts) AddAlerts(state string, s rule.Severity, n int64) {
	if c.Alerts[state] == nil {
		c.Alerts[state] = map[string]int64{}
	}
	c.Alerts[state][s.String()] += n
}
