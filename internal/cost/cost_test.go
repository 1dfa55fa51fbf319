package cost

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	if p := DefaultPrices(); p.Prices.LambdaGBSecondARM == 0 || p.Date.Year() < 2026 {
		t.Errorf("%+v", p)
	}
	if u := DefaultUnits(); u.WriteUnitsPerEvent == 0 || u.Alarms == 0 {
		t.Errorf("%+v", u)
	}
}

func TestReadPrices(t *testing.T) {
	good := string(pricesFile)
	for name, c := range map[string]struct{ text, want string }{
		"empty":    {"", "nothing in it"},
		"no date":  {strings.Replace(good, "date: 2026-11-22", "date: 0001-01-01", 1), "the date is missing"},
		"missing":  {strings.Replace(good, "  athena_tb: 5.00\n", "", 1), "prices.athena_tb is missing"},
		"unknown":  {good + "  moon: 1\n", "moon"},
		"negative": {strings.Replace(good, "alarm: 0.10", "alarm: -0.10", 1), "prices.alarm: -0.1 is no amount"},
		"text":     {strings.Replace(good, "alarm: 0.10", "alarm: cheap", 1), "cheap"},
	} {
		if _, err := ReadPrices([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := ReadPrices([]byte(strings.Replace(good, "alarm: 0.10", "alarm: 0.20", 1)))
	if err != nil || p.Prices.Alarm != 0.2 {
		t.Errorf("%v %v", p, err)
	}
}

var setup = Setup{
	ReadCapacity: 25, WriteCapacity: 25, ARM: true, Analytics: true, Realtime: true, Alerts: true, Runs: 288, Exports: 1, Notices: 720,
	TrackerMB: 256, ExporterMB: 1024, NotifierMB: 128, HotDays: 7, LogDays: 30, LakeMonths: 12, QueriesGB: 10,
}

func usd(t *testing.T, e Estimate, service, what string) float64 {
	t.Helper()
	for _, l := range e.Lines {
		if l.Service == service && l.What == what {
			return l.USD
		}
	}
	t.Fatalf("no line %s, %s in %+v", service, what, e.Lines)
	return 0
}

// The bill of a million stored events a day, worked out by hand.
func TestMonthly(t *testing.T) {
	var u Units
	u.ReadUnitsPerEvent, u.ReadUnitsPerNotifierRun = 2, 5
	u.RealtimeShare, u.WriteUnitsPerRealtimeEvent, u.ReadUnitsPerRealtimeEvent = 0.4, 8, 7
	u.WriteUnitsPerEvent, u.LakeBytesPerEvent, u.TableBytesPerEvent, u.EventsPerInboxObject, u.RunSeconds = 3, 100, 1000, 50, 10
	u.Alarms, u.Metrics = 12, 5
	s := setup
	s.OnDemand = true
	e := Monthly(Volume{Stored: 1e6, Streams: 0}, s, u, DefaultPrices())
	month := 365. / 12
	for _, c := range []struct {
		service, what string
		want          float64
	}{
		{"DynamoDB", "writing", month * (3*0.6 + 8*0.4) * 0.625},
		{"DynamoDB", "reading", month * (2*0.6 + 7*0.4 + 720*5/1e6) * 0.125},
		{"DynamoDB", "storage", 0}, // 7 million items of 1,000 bytes: 6.5 GB of 25
		{"DynamoDB", "continuous backup", 7e9 / (1 << 30) * 0.20},
		{"Lambda", "duration", 0},                                      // 288 × 10 s × 0.25 GB × 30.4 = 21,900 of 400,000
		{"Lambda", "invocations", (month*(288+1+720+4e5) - 1e6) / 5e6}, // 0.20 a million
		{"S3", "storage of the lake", month * 12 * 1e8 / (1 << 30) * 0.023},
		{"S3", "writing", month * (4e5 + 6e5/50) / 1000 * 0.005},
		{"Athena", "scanned by queries", 10. / 1024 * 5},
		{"CloudWatch", "alarms", 0.2},
		{"CloudWatch", "metrics", 0},
	} {
		if got := usd(t, e, c.service, c.what); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s, %s: %v, want %v", c.service, c.what, got, c.want)
		}
	}
	sum := 0.
	for _, l := range e.Lines {
		sum += l.USD
	}
	if math.Abs(sum-e.Total) > 1e-9 || len(e.Notes) != 0 {
		t.Errorf("%v, lines %v, notes %q", e.Total, sum, e.Notes)
	}

	u.AllAlarms, s.AllAlarms = 14, true
	if got, want := usd(t, Monthly(Volume{Stored: 1e6}, s, u, DefaultPrices()), "CloudWatch", "alarms"), 0.4; math.Abs(got-want) > 1e-9 {
		t.Errorf("all alarms: %v, want %v", got, want)
	}
	s.AllAlarms = false

	p := DefaultPrices()
	p.Free.Used = true
	if got, want := usd(t, Monthly(Volume{Stored: 1e6}, s, u, p), "CloudWatch", "alarms"), 1.2; math.Abs(got-want) > 1e-9 {
		t.Errorf("alarms of an account that uses the free ones: %v, want %v", got, want)
	}
}

// What is free is free, and a table that is too small is told of.
func TestProvisioned(t *testing.T) {
	e := Monthly(Volume{Stored: 1000, Filtered: 5000, Streams: 50}, setup, DefaultUnits(), DefaultPrices())
	if usd(t, e, "DynamoDB", "write capacity") != 0 || usd(t, e, "Lambda", "duration") != 0 || len(e.Notes) != 0 {
		t.Errorf("%+v", e)
	}
	if e.Total > 0.5 { // what AWS gives nothing of for free: requests to S3, backup, Athena
		t.Errorf("a small organization pays %.2f USD", e.Total)
	}
	e = Monthly(Volume{Stored: 1e6, Streams: 50}, setup, DefaultUnits(), DefaultPrices())
	if len(e.Notes) != 2 || !strings.Contains(e.Notes[0], "write units a second on average and has 25") || !strings.Contains(e.Notes[1], "read units a second on average and has 25") ||
		!strings.Contains(e.Notes[1], "PAY_PER_REQUEST") {
		t.Errorf("%q", e.Notes)
	}
	e = Monthly(Volume{Stored: 1000, Streams: 57 * 100}, setup, DefaultUnits(), DefaultPrices())
	if !slices.ContainsFunc(e.Notes, func(n string) bool { return strings.Contains(n, "700 seconds, more than the 300") }) {
		t.Errorf("%q", e.Notes)
	}
	s := setup
	s.Analytics, s.Alerts, s.Realtime = false, false, false
	for _, l := range Monthly(Volume{Stored: 1e6, Streams: 50}, s, DefaultUnits(), DefaultPrices()).Lines {
		if l.Service == "S3" || l.Service == "Athena" {
			t.Errorf("without a lake: %+v", l)
		}
	}
}

func TestWords(t *testing.T) {
	for l, want := range map[Line]string{
		{Quantity: 21600, Unit: "GB-seconds", Free: 21600}: "21,600 GB-seconds, free",
		{Quantity: 18, Unit: "alarms", Free: 10}:           "18 alarms, 10 of them free",
		{Quantity: 1.23456, Unit: "GB"}:                    "1.23 GB",
		{Quantity: 1234567.8, Unit: "units"}:               "1,234,568 units",
	} {
		if got := l.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for f, want := range map[float64]string{0: "0.00", 0.001: "< 0.01", 12.344: "12.34"} {
		if got := USD(f); got != want {
			t.Errorf("%v: %q, want %q", f, got, want)
		}
	}
}
