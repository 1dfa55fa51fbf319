package simulate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"time"
)

// Rules are the ids of the alerts that the truth is complete for: of each, a
// world's Truth.Alerts holds all that are due, and no other. Suffix "-attempt"
// marks a denied try at what would be critical.
var Rules = []string{
	"iam-access-key-created",
	"iam-access-key-created-for-other",
	"iam-access-key-deleted",
	"iam-access-key-updated",
	"iam-admin-policy-attached",
	"iam-admin-policy-attached-attempt",
	"iam-inline-policy-added",
	"iam-inline-policy-dangerous",
	"iam-logging-evasion",
	"iam-mfa-device-removed",
	"iam-role-trust-external-account",
	"iam-role-trust-wildcard",
	"iam-user-created",
	"off-hours-access",
	"root-access-key-created",
	"root-api-activity",
	"root-console-login",
	"root-console-login-failed",
	"signin-console-login-without-mfa",
	"sso-account-assignment-created",
	"sso-application-created",
	"sso-application-deleted",
	"sso-permission-set-admin-policy",
	"sso-permission-set-created",
	"sso-permission-set-updated",
}

// Truth is what the story scripts declare about a world.
type Truth struct {
	Seed   uint64    `json:"seed"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"` // exclusive
	OrgID  string    `json:"organization"`
	Counts Counts    `json:"counts"`

	Accounts []AccountTruth `json:"accounts"`
	// TrustedAccounts are outside the organisation, but known.
	TrustedAccounts []string `json:"trusted_accounts"`
	People          []Person `json:"people"`
	// Rules are the alert ids that Alerts is complete for.
	Rules []string `json:"rules"`
	// Alerts are all that are due with the default settings (off hours 22:00 to
	// 06:00 UTC, no trusted accounts, no exceptions) and with the first account
	// named as the management account. Sorted by time.
	Alerts []ExpectedAlert `json:"alerts"`
	// Stories are the scripts that were told, the attack last.
	Stories []*Story `json:"stories"`

	// Events yields the truth about every event, in time order. It plans the
	// world anew and holds nothing.
	Events iter.Seq[EventTruth] `json:"-"`
}

// AccountTruth names an account.
type AccountTruth struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Person is a member of staff who comes through Identity Center or SAML.
type Person struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	UserName string `json:"user_name"`
	UserID   string `json:"user_id"` // in the identity store
	SAML     bool   `json:"saml,omitempty"`
}

// Counts add up the world's records.
type Counts struct {
	Records  int            `json:"records"`
	Filtered int            `json:"filtered"` // service noise among them
	Sources  map[string]int `json:"sources"`  // by event source, without .amazonaws.com
	Accounts map[string]int `json:"accounts"`
	Roots    map[string]int `json:"roots"` // by kind of root
}

// ExpectedAlert is an alert that is due.
type ExpectedAlert struct {
	Rule     string    `json:"rule"`
	Account  string    `json:"account_id"`
	EventID  string    `json:"event_id"` // of a group: its earliest event
	Time     time.Time `json:"event_time"`
	Severity string    `json:"severity"`
	// Unconfigured is the severity when the settings do not say which account is
	// the management account; empty when that is no matter.
	Unconfigured string `json:"severity_unconfigured,omitempty"`
	// Events are all events of a grouped alert (off hours, root's reads), by time
	// then id; nil for an alert of one event.
	Events []string `json:"events,omitempty"`
}

// Story is one script's doing.
type Story struct {
	Title  string `json:"title"`
	Attack bool   `json:"attack"`
	Steps  []Step `json:"steps"`
}

// Step is one thing that a story tells.
type Step struct {
	Time     time.Time `json:"time"`
	Account  string    `json:"account_id"`
	Sentence string    `json:"sentence"`
	Events   []string  `json:"events"` // ids, in order
}

// EventTruth is what is declared of one event.
type EventTruth struct {
	EventID string `json:"event_id"`
	Account string `json:"account_id"`
	// Root is who or what is at the root of the session that acted, and RootKind
	// one of the Root constants: a person's e-mail address, an IAM user's ARN, a
	// repository's subject, an instance's ARN, …
	Root     string `json:"root"`
	RootKind string `json:"root_kind"`
	// Chain starts with the root and ends with the ARN of the session that acted.
	Chain []string `json:"chain"`
	// Filtered says that the event is service noise.
	Filtered bool `json:"filtered,omitempty"`
	// Story is the title of the script the event belongs to, if any.
	Story string `json:"story,omitempty"`
}

func (w *World) eventTruth(p *plan) EventTruth {
	t := EventTruth{EventID: p.id.String(), Account: w.accounts[p.acct].id, Root: p.sess.root.name, RootKind: p.sess.root.kind, Chain: p.sess.chain, Filtered: p.sess.noise}
	if p.story != nil {
		t.Story = p.story.Title
	}
	return t
}

// Truth returns what the scripts declared. The first call counts the world's
// events, which takes some two seconds per million.
func (w *World) Truth() *Truth {
	w.truthOnce.Do(w.count)
	t := &Truth{
		Seed: w.cfg.Seed, Start: w.cfg.Start, End: w.cfg.End, OrgID: w.orgID, Counts: w.counts,
		TrustedAccounts: []string{vendorAccount}, Rules: slices.Clone(Rules),
		Alerts: slices.Clone(w.alerts), Stories: slices.Clone(w.stories),
	}
	t.Counts.Sources, t.Counts.Accounts, t.Counts.Roots = maps.Clone(w.counts.Sources), maps.Clone(w.counts.Accounts), maps.Clone(w.counts.Roots)
	for _, a := range w.accounts {
		t.Accounts = append(t.Accounts, AccountTruth{a.id, a.name})
	}
	t.People = w.People()
	t.Events = func(yield func(EventTruth) bool) {
		w.walk(w.start, w.end, func(plans []*plan) bool {
			for _, p := range plans {
				if !yield(w.eventTruth(p)) {
					return false
				}
			}
			return true
		})
	}
	return t
}

// People returns the members of staff who come through Identity Center or SAML.
func (w *World) People() []Person {
	var out []Person
	for _, p := range w.people {
		out = append(out, Person{p.name, p.email, p.userName, p.userID, p.saml})
	}
	return out
}

func (w *World) count() {
	n := Counts{Sources: map[string]int{}, Accounts: map[string]int{}, Roots: map[string]int{}}
	w.walk(w.start, w.end, func(plans []*plan) bool {
		n.Records += len(plans)
		for _, p := range plans {
			if p.sess.noise {
				n.Filtered++
			}
			n.Sources[p.call.source]++
			n.Accounts[w.accounts[p.acct].id]++
			n.Roots[p.sess.root.kind]++
		}
		return true
	})
	w.counts = n
}

// WriteTruth writes t as one JSON object; its member "events" lists the truth
// about every event, and is streamed.
func WriteTruth(out io.Writer, t *Truth) error {
	b, err := json.MarshalIndent(t, "", " ")
	if err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	buf := bufio.NewWriterSize(out, 1<<16)
	put := func(parts ...string) {
		for _, p := range parts {
			if err == nil {
				_, err = buf.WriteString(p)
			}
		}
	}
	put(string(b[:len(b)-len("\n}")]), ",\n \"events\": [")
	comma := "\n  "
	for e := range t.Events {
		line, bad := json.Marshal(e)
		if bad != nil {
			return fmt.Errorf("write truth: event %s: %w", e.EventID, bad)
		}
		if put(comma, string(line)); err != nil {
			break
		}
		comma = ",\n  "
	}
	put("\n ]\n}\n")
	if err == nil {
		err = buf.Flush()
	}
	if err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	return nil
}
