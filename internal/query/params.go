package query

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Params are the answers to a query's placeholders. The zero value but for Now
// asks the query as its file says, in UTC.
type Params struct {
	// Since and Until bound the range, [Since, Until). A zero Since is the
	// query's look-back before Until (or Now), moved back to the start of that
	// day in TZ. A zero Until is a day after Now, so that a clock that is off
	// hides nothing.
	Since, Until time.Time
	// TZ is the zone of days, hours and off hours; nil means UTC.
	TZ *time.Location
	// OffStart and OffEnd bound the off hours, HH:MM, [OffStart, OffEnd) on
	// TZ's clock, over midnight or not; empty means 22:00 and 06:00. The same
	// time twice means that no hour is off.
	OffStart, OffEnd string
	// Limit is the most rows to return: 0 means the query's own number, a
	// negative one all.
	Limit int
	// Values are the query's own parameters by name.
	Values map[string]string
	Now    time.Time
	// Moving: Since and Until are not set, and the range isn't written as dates but
	// counted from the UTC day on which the text is asked, for queries that are
	// saved; it ends with the next day.
	Moving bool
}

// span is a range of time with its zone, resolved.
type span struct {
	since, until, history time.Time // history: since, less the baseline
	tz                    *time.Location
}

func (q Query) span(p Params) (span, error) {
	s := span{since: p.Since, until: p.Until, tz: p.TZ}
	if s.tz == nil {
		s.tz = time.UTC
	}
	if s.until.IsZero() {
		s.until = p.Now.Add(24 * time.Hour)
	}
	if s.since.IsZero() {
		end := p.Until
		if end.IsZero() {
			end = p.Now
		}
		y, m, d := end.Add(-days(q.LookBackDays)).In(s.tz).Date()
		s.since = time.Date(y, m, d, 0, 0, 0, 0, s.tz)
	}
	// Literals have milliseconds, as event_time has; whoever asks for less
	// gets the range that holds what was asked for.
	s.since = s.since.UTC().Truncate(time.Millisecond)
	if t := s.until.UTC().Truncate(time.Millisecond); t.Before(s.until) {
		s.until = t.Add(time.Millisecond)
	} else {
		s.until = t
	}
	if !s.since.Before(s.until) {
		return span{}, fmt.Errorf("query %s: the range ends at %s, before or when it starts (%s)",
			q.Name, s.until.Format(time.RFC3339), s.since.Format(time.RFC3339))
	}
	for _, t := range []time.Time{s.since.Add(-days(q.BaselineDays)), s.until} {
		if t.Year() < 1 || t.Year() > 9999 {
			return span{}, fmt.Errorf("query %s: the year %d is out of range", q.Name, t.Year())
		}
	}
	s.history = s.since.Add(-days(q.BaselineDays))
	return s, nil
}

// Times returns the time that the rendered query looks at, [since, until), its
// baseline included, and whether it is bounded at all: one of the user's own that
// uses neither ${range} nor ${history} looks at everything.
func (q Query) Times(p Params) (since, until time.Time, bounded bool, err error) {
	s, err := q.span(p)
	if err != nil {
		return since, until, false, err
	}
	since = s.since
	history := strings.Contains(q.body, "${history}")
	if history {
		since = s.history
	}
	return since, s.until, history || strings.Contains(q.body, "${range}"), nil
}

// Dates is Times in days, both inclusive.
func (q Query) Dates(p Params) (since, until event.Date, bounded bool, err error) {
	from, to, bounded, err := q.Times(p)
	if err != nil {
		return 0, 0, false, err
	}
	return event.DateOf(from.UnixMilli()), event.DateOf(to.UnixMilli() - 1), bounded, nil
}

// Run renders the query and asks it; a RangeEngine opens only the days that it
// scans.
func (q Query) Run(ctx context.Context, engine Engine, p Params) (Rows, error) {
	sql, err := q.Render(p)
	if err != nil {
		return nil, err
	}
	since, until, bounded, err := q.Dates(p)
	if err != nil {
		return nil, err
	}
	days, ok := engine.(RangeEngine)
	if !bounded || !ok {
		return engine.Query(ctx, sql)
	}
	return days.QueryRange(ctx, sql, since, until)
}

// Render returns the query as SQL. It is the same text for DuckDB and for
// Athena. Values are written by the type of their parameter, never pasted.
func (q Query) Render(p Params) (string, error) {
	for name := range p.Values {
		if !slices.ContainsFunc(q.Params, func(o Param) bool { return o.Name == name }) {
			names := make([]string, len(q.Params))
			for i, o := range q.Params {
				names[i] = o.Name
			}
			has := "it has none"
			if len(names) > 0 {
				has = "it has " + strings.Join(names, ", ")
			}
			return "", fmt.Errorf("query %s has no parameter %q: %s", q.Name, name, has)
		}
	}
	values, err := q.standardValues(p)
	if err != nil {
		return "", err
	}
	for _, o := range q.Params {
		v, given := p.Values[o.Name]
		if !given {
			if o.Required {
				return "", fmt.Errorf("query %s needs the parameter %s: %s", q.Name, o.Name, o.Description)
			}
			v = o.Default
		}
		if values[o.Name], err = o.render(v); err != nil {
			return "", fmt.Errorf("query %s: parameter %s: %w", q.Name, o.Name, err)
		}
	}
	sql := placeholderForm.ReplaceAllStringFunc(q.body, func(m string) string { return values[m[2:len(m)-1]] })
	return strings.TrimRight(sql, " \t\n") + "\n", nil
}

// standardValues renders the placeholders that every query has.
func (q Query) standardValues(p Params) (map[string]string, error) {
	if p.Moving && !(p.Since.IsZero() && p.Until.IsZero()) {
		return nil, fmt.Errorf("query %s: a range that moves has no fixed bounds", q.Name)
	}
	s, err := q.span(p)
	if err != nil {
		return nil, err
	}
	minutes := map[string]int{}
	for _, c := range []struct{ name, value, fallback string }{{"start", p.OffStart, "22:00"}, {"end", p.OffEnd, "06:00"}} {
		if c.value == "" {
			c.value = c.fallback
		}
		if minutes[c.name], err = ParseClock(c.value); err != nil {
			return nil, fmt.Errorf("off hours' %s: %w", c.name, err)
		}
	}
	asOf := s.until
	if p.Now.Before(asOf) && !p.Now.IsZero() {
		asOf = p.Now
	}
	zoneUntil := s.until
	if p.Moving {
		zoneUntil = zoneUntil.AddDate(2, 0, 0) // for so long a saved query knows when clocks change
	}
	local := localTime("event_time", s.tz, s.history, zoneUntil)
	limit := ""
	switch {
	case p.Limit > 0:
		limit = "LIMIT " + strconv.Itoa(p.Limit)
	case p.Limit == 0 && q.Limit > 0:
		limit = "LIMIT " + strconv.Itoa(q.Limit)
	}
	values := map[string]string{
		"range":      bounds(s.since, s.until),
		"history":    bounds(s.history, s.until),
		"since":      timestampLiteral(s.since),
		"until":      timestampLiteral(s.until),
		"as_of":      timestampLiteral(asOf),
		"local_time": "(" + local + ")",
		"local_date": "CAST(" + local + " AS DATE)",
		"local_hour": "EXTRACT(HOUR FROM " + local + ")",
		"off_hours":  offHours(local, minutes["start"], minutes["end"]),
		"limit":      limit,
	}
	if p.Moving {
		back, history := q.LookBackDays, q.LookBackDays+q.BaselineDays
		values["range"], values["history"] = movingBounds(back), movingBounds(history)
		values["since"], values["until"] = movingTime(-back), movingTime(movingEnd)
		values["as_of"] = "CAST(current_timestamp AS TIMESTAMP)"
	}
	return values, nil
}

// movingEnd is where a range that moves ends, in days from the day it is asked on.
const movingEnd = 2

// movingDay is the day so many days from now. Engines' clocks are UTC.
func movingDay(days int) string {
	sign := "+"
	if days < 0 {
		sign, days = "-", -days
	}
	return fmt.Sprintf("CAST(current_date %s INTERVAL '%d' DAY AS DATE)", sign, days)
}

func movingTime(days int) string { return "CAST(" + movingDay(days) + " AS TIMESTAMP)" }

// movingBounds is bounds for a range that moves.
func movingBounds(back int) string {
	return fmt.Sprintf("event_date BETWEEN %s AND %s AND event_time >= %s AND event_time < %s",
		movingDay(-back), movingDay(movingEnd-1), movingTime(-back), movingTime(movingEnd))
}

// bounds is the condition that an event lies in [since, until): by day, which
// spares whole files, and by time.
func bounds(since, until time.Time) string {
	return fmt.Sprintf("event_date BETWEEN %s AND %s AND event_time >= %s AND event_time < %s",
		dateLiteral(event.DateOf(since.UnixMilli())), dateLiteral(event.DateOf(until.UnixMilli()-1)),
		timestampLiteral(since), timestampLiteral(until))
}

// render writes a value as SQL.
func (p Param) render(value string) (string, error) {
	switch p.Type {
	case "int":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%q is no whole number", value)
		}
		return intLiteral(n), nil
	case "date":
		d, err := event.ParseDate(value)
		if err != nil {
			return "", fmt.Errorf("%q is no date: write YYYY-MM-DD", value)
		}
		return dateLiteral(d), nil
	case "pattern":
		lit, err := likeLiteral(value)
		if err != nil {
			return "", err
		}
		return "lower(" + lit + ") ESCAPE '" + likeEscape + "'", nil
	default:
		return literal(value)
	}
}
