package rule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // so that any zone works on any machine

	"github.com/iamtrack/iamtrack/internal/event"
)

// OffHoursConfig says when people are not expected; the zero value is 22:00 to
// 06:00 UTC on every day.
type OffHoursConfig struct {
	// Timezone is an IANA name, such as Europe/Berlin; default UTC.
	Timezone string
	// Start and End are local times, "HH:MM" or a whole hour ("22"); default 22
	// and 6. Start is off hours, End is not any more; the range may cross
	// midnight. Equal values switch the rule off.
	Start, End string
	// WorkDays are names of weekdays (Monday, Mon, …); the other days are off
	// hours as a whole. Empty: every day is a work day.
	WorkDays []string
	// Holidays are dates, YYYY-MM-DD, that are off hours as a whole.
	Holidays []string
	// Allow are actors that don't count, by display name, ARN or role name;
	// '*' and '?' are wildcards, case does not matter.
	Allow []string
}

const (
	defaultOffStart = "22:00"
	defaultOffEnd   = "06:00"
	minutesPerDay   = 24 * 60
)

// schedule is a checked OffHoursConfig.
type schedule struct {
	zone       *time.Location
	start, end int     // minutes of the day; end may be 24:00
	work       [7]bool // by time.Weekday
	holidays   map[string]bool
	allow      []string // lower case
}

// newSchedule checks the configuration; nil without an error means "off".
func newSchedule(cfg OffHoursConfig) (*schedule, error) {
	s := &schedule{zone: time.UTC, holidays: map[string]bool{}}
	if tz := strings.TrimSpace(cfg.Timezone); tz != "" {
		zone, err := time.LoadLocation(tz)
		if err != nil || strings.EqualFold(tz, "local") {
			return nil, fmt.Errorf("off_hours_tz: %q is not a time zone: give an IANA name such as Europe/Berlin", tz)
		}
		s.zone = zone
	}
	var err error
	if s.start, err = clock("off_hours_start", cfg.Start, defaultOffStart, minutesPerDay-1); err != nil {
		return nil, err
	}
	if s.end, err = clock("off_hours_end", cfg.End, defaultOffEnd, minutesPerDay); err != nil {
		return nil, err
	}
	if s.work, err = weekdays(cfg.WorkDays); err != nil {
		return nil, err
	}
	for _, h := range cfg.Holidays {
		h = strings.TrimSpace(h)
		if h == "" {
			continue
		}
		if _, err := time.Parse(time.DateOnly, h); err != nil {
			return nil, fmt.Errorf("holidays: %q is not a date: give YYYY-MM-DD", h)
		}
		s.holidays[h] = true
	}
	for _, a := range cfg.Allow {
		if a = strings.ToLower(strings.TrimSpace(a)); a != "" {
			s.allow = append(s.allow, a)
		}
	}
	if s.start == s.end {
		return nil, nil
	}
	return s, nil
}

// clock reads "HH:MM" or "HH" as minutes of the day.
func clock(setting, text, fallback string, most int) (int, error) {
	if text = strings.TrimSpace(text); text == "" {
		text = fallback
	}
	hours, minutes, has := strings.Cut(text, ":")
	h, errH := strconv.ParseUint(hours, 10, 8)
	m, errM := uint64(0), error(nil)
	if has {
		m, errM = strconv.ParseUint(minutes, 10, 8)
	}
	total := int(h)*60 + int(m)
	if errH != nil || errM != nil || len(hours) > 2 || has && len(minutes) != 2 || m > 59 || total > most {
		return 0, fmt.Errorf("%s: %q is not a time of day: give HH:MM or the hour", setting, text)
	}
	return total, nil
}

// weekdays reads names of weekdays, whole or their first three letters.
func weekdays(names []string) (work [7]bool, err error) {
	given := false
	for _, n := range names {
		n = strings.TrimSpace(n)
		if n == "" {
			continue
		}
		found := false
		for d := time.Sunday; d <= time.Saturday; d++ {
			if strings.EqualFold(n, d.String()) || strings.EqualFold(n, d.String()[:3]) {
				work[d], found, given = true, true, true
			}
		}
		if !found {
			return work, fmt.Errorf("work_days: %q is not a weekday: give Monday or Mon, and so on", n)
		}
	}
	if !given {
		return [7]bool{true, true, true, true, true, true, true}, nil
	}
	return work, nil
}

// at reports whether an instant is off hours, and the local date on which its
// window began: for the small hours of a range over midnight the day before.
func (s *schedule) at(t time.Time) (date string, off bool) {
	t = t.In(s.zone)
	minute := t.Hour()*60 + t.Minute()
	switch {
	case s.start < s.end:
		off = minute >= s.start && minute < s.end
	case minute >= s.start:
		off = true
	case minute < s.end:
		y, m, d := t.Date()
		return time.Date(y, m, d-1, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), true
	}
	off = off || !s.work[t.Weekday()]
	if !off && len(s.holidays) == 0 {
		return "", false // by far the most frequent answer, so it is cheap
	}
	date = t.Format(time.DateOnly)
	return date, off || s.holidays[date]
}

// allowed reports whether the actor is on the allow list.
func (s *schedule) allowed(v *view) bool {
	for _, known := range [...]string{v.actor(), v.IdentityARN, v.RoleName, v.UserName} {
		if known != "" && anyGlob(s.allow, strings.ToLower(known)) {
			return true
		}
	}
	return false
}

// interactive reports whether the event is of the kinds that off-hours-access
// looks at: people signing in, and writes to IAM or Identity Center.
func interactive(e *event.Event) bool {
	if e.Outcome != event.OutcomeOK {
		return false
	}
	switch e.Category {
	case event.CategorySignin:
		return isLogin(e.EventName)
	case event.CategoryIAM, event.CategorySSO:
		return e.ReadOnly != nil && !*e.ReadOnly
	}
	return false
}

func isLogin(eventName string) bool {
	switch eventName {
	case "ConsoleLogin", "UserAuthentication", "SwitchRole":
		return true
	}
	return false
}

// offHoursMatch judges an interactive event in the window that began on a
// local date; found is what the other rules
// state of it, since an event that they report is graver at night.
func (en *Engine) offHoursMatch(v *view, date string, found []Fact) (match, bool) {
	if v.isService() || len(en.off.allow) > 0 && en.off.allowed(v) {
		return match{}, false
	}
	m := match{
		kind: kindMember, severity: Medium,
		group:   group(idOffHours, v.AccountID, v.actorKey(), date),
		targets: []string{v.TargetName, v.TargetARN},
		data:    map[string]string{"date": date, "zone": en.off.zone.String()},
	}
	if v.Category == event.CategorySignin {
		m.severity = Low
	}
	for _, f := range found {
		if en.accessIDs[f.Rule] && speaks(f.Kind) {
			m.severity = High
			break
		}
	}
	return m, true
}

// speaks reports whether a fact of this kind is an alert by itself.
func speaks(kind string) bool {
	switch kind {
	case kindEvent, kindActive, kindInactive, kindUpdated, kindAssigned:
		return true
	}
	return false
}

func (g groupFacts) offHours() []Alert {
	a, facts, ok := g.grouped()
	if !ok {
		return nil
	}
	first := facts[0]
	events := "1 sign-in or change"
	if n := len(facts); n > 1 {
		events = strconv.Itoa(n) + " sign-ins or changes"
	}
	a.Detail = clip(name(a.Actor)+" was active outside working hours, in the off-hours that began on "+first.Data["date"]+" ("+first.Data["zone"]+"), from "+name(first.SourceIP)+": "+events+", "+tally(facts)+".", detailRunes)
	return []Alert{a}
}
