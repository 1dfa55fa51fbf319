package config

import (
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones work where the system has none (Windows, small containers)
)

func parseZone(v string) (*time.Location, bool) {
	switch strings.ToLower(v) {
	case "":
		return nil, false // LoadLocation takes it for UTC
	case "utc", "z":
		return time.UTC, true
	case "local":
		return time.Local, true
	}
	loc, err := time.LoadLocation(v)
	return loc, err == nil
}

// parseClock reads HH or HH:MM as minutes after midnight.
func parseClock(v string) (int, bool) {
	hour, minute, ok := strings.Cut(v, ":")
	if !ok {
		minute = "00"
	}
	h, okH := parseInt(hour, 0, 23)
	m, okM := parseInt(minute, 0, 59)
	return h*60 + m, okH && okM && len(hour) <= 2 && len(minute) == 2
}

func clockText(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

// parseInt reads plain digits.
func parseInt(v string, low, high int) (int, bool) {
	if v == "" || strings.Trim(v, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(v)
	return n, err == nil && n >= low && n <= high
}

func parseBool(v string) (value, ok bool) {
	switch strings.ToLower(v) {
	case "true", "yes", "on", "1":
		return true, true
	case "false", "no", "off", "0":
		return false, true
	}
	return false, false
}

// parseList splits at commas; blanks around and empty elements don't count.
func parseList(v string) []string {
	var list []string
	for e := range strings.SplitSeq(v, ",") {
		if e = strings.TrimSpace(e); e != "" {
			list = append(list, e)
		}
	}
	return list
}

func parseAccounts(v string) ([]string, bool) {
	list := parseList(v)
	return list, !slices.ContainsFunc(list, func(a string) bool { return !isAccount(a) })
}

func isAccount(v string) bool { return len(v) == 12 && strings.Trim(v, "0123456789") == "" }

// regionName is what AWS calls its regions; new ones appear every year.
var regionName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z]{2,5}(-[a-z]+)+-[0-9]{1,2}$`) })

func isRegion(v string) bool { return regionName().MatchString(v) }

// roleName is an IAM role's name after its path (IAM API Reference, "CreateRole").
var roleName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([!-.0-~]+/)*[\w+=,.@-]{1,64}$`) })

// isURL tells a web address without a password in it, which would be shown.
func isURL(v string) bool {
	u, err := url.Parse(v)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func parseDates(v string) ([]string, bool) {
	list := parseList(v)
	for _, e := range list {
		if _, err := time.Parse(time.DateOnly, e); err != nil {
			return nil, false
		}
	}
	return list, true
}

// The order in which people list days; time.Weekday starts with Sunday.
var dayNames = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

func weekday(i int) time.Weekday { return time.Weekday((i + 1) % 7) }

func parseDays(v string) (days [7]bool, ok bool) {
	index := func(name string) int {
		name = strings.ToLower(strings.TrimSpace(name))
		return slices.IndexFunc(dayNames, func(d string) bool {
			return name == d || len(name) > 3 && name == strings.ToLower(weekday(slices.Index(dayNames, d)).String())
		})
	}
	list := parseList(v)
	for _, e := range list {
		from, to, isRange := strings.Cut(e, "-")
		first := index(from)
		last := first
		if isRange {
			last = index(to)
		}
		if first < 0 || last < 0 {
			return days, false
		}
		for i := first; ; i = (i + 1) % 7 { // sat-mon goes over the week's end
			days[weekday(i)] = true
			if i == last {
				break
			}
		}
	}
	return days, len(list) > 0
}

func daysText(days [7]bool) string {
	var parts []string
	for i := 0; i < 7; i++ {
		if !days[weekday(i)] {
			continue
		}
		j := i
		for j < 6 && days[weekday(j+1)] {
			j++
		}
		switch {
		case j > i+1:
			parts = append(parts, dayNames[i]+"-"+dayNames[j])
		case j > i:
			parts = append(parts, dayNames[i], dayNames[j])
		default:
			parts = append(parts, dayNames[i])
		}
		i = j
	}
	return strings.Join(parts, ",")
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{ // longer names first, so that a suffix is unambiguous
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"b", 1},
}

// parseSize reads a whole number of bytes with a unit.
func parseSize(v string) (int64, bool) {
	v = strings.ToLower(strings.TrimSpace(v))
	for _, u := range sizeUnits {
		if number, ok := strings.CutSuffix(v, u.name); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 63)
			return int64(n) * u.bytes, err == nil && int64(n) <= math.MaxInt64/u.bytes
		}
	}
	return 0, false
}

// sizeText prints a size so that parseSize reads the same.
func sizeText(n int64) string {
	for _, u := range []int{3, 2, 1, 0, 7, 6, 5, 4} {
		unit := sizeUnits[u]
		if n >= unit.bytes && n%unit.bytes == 0 {
			name := strings.ToUpper(unit.name)
			return strconv.FormatInt(n/unit.bytes, 10) + strings.Replace(name, "IB", "iB", 1)
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// parseDuration reads a positive time: as in Go, or whole days (3d).
func parseDuration(v string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(v, "d"); ok {
		n, ok := parseInt(days, 1, 36500)
		return time.Duration(n) * 24 * time.Hour, ok
	}
	d, err := time.ParseDuration(v)
	return d, err == nil && d > 0
}

// durationText prints a time so that parseDuration reads the same.
func durationText(d time.Duration) string {
	if h := d / time.Hour; d%time.Hour == 0 {
		return strconv.FormatInt(int64(h), 10) + "h"
	}
	return d.String()
}
