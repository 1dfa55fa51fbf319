package rule

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Config is what an operator may say about the rules; the zero value is a
// working one.
type Config struct {
	OffHours OffHoursConfig
	// TrustedAccounts are the ids of accounts that roles may trust.
	TrustedAccounts []string
	// OrganizationAccounts are the ids of the organization's accounts; trust in
	// them is a finding of low severity.
	OrganizationAccounts []string
	// ManagementAccountID is the organization's management account; assignments
	// to it are critical.
	ManagementAccountID string
	// AdminPolicies are names or ARNs of customer policies that make their
	// holder an administrator.
	AdminPolicies []string
	// RequireBoundary says that every new user must have a permissions boundary.
	RequireBoundary bool
	// Disabled are ids of rules to leave out; a rule takes its -attempt twin
	// along.
	Disabled []string
}

// Engine evaluates the built-in rules. It is immutable, so it may be used by
// any number of goroutines.
type Engine struct {
	cfg       Config
	rules     []Rule
	off       *schedule // nil: the rule is off
	trusted   map[string]bool
	orgs      map[string]bool
	customer  []string                        // AdminPolicies in lower case
	byName    map[string]map[string][]*active // source, then event name
	root      *active                         // generic rules, which no name selects
	evasion   *active
	offHours  *active
	disabled  map[string]bool
	accessIDs map[string]bool // rules that count as access for off-hours
}

// active is a rule that is switched on.
type active struct {
	entry
	match   func(*view) []match
	attempt bool // report what was denied
}

// match is what a rule states of an event; the engine makes a Fact of it.
type match struct {
	kind     string
	group    string // "": the event's own group
	severity Severity
	title    string // "": the rule's
	targets  []string
	detail   string
	data     map[string]string
}

// NewEngine checks the configuration and returns an engine; the error names
// the setting.
func NewEngine(cfg Config) (*Engine, error) {
	en := &Engine{
		cfg: cfg, byName: map[string]map[string][]*active{}, disabled: map[string]bool{},
		accessIDs: map[string]bool{},
	}
	var err error
	if en.off, err = newSchedule(cfg.OffHours); err != nil {
		return nil, err
	}
	if en.trusted, err = accountSet("trusted_accounts", cfg.TrustedAccounts); err != nil {
		return nil, err
	}
	if en.orgs, err = accountSet("organization_accounts", cfg.OrganizationAccounts); err != nil {
		return nil, err
	}
	if cfg.ManagementAccountID != "" && !isAccountID(cfg.ManagementAccountID) {
		return nil, fmt.Errorf("management_account_id: %q is not an account id: give its 12 digits, quoted", cfg.ManagementAccountID)
	}
	for _, p := range cfg.AdminPolicies {
		p = strings.TrimSpace(p)
		if p == "" {
			continue
		}
		if strings.HasPrefix(p, "arn:") {
			if _, _, ok := policyARN(p); !ok {
				return nil, fmt.Errorf("admin_policies: %q is not a policy's ARN: give arn:PARTITION:iam::ACCOUNT:policy/NAME, or the name alone", p)
			}
		}
		en.customer = append(en.customer, strings.ToLower(p))
	}
	known := map[string]bool{}
	for _, c := range catalogue() {
		known[c.ID] = true
		if c.hasAttempt() {
			known[c.ID+attemptSuffix] = true
		}
	}
	for _, id := range cfg.Disabled {
		if id = strings.TrimSpace(id); !known[id] {
			return nil, fmt.Errorf("disabled_rules: there is no rule %q: see iamtrack rules list", id)
		}
		en.disabled[id] = true
	}
	en.activate()
	return en, nil
}

// activate fills the dispatch tables from the catalogue.
func (en *Engine) activate() {
	for _, c := range catalogue() {
		if c.Access {
			en.accessIDs[c.ID] = true
		}
		if en.disabled[c.ID] {
			continue
		}
		attempt := c.hasAttempt() && !en.disabled[c.ID+attemptSuffix]
		en.rules = append(en.rules, c.rule)
		if attempt {
			en.rules = append(en.rules, attemptRule(c.rule))
		}
		a := &active{entry: c, match: logic[c.ID], attempt: attempt}
		switch c.ID {
		case idRootActivity:
			en.root = a
			continue
		case idLoggingEvasion:
			en.evasion = a
			continue
		case idOffHours:
			if en.off != nil {
				en.offHours = a
			}
			continue
		}
		for _, source := range c.Sources {
			if en.byName[source] == nil {
				en.byName[source] = map[string][]*active{}
			}
			for _, names := range [][]string{c.Names, c.Related} {
				for _, n := range names {
					en.byName[source][n] = append(en.byName[source][n], a)
				}
			}
		}
	}
	slices.SortFunc(en.rules, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) })
}

// Rules returns the catalogue of the rules that are switched on, sorted by id.
// The caller owns the slice, not what it points to.
func (en *Engine) Rules() []Rule { return slices.Clone(en.rules) }

// Evaluate states what the rules make of one event: nil for almost all. It
// reads nothing but the event, never panics, and one failing rule never keeps
// another from its say. Facts come in a fixed order.
func (en *Engine) Evaluate(e *event.Event) []Fact {
	var named []*active
	if names := en.byName[e.EventSource]; names != nil {
		named = names[e.EventName]
	}
	root := en.root != nil && e.IdentityType == typeRoot
	evasion := en.evasion != nil && e.EventSource == sourceIAM && strings.Contains(e.RequestParameters, `"omitted"`)
	offHours, date := false, ""
	if en.offHours != nil && interactive(e) {
		date, offHours = en.off.at(e.Time())
	}
	if named == nil && !root && !evasion && !offHours {
		return nil
	}
	v := &view{Event: e, en: en}
	defer v.release()
	var facts []Fact
	for _, a := range named {
		facts = en.apply(a, v, facts)
	}
	if root {
		facts = en.apply(en.root, v, facts)
	}
	if evasion {
		facts = en.apply(en.evasion, v, facts)
	}
	if offHours {
		if m, ok := en.offHoursMatch(v, date, facts); ok {
			facts = append(facts, en.fact(en.offHours, v, m))
		}
	}
	return facts
}

// apply asks one rule. Rules look at calls that worked, unless they say
// otherwise; critical ones see what was denied too.
func (en *Engine) apply(a *active, v *view, facts []Fact) []Fact {
	denied := false
	if a.Outcome != "any" && !v.ok() {
		if !a.attempt || !v.denied() {
			return facts
		}
		denied = true
	}
	for _, m := range guarded(a, v) {
		if !denied {
			facts = append(facts, en.fact(a, v, m))
			continue
		}
		if m.kind != kindEvent || m.group != "" {
			continue // what did not happen is no evidence
		}
		m.severity = lower(m.severity)
		f := en.fact(a, v, m)
		f.Rule += attemptSuffix
		f.Group = group(f.Rule, f.AccountID, f.EventID)
		f.Title = attemptTitle(f.Title)
		f.Detail = clip("Denied by AWS: "+f.Detail, detailRunes)
		facts = append(facts, f)
	}
	return facts
}

// guarded asks a rule and turns a fault of it into a match that says so: an
// event that a rule cannot judge is shown, one level lower, rather than lost.
func guarded(a *active, v *view) (out []match) {
	defer func() {
		if recover() != nil {
			out = []match{{
				severity: lower(a.rule.Severity),
				detail:   "The rule failed on this event, so it could not be judged; look at the event itself, and report the fault.",
			}}
		}
	}()
	return a.match(v)
}

// fact completes a match with what the event says.
func (en *Engine) fact(a *active, v *view, m match) Fact {
	f := Fact{
		Rule: a.ID, Group: m.group, Kind: m.kind,
		AccountID: v.AccountID, EventID: v.EventID, EventTime: v.EventTime, Version: v.Version(),
		Title: m.title, Severity: m.severity, Actor: v.actor(), SourceIP: v.SourceIP,
		AWSRegion: v.AWSRegion, EventName: v.EventName,
		Targets: sortedTargets(m.targets), Detail: clip(m.detail, detailRunes), Data: m.data,
	}
	if f.Group == "" {
		f.Group = group(a.ID, v.AccountID, v.EventID)
	}
	if f.Title == "" {
		f.Title = a.Title
	}
	return f
}

// group joins the parts of a group's key unambiguously, whatever is in them;
// parts of absurd length are replaced by their hash.
func group(rule string, parts ...string) string {
	for i, p := range parts {
		if len(p) > 512 {
			parts[i] = "sha256:" + AlertID(p)
		}
	}
	b, _ := json.Marshal(parts) // a list of strings always marshals
	return rule + string(b)
}

// sortedTargets returns the targets sorted, each once, none empty; never nil.
func sortedTargets(in []string) []string {
	out := make([]string, 0, len(in))
	for _, t := range in {
		if t != "" {
			out = append(out, clip(t, targetRunes))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func isAccountID(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

func accountSet(setting string, ids []string) (map[string]bool, error) {
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		id = strings.TrimSpace(id)
		if id == "" {
			continue
		}
		if !isAccountID(id) {
			return nil, fmt.Errorf("%s: %q is not an account id: give its 12 digits, quoted", setting, id)
		}
		set[id] = true
	}
	return set, nil
}
