package config

import (
	"github.com/iamtrack/iamtrack/internal/rule"
)

// RuleConfig is what the rules need to know.
func (c *Config) RuleConfig() rule.Config {
	off := rule.OffHoursConfig{
		Timezone: c.OffHoursZone.String(),
		Start:    clockText(c.OffHoursStart), End: clockText(c.OffHoursEnd),
		Holidays: c.Holidays, Allow: c.OffHoursAllow,
	}
	for i, name := range dayNames {
		if c.WorkDays[weekday(i)] {
			off.WorkDays = append(off.WorkDays, name)
		}
	}
	return rule.Config{
		OffHours:             off,
		TrustedAccounts:      c.TrustedAccounts,
		OrganizationAccounts: c.OrganizationAccounts,
		ManagementAccountID:  c.ManagementAccountID,
		AdminPolicies:        c.AdminPolicies,
		RequireBoundary:      c.RequireBoundary,
		Disabled:             c.DisabledRules,
	}
}

// OffHours returns the bounds as HH:MM, for queries.
func (c *Config) OffHours() (start, end string) {
	return clockText(c.OffHoursStart), clockText(c.OffHoursEnd)
}
