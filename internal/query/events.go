package query

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
)

// EventFilter says which events to list. A field with several values matches
// any of them; an event must match every field that is set. In names, * stands
// for any text and case doesn't matter.
type EventFilter struct {
	EventIDs []string // exact
	// Since and Until bound event_time, [Since, Until); zero means no bound.
	Since, Until time.Time

	Actors       []string // the actor; or, if it starts with arn:, the ARN of the identity
	Users        []string // user_name: IAM users who called
	Roles        []string // role_name: the caller's role
	Keys         []string // access key ids, used or issued; exact
	IPs          []string // source_ip, with * for a range of addresses
	EventNames   []string
	EventSources []string // "iam" means iam.amazonaws.com
	Targets      []string // name of what was acted on; or, if it starts with arn:, its ARN
	TargetKinds  []string // one of event's Target constants, exact
	Accounts     []string // account_id, exact
	// IdentityAccounts are those of the callers, exact.
	IdentityAccounts []string
	Regions          []string
	Outcomes         []string // ok, denied, failed
	Errors           []string // error_code
	Categories       []string // iam, sts, signin, sso, other
	// Grep is text to be found, ignoring case, in any of GrepColumns; all of
	// several texts must be found.
	Grep []string

	// Columns are those to return, all when empty.
	Columns []string
	// Limit is the most rows to return; 0 means all.
	Limit int
}

// GrepColumns are where EventFilter.Grep looks.
var GrepColumns = []string{
	"event_name", "event_source", "actor", "identity_arn", "user_agent", "source_ip", "error_code", "error_message",
	"target_name", "target_arn", "access_key_id", "request_parameters", "response_elements",
	"additional_event_data", "resources", "rest",
}

// eventOrder is the order of events in lists: newest first, and total, since
// account and id are an event's key.
const eventOrder = "event_time DESC, account_id, event_id"

// EventsSQL returns the SELECT that lists the filter's events, newest first.
// The error names the value that can't be: an unknown column, outcome or
// category, or text that SQL can't hold.
func EventsSQL(f EventFilter) (string, error) {
	columns, err := f.columns()
	if err != nil {
		return "", err
	}
	where, err := f.where()
	if err != nil {
		return "", err
	}
	return listSQL(columns, where, f.Limit), nil
}

// listSQL lists events that meet all conditions, newest first; 0 means no limit.
func listSQL(columns, where []string, limit int) string {
	var b strings.Builder
	b.WriteString("SELECT " + strings.Join(columns, ", ") + "\nFROM events\n")
	if len(where) > 0 {
		b.WriteString("WHERE " + strings.Join(where, "\n  AND ") + "\n")
	}
	b.WriteString("ORDER BY " + eventOrder + "\n")
	if limit > 0 {
		b.WriteString("LIMIT " + strconv.Itoa(limit) + "\n")
	}
	return b.String()
}

func (f EventFilter) columns() ([]string, error) {
	all := make([]string, 0, 48)
	for _, c := range EventColumns() {
		all = append(all, c.Name)
	}
	if len(f.Columns) == 0 {
		return all, nil
	}
	for _, c := range f.Columns {
		if !slices.Contains(all, c) {
			return nil, fmt.Errorf("unknown column %q%s", c, didYouMean(c, all))
		}
	}
	return f.Columns, nil
}

// where returns the filter's conditions, all of which must hold.
func (f EventFilter) where() ([]string, error) {
	var w whereBuilder
	if !f.Since.IsZero() {
		t := f.Since.UTC().Truncate(time.Millisecond)
		if t.Before(f.Since) {
			t = t.Add(time.Millisecond) // event_time has milliseconds: the next one is the first not before
		}
		w.and("event_date >= "+dateLiteral(event.DateOf(t.UnixMilli())), "event_time >= "+timestampLiteral(t))
	}
	if !f.Until.IsZero() {
		t := f.Until.UTC().Truncate(time.Millisecond)
		if t.Before(f.Until) {
			t = t.Add(time.Millisecond)
		}
		w.and("event_date <= "+dateLiteral(event.DateOf(t.UnixMilli()-1)), "event_time < "+timestampLiteral(t))
	}
	w.exact("event_id", f.EventIDs)
	w.exact("account_id", f.Accounts)
	w.exact("identity_account_id", f.IdentityAccounts)
	w.exact("target_kind", f.TargetKinds)
	w.oneOf("outcome", f.Outcomes, event.OutcomeOK, event.OutcomeDenied, event.OutcomeFailed)
	w.oneOf("category", f.Categories, event.CategoryIAM, event.CategorySTS, event.CategorySignin, event.CategorySSO, event.CategoryOther)
	w.namesOrARNs(f.Actors, "actor", "identity_arn")
	w.names("user_name", f.Users)
	w.names("role_name", f.Roles)
	w.exactAny(f.Keys, "access_key_id", "issued_access_key_id")
	w.names("source_ip", f.IPs)
	w.names("event_name", f.EventNames)
	w.sources(f.EventSources)
	w.namesOrARNs(f.Targets, "target_name", "target_arn")
	w.names("aws_region", f.Regions)
	w.names("error_code", f.Errors)
	for _, text := range f.Grep {
		w.grep(text)
	}
	return w.conditions, w.err
}

// whereBuilder collects conditions and the first error.
type whereBuilder struct {
	conditions []string
	err        error
}

func (w *whereBuilder) and(conditions ...string) { w.conditions = append(w.conditions, conditions...) }

// or adds a condition that one of several holds.
func (w *whereBuilder) or(conditions []string) {
	switch len(conditions) {
	case 0:
	case 1:
		w.and(conditions[0])
	default:
		w.and("(" + strings.Join(conditions, " OR ") + ")")
	}
}

// try notes an error and passes a condition on.
func (w *whereBuilder) try(condition string, err error) string {
	if err != nil && w.err == nil {
		w.err = err
	}
	return condition
}

func (w *whereBuilder) exact(column string, values []string) { w.exactAny(values, column) }

// exactAny asks that one of the columns equals one of the values.
func (w *whereBuilder) exactAny(values []string, columns ...string) {
	if len(values) == 0 {
		return
	}
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = w.try(literal(v))
	}
	var or []string
	for _, c := range columns {
		or = append(or, c+" IN ("+strings.Join(list, ", ")+")")
	}
	w.or(or)
}

// oneOf is exact for a column with few known values.
func (w *whereBuilder) oneOf(column string, values []string, known ...string) {
	for _, v := range values {
		if !slices.Contains(known, v) {
			w.try("", fmt.Errorf("unknown %s %q: use one of %s", column, v, strings.Join(known, ", ")))
		}
	}
	w.exact(column, values)
}

// names asks that a column matches one of the patterns.
func (w *whereBuilder) names(column string, patterns []string) {
	w.namesOrARNs(patterns, column, column)
}

// namesOrARNs asks that a column matches one of the patterns, or another one
// those that are ARNs. Only one of the two is looked at for each pattern, since
// DuckDB can leave out rows while it reads only by conditions on one column.
func (w *whereBuilder) namesOrARNs(patterns []string, column, arnColumn string) {
	var or []string
	for _, p := range patterns {
		c := column
		if strings.HasPrefix(strings.ToLower(p), "arn:") {
			c = arnColumn
		}
		or = append(or, w.try(matches(c, p)))
	}
	w.or(or)
}

// sources is names for event_source, whose domain may be left out.
func (w *whereBuilder) sources(patterns []string) {
	var or []string
	for _, p := range patterns {
		if !strings.Contains(p, ".") && !strings.HasSuffix(p, "*") {
			p += ".amazonaws.com"
		}
		or = append(or, w.try(matches("event_source", p)))
	}
	w.or(or)
}

// grep asks that a text is in one of GrepColumns. strpos looks for it as it is;
// LIKE would take some of its characters for wildcards.
func (w *whereBuilder) grep(text string) {
	lit := w.try(literal(text))
	var or []string
	for _, c := range GrepColumns {
		or = append(or, "strpos(lower("+c+"), lower("+lit+")) > 0")
	}
	w.or(or)
}
