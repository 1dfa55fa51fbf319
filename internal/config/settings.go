package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/filter"
)

// definition is how one setting is read and printed. set stores a value or says
// that it isn't allowed; what is allowed is said by the definition.
type definition struct {
	key     string
	legacy  string // environment name of the earlier tool
	flag    string // without dashes
	deflt   string
	allowed string
	meaning string
	path    bool // a path: relative to the file that names it
	set     func(c *Config, v string) bool
	// parse, instead of set, says what is wrong itself.
	parse func(c *Config, v value) error
	get   func(c *Config) string
}

// envNames lists the variables of the setting; the first that is set counts.
func (d *definition) envNames() []string {
	names := []string{"IAMTRACK_" + strings.ToUpper(d.key)}
	if d.legacy != "" {
		names = append(names, d.legacy)
	}
	return names
}

// filters says whether the event filter takes a configuration.
func filters(c filter.Config) bool {
	_, err := filter.New(c)
	return err == nil
}

// stackName is the form of a stack's name.
//
// Source: AWS CloudFormation API Reference, "CreateStack", StackName.
var stackName = regexp.MustCompile(`^[A-Za-z][-A-Za-z0-9]{0,127}$`)

var definitions = []definition{
	{
		key: "data_dir", flag: "data-dir", path: true,
		allowed: "a folder", meaning: "folder with everything that is stored",
		set: func(c *Config, v string) bool { c.DataDir = v; return v != "" },
		get: func(c *Config) string { return c.DataDir },
	}, {
		key: "format", flag: "format", deflt: "table",
		allowed: "table, json, csv or markdown", meaning: "how answers are printed",
		set: func(c *Config, v string) bool {
			c.Format = strings.ToLower(v)
			switch c.Format {
			case "table", "json", "csv", "markdown":
				return true
			}
			return false
		},
		get: func(c *Config) string { return c.Format },
	}, {
		key: "tz", flag: "tz", deflt: "UTC",
		allowed: "an IANA zone name such as Europe/Berlin, UTC or Local", meaning: "zone in which times are shown and dates are read",
		set: func(c *Config, v string) (ok bool) { c.Zone, ok = parseZone(v); return ok },
		get: func(c *Config) string { return c.Zone.String() },
	}, {
		key: "off_hours_start", legacy: "OFF_HOURS_START", deflt: "22:00",
		allowed: "HH or HH:MM, 00:00 to 23:59", meaning: "first minute of the off hours",
		set: func(c *Config, v string) (ok bool) { c.OffHoursStart, ok = parseClock(v); return ok },
		get: func(c *Config) string { return clockText(c.OffHoursStart) },
	}, {
		key: "off_hours_end", legacy: "OFF_HOURS_END", deflt: "06:00",
		allowed: "HH or HH:MM, 00:00 to 23:59", meaning: "first minute after the off hours",
		set: func(c *Config, v string) (ok bool) { c.OffHoursEnd, ok = parseClock(v); return ok },
		get: func(c *Config) string { return clockText(c.OffHoursEnd) },
	}, {
		key:     "off_hours_tz", // default: see Load
		allowed: "an IANA zone name such as Europe/Berlin, or UTC", meaning: "zone of the off hours",
		set: func(c *Config, v string) (ok bool) {
			c.OffHoursZone, ok = parseZone(v)
			// Which alerts there are must not depend on the machine.
			return ok && c.OffHoursZone != time.Local
		},
		get: func(c *Config) string { return c.OffHoursZone.String() },
	}, {
		key: "work_days", deflt: "mon-sun",
		allowed: "days and ranges such as mon-fri,sun", meaning: "days that aren't off as a whole",
		set: func(c *Config, v string) (ok bool) { c.WorkDays, ok = parseDays(v); return ok },
		get: func(c *Config) string { return daysText(c.WorkDays) },
	}, {
		key:     "holidays",
		allowed: "dates, YYYY-MM-DD", meaning: "dates that are off as a whole",
		set: func(c *Config, v string) (ok bool) { c.Holidays, ok = parseDates(v); return ok },
		get: func(c *Config) string { return strings.Join(c.Holidays, ",") },
	}, {
		key:     "off_hours_allow",
		allowed: "display names, ARNs or role names, with * and ?", meaning: "actors that may work at any hour",
		set: func(c *Config, v string) bool { c.OffHoursAllow = parseList(v); return true },
		get: func(c *Config) string { return strings.Join(c.OffHoursAllow, ",") },
	}, {
		key: "filtered_roles", legacy: "FILTERED_ROLES",
		allowed: "role names, patterns with *, or role ARNs", meaning: "roles whose assumption and sessions are noise",
		set: func(c *Config, v string) bool {
			c.FilteredRoles = parseList(v)
			return filters(filter.Config{Roles: c.FilteredRoles})
		},
		get: func(c *Config) string { return strings.Join(c.FilteredRoles, ",") },
	}, {
		key: "filter_aws_service_events", legacy: "FILTER_AWS_SERVICE_EVENTS", deflt: "true",
		allowed: "true or false", meaning: "drop, and count, what AWS services do on their own behalf",
		set: func(c *Config, v string) (ok bool) { c.FilterServiceEvents, ok = parseBool(v); return ok },
		get: func(c *Config) string { return strconv.FormatBool(c.FilterServiceEvents) },
	}, {
		key: "sources", flag: "sources",
		allowed: "services as in eventSource, such as iam,sts,signin,sso", meaning: "what an import keeps; all when empty",
		set: func(c *Config, v string) bool {
			c.Sources = parseList(v)
			return filters(filter.Config{Sources: c.Sources})
		},
		get: func(c *Config) string { return strings.Join(c.Sources, ",") },
	}, {
		key: "management_only", flag: "management-only", deflt: "false",
		allowed: "true or false", meaning: "leave data events out of an import",
		set: func(c *Config, v string) (ok bool) { c.ManagementOnly, ok = parseBool(v); return ok },
		get: func(c *Config) string { return strconv.FormatBool(c.ManagementOnly) },
	}, {
		key: "hot_days", deflt: "90",
		allowed: "a number of days, 1 to 3650", meaning: "days that the hot store keeps",
		set: func(c *Config, v string) (ok bool) { c.HotDays, ok = parseInt(v, 1, 3650); return ok },
		get: func(c *Config) string { return strconv.Itoa(c.HotDays) },
	}, {
		key: "lake_days", deflt: "0",
		allowed: "a number of days, or 0 for ever", meaning: "days that the lake keeps",
		set: func(c *Config, v string) (ok bool) { c.LakeDays, ok = parseInt(v, 0, 36500); return ok },
		get: func(c *Config) string { return strconv.Itoa(c.LakeDays) },
	}, {
		key:     "trusted_accounts",
		allowed: "account ids of 12 digits", meaning: "accounts that roles may trust",
		set: func(c *Config, v string) (ok bool) { c.TrustedAccounts, ok = parseAccounts(v); return ok },
		get: func(c *Config) string { return strings.Join(c.TrustedAccounts, ",") },
	}, {
		key:     "organization_accounts",
		allowed: "account ids of 12 digits", meaning: "accounts of the own organization",
		set: func(c *Config, v string) (ok bool) { c.OrganizationAccounts, ok = parseAccounts(v); return ok },
		get: func(c *Config) string { return strings.Join(c.OrganizationAccounts, ",") },
	}, {
		key:     "management_account_id",
		allowed: "an account id of 12 digits", meaning: "the organization's management account",
		set: func(c *Config, v string) bool {
			c.ManagementAccountID = v
			return v == "" || isAccount(v)
		},
		get: func(c *Config) string { return c.ManagementAccountID },
	}, {
		key:     "admin_policies",
		allowed: "names of managed policies", meaning: "policies that make an administrator, besides the known ones",
		set: func(c *Config, v string) bool { c.AdminPolicies = parseList(v); return true },
		get: func(c *Config) string { return strings.Join(c.AdminPolicies, ",") },
	}, {
		key: "require_boundary", deflt: "false",
		allowed: "true or false", meaning: "every new user must have a permissions boundary",
		set: func(c *Config, v string) (ok bool) { c.RequireBoundary, ok = parseBool(v); return ok },
		get: func(c *Config) string { return strconv.FormatBool(c.RequireBoundary) },
	}, {
		key:     "disabled_rules",
		allowed: "ids of rules, see `iamtrack rules list`", meaning: "rules that are left out",
		set: func(c *Config, v string) bool { c.DisabledRules = parseList(v); return true },
		get: func(c *Config) string { return strings.Join(c.DisabledRules, ",") },
	}, {
		key: "log_level", legacy: "LOG_LEVEL", deflt: "info",
		allowed: "error, warning, info or debug", meaning: "how much is said on standard error",
		set: func(c *Config, v string) bool {
			c.LogLevel = strings.ToLower(v)
			switch c.LogLevel {
			case "warn":
				c.LogLevel = "warning"
			case "critical": // the earlier tool's least talkative level
				c.LogLevel = "error"
			case "error", "warning", "info", "debug":
			default:
				return false
			}
			return true
		},
		get: func(c *Config) string { return c.LogLevel },
	}, {
		key: "memory_limit", deflt: "512MiB",
		allowed: "a size such as 512MiB or 2GB, at least 128MiB", meaning: "what an import or an answer may hold in memory",
		set: func(c *Config, v string) (ok bool) {
			c.MemoryLimit, ok = parseSize(v)
			return ok && c.MemoryLimit >= 128<<20
		},
		get: func(c *Config) string { return sizeText(c.MemoryLimit) },
	}, {
		key: "queries_dir", flag: "queries", path: true,
		allowed: "a folder", meaning: "folder with the user's own queries",
		set: func(c *Config, v string) bool { c.QueriesDir = v; return true },
		get: func(c *Config) string { return c.QueriesDir },
	}, {
		key: "aws_profile", flag: "profile",
		allowed: "a profile of ~/.aws/config", meaning: "whose AWS credentials are used",
		set: func(c *Config, v string) bool { c.AWSProfile = v; return true },
		get: func(c *Config) string { return c.AWSProfile },
	}, {
		key: "stack", flag: "stack",
		allowed: "the name of a CloudFormation stack", meaning: "stack in AWS whose data is asked, instead of the data directory's",
		set: func(c *Config, v string) bool { c.Stack = v; return v == "" || stackName.MatchString(v) },
		get: func(c *Config) string { return c.Stack },
	}, {
		key: "aws_region", flag: "aws-region",
		allowed: "an AWS region such as eu-west-3", meaning: "where AWS is asked what isn't regional",
		set: func(c *Config, v string) bool { c.AWSRegion = v; return v == "" || isRegion(v) },
		get: func(c *Config) string { return c.AWSRegion },
	}, {
		key: "endpoint_url", flag: "endpoint-url",
		allowed: "an http or https URL without a password", meaning: "what is asked instead of AWS",
		set: func(c *Config, v string) bool { c.EndpointURL = v; return v == "" || isURL(v) },
		get: func(c *Config) string { return c.EndpointURL },
	}, {
		key: "regions", flag: "regions",
		allowed: "AWS regions such as eu-west-3,us-east-1", meaning: "regions to read from; all enabled ones when empty",
		set: func(c *Config, v string) bool {
			c.Regions = parseList(v)
			return !slices.ContainsFunc(c.Regions, func(r string) bool { return !isRegion(r) })
		},
		get: func(c *Config) string { return strings.Join(c.Regions, ",") },
	}, {
		key: "sso_region", legacy: "SSO_REGION",
		allowed: "an AWS region such as eu-central-1", meaning: "the region of IAM Identity Center; found by asking when empty",
		set: func(c *Config, v string) bool { c.SSORegion = v; return v == "" || isRegion(v) },
		get: func(c *Config) string { return c.SSORegion },
	}, {
		key: "max_workers", legacy: "MAX_WORKERS", deflt: "32",
		allowed: "a number from 1 to 32", meaning: "regions that are read at once",
		set: func(c *Config, v string) (ok bool) { c.MaxWorkers, ok = parseInt(v, 1, 32); return ok },
		get: func(c *Config) string { return strconv.Itoa(c.MaxWorkers) },
	}, {
		key: "request_rate", deflt: "2",
		allowed: "a number from 0.1 to 10000", meaning: "LookupEvents requests a second in each account and region",
		set: func(c *Config, v string) bool {
			var err error
			c.RequestRate, err = strconv.ParseFloat(v, 64)
			return err == nil && c.RequestRate >= 0.1 && c.RequestRate <= 10000
		},
		get: func(c *Config) string { return strconv.FormatFloat(c.RequestRate, 'f', -1, 64) },
	}, {
		key: "accounts_file", flag: "accounts", path: true,
		allowed: "a YAML file", meaning: "accounts to read from, and the roles to assume there",
		set: func(c *Config, v string) bool { c.AccountsFile = v; return true },
		get: func(c *Config) string { return c.AccountsFile },
	}, {
		key: "identities_file", path: true,
		allowed: "a CSV or JSON file", meaning: "names of Identity Center's users, by identity store and user id",
		set: func(c *Config, v string) bool { c.IdentitiesFile = v; return true },
		get: func(c *Config) string { return c.IdentitiesFile },
	}, {
		key: "organization", flag: "organization", deflt: "false",
		allowed: "true or false", meaning: "read from all accounts of the AWS organization",
		set: func(c *Config, v string) (ok bool) { c.Organization, ok = parseBool(v); return ok },
		get: func(c *Config) string { return strconv.FormatBool(c.Organization) },
	}, {
		key: "organization_role", deflt: "OrganizationAccountAccessRole",
		allowed: "a role name, with its path", meaning: "role to assume in each account of the organization",
		set: func(c *Config, v string) bool {
			c.OrganizationRole = strings.Trim(v, "/")
			return roleName().MatchString(c.OrganizationRole)
		},
		get: func(c *Config) string { return c.OrganizationRole },
	}, {
		key:     "channels",
		allowed: "a YAML list: see docs/alerts.md", meaning: "where alerts are sent",
		parse: func(c *Config, v value) (err error) { c.Channels, err = parseChannels(v); return err },
		get:   func(c *Config) string { return channelsText(c.Channels) },
	}, {
		key: "alert_horizon", deflt: "24h",
		allowed: "a time such as 24h or 3d, 1h to 90d", meaning: "older events, when first seen, are told of in a digest only",
		set: func(c *Config, v string) (ok bool) {
			c.AlertHorizon, ok = parseDuration(v)
			return ok && c.AlertHorizon >= time.Hour && c.AlertHorizon <= 90*24*time.Hour
		},
		get: func(c *Config) string { return durationText(c.AlertHorizon) },
	}, {
		key: "daily_summary", deflt: "off",
		allowed: "HH or HH:MM in tz, or off", meaning: "when a summary of the day is sent to the channels",
		set: func(c *Config, v string) (ok bool) {
			if c.DailySummary = -1; strings.EqualFold(v, "off") {
				return true
			}
			c.DailySummary, ok = parseClock(v)
			return ok
		},
		get: func(c *Config) string {
			if c.DailySummary < 0 {
				return "off"
			}
			return clockText(c.DailySummary)
		},
	},
}
