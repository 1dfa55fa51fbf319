package rule_test

import (
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

func login(t *testing.T, at string, edits ...edit) event.Event {
	return call("signin", "ConsoleLogin", append([]edit{resp(success), extra(`{"MFAUsed":"Yes"}`), on(mustDate(t, at))}, edits...)...)
}

func TestOffHoursBounds(t *testing.T) {
	zone := func(tz, start, end string) rule.OffHoursConfig {
		return rule.OffHoursConfig{Timezone: tz, Start: start, End: end}
	}
	office := rule.OffHoursConfig{Start: "20:30", End: "7", WorkDays: []string{"Mon", "Tue", "Wed", "Thu", "Fri"}, Holidays: []string{"2024-06-05"}}
	for _, c := range []struct {
		name string
		cfg  rule.OffHoursConfig
		at   string
		want string // local date of the window's start; "": not off hours
	}{
		{"exactly the start", rule.OffHoursConfig{}, "2024-06-03T22:00:00Z", "2024-06-03"},
		{"a second before the start", rule.OffHoursConfig{}, "2024-06-03T21:59:59Z", ""},
		{"midnight", rule.OffHoursConfig{}, "2024-06-04T00:00:00Z", "2024-06-03"},
		{"a second before the end", rule.OffHoursConfig{}, "2024-06-04T05:59:59Z", "2024-06-03"},
		{"exactly the end", rule.OffHoursConfig{}, "2024-06-04T06:00:00Z", ""},
		{"within a day, start", zone("", "12:00", "13:30"), "2024-06-04T12:00:00Z", "2024-06-04"},
		{"within a day, before the end", zone("", "12:00", "13:30"), "2024-06-04T13:29:59Z", "2024-06-04"},
		{"within a day, end", zone("", "12:00", "13:30"), "2024-06-04T13:30:00Z", ""},
		{"until midnight, last second", zone("", "22", "24"), "2024-06-04T23:59:59Z", "2024-06-04"},
		{"until midnight, midnight", zone("", "22", "24"), "2024-06-05T00:00:00Z", ""},
		{"until midnight as 00:00", zone("", "22", "00:00"), "2024-06-05T00:00:00Z", ""},
		{"from midnight", zone("", "0", "6"), "2024-06-05T00:00:00Z", "2024-06-05"},
		{"all day", zone("", "0", "24"), "2024-06-05T13:00:00Z", "2024-06-05"},
		{"equal bounds: off", zone("", "6", "06:00"), "2024-06-05T03:00:00Z", ""},
		{"another zone, start", zone("America/New_York", "22", "6"), "2024-06-04T02:00:00Z", "2024-06-03"},
		{"another zone, before", zone("America/New_York", "22", "6"), "2024-06-04T01:59:59Z", ""},
		{"half hours", zone("Asia/Kolkata", "22", "6"), "2024-06-04T16:30:00Z", "2024-06-04"},
		{"winter", zone("Europe/Berlin", "22", "6"), "2024-01-15T21:00:00Z", "2024-01-15"},
		{"winter, an hour before", zone("Europe/Berlin", "22", "6"), "2024-01-15T20:30:00Z", ""},
		{"summer", zone("Europe/Berlin", "22", "6"), "2024-06-15T20:00:00Z", "2024-06-15"},
		{"clocks go forward: 01:59:59", zone("Europe/Berlin", "22", "02:30"), "2024-03-31T00:59:59Z", "2024-03-30"},
		{"clocks go forward: 03:00", zone("Europe/Berlin", "22", "02:30"), "2024-03-31T01:00:00Z", ""},
		{"clocks go back: first 02:15", zone("Europe/Berlin", "22", "02:30"), "2024-10-27T00:15:00Z", "2024-10-26"},
		{"clocks go back: second 02:15", zone("Europe/Berlin", "22", "02:30"), "2024-10-27T01:15:00Z", "2024-10-26"},
		{"work day", office, "2024-06-04T12:00:00Z", ""},
		{"Saturday", office, "2024-06-08T12:00:00Z", "2024-06-08"},
		{"the night before Saturday", office, "2024-06-08T03:00:00Z", "2024-06-07"},
		{"Saturday night", office, "2024-06-08T21:00:00Z", "2024-06-08"},
		{"holiday", office, "2024-06-05T12:00:00Z", "2024-06-05"},
		{"day after the holiday", office, "2024-06-06T12:00:00Z", ""},
		{"first of the month", office, "2024-06-01T01:00:00Z", "2024-05-31"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := alerts(engine(t, rule.Config{OffHours: c.cfg}), login(t, c.at))
			if c.want == "" {
				expect(t, got)
				return
			}
			expect(t, got, "off-hours-access low")
			if len(got) == 1 && !strings.Contains(got[0].Detail, "began on "+c.want) {
				t.Errorf("want window %s: %s", c.want, got[0].Detail)
			}
		})
	}
}

func TestOffHoursEvents(t *testing.T) {
	night := on(mustDate(t, "2024-06-03T23:00:00Z"))
	cfg := rule.Config{OffHours: rule.OffHoursConfig{Allow: []string{"deploy*", "arn:aws:iam::*:user/Robot"}}}
	for _, c := range []struct {
		name string
		e    event.Event
		want []string
	}{
		{"login", login(t, "2024-06-03T23:00:00Z"), []string{"off-hours-access low"}},
		{"failed login", login(t, "2024-06-03T23:00:00Z", failed, resp(failure)), nil},
		{"role switch", call("signin", "SwitchRole", night), []string{"off-hours-access low"}},
		{"Identity Center login", call("signin", "UserAuthentication", night), []string{"off-hours-access low"}},
		{"another sign-in step", call("signin", "CredentialChallenge", night), nil},
		{"write", call("iam", "TagUser", night), []string{"off-hours-access medium"}},
		{"Identity Center write", call("identitystore", "CreateGroup", night), []string{"off-hours-access medium"}},
		{"write that a rule reports", call("iam", "CreateUser", night, req(`{"userName":"b"}`)), []string{"iam-user-created high", "off-hours-access high"}},
		{"attach that proves nothing yet", call("iam", "AttachRolePolicy", night, req(`{"roleName":"r","policyArn":"`+customer+`"}`)), []string{"off-hours-access medium"}},
		{"denied write", call("iam", "TagUser", night, denied), nil},
		{"read", call("iam", "ListUsers", night), nil},
		{"unknown whether read", call("iam", "TagUser", night, func(e *event.Event) { e.ReadOnly = nil }), nil},
		{"other service", call("ec2", "RunInstances", night), nil},
		{"AWS service", call("iam", "TagUser", night, func(e *event.Event) { e.IdentityType = "AWSService" }), nil},
		{"invoked by a service", call("iam", "TagUser", night, func(e *event.Event) { e.InvokedBy = "cloudformation.amazonaws.com" }), nil},
		{"from inside AWS", call("iam", "TagUser", night, func(e *event.Event) { e.SourceIP = "AWS Internal" }), nil},
		{"allowed role", call("iam", "TagUser", night, session("DeployRole", "x")), nil},
		{"allowed user", call("iam", "TagUser", night, user("robot")), nil},
		{"not quite the allowed user", call("iam", "TagUser", night, user("robot2")), []string{"off-hours-access medium"}},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, alerts(engine(t, cfg), c.e), c.want...) })
	}
}

func TestOffHoursOneAlertANight(t *testing.T) {
	en := engine(t, rule.Config{})
	var events []event.Event
	for i, at := range []string{"2024-06-03T22:00:00Z", "2024-06-04T05:00:00Z", "2024-06-03T23:00:00Z", "2024-06-04T23:00:00Z"} {
		events = append(events, call("iam", "TagUser", id(string(rune('a'+i))), on(mustDate(t, at))))
	}
	events = append(events, call("iam", "TagUser", id("bob"), user("bob"), on(mustDate(t, "2024-06-03T22:30:00Z"))),
		call("iam", "TagUser", id("s1"), session("Admin", "carol"), on(mustDate(t, "2024-06-03T22:30:00Z"))),
		call("iam", "TagUser", id("s2"), session("Admin", "dave"), on(mustDate(t, "2024-06-03T22:30:00Z"))))
	got := alerts(en, events...)
	expect(t, got, "off-hours-access medium", "off-hours-access medium", "off-hours-access medium", "off-hours-access medium", "off-hours-access medium")
	for _, a := range got {
		if a.EventID == "a" && (len(a.Events) != 3 || a.Events[1].EventID != "c" || a.Events[2].EventID != "b") {
			t.Errorf("events %+v", a.Events)
		}
	}
	// An earlier event that arrives later moves the alert's event, not its id.
	late := alerts(en, events[1])
	both := alerts(en, events[1], events[0])
	if len(late) != 1 || len(both) != 1 || late[0].ID != both[0].ID || both[0].EventID != "a" {
		t.Errorf("%+v\n%+v", late, both)
	}
}
