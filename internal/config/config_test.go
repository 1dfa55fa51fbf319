package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/rule"
)

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// dir makes a data directory with that settings file.
func dir(t *testing.T, yaml string) string {
	t.Helper()
	d := t.TempDir()
	if err := os.WriteFile(filepath.Join(d, config.FileName), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func load(t *testing.T, in config.Input) config.Config {
	t.Helper()
	if in.LookupEnv == nil {
		in.LookupEnv = env()
	}
	c, err := config.Load(in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := load(t, config.Input{LookupEnv: env("XDG_DATA_HOME", "/data", "HOME", "/home/x", "LocalAppData", `C:\data`)})
	if c.OffHoursStart != 22*60 || c.OffHoursEnd != 6*60 || c.Zone != time.UTC || c.OffHoursZone != time.UTC {
		t.Errorf("off hours %d to %d, zones %s, %s", c.OffHoursStart, c.OffHoursEnd, c.Zone, c.OffHoursZone)
	}
	if c.WorkDays != [7]bool{true, true, true, true, true, true, true} {
		t.Errorf("work days %v", c.WorkDays)
	}
	if c.HotDays != 90 || c.LakeDays != 0 || !c.FilterServiceEvents || c.MemoryLimit != 512<<20 || c.Format != "table" {
		t.Errorf("got %+v", c)
	}
	for _, s := range c.Settings() {
		if s.Origin != "default" {
			t.Errorf("%s comes from %q", s.Key, s.Origin)
		}
		if s.Allowed == "" || s.Meaning == "" || !strings.HasPrefix(s.Env, "IAMTRACK_") {
			t.Errorf("%s isn't described: %+v", s.Key, s)
		}
	}
}

// Each source beats those below it, and the origin tells which it was.
func TestPrecedence(t *testing.T) {
	d := dir(t, "# comment\nhot_days: 1\n")
	flagged := func(flag bool, variables ...string) (int, string) {
		in := config.Input{LookupEnv: env(variables...), Flags: map[string]string{"data-dir": d}}
		if flag {
			in.Flags["tz"] = "Asia/Tokyo"
		}
		c := load(t, in)
		return c.HotDays, c.Origin("hot_days")
	}
	if n, from := flagged(false); n != 1 || from != filepath.Join(d, config.FileName)+":2" {
		t.Errorf("file: %d from %s", n, from)
	}
	if n, from := flagged(false, "IAMTRACK_HOT_DAYS", "2"); n != 2 || from != "environment IAMTRACK_HOT_DAYS" {
		t.Errorf("environment: %d from %s", n, from)
	}
	if n, _ := flagged(false, "IAMTRACK_HOT_DAYS", ""); n != 1 {
		t.Errorf("an empty variable counts: %d", n)
	}

	c := load(t, config.Input{
		LookupEnv: env("IAMTRACK_TZ", "Europe/Berlin"),
		Flags:     map[string]string{"data-dir": d, "tz": "Asia/Tokyo"},
	})
	if c.Zone.String() != "Asia/Tokyo" || c.Origin("tz") != "flag --tz" {
		t.Errorf("tz %s from %s", c.Zone, c.Origin("tz"))
	}
	// --tz must not change which alerts there are.
	if c.OffHoursZone.String() != "Europe/Berlin" || c.Origin("off_hours_tz") != "tz, environment IAMTRACK_TZ" {
		t.Errorf("off_hours_tz %s from %s", c.OffHoursZone, c.Origin("off_hours_tz"))
	}
}

// The names of the earlier tool work; ours win.
func TestEarlierNames(t *testing.T) {
	c := load(t, config.Input{LookupEnv: env("HOME", "/h", "LocalAppData", `C:\h`,
		"OFF_HOURS_START", "20", "OFF_HOURS_END", "7", "FILTERED_ROLES", "PrismaCloud*, *Scanner*,arn:aws:iam::123456789012:role/X",
		"FILTER_AWS_SERVICE_EVENTS", "false", "LOG_LEVEL", "WARNING", "IAMTRACK_OFF_HOURS_END", "08:30")})
	if c.OffHoursStart != 20*60 || c.OffHoursEnd != 8*60+30 {
		t.Errorf("off hours %d to %d", c.OffHoursStart, c.OffHoursEnd)
	}
	if diff := cmp.Diff([]string{"PrismaCloud*", "*Scanner*", "arn:aws:iam::123456789012:role/X"}, c.FilteredRoles); diff != "" {
		t.Error(diff)
	}
	if c.FilterServiceEvents || c.LogLevel != "warning" {
		t.Errorf("service filter %v, log level %s", c.FilterServiceEvents, c.LogLevel)
	}
}

func TestFile(t *testing.T) {
	d := dir(t, `
tz: Europe/Berlin
off_hours_start: 22:30
off_hours_end: 6
work_days: [mon-thu, fri]
holidays:
  - 2026-12-25
  - 2026-12-26
trusted_accounts: 012345678901, 123456789012
queries_dir: mine
memory_limit: 1GiB
lake_days:
`)
	c := load(t, config.Input{Flags: map[string]string{"data-dir": d}})
	if c.OffHoursStart != 22*60+30 || c.OffHoursEnd != 6*60 || c.OffHoursZone.String() != "Europe/Berlin" {
		t.Errorf("off hours %d to %d in %s", c.OffHoursStart, c.OffHoursEnd, c.OffHoursZone)
	}
	if c.WorkDays != [7]bool{time.Monday: true, time.Tuesday: true, time.Wednesday: true, time.Thursday: true, time.Friday: true} {
		t.Errorf("work days %v", c.WorkDays)
	}
	if diff := cmp.Diff([]string{"2026-12-25", "2026-12-26"}, c.Holidays); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"012345678901", "123456789012"}, c.TrustedAccounts); diff != "" {
		t.Error(diff)
	}
	if c.QueriesDir != filepath.Join(d, "mine") {
		t.Errorf("queries_dir %s isn't relative to the file", c.QueriesDir)
	}
	if c.MemoryLimit != 1<<30 || c.LakeDays != 0 || c.Origin("lake_days") != "default" {
		t.Errorf("memory %d, lake days %d from %s", c.MemoryLimit, c.LakeDays, c.Origin("lake_days"))
	}
	if c.File != filepath.Join(d, config.FileName) {
		t.Errorf("file %q", c.File)
	}
}

func TestNamedFile(t *testing.T) {
	d := dir(t, "hot_days: 1\n")
	file := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(file, []byte("data_dir: "+d+"\nlake_days: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]config.Input{
		"flag":        {File: file},
		"environment": {LookupEnv: env("IAMTRACK_CONFIG", file)},
	} {
		c := load(t, in)
		if c.DataDir != d || c.LakeDays != 7 || c.HotDays != 90 {
			t.Errorf("%s: %s, lake %d, hot %d (the other file must not be read)", name, c.DataDir, c.LakeDays, c.HotDays)
		}
	}
	if _, err := config.Load(config.Input{File: file + "x", LookupEnv: env()}); err == nil {
		t.Error("a named file that isn't there was accepted")
	}
}

func TestHome(t *testing.T) {
	home := t.TempDir()
	c := load(t, config.Input{LookupEnv: env("HOME", home, "USERPROFILE", home, "IAMTRACK_DATA_DIR", "~/x")})
	if c.DataDir != filepath.Join(home, "x") {
		t.Errorf("data_dir %s", c.DataDir)
	}
	if _, err := config.Load(config.Input{LookupEnv: env()}); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("without a home: %v", err)
	}
}

// What is wrong is named with its setting, value and origin, and what is right.
func TestBadValues(t *testing.T) {
	for name, bad := range map[string][]string{
		"FORMAT":                    {"xml", "jsonl"},
		"TZ":                        {"Europe/Belrin", "../etc", "CEST+1x"},
		"OFF_HOURS_START":           {"24", "22:60", "22:5", "-1", "x", "1:2:3", "022", "+2"},
		"WORK_DAYS":                 {"mon-xxx", "m", "-", ","},
		"HOLIDAYS":                  {"2026-02-30", "tomorrow", "2026-1-1"},
		"FILTER_AWS_SERVICE_EVENTS": {"maybe", "2"},
		"HOT_DAYS":                  {"0", "-1", "3651", "x", "1.5", "99999999999999999999"},
		"LAKE_DAYS":                 {"-1", "x"},
		"TRUSTED_ACCOUNTS":          {"123", "12345678901x", "123456789012 123456789012"},
		"MANAGEMENT_ACCOUNT_ID":     {"1234567890123"},
		"LOG_LEVEL":                 {"loud"},
		"ENDPOINT_URL":              {"nonsense", "ftp://h", "http://name:passw0rd@h:1/"},
		"MEMORY_LIMIT":              {"1", "127MiB", "-1GB", "1XB", "99999999999TB", "1.5GB"},
	} {
		for _, v := range bad {
			_, err := config.Load(config.Input{LookupEnv: env("HOME", "/h", "LocalAppData", `C:\h`, "IAMTRACK_"+name, v)})
			var ce *config.Error
			if !errors.As(err, &ce) {
				t.Errorf("%s=%s: %v", name, v, err)
				continue
			}
			if strings.Contains(err.Error(), "passw0rd") {
				t.Errorf("shows a password: %v", err)
			}
			if ce.Setting != strings.ToLower(name) || ce.Value != v || ce.Origin != "environment IAMTRACK_"+name || ce.Allowed == "" {
				t.Errorf("%s=%s: %+v", name, v, ce)
			}
		}
	}
}

func TestBadFiles(t *testing.T) {
	for yaml, want := range map[string]string{
		"hot_dais: 3\n":                   `line 1: unknown setting "hot_dais": did you mean hot_days?`,
		"\n\nzzz: 3\n":                    "line 3: unknown setting \"zzz\": `iamtrack config` lists all settings",
		"hot_days: 1\nhot_days: 2\n":      "line 2: setting hot_days was already given in line 1",
		"hot_days: {a: 1}\n":              "line 1: setting hot_days: give one value, or a list of values",
		"filtered_roles:\n  - [a]\n":      "line 2: setting filtered_roles: give one value, or a list of values",
		"- hot_days\n":                    "line 1: settings are lines of the form `key: value`",
		"hot_days: 1\n\thot: 1\n":         "line 2: found a tab character",
		"hot_days: *x\n":                  "unknown anchor 'x' referenced",
		"data_dir: /x\n":                  "can't be set by the file in the data directory itself",
		"hot_days: &a 1\nlake_days: *a\n": "line 2: setting lake_days: give one value, or a list of values",
	} {
		d := dir(t, yaml)
		_, err := config.Load(config.Input{LookupEnv: env(), Flags: map[string]string{"data-dir": d}})
		var fe *config.FileError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want …%s", yaml, err, want)
		}
	}
	for _, empty := range []string{"", "# only a comment\n", "---\n", "~\n"} {
		load(t, config.Input{Flags: map[string]string{"data-dir": dir(t, empty)}})
	}
	d := dir(t, "\nhot_days: none\n")
	_, err := config.Load(config.Input{LookupEnv: env(), Flags: map[string]string{"data-dir": d}})
	var ce *config.Error
	if !errors.As(err, &ce) || ce.Origin != filepath.Join(d, config.FileName)+":2" {
		t.Errorf("origin of a bad value: %v", err)
	}
}

// What `iamtrack config` prints, put into a file, means the same.
func TestSettingsReadBack(t *testing.T) {
	d := t.TempDir()
	first := load(t, config.Input{LookupEnv: env("IAMTRACK_DATA_DIR", d,
		"IAMTRACK_TZ", "Europe/Berlin", "OFF_HOURS_START", "5", "IAMTRACK_WORK_DAYS", "Sat-mon,wednesday", "IAMTRACK_HOLIDAYS", "2026-01-01",
		"FILTERED_ROLES", "a,b*", "IAMTRACK_MEMORY_LIMIT", "1000000KB", "IAMTRACK_QUERIES_DIR", "q", "LOG_LEVEL", "critical")})
	var yaml strings.Builder
	for _, s := range first.Settings() {
		yaml.WriteString(s.Key + ": " + s.Value + "\n")
	}
	file := filepath.Join(d, "copy.yaml")
	if err := os.WriteFile(file, []byte(yaml.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	second := load(t, config.Input{File: file})
	text := func(c config.Config) (lines []string) {
		for _, s := range c.Settings() {
			lines = append(lines, s.Key+"="+s.Value)
		}
		return lines
	}
	if diff := cmp.Diff(text(first), text(second)); diff != "" {
		t.Error(diff)
	}
	if got := first.WorkDays; got != [7]bool{time.Saturday: true, time.Sunday: true, time.Monday: true, time.Wednesday: true} {
		t.Errorf("work days %v", got)
	}
	if len(second.Holidays) != 1 || second.Holidays[0] != "2026-01-01" {
		t.Errorf("holidays %v", second.Holidays)
	}
}

func TestNear(t *testing.T) {
	known := []string{"off_hours_start", "off_hours_end", "hot_days", "tz", "root_usage", "role_assumptions"}
	for in, want := range map[string]string{
		"off-hours-start": "off_hours_start", "OFF_HOURS_STRAT": "off_hours_start", "hot_day": "hot_days",
		"root": "root_usage", "zt": "tz", "off": "", "nothing_like_it": "", "": "", "role": "role_assumptions",
	} {
		if got := config.Near(in, known); got != want {
			t.Errorf("Near(%q) = %q, want %q", in, got, want)
		}
	}
}

// The rules get what was set, and accept every value that is allowed here.
func TestRuleConfig(t *testing.T) {
	c := load(t, config.Input{LookupEnv: env("IAMTRACK_DATA_DIR", t.TempDir(),
		"IAMTRACK_OFF_HOURS_TZ", "Asia/Kolkata", "OFF_HOURS_START", "9", "OFF_HOURS_END", "17:30", "IAMTRACK_WORK_DAYS", "mon-fri",
		"IAMTRACK_HOLIDAYS", "2026-01-01", "IAMTRACK_OFF_HOURS_ALLOW", "ci-*", "IAMTRACK_TRUSTED_ACCOUNTS", "111111111111",
		"IAMTRACK_ORGANIZATION_ACCOUNTS", "222222222222", "IAMTRACK_MANAGEMENT_ACCOUNT_ID", "333333333333",
		"IAMTRACK_ADMIN_POLICIES", "Boss", "IAMTRACK_REQUIRE_BOUNDARY", "yes", "IAMTRACK_DISABLED_RULES", "iam-user-created")})
	want := rule.Config{
		OffHours: rule.OffHoursConfig{
			Timezone: "Asia/Kolkata", Start: "09:00", End: "17:30",
			WorkDays: []string{"mon", "tue", "wed", "thu", "fri"}, Holidays: []string{"2026-01-01"}, Allow: []string{"ci-*"},
		},
		TrustedAccounts: []string{"111111111111"}, OrganizationAccounts: []string{"222222222222"}, ManagementAccountID: "333333333333",
		AdminPolicies: []string{"Boss"}, RequireBoundary: true, Disabled: []string{"iam-user-created"},
	}
	if diff := cmp.Diff(want, c.RuleConfig()); diff != "" {
		t.Error(diff)
	}
	if _, err := rule.NewEngine(c.RuleConfig()); err != nil {
		t.Error(err)
	}
	// Which alerts there are must not depend on the machine's zone.
	for _, name := range []string{"IAMTRACK_OFF_HOURS_TZ", "IAMTRACK_TZ"} {
		_, err := config.Load(config.Input{LookupEnv: env("IAMTRACK_DATA_DIR", t.TempDir(), name, "Local")})
		var ce *config.Error
		if !errors.As(err, &ce) || ce.Setting != "off_hours_tz" {
			t.Errorf("%s=Local: %v", name, err)
		}
	}
}

func TestFilterConfig(t *testing.T) {
	c := load(t, config.Input{
		LookupEnv: env("IAMTRACK_DATA_DIR", t.TempDir(), "FILTERED_ROLES", "a*,b"),
		Flags:     map[string]string{"sources": "iam,SSO,kms.amazonaws.com", "management-only": "true"},
	})
	want := filter.Config{
		ServiceEvents: true, Roles: []string{"a*", "b"}, ManagementOnly: true,
		Sources: []string{"iam", "sso", "sso-directory", "sso-oauth", "identitystore", "kms.amazonaws.com"},
	}
	if diff := cmp.Diff(want, c.FilterConfig()); diff != "" {
		t.Error(diff)
	}
	if _, err := filter.New(c.FilterConfig()); err != nil {
		t.Error(err)
	}
}
