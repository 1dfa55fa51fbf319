// Package rule says what is dangerous. A rule looks at one event and states
// Facts; the facts of one group, in event-time order, settle into Alerts. Both
// steps are pure functions of stored events and configuration, so live
// collection and the import of old files give the same alerts, whatever the
// order of arrival, the split into batches or the number of repetitions.
//
// The package keeps no state and sends nothing: the store keeps facts and
// alerts (and calls Settle again when a group gets a new fact or loses one),
// notify tells people.
package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Severity of a rule or an alert; the greater is the worse.
type Severity int

// The five severities.
const (
	Info Severity = iota
	Low
	Medium
	High
	Critical
)

var severityNames = [...]string{"info", "low", "medium", "high", "critical"}

func (s Severity) String() string {
	if s < Info || s > Critical {
		return fmt.Sprintf("severity(%d)", int(s))
	}
	return severityNames[s]
}

// ParseSeverity reads a severity's name, ignoring case.
func ParseSeverity(text string) (Severity, error) {
	for i, n := range severityNames {
		if strings.EqualFold(n, text) {
			return Severity(i), nil
		}
	}
	return 0, fmt.Errorf("unknown severity %q: use one of %s", text, strings.Join(severityNames[:], ", "))
}

// MarshalText writes the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the severity's name.
func (s *Severity) UnmarshalText(b []byte) (err error) {
	*s, err = ParseSeverity(string(b))
	return err
}

// Rule is the catalogue entry of a rule.
type Rule struct {
	ID             string   `json:"id"`
	Title          string   `json:"title"`
	Severity       Severity `json:"severity"` // usual severity; an alert's own may differ
	ATTACK         []string `json:"attack"`   // MITRE ATT&CK technique ids
	EventSources   []string `json:"event_sources"`
	EventNames     []string `json:"event_names"`
	Condition      string   `json:"condition"` // in words
	Why            string   `json:"why"`
	Next           string   `json:"next"`
	FalsePositives string   `json:"false_positives"`
}

// Fact is what one event states to one rule's group. It carries all that an
// alert made of it shows, so that settling reads no event.
type Fact struct {
	Rule  string `json:"rule"`
	Group string `json:"group"` // unique over all rules; starts with the rule id
	Kind  string `json:"kind"`  // meaning is the rule's own; "" for an event rule

	AccountID string        `json:"account_id"`
	EventID   string        `json:"event_id"`
	EventTime int64         `json:"event_time"` // ms since the epoch
	Version   event.Version `json:"version"`    // of the event's content

	Title     string            `json:"title"`
	Severity  Severity          `json:"severity"`
	Actor     string            `json:"actor"`
	SourceIP  string            `json:"source_ip"`
	AWSRegion string            `json:"aws_region"`
	EventName string            `json:"event_name"`
	Targets   []string          `json:"targets"`
	Detail    string            `json:"detail"`         // one sentence: what matched and why
	Data      map[string]string `json:"data,omitempty"` // what the rule's settling needs

	// Superseded is set by the store when a greater version of the event's
	// content is known: the fact then no longer holds.
	Superseded bool `json:"-"`
}

// States of an alert.
const (
	StateFinding      = "finding"      // recorded, nobody was told or has looked
	StateAcknowledged = "acknowledged" // a person has looked
	StateSuperseded   = "superseded"   // later or better events contradict it
)

// EventRef names an event of an alert.
type EventRef struct {
	EventID   string `json:"event_id"`
	EventTime int64  `json:"event_time"`
	EventName string `json:"event_name"`
}

// Alert is what a settled group says. There is one per (rule, account, event
// id), or per (rule, group, window); ID is derived from exactly that.
type Alert struct {
	ID        string     `json:"id"`
	Rule      string     `json:"rule"`
	Title     string     `json:"title"`
	Severity  Severity   `json:"severity"`
	EventID   string     `json:"event_id"`   // of a group: its earliest event
	EventTime int64      `json:"event_time"` // ms since the epoch
	Actor     string     `json:"actor"`
	SourceIP  string     `json:"source_ip"`
	AccountID string     `json:"account_id"`
	AWSRegion string     `json:"aws_region"`
	EventName string     `json:"event_name"`
	Targets   []string   `json:"targets"` // sorted, never nil
	Detail    string     `json:"detail"`
	Events    []EventRef `json:"events"` // all its events, by time then id
	// Superseded is what Settle says; the store turns it into State.
	Superseded bool `json:"-"`

	// The rest is the store's.
	State   string `json:"state"`
	AckedBy string `json:"acked_by,omitempty"`
	AckedAt int64  `json:"acked_at,omitempty"` // ms since the epoch
	Note    string `json:"note,omitempty"`
}

// AlertID derives an alert's id from what makes it one.
func AlertID(parts ...string) string {
	b, _ := json.Marshal(parts) // a list of strings always marshals
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
