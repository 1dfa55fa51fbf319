package cost

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// RunsADay counts how often a schedule expression of EventBridge fires a day, on
// average: rate(5 minutes), cron(0 6 ? * MON-FRI *). The error of one that EventBridge
// would refuse says what is wrong with it.
//
// Source: Amazon EventBridge User Guide, "Setting a schedule pattern".
func RunsADay(schedule string) (float64, error) {
	bad := func(why string, args ...any) (float64, error) {
		return 0, fmt.Errorf("%q is no schedule: %s", schedule, fmt.Sprintf(why, args...))
	}
	kind, rest, opened := strings.Cut(schedule, "(")
	rest, closed := strings.CutSuffix(rest, ")")
	fields := strings.Fields(rest)
	switch {
	case !opened || !closed || kind != "rate" && kind != "cron":
		return bad("use rate(5 minutes) or cron(0 6 * * ? *)")
	case kind == "rate":
		runs, why := rate(fields)
		if why != "" {
			return bad("%s", why)
		}
		return runs, nil
	case len(fields) != len(calendar):
		return bad("cron has six fields, not %d: minutes, hours, day of the month, month, day of the week, year, such as cron(0 6 * * ? *)", len(fields))
	}
	if (fields[dayOfMonth] == "?") == (fields[dayOfWeek] == "?") {
		return bad("of the day of the month and the day of the week, one is ? and the other isn't, such as cron(0 6 * * ? *)")
	}
	runs := 1.
	for i, f := range fields {
		n, err := calendar[i].fires(f)
		if err != nil {
			return bad("%s: %v", calendar[i].name, err)
		}
		switch i {
		case minute, hour:
			runs *= n
		case dayOfMonth, month, dayOfWeek:
			runs *= n / calendar[i].size()
		}
	}
	return runs, nil
}

// rate counts the runs of rate(N UNIT) a day, or says why it is none.
func rate(fields []string) (float64, string) {
	const use = "use a number and minutes, hours or days, such as rate(5 minutes)"
	if len(fields) != 2 {
		return 0, use
	}
	n, err := strconv.Atoi(fields[0])
	unit := strings.TrimSuffix(fields[1], "s")
	per := map[string]float64{"minute": 24 * 60, "hour": 24, "day": 1}[unit]
	if err != nil || n < 1 || per == 0 {
		return 0, use
	}
	if right := unit + "s"; n > 1 && fields[1] != right {
		return 0, fmt.Sprintf("use rate(%d %s)", n, right)
	}
	if n == 1 && fields[1] != unit {
		return 0, fmt.Sprintf("use rate(1 %s)", unit)
	}
	return per / float64(n), ""
}

// Fields of cron, in their order.
const (
	minute = iota
	hour
	dayOfMonth
	month
	dayOfWeek
	year
)

// calendarField is what a field of cron may be.
type calendarField struct {
	name     string
	from, to int
	names    []string // that stand for from, from+1, …
	any      bool     // ? may stand for *
	last     bool     // L may be used
}

var calendar = [...]calendarField{
	minute:     {name: "minutes", from: 0, to: 59},
	hour:       {name: "hours", from: 0, to: 23},
	dayOfMonth: {name: "day of the month", from: 1, to: 31, any: true, last: true},
	month:      {name: "month", from: 1, to: 12, names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}},
	dayOfWeek:  {name: "day of the week", from: 1, to: 7, names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}, any: true, last: true},
	year:       {name: "year", from: 1970, to: 2199},
}

func (f *calendarField) size() float64 { return float64(f.to - f.from + 1) }

func (f *calendarField) value(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToUpper(text)); i >= 0 {
		return f.from + i, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.from || n > f.to {
		return 0, fmt.Errorf("%q is none: from %d to %d", text, f.from, f.to)
	}
	return n, nil
}

// fires counts the values that match, on average: not whole for what comes once a month.
func (f *calendarField) fires(text string) (float64, error) {
	sum := 0.
	for part := range strings.SplitSeq(text, ",") {
		n, err := f.part(part)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return min(sum, f.size()), nil
}

func (f *calendarField) part(text string) (float64, error) {
	part, step, stepped := strings.Cut(text, "/")
	from, to, ranged := strings.Cut(part, "-")
	var n int
	switch {
	case part == "*" || part == "?" && f.any && !stepped:
		n = f.to - f.from + 1
	case f.last && !stepped && f.isMonthly(part):
		return f.size() * 12 / 365.25, nil
	case ranged:
		a, err := f.value(from)
		if err != nil {
			return 0, err
		}
		b, err := f.value(to)
		if err != nil {
			return 0, err
		}
		if n = b - a + 1; n < 1 { // it goes round, such as FRI-MON
			n += f.to - f.from + 1
		}
	default:
		a, err := f.value(part)
		if err != nil {
			return 0, err
		}
		if n = 1; stepped {
			n = f.to - a + 1
		}
	}
	if !stepped {
		return float64(n), nil
	}
	every, err := strconv.Atoi(step)
	if err != nil || every < 1 {
		return 0, fmt.Errorf("%q is no step", step)
	}
	return math.Ceil(float64(n) / float64(every)), nil
}

// isMonthly reports whether a part stands for one day in a month: the last one (L),
// the last working day (LW), the working day next to one (3W), the last of a weekday
// (6L), or the second of one (3#2).
func (f *calendarField) isMonthly(part string) bool {
	monthly := func(value string) bool {
		_, err := f.value(value)
		return err == nil
	}
	if f.from+6 != f.to { // days of the month
		day, working := strings.CutSuffix(part, "W")
		return part == "L" || part == "LW" || working && monthly(day)
	}
	if weekday, nth, ok := strings.Cut(part, "#"); ok {
		return monthly(weekday) && len(nth) == 1 && nth >= "1" && nth <= "5"
	}
	weekday, last := strings.CutSuffix(part, "L")
	return last && (weekday == "" || monthly(weekday))
}
