// Package config holds every setting of the program in one struct, and reads
// it: flags before environment before the file iamtrack.yaml before defaults.
// The comments of Config's fields are the reference; `iamtrack config` prints
// what is in force, and from where.
//
// A setting is parsed and checked once, here; what is wrong is an *Error with
// the setting, the value, where it came from and what is allowed. Unknown keys
// in the file are errors, never ignored. The package opens nothing but that one
// file, and inner packages get values, not the struct.
package config

import (
	"slices"
	"time"
)

// Config is what is in force. Every setting has a key for iamtrack.yaml, which
// in capitals after "IAMTRACK_" is its environment variable; where the earlier
// IAM Activity Tracker had a name for it, that works too (IAMTRACK_… wins).
// Lists are separated by commas, or YAML lists. The zero value isn't usable:
// see Load.
type Config struct {
	// DataDir (data_dir, IAMTRACK_DATA_DIR, --data-dir) is the folder with
	// everything that is stored. Default: "iamtrack" in the user's data folder:
	// $XDG_DATA_HOME, else ~/.local/share; ~/Library/Application Support on
	// macOS; %LocalAppData% on Windows.
	DataDir string
	// Format (format, IAMTRACK_FORMAT, --format) is how answers are printed:
	// table, json, csv or markdown. Default: table.
	Format string
	// Zone (tz, IAMTRACK_TZ, --tz) is the zone in which times are shown, and in
	// which dates without a zone are read: an IANA name, UTC or Local.
	// Default: UTC.
	Zone *time.Location
	// OffHoursStart and OffHoursEnd (off_hours_start, off_hours_end,
	// IAMTRACK_OFF_HOURS_START or OFF_HOURS_START, …) bound the hours in which
	// nobody is expected to work: from start, inclusive, to end, exclusive, over
	// midnight when start is the later one; equal bounds switch it off. HH or
	// HH:MM in OffHoursZone, here as minutes after midnight. Default: 22:00 to
	// 06:00.
	OffHoursStart, OffHoursEnd int
	// OffHoursZone (off_hours_tz) is the zone of the off hours: an IANA name or
	// UTC. Default: tz, as far as it comes from environment or file; --tz
	// changes only what is shown, never which alerts there are.
	OffHoursZone *time.Location
	// WorkDays (work_days) are the days that have hours which aren't off, by
	// time.Weekday; the other days are off as a whole. Names and ranges, such
	// as mon-fri,sun. Default: mon-sun.
	WorkDays [7]bool
	// Holidays (holidays) are dates, YYYY-MM-DD, that are off as a whole.
	// Default: none.
	Holidays []string
	// OffHoursAllow (off_hours_allow) are actors that may work at any hour:
	// display names, ARNs or role names; * and ? are wildcards. Default: none.
	OffHoursAllow []string
	// FilteredRoles (filtered_roles, FILTERED_ROLES) are roles whose
	// assumption and sessions are noise: names, patterns with *, or ARNs; case
	// is ignored. Default: none.
	FilteredRoles []string
	// FilterServiceEvents (filter_aws_service_events, FILTER_AWS_SERVICE_EVENTS)
	// drops, and counts, what AWS services do on their own behalf: true or
	// false. Default: true.
	FilterServiceEvents bool
	// Sources (sources, --sources) narrows what an import keeps to events of
	// these services, as in eventSource, with or without ".amazonaws.com"; * is
	// a wildcard, and sso stands for the services of that category. Default: all.
	Sources []string
	// ManagementOnly (management_only, --management-only) leaves data events
	// out of an import: true or false. Default: false.
	ManagementOnly bool
	// HotDays (hot_days) is how many days the hot store keeps events, besides
	// the lake; 1 to 3650. Default: 90.
	HotDays int
	// LakeDays (lake_days) is how many days the lake keeps; 0 means for ever.
	// Default: 0.
	LakeDays int
	// TrustedAccounts (trusted_accounts) are account ids (12 digits) that roles
	// may trust without an alert. Default: none.
	TrustedAccounts []string
	// OrganizationAccounts (organization_accounts) are the account ids of the
	// own organization. Default: none.
	OrganizationAccounts []string
	// ManagementAccountID (management_account_id) is the account id of the
	// organization's management account. Default: none.
	ManagementAccountID string
	// AdminPolicies (admin_policies) are names of managed policies that make
	// an administrator, in addition to those that the rules know. Default: none.
	AdminPolicies []string
	// RequireBoundary (require_boundary) says that every new user must have a
	// permissions boundary: true or false. Default: false.
	RequireBoundary bool
	// DisabledRules (disabled_rules) are ids of rules to leave out; see
	// `iamtrack rules list`. Default: none.
	DisabledRules []string
	// LogLevel (log_level, LOG_LEVEL) is how much is said on standard error:
	// error, warning, info or debug. --quiet is error. Default: info.
	LogLevel string
	// MemoryLimit (memory_limit) bounds what an import or an answer may hold in
	// memory, in bytes: a number with B, KB, MB, GB, KiB, MiB or GiB; at least
	// 128 MiB. Default: 512MiB.
	MemoryLimit int64
	// QueriesDir (queries_dir, --queries) is a folder with the user's own
	// queries (*.sql). Default: none.
	QueriesDir string
	// Stack (stack, --stack) is the stack in AWS that commands work on; "" for the
	// data directory.
	Stack string
	// AWSProfile (aws_profile, --profile) is the profile of ~/.aws/config whose
	// credentials are used. Default: the AWS SDK's way: environment, AWS_PROFILE,
	// the default profile, the machine's role.
	AWSProfile string
	// AWSRegion (aws_region, IAMTRACK_AWS_REGION) is where AWS is asked what isn't
	// regional. Default: AWS_REGION, the profile's region, else us-east-1.
	AWSRegion string
	// EndpointURL (endpoint_url, --endpoint-url) replaces AWS for every service
	// and region, such as with `iamtrack simulate`. Default: AWS itself, or
	// AWS_ENDPOINT_URL.
	EndpointURL string
	// Regions (regions, --regions) are the regions to read from. Default: all that
	// are enabled in the account.
	Regions []string
	// SSORegion (sso_region, SSO_REGION) is the region of IAM Identity Center, whose
	// events are read there. Default: none, which means that each region is asked
	// whether it is the one.
	SSORegion string
	// MaxWorkers (max_workers, MAX_WORKERS) is how many regions are read at once, of
	// all accounts together; 1 to 32. Default: 32.
	MaxWorkers int
	// RequestRate (request_rate, IAMTRACK_REQUEST_RATE) is how many LookupEvents
	// requests a second a collection may send in each account and region. Less
	// leaves more of CloudTrail's quota to others; more is for a simulated account
	// only. Default: 2, which is the quota.
	RequestRate float64
	// AccountsFile (accounts_file, --accounts) is a YAML file with the accounts to
	// read from; see `iamtrack collect --help`. Default: none, which means the
	// account of the credentials.
	AccountsFile string
	// IdentitiesFile (identities_file, IAMTRACK_IDENTITIES_FILE) names users of
	// Identity Center; see lineage.ReadNames. Default: none, which means the names
	// that events show.
	IdentitiesFile string
	// Organization (organization, --organization) reads from all accounts of the
	// AWS organization: true or false. Default: false.
	Organization bool
	// OrganizationRole (organization_role) is the name of the role that is assumed
	// in each account of the organization; a path before it, such as audit/reader,
	// counts. Default: OrganizationAccountAccessRole.
	OrganizationRole string
	// Channels (channels) are where alerts are sent: in the file a YAML list, in
	// the environment the same as one text; see docs/alerts.md. Default: none.
	Channels []Channel
	// AlertHorizon (alert_horizon) is how old an event may be when it is first
	// seen, to be told of by itself; older ones are told of in one digest a run. A
	// number with h, or whole days with d; 1h to 90d. Default: 24h.
	AlertHorizon time.Duration
	// DailySummary (daily_summary) is when a summary of the day is sent, in minutes
	// after midnight in tz; -1: never. HH, HH:MM or off. Default: off.
	DailySummary int

	// File is the settings file that was read; empty when there is none.
	File string

	origins map[string]string // by key
}

// Setting is one line of `iamtrack config`.
type Setting struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Origin  string `json:"origin"` // "default", "flag --tz", "environment TZ", "FILE:LINE"
	Env     string `json:"env"`
	Allowed string `json:"allowed"`
	Meaning string `json:"meaning"`
}

// Settings lists what is in force, in the order of the struct.
func (c *Config) Settings() []Setting {
	list := make([]Setting, 0, len(definitions))
	for _, d := range definitions {
		list = append(list, Setting{
			Key: d.key, Value: d.get(c), Origin: c.origins[d.key],
			Env: d.envNames()[0], Allowed: d.allowed, Meaning: d.meaning,
		})
	}
	return list
}

// Origin tells where the setting of that key comes from; empty for an unknown
// key.
func (c *Config) Origin(key string) string { return c.origins[key] }

// Keys lists the keys of all settings, sorted.
func Keys() []string {
	keys := make([]string, 0, len(definitions))
	for _, d := range definitions {
		keys = append(keys, d.key)
	}
	slices.Sort(keys)
	return keys
}
