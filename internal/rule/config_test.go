package rule_test

import (
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/rule"
)

func TestConfigErrorsNameTheSetting(t *testing.T) {
	off := func(o rule.OffHoursConfig) rule.Config { return rule.Config{OffHours: o} }
	for _, c := range []struct {
		cfg  rule.Config
		want string
	}{
		{off(rule.OffHoursConfig{Timezone: "Mars/Olympus"}), "off_hours_tz"},
		{off(rule.OffHoursConfig{Timezone: "Local"}), "off_hours_tz"},
		{off(rule.OffHoursConfig{Start: "24"}), "off_hours_start"},
		{off(rule.OffHoursConfig{Start: "22:60"}), "off_hours_start"},
		{off(rule.OffHoursConfig{Start: "-1"}), "off_hours_start"},
		{off(rule.OffHoursConfig{End: "six"}), "off_hours_end"},
		{off(rule.OffHoursConfig{End: "24:01"}), "off_hours_end"},
		{off(rule.OffHoursConfig{End: "6:0"}), "off_hours_end"},
		{off(rule.OffHoursConfig{WorkDays: []string{"Monday", "Mo"}}), "work_days"},
		{off(rule.OffHoursConfig{Holidays: []string{"24.12.2026"}}), "holidays"},
		{rule.Config{TrustedAccounts: []string{"12345678901"}}, "trusted_accounts"},
		{rule.Config{OrganizationAccounts: []string{"o-1234567890"}}, "organization_accounts"},
		{rule.Config{ManagementAccountID: "root"}, "management_account_id"},
		{rule.Config{AdminPolicies: []string{"arn:aws:iam::123:role/x"}}, "admin_policies"},
		{rule.Config{Disabled: []string{"no-such-rule"}}, "disabled_rules"},
	} {
		if _, err := rule.NewEngine(c.cfg); err == nil || !strings.HasPrefix(err.Error(), c.want+": ") {
			t.Errorf("%+v: error %v, want one that begins with %q", c.cfg, err, c.want)
		}
	}
	engine(t, rule.Config{
		OffHours:        rule.OffHoursConfig{Timezone: "Europe/Berlin", Start: "20", End: "24:00", WorkDays: []string{"mon", "FRIDAY", ""}, Holidays: []string{"", "2026-12-25"}},
		TrustedAccounts: []string{" 000011112222 ", ""}, AdminPolicies: []string{"", "Ops", "arn:aws-cn:iam::123456789012:policy/a/b"},
		Disabled: []string{"off-hours-access", "iam-mfa-device-removed-attempt"},
	})
}

func TestDisabledRules(t *testing.T) {
	deactivate := call("iam", "DeactivateMFADevice", req(`{"userName":"bob","serialNumber":"s"}`))
	tried := call("iam", "DeactivateMFADevice", denied, req(`{"userName":"bob","serialNumber":"s"}`))
	cfg := quiet
	cfg.Disabled = []string{"iam-mfa-device-removed"}
	en := engine(t, cfg)
	expect(t, alerts(en, deactivate))
	expect(t, alerts(en, tried))
	for _, r := range en.Rules() {
		if strings.HasPrefix(r.ID, "iam-mfa-device-removed") {
			t.Errorf("%s is still listed", r.ID)
		}
	}
	cfg.Disabled = []string{"iam-mfa-device-removed-attempt"}
	expect(t, alerts(engine(t, cfg), deactivate), "iam-mfa-device-removed critical")
	expect(t, alerts(engine(t, cfg), tried))
	cfg.Disabled = []string{"root-api-activity", "iam-logging-evasion", "off-hours-access"}
	cfg.OffHours = rule.OffHoursConfig{}
	night := call("s3", "PutBucketPolicy", root, after(11*hours))
	expect(t, alerts(engine(t, cfg), night))
}
