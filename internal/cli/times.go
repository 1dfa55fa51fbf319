package cli

import (
	"strconv"
	"strings"
	"time"
)

// timeHelp is said wherever a time can be given.
const timeHelp = "30d, 12h, 2026-11-01, RFC 3339, now, today or yesterday"

// parseTime reads a point in time as --since and --until take it:
//
//	30d 12h 90m 45s 2w    that long before now; a day is 24 hours
//	2026-11-01            the start of that day in zone
//	2026-11-01T14:00      that minute in zone; also with seconds, or a blank for T
//	2026-11-01T14:00:00Z  RFC 3339
//	now, today, yesterday today and yesterday start at midnight in zone
//
// A local time that a change of clocks skips or repeats is read as package time
// does; an RFC 3339 time is never ambiguous.
func parseTime(text string, now time.Time, zone *time.Location) (time.Time, bool) {
	day := func(offset int) time.Time {
		y, m, d := now.In(zone).Date()
		return time.Date(y, m, d+offset, 0, 0, 0, 0, zone)
	}
	text = strings.TrimSpace(text)
	switch strings.ToLower(text) {
	case "now":
		return now, true
	case "today":
		return day(0), true
	case "yesterday":
		return day(-1), true
	}
	if d, ok := parseSpan(text); ok {
		return now.Add(-d), true
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, strings.ToUpper(text)); err == nil {
			return t, true
		}
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateTime} {
		if t, err := time.ParseInLocation(layout, strings.ToUpper(text), zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// parseSpan reads a number and a unit: s, m, h, d or w.
func parseSpan(text string) (time.Duration, bool) {
	if len(text) < 2 {
		return 0, false
	}
	units := map[byte]time.Duration{
		's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
	}
	unit, ok := units[text[len(text)-1]]
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if err != nil || time.Duration(n) > 200*365*24*time.Hour/unit {
		return 0, false // more than 200 years is a slip of the hand
	}
	return time.Duration(n) * unit, true
}

// parseRange reads --since and --until; an empty text is no bound. The range is
// half-open: since is in it, until isn't.
func parseRange(since, until string, now time.Time, zone *time.Location) (from, to time.Time, err error) {
	read := func(flag, text string) (time.Time, error) {
		if text == "" {
			return time.Time{}, nil
		}
		t, ok := parseTime(text, now, zone)
		if !ok {
			return t, withHint(usagef("--%s %q is not a time", flag, text), "use "+timeHelp)
		}
		return t.UTC(), nil
	}
	if from, err = read("since", since); err != nil {
		return from, to, err
	}
	if to, err = read("until", until); err != nil {
		return from, to, err
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, withHint(usagef("--since %s isn't before --until %s", since, until),
			"--until is the end and not in the range: one day is --since 2026-11-01 --until 2026-11-02")
	}
	return from, to, nil
}
