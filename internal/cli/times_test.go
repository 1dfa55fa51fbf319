package cli

import (
	"errors"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 23, 30, 15, 0, time.UTC) // the 23rd in Berlin
	for _, c := range []struct {
		in   string
		zone *time.Location
		want string // UTC
	}{
		{"now", time.UTC, "2026-11-22T23:30:15Z"},
		{"today", time.UTC, "2026-11-22T00:00:00Z"},
		{"today", berlin, "2026-11-22T23:00:00Z"},
		{"Yesterday", berlin, "2026-11-21T23:00:00Z"},
		{"30d", berlin, "2026-10-23T23:30:15Z"}, // 24-hour days, whatever the clocks do
		{"12h", time.UTC, "2026-11-22T11:30:15Z"},
		{"90m", time.UTC, "2026-11-22T22:00:15Z"},
		{"15s", time.UTC, "2026-11-22T23:30:00Z"},
		{"2w", time.UTC, "2026-11-08T23:30:15Z"},
		{"0d", time.UTC, "2026-11-22T23:30:15Z"},
		{"2026-11-01", time.UTC, "2026-11-01T00:00:00Z"},
		{"2026-11-01", berlin, "2026-10-31T23:00:00Z"},
		{"2026-07-01", berlin, "2026-06-30T22:00:00Z"},
		{"2026-11-01T14:00", berlin, "2026-11-01T13:00:00Z"},
		{"2026-11-01 14:00:05", berlin, "2026-11-01T13:00:05Z"},
		{"2026-11-01T14:00:00Z", berlin, "2026-11-01T14:00:00Z"},
		{"2026-11-01t14:00:00.5z", berlin, "2026-11-01T14:00:00.5Z"},
		{"2026-11-01T14:00:00+02:00", time.UTC, "2026-11-01T12:00:00Z"},
		{"2026-11-01 14:00:00Z", berlin, "2026-11-01T14:00:00Z"}, // as tables show it
		{" 2026-11-01 ", time.UTC, "2026-11-01T00:00:00Z"},
	} {
		got, ok := parseTime(c.in, now, c.zone)
		if !ok || got.UTC().Format(time.RFC3339Nano) != c.want {
			t.Errorf("parseTime(%q) in %s = %s, %v; want %s", c.in, c.zone, got.UTC().Format(time.RFC3339Nano), ok, c.want)
		}
	}
	for _, bad := range []string{"", "d", "-3d", "3", "3x", "3.5d", "2026-02-30", "2026-11", "11/01/2026", "tomorrowish", "999999999999d", "1000000d", "2026-11-01T25:00:00Z"} {
		if got, ok := parseTime(bad, now, time.UTC); ok {
			t.Errorf("parseTime(%q) = %s", bad, got)
		}
	}
}

func TestParseRange(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	from, to, err := parseRange("2026-11-01", "2026-11-02", now, time.UTC)
	if err != nil || !from.Equal(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)) || !to.Equal(time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("got %s, %s, %v", from, to, err)
	}
	if from, to, err = parseRange("", "", now, time.UTC); err != nil || !from.IsZero() || !to.IsZero() {
		t.Errorf("no bounds: %s, %s, %v", from, to, err)
	}
	for _, c := range [][2]string{{"x", ""}, {"", "x"}, {"2026-11-02", "2026-11-01"}, {"2026-11-01", "2026-11-01"}, {"1d", "2d"}} {
		_, _, err := parseRange(c[0], c[1], now, time.UTC)
		var u *usageError
		if !errors.As(err, &u) {
			t.Errorf("%q to %q: %v, want a usage error", c[0], c[1], err)
		}
	}
}
