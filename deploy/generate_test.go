package deploy_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/awsapi/callstest"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/store/dynamo"
)

var update = flag.Bool("update", false, "rewrite the generated parts of template.yaml")

// asIs is text in which Fn::Sub finds nothing.
var asIs = strings.NewReplacer("${", "${!")

// tables are the lake's tables as resources.
func tables() string {
	const bucket = "BUCKET"
	var b strings.Builder
	for _, t := range query.LakeTables("s3://" + bucket) {
		sub := func(text string) string {
			if !strings.Contains(text, bucket) {
				return quote(text)
			}
			return "!Sub " + quote(strings.Replace(asIs.Replace(text), bucket, "${Bucket}", 1))
		}
		fmt.Fprintf(&b, "  %sTable:\n    Type: AWS::Glue::Table\n    Condition: Analytics\n    Properties:\n", strings.ToUpper(t.Name[:1])+t.Name[1:])
		fmt.Fprintf(&b, "      CatalogId: !Ref AWS::AccountId\n      DatabaseName: !Ref Database\n      TableInput:\n        Name: %s\n        TableType: %s\n        Parameters:\n", t.Name, t.TableType)
		for _, k := range slices.Sorted(maps.Keys(t.Parameters)) {
			fmt.Fprintf(&b, "          %s: %s\n", k, sub(t.Parameters[k]))
		}
		b.WriteString("        PartitionKeys:\n" + columns(t.PartitionKeys, "          "))
		s := t.StorageDescriptor
		fmt.Fprintf(&b, "        StorageDescriptor:\n          Location: %s\n          InputFormat: %s\n          OutputFormat: %s\n", sub(s.Location), s.InputFormat, s.OutputFormat)
		fmt.Fprintf(&b, "          SerdeInfo: {SerializationLibrary: %s}\n          Columns:\n%s", s.SerdeInfo.SerializationLibrary, columns(s.Columns, "            "))
	}
	return b.String()
}

func columns(list []query.TableColumn, indent string) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, "%s- {Name: %s, Type: %s}\n", indent, c.Name, c.Type)
	}
	return b.String()
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// queries are the query packs as resources.
func queries(t *testing.T) string {
	c, err := query.LoadCatalogue("")
	if err != nil {
		t.Fatal(err)
	}
	// The ranges move, so no text depends on when it is made.
	saved, err := c.Saved(query.Params{Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, q := range saved {
		id := ""
		for word := range strings.SplitSeq(q.Name, "_") {
			id += strings.ToUpper(word[:1]) + word[1:]
		}
		fmt.Fprintf(&b, "  %sQuery:\n    Type: AWS::Athena::NamedQuery\n    Condition: Analytics\n    Properties:\n", id)
		fmt.Fprintf(&b, "      Name: %s\n      Description: %s\n      Database: !Ref Database\n      WorkGroup: !Ref Workgroup\n      QueryString: |-\n", q.Name, quote(q.Title))
		for line := range strings.SplitSeq(q.SQL, "\n") {
			if line = strings.TrimRight(line, " "); line != "" {
				line = "        " + line
			}
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// expiring are the rules of the bucket's lifecycle for large values of the table.
func expiring() string {
	var b strings.Builder
	for _, l := range dynamo.Lifetimes() {
		fmt.Fprintf(&b, "          - {Id: large-%d-days, Status: Enabled, Prefix: %s, ExpirationInDays: %d}\n", l.Days, l.Prefix, l.Days)
	}
	return b.String()
}

// grant is a statement of a role that is made of what a function asks for.
type grant struct {
	sid       string
	when      string // the condition of the stack; "": always
	resources []string
}

// grants says for the resources of package callstest what they are in the template.
var grants = map[string]grant{
	"table":     {sid: "UseTable", resources: []string{"!GetAtt Table.Arn"}},
	"bucket":    {sid: "ListBucket", when: "Analytics", resources: []string{"!GetAtt Bucket.Arn"}},
	"topic":     {sid: "SendAlerts", resources: []string{"!Ref Topic"}},
	"parameter": {sid: "ReadChannelParameters", when: "AlertsWithParameters", resources: []string{"!Ref ChannelParameters"}},
	"secret":    {sid: "ReadChannelSecrets", when: "AlertsWithSecrets", resources: []string{"!Ref ChannelSecrets"}},
	"role":      {sid: "AssumeRoles", when: "WholeOrganization", resources: []string{"!Sub arn:${AWS::Partition}:iam::*:role/${OrganizationRole}"}},
	"*":         {sid: "ReadEventHistory", resources: []string{"'*'"}},
}

// grantOf is the statement that permits a call.
func grantOf(t *testing.T, l callstest.Line) grant {
	if g, ok := grants[l.Resource]; ok {
		if l.Action == "organizations:ListAccounts" {
			g.sid, g.when = "ListAccounts", "WholeOrganization"
		}
		return g
	}
	_, operation, _ := strings.Cut(l.Action, ":")
	if object, ok := strings.CutPrefix(l.Resource, "bucket/"); ok {
		return grant{sid: operation + "s", when: "Analytics", resources: []string{"!Sub '${Bucket.Arn}/" + object + "'"}}
	}
	if index, ok := strings.CutPrefix(l.Resource, "table/index/"); ok {
		return grant{sid: operation + "Indexes", resources: []string{"!Sub '${Table.Arn}/index/" + index + "'"}}
	}
	t.Fatalf("the template has nothing for %v", l)
	return grant{}
}

// permissions are the statements of a function's role.
func permissions(t *testing.T, name string) string {
	type statement struct {
		grant
		actions []string
	}
	all := map[string]*statement{}
	for _, l := range callstest.Needs(name) {
		g := grantOf(t, l)
		if name == function.Exporter && g.when == "Analytics" { // without it there is no exporter
			g.when = ""
		}
		s := all[g.sid]
		if s == nil {
			s = &statement{grant: grant{sid: g.sid, when: g.when}}
			all[g.sid] = s
		}
		s.actions, s.resources = append(s.actions, l.Action), append(s.resources, g.resources...)
	}
	var b strings.Builder
	for _, sid := range slices.Sorted(maps.Keys(all)) {
		s := all[sid]
		indent := "              "
		if s.when != "" {
			fmt.Fprintf(&b, "%s- !If\n%s  - %s\n", indent, indent, s.when)
			indent += "  "
		}
		fmt.Fprintf(&b, "%s- Sid: %s\n%s  Effect: Allow\n", indent, s.sid, indent)
		list := func(key string, values []string) {
			slices.Sort(values)
			if values = slices.Compact(values); len(values) == 1 {
				fmt.Fprintf(&b, "%s  %s: %s\n", indent, key, values[0])
				return
			}
			fmt.Fprintf(&b, "%s  %s:\n", indent, key)
			for _, v := range values {
				fmt.Fprintf(&b, "%s    - %s\n", indent, v)
			}
		}
		list("Action", s.actions)
		list("Resource", s.resources)
		if s.when != "" {
			fmt.Fprintf(&b, "%s- !Ref AWS::NoValue\n", indent)
		}
	}
	return b.String()
}

// replace puts text between the marks of a part.
func replace(t *testing.T, template, part, text string) string {
	t.Helper()
	begin, end := strings.Index(template, "# BEGIN "+part+":"), strings.Index(template, "# END "+part+"\n")
	if begin < 0 || end < begin {
		t.Fatalf("template.yaml hasn't the marks of the part %s", part)
	}
	begin += strings.Index(template[begin:], "\n") + 1
	return template[:begin] + text + template[end:]
}

// What the program decides is in the template as the program decides it: the lake's
// tables, the query packs, how long large values are kept, what each function may do.
func TestGenerated(t *testing.T) {
	want := replace(t, deploy.Template, "tables", tables())
	want = replace(t, want, "lifetimes", expiring())
	want = replace(t, want, "queries", queries(t))
	for _, name := range function.Names() {
		want = replace(t, want, "permissions "+name, permissions(t, name))
	}
	if want == deploy.Template {
		return
	}
	if *update {
		if err := os.WriteFile("template.yaml", []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("template.yaml is not what the program makes (-have +want); `make template` rewrites it:\n%s", cmp.Diff(deploy.Template, want))
}

// cell is text in a table of Markdown.
var cell = strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;")

func parameterTable(t *testing.T) string {
	list, err := deploy.Parameters(deploy.Template)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| parameter | default | allowed | what it is |\n|---|---|---|---|\n")
	for _, p := range list {
		allowed := strings.TrimPrefix(p.Constraint, "must be ")
		switch {
		case len(p.Allowed) > 0:
			allowed = strings.Join(p.Allowed, ", ")
		case p.Min != nil && p.Max != nil:
			allowed = fmt.Sprintf("%d to %d", *p.Min, *p.Max)
		case p.Min != nil:
			allowed = fmt.Sprintf("%d or more", *p.Min)
		case p.MaxLength > 0:
			allowed = fmt.Sprintf("up to %d characters", p.MaxLength)
		}
		deflt := p.Default
		if deflt != "" {
			deflt = "`" + deflt + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", p.Name, deflt, cell.Replace(allowed), cell.Replace(p.Description))
	}
	return b.String()
}

// signs of CloudWatch's comparisons.
var signs = map[string]string{"GreaterThanOrEqualToThreshold": "≥", "GreaterThanThreshold": ">", "LessThanThreshold": "<"}

func alarmTable(t *testing.T) string {
	s := everything(t, nil)
	essential := evaluate(t, deploy.Template, nil).of("AWS::CloudWatch::Alarm")
	for name := range s.values { // a parameter is named, not its value
		if !strings.Contains(name, ":") && name != "Topic" {
			if _, list := s.values[name].([]any); !list {
				s.values[name] = "`" + name + "`"
			}
		}
	}
	var b strings.Builder
	b.WriteString("| alarm | when | what it means | with `Alarms` |\n|---|---|---|---|\n")
	alarms := s.of("AWS::CloudWatch::Alarm")
	for _, id := range slices.Sorted(maps.Keys(alarms)) {
		raw := s.eval(s.names[id].(map[string]any)["Properties"]).(map[string]any)
		name := strings.TrimPrefix(raw["AlarmName"].(string), "iam-tracker-")
		set := "essential, all"
		if essential[id] == nil {
			set = "all"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` (%s) %s %s within %s s | %s | %s |\n", name, raw["MetricName"], strings.ToLower(raw["Statistic"].(string)),
			signs[raw["ComparisonOperator"].(string)], raw["Threshold"], within(raw), cell.Replace(raw["AlarmDescription"].(string)), set)
	}
	return b.String()
}

// within is the time that an alarm looks at.
func within(alarm map[string]any) string {
	if n := alarm["EvaluationPeriods"].(string); n != "1" {
		return n + " × " + alarm["Period"].(string)
	}
	return alarm["Period"].(string)
}

// ofStack names the parts of a stack.
var ofStack = strings.NewReplacer("<Bucket.Arn>", "bucket", "<Table.Arn>", "table", "<DeadLetters.Arn>", "queue", "iam-tracker-Topic-1ABC", "topic",
	"<TrackerLogs.Arn>", "its log", "<RealtimeLogs.Arn>", "its log", "<ExporterLogs.Arn>", "its log", "<NotifierLogs.Arn>", "its log")

// grantTable lists what each function may do, with all that can be switched on. Names
// stand for what the stack is made of.
func grantTable(t *testing.T) string {
	s := everything(t, nil)
	var b strings.Builder
	b.WriteString("| function | may | on |\n|---|---|---|\n")
	for _, function := range []string{"Tracker", "Realtime", "Exporter", "Notifier"} {
		for _, st := range statements(t, s.properties(function+"Role")) {
			var on []string
			for _, r := range st.resources {
				if r == "*" {
					on = append(on, "all (AWS knows no resource here)")
					continue
				}
				parts := strings.SplitN(r, ":", 6) // arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME, or a part of the stack
				on = append(on, "`"+ofStack.Replace(parts[len(parts)-1])+"`")
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s |\n", strings.ToLower(function), strings.Join(st.actions, "`, `"), strings.Join(on, ", "))
		}
	}
	return b.String()
}

// The page about security says what the functions may do.
func TestSecurityPage(t *testing.T) {
	generated(t, "../docs/security.md", map[string]string{"permissions": grantTable(t)})
	alarms := alarmTable(t)
	for _, page := range []string{"security", "troubleshooting", "operations"} {
		text, err := os.ReadFile("../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("alarm (`[a-z-]+`)").FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(alarms, "| "+m[1]+" |") {
				t.Errorf("docs/%s.md: there is no alarm %s", page, m[1])
			}
		}
	}
}

// The page about the template has its parameters and alarms.
func TestPage(t *testing.T) {
	generated(t, "../docs/template.md", map[string]string{"parameters": parameterTable(t), "alarms": alarmTable(t)})
}

// generated holds parts of a page to what they are made of.
func generated(t *testing.T, page string, parts map[string]string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for part, table := range parts {
		begin := strings.Index(want, "<!-- "+part+":")
		if begin < 0 {
			t.Fatalf("%s hasn't the mark of the part %s", page, part)
		}
		begin += strings.Index(want[begin:], "\n") + 1
		end := begin + strings.Index(want[begin:], "<!-- end -->")
		want = want[:begin] + table + want[end:]
	}
	if want == string(text) {
		return
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s is not what the template says (-have +want); `make template` rewrites it:\n%s", page, cmp.Diff(string(text), want))
}
