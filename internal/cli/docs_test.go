package cli

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/cost"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/stack"
)

var update = flag.Bool("update", false, "write the generated pages of docs/ anew")

// repository is the root of the repository, seen from this package.
const repository = "../.."

// Pages of docs/ that are made from the program itself: the text in
// testdata/docs, with each <!-- name --> line replaced by what part returns.
func TestDocs(t *testing.T) {
	parts := map[string]func(*testing.T) string{
		"rules": docRules, "queries": docQueries, "events": docEvents, "filtered": docFiltered,
		"commands": docCommands, "settings": docSettings,
		"cost": docCost, "prices": docPrices,
	}
	for _, name := range []string{"rules", "queries", "data-model", "commands", "settings", "deploy", "cost"} {
		t.Run(name, func(t *testing.T) {
			text := "<!-- Made by `make docs` from the program and internal/cli/testdata/docs. -->\n\n" + read(t, "testdata/docs/"+name+".md")
			for part, f := range parts {
				if marker := "<!-- " + part + " -->\n"; strings.Contains(text, marker) {
					text = strings.Replace(text, marker, strings.TrimSpace(f(t))+"\n", 1)
				}
			}
			file := filepath.Join(repository, "docs", name+".md")
			if *update {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // a page of the repository
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(read(t, file), text); diff != "" {
				t.Errorf("docs/%s.md is not what the program says (-docs +program); write it with: make docs\n%s", name, diff)
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file) //nolint:gosec // a file of the repository
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var markdownEscaper = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", "*", `\*`, "\n", " ")

// md is text that Markdown shows as it is, but for `code`.
func md(text string) string {
	parts := strings.Split(text, "`")
	for i := range parts {
		if i%2 == 0 {
			parts[i] = markdownEscaper.Replace(parts[i])
		} else {
			parts[i] = strings.ReplaceAll(parts[i], "|", `\|`)
		}
	}
	return strings.Join(parts, "`")
}

func codes(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "`" + strings.Join(list, "`, `") + "`"
}

func docRules(t *testing.T) string {
	engine, err := rule.NewEngine(rule.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var index, text strings.Builder
	index.WriteString("| rule | severity | fires on |\n|---|---|---|\n")
	for _, r := range engine.Rules() {
		fmt.Fprintf(&index, "| [`%s`](#%s) | %v | %s |\n", r.ID, r.ID, r.Severity, md(r.Title))
		fmt.Fprintf(&text, "\n## %s\n\n**%s** · %v", r.ID, md(r.Title), r.Severity)
		for _, a := range r.ATTACK {
			fmt.Fprintf(&text, " · [%s](https://attack.mitre.org/techniques/%s/)", a, strings.ReplaceAll(a, ".", "/"))
		}
		fmt.Fprintf(&text, "\n\n- **Events:** %s\n", codes(r.EventNames))
		for _, p := range []struct{ name, what string }{
			{"Fires when", r.Condition}, {"Why it matters", r.Why}, {"What to do", r.Next}, {"When it is harmless", r.FalsePositives},
		} {
			if p.what != "" {
				fmt.Fprintf(&text, "- **%s:** %s\n", p.name, md(p.what))
			}
		}
	}
	return index.String() + text.String()
}

func docQueries(t *testing.T) string {
	catalogue, err := query.LoadCatalogue("")
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]*strings.Builder{}
	var order []string
	for _, q := range catalogue.List() {
		b := groups[q.Group]
		if b == nil {
			b = &strings.Builder{}
			groups[q.Group] = b
			order = append(order, q.Group)
		}
		fmt.Fprintf(b, "\n#### %s\n\n**%s.** %s\n\n", q.Name, md(q.Title), md(q.Description))
		fmt.Fprintf(b, "Looks back %d days", q.LookBackDays)
		if q.BaselineDays > 0 {
			fmt.Fprintf(b, ", and at %d days before that to tell what is new", q.BaselineDays)
		}
		if q.Limit > 0 {
			fmt.Fprintf(b, "; a table has %d rows at most", q.Limit)
		}
		b.WriteString(".\n")
		for i, p := range q.Params {
			if i == 0 {
				b.WriteString("\n| parameter | type | default | meaning |\n|---|---|---|---|\n")
			}
			value := "required"
			if !p.Required {
				value = "`" + p.Default + "`"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.Name, p.Type, value, md(p.Description))
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "There are %d.\n", len(catalogue.List()))
	for _, g := range order {
		fmt.Fprintf(&text, "\n### %s%s\n%s", strings.ToUpper(g[:1]), g[1:], groups[g])
	}
	return text.String()
}

func docEvents(*testing.T) string {
	var text strings.Builder
	text.WriteString("| column | type | from CloudTrail's | what it is |\n|---|---|---|---|\n")
	for _, c := range event.Columns() {
		if c.Internal {
			c.Description += " (lake only)"
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", c.Name, c.Type, md(c.Origin), md(c.Description))
	}
	return text.String()
}

// docFiltered describes the columns of filtered as those of events, which they
// share but for the reason.
func docFiltered(t *testing.T) string {
	known := map[string]event.ColumnInfo{"reason": {Type: "string", Description: "service or role: see below"}}
	for _, c := range event.Columns() {
		known[c.Name] = c
	}
	var text strings.Builder
	text.WriteString("| column | type | what it is |\n|---|---|---|\n")
	for _, c := range query.FilteredColumns() {
		info, ok := known[c.Name]
		if !ok {
			t.Errorf("column %s of filtered is not described", c.Name)
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s |\n", c.Name, info.Type, md(info.Description))
	}
	return text.String()
}

func docCommands(t *testing.T) string {
	var text strings.Builder
	var global *pflag.FlagSet
	for _, c := range commands(t) {
		if !c.HasParent() {
			global = c.PersistentFlags()
			continue
		}
		fmt.Fprintf(&text, "\n## %s\n\n", c.CommandPath())
		long := c.Long
		if long == "" {
			long = c.Short + "."
		}
		fmt.Fprintf(&text, "`%s`\n\n%s\n", c.UseLine(), markdownLines(long))
		if len(c.Aliases) > 0 {
			fmt.Fprintf(&text, "\nAlso: %s.\n", codes(c.Aliases))
		}
		var sub []string
		for _, s := range c.Commands() {
			sub = append(sub, s.CommandPath())
		}
		if len(sub) > 0 {
			fmt.Fprintf(&text, "\nCommands: %s.\n", codes(sub))
		}
		text.WriteString(flagTable(c.LocalNonPersistentFlags()))
		if what := strings.Fields(c.Annotations[takes]); len(what) > 0 {
			fmt.Fprintf(&text, "\nOf the flags of every command also %s.\n", codes(flagNames(what)))
		}
		if c.Example != "" {
			fmt.Fprintf(&text, "\n```\n%s\n```\n", unindent(c.Example))
		}
	}
	return "## Flags of every command\n" + flagTable(global) +
		"\n`--since`, `--until` and `--limit` are refused where they mean nothing.\n" + text.String()
}

func flagNames(what []string) []string {
	names := make([]string, len(what))
	for i, w := range what {
		names[i] = "--" + w
		if w == takesParquet {
			names[i] = "--format parquet"
		}
	}
	return names
}

func flagTable(flags *pflag.FlagSet) string {
	var text strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if text.Len() == 0 {
			text.WriteString("\n| flag | meaning |\n|---|---|\n")
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + kind
		}
		if d := f.DefValue; d != "" && d != "[]" && d != "false" && d != "-1" {
			usage += " (default " + d + ")"
		}
		fmt.Fprintf(&text, "| `%s` | %s |\n", name, md(usage))
	})
	return text.String()
}

// markdownLines keeps the line breaks of help text, which is plain.
func markdownLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = md(lines[i])
	}
	return strings.Join(lines, "\n")
}

func unindent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

func docSettings(t *testing.T) string {
	var text strings.Builder
	text.WriteString("| key | default | allowed | meaning |\n|---|---|---|---|\n")
	var names strings.Builder
	names.WriteString("\n| key | flag | environment |\n|---|---|---|\n")
	for _, s := range loadSettings(t, nil, nil) {
		value := s.Value
		if s.Key == "data_dir" {
			value = ""
		}
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", s.Key, value, md(s.Allowed), md(s.Meaning))
		variables := []string{s.Env}
		if old := strings.ToUpper(s.Key); origin(t, s.Key, nil, old) != "" {
			variables = append(variables, old)
		}
		option := ""
		for _, name := range []string{strings.ReplaceAll(s.Key, "_", "-"), strings.TrimSuffix(s.Key, "_dir")} {
			if newRoot(&env{}).PersistentFlags().Lookup(name) == nil && newImportCmd(&env{}).Flags().Lookup(name) == nil {
				continue
			}
			if origin(t, s.Key, map[string]string{name: "x"}, "") != "" {
				option = "`--" + name + "`"
			}
		}
		fmt.Fprintf(&names, "| `%s` | %s | %s |\n", s.Key, option, codes(variables))
	}
	return text.String() + names.String()
}

func loadSettings(t *testing.T, flags map[string]string, lookup func(string) (string, bool)) []config.Setting {
	t.Helper()
	c, err := loadConfig(flags, lookup)
	if err != nil {
		t.Fatal(err)
	}
	return c.Settings()
}

// loadConfig reads the settings as on a machine without any.
func loadConfig(flags map[string]string, lookup func(string) (string, bool)) (config.Config, error) {
	return config.Load(config.Input{Flags: flags, LookupEnv: func(name string) (string, bool) {
		if lookup != nil {
			if v, ok := lookup(name); ok {
				return v, true
			}
		}
		if name == "XDG_DATA_HOME" || name == "HOME" || name == "LocalAppData" {
			return "/home/user", true
		}
		return "", false
	}})
}

// origin tells whether a setting is read from a flag or a variable: "" when not.
func origin(t *testing.T, key string, flags map[string]string, variable string) string {
	t.Helper()
	c, err := loadConfig(flags, func(name string) (string, bool) { return "x", variable != "" && name == variable })
	var wrong *config.Error
	switch {
	case errors.As(err, &wrong) && wrong.Setting == key:
		return wrong.Origin
	case err != nil:
		t.Fatal(err)
	}
	for _, s := range c.Settings() {
		if s.Key == key && s.Origin != "default" {
			return s.Origin
		}
	}
	return ""
}

// organizations of the page about cost: what they are called, their events, and how
// their stack differs from the template's defaults.
var organizations = []struct {
	name   string
	volume cost.Volume
	given  []string
}{
	{"small: 1 account", cost.Volume{Stored: 1000, Filtered: 9000, Streams: 57}, nil},
	{"medium: 10 accounts", cost.Volume{Stored: 20_000, Filtered: 180_000, Streams: 570}, []string{"Organization=true", "BillingMode=PAY_PER_REQUEST", "ScheduleExpression=rate(15 minutes)"}},
	{"large: 100 accounts", cost.Volume{Stored: 300_000, Filtered: 2_700_000, Streams: 5700}, []string{"Organization=true", "BillingMode=PAY_PER_REQUEST", "ScheduleExpression=rate(1 hour)", "TrackerMemorySize=512"}},
}

// docCost is the bill of each organization, item by item.
func docCost(t *testing.T) string {
	template, err := deploy.Parameters(deploy.Template)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, o := range organizations {
		values, err := stack.Values(template, stack.Inputs{Given: o.given})
		if err != nil {
			t.Fatal(err)
		}
		setup, err := setupOf(values)
		if err != nil {
			t.Fatal(err)
		}
		m := cost.Monthly(o.volume, setup, cost.DefaultUnits(), cost.DefaultPrices())
		fmt.Fprintf(&b, "\n### %s: %s USD a month\n\n%s events a day are kept and %s left out, in %s.", o.name, cost.USD(m.Total), number(int64(o.volume.Stored)), number(int64(o.volume.Filtered)), count(int(o.volume.Streams), "stream"))
		if len(o.given) > 0 {
			b.WriteString(" Parameters: " + codes(o.given) + ".")
		}
		b.WriteString("\n\n| service | for | amount | USD |\n|---|---|---|---|\n")
		for _, l := range m.Lines {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", l.Service, l.What, l, cost.USD(l.USD))
		}
		for _, n := range m.Notes {
			fmt.Fprintf(&b, "\nNote: %s.\n", n)
		}
	}
	return b.String()
}

// docPrices is the file of prices as it is checked in.
func docPrices(t *testing.T) string { return "```yaml\n" + read(t, "../cost/prices.yaml") + "```\n" }
