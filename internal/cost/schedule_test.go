package cost

import (
	"math"
	"strings"
	"testing"
)

func TestRunsADay(t *testing.T) {
	for schedule, want := range map[string]float64{
		"rate(5 minutes)": 288, "rate(1 hour)": 24, "rate(1 day)": 1, "rate(2 days)": 0.5,
		"cron(0 6 * * ? *)": 1, "cron(0/15 * * * ? *)": 96, "cron(0 8-17 ? * MON-FRI *)": 10 * 5. / 7, "cron(0,30 22-1 * * ? *)": 8,
		"cron(0 0 1 * ? *)": 1. / 31, "cron(*/10 * ? JAN,FEB * *)": 144 * 2. / 12, "cron(5/20 0 * * ? *)": 3, "cron(0 6 ? * fri-mon 2026-2030)": 4. / 7,
		"cron(0 10 L * ? *)": 12 / 365.25, "cron(0 10 LW * ? *)": 12 / 365.25, "cron(0 10 15W * ? *)": 12 / 365.25,
		"cron(0 10 ? * 6L *)": 12 / 365.25, "cron(0 10 ? * 2#1 *)": 12 / 365.25, "cron(0 0/6 ? * MON#3 *)": 4 * 12 / 365.25,
		"cron(0 6 1/7 * ? 2026)": 5. / 31,
	} {
		got, err := RunsADay(schedule)
		if err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v %v, want %v", schedule, got, err, want)
		}
	}
	for schedule, says := range map[string]string{
		"": "use rate(5 minutes)", "every hour": "use rate(5 minutes)", "at(2026-11-22T10:00:00)": "use rate", "rate(5 minutes": "use rate",
		"rate(5)": "a number and", "rate(0 hours)": "a number and", "rate(-1 hours)": "a number and", "rate(2 weeks)": "a number and",
		"rate(5 minute)": "use rate(5 minutes)", "rate(1 minutes)": "use rate(1 minute)", "rate(1 days)": "use rate(1 day)",
		"cron(0 6 * *)": "six fields, not 4", "cron(0 6 * * ? * *)": "six fields, not 7",
		"cron(0 6 * * * *)": "one is ?", "cron(0 6 ? * ? *)": "one is ?", "cron(0 6 1 * MON *)": "one is ?",
		"cron(60 6 * * ? *)": `minutes: "60" is none: from 0 to 59`, "cron(0 24 * * ? *)": "hours", "cron(x 6 * * ? *)": "minutes",
		"cron(0 6 0 * ? *)": "day of the month", "cron(0 6 32 * ? *)": "day of the month", "cron(0 6 * 0 ? *)": "month", "cron(0 6 * 13 ? *)": "month",
		"cron(0 6 ? * 0 *)": "day of the week", "cron(0 6 ? * 8 *)": "day of the week", "cron(0 6 ? * MOND *)": "day of the week",
		"cron(0/0 6 * * ? *)": `"0" is no step`, "cron(0/ 6 * * ? *)": "no step", "cron(? 6 * * ? *)": "minutes", "cron(0 6 * ? ? *)": "month",
		"cron(0 6 ? * 2#6 *)": "day of the week", "cron(0 6 ? * 9L *)": "day of the week", "cron(0 6 40W * ? *)": "day of the month", "cron(L 6 * * ? *)": "minutes",
		"cron(0 6 * * ? 1900)": "year", "cron(0 6 * * ? abc)": "year", "cron(0, 6 * * ? *)": "minutes", "cron(5- 6 * * ? *)": "minutes",
	} {
		if got, err := RunsADay(schedule); err == nil || !strings.Contains(err.Error(), "is no schedule: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v %v", schedule, got, err)
		}
	}
}

func FuzzRunsADay(f *testing.F) {
	for _, s := range []string{"rate(5 minutes)", "cron(0 6 * * ? *)", "cron(0,30 22-1 ? JAN/2 MON#2,6L 2026)", "cron(0 6 3W,LW * ? *)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, schedule string) {
		runs, err := RunsADay(schedule)
		if err == nil && (runs <= 0 || runs > 24*60 || math.IsNaN(runs)) {
			t.Errorf("%q runs %v times a day", schedule, runs)
		}
	})
}
