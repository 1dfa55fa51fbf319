package query

import (
	"fmt"
	"strings"
	"time"
)

// localTime returns the expression of a UTC timestamp column as the wall clock
// of a zone shows it, for instants in [since, until). The zone's offsets are
// written out as a CASE over UTC instants because AT TIME ZONE means different
// things in DuckDB and in Trino, and because both would need a zone database
// that says the same as ours.
func localTime(column string, zone *time.Location, since, until time.Time) string {
	type period struct {
		end    time.Time // first instant after it
		offset int       // seconds east of UTC
	}
	var periods []period
	for at := since; ; {
		local := at.In(zone)
		_, offset := local.Zone()
		_, end := local.ZoneBounds()
		last := end.IsZero() || !end.Before(until)
		if n := len(periods); n > 0 && periods[n-1].offset == offset {
			periods[n-1].end = end // only the zone's abbreviation changed
		} else {
			periods = append(periods, period{end, offset})
		}
		if last {
			break
		}
		at = end
	}
	if len(periods) == 1 {
		return shifted(column, periods[0].offset)
	}
	var b strings.Builder
	b.WriteString("CASE")
	for _, p := range periods[:len(periods)-1] {
		fmt.Fprintf(&b, " WHEN %s < %s THEN %s", column, timestampLiteral(p.end), shifted(column, p.offset))
	}
	fmt.Fprintf(&b, " ELSE %s END", shifted(column, periods[len(periods)-1].offset))
	return b.String()
}

// shifted adds seconds to a timestamp column.
func shifted(column string, seconds int) string {
	sign := "+"
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	switch {
	case seconds == 0:
		return column
	case seconds%60 == 0:
		return fmt.Sprintf("%s %s INTERVAL '%d' MINUTE", column, sign, seconds/60)
	default: // local mean time, before the zones
		return fmt.Sprintf("%s %s INTERVAL '%d' SECOND", column, sign, seconds)
	}
}

// offHours returns the condition that a local time lies in [start, end), in
// minutes of the day; the range may cross midnight. An empty range holds
// nothing: it switches the question off.
func offHours(local string, start, end int) string {
	minute := fmt.Sprintf("(EXTRACT(HOUR FROM %s) * 60 + EXTRACT(MINUTE FROM %s))", local, local)
	switch {
	case start == end:
		return "(1 = 0)"
	case start < end:
		return fmt.Sprintf("(%s >= %d AND %s < %d)", minute, start, minute, end)
	default:
		return fmt.Sprintf("(%s >= %d OR %s < %d)", minute, start, minute, end)
	}
}

// ParseClock reads HH:MM, or an hour alone, as minutes of the day; 24:00 is the
// end of the day and so the same as 00:00.
func ParseClock(s string) (int, error) {
	hour, minute, ok := strings.Cut(strings.TrimSpace(s), ":")
	if !ok {
		minute = "00"
	}
	h, m, err := atoi2(hour, minute)
	if err != nil || h > 24 || m > 59 || h == 24 && m != 0 {
		return 0, fmt.Errorf("%q is no time of day: write HH:MM, as 22:00", s)
	}
	return (h*60 + m) % (24 * 60), nil
}

// atoi2 reads two numbers of one or two digits each.
func atoi2(a, b string) (x, y int, err error) {
	for _, p := range []struct {
		text string
		to   *int
	}{{a, &x}, {b, &y}} {
		if len(p.text) < 1 || len(p.text) > 2 {
			return 0, 0, fmt.Errorf("%q is no number of two digits", p.text)
		}
		for _, c := range []byte(p.text) {
			if c < '0' || c > '9' {
				return 0, 0, fmt.Errorf("%q is no number", p.text)
			}
			*p.to = *p.to*10 + int(c-'0')
		}
	}
	return x, y, nil
}
