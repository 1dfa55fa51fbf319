package config

import (
	"strings"

	"github.com/iamtrack/iamtrack/internal/filter"
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

// FilterConfig is what the filter needs to know.
func (c *Config) FilterConfig() filter.Config {
	var sources []string
	for _, s := range c.Sources {
		if strings.EqualFold(s, "sso") { // the category; its services have several names
			sources = append(sources, "sso", "sso-directory", "sso-oauth", "identitystore")
			continue
		}
		sources = append(sources, s)
	}
	return filter.Config{
		ServiceEvents: c.FilterServiceEvents, Roles: c.FilteredRoles,
		Sources: sources, ManagementOnly: c.ManagementOnly,
	}
}

// OffHours returns the bounds as HH:MM, for queries.
func (c *Config) OffHours() (start, end string) {
	return clockText(c.OffHoursStart), clockText(c.OffHoursEnd)
}
