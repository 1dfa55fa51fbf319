package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi/callstest"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/cost"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/permission"
	"github.com/iamtrack/iamtrack/internal/store/dynamo"
)

// The environment of each function is one that the program reads: every variable is
// known, and says what the parameter says.
func TestEnvironment(t *testing.T) {
	settings := map[string]bool{"IAMTRACK_STACK": true, "IAMTRACK_TABLE": true, "IAMTRACK_BUCKET": true}
	for _, key := range config.Keys() {
		settings["IAMTRACK_"+strings.ToUpper(key)] = true
	}
	load := func(s *stack, name string) config.Config {
		t.Helper()
		env := s.environment(name)
		for variable, value := range env {
			if !settings[variable] {
				t.Errorf("%s: the program knows no variable %s", name, variable)
			}
			if len(value) > 4096 {
				t.Errorf("%s: %s is longer than all variables may be", name, variable)
			}
		}
		lookup := func(key string) (string, bool) { v, ok := env[key]; return v, ok }
		cfg, err := function.Settings(lookup)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		parts, err := app.PartsOfEnvironment(lookup)
		if err != nil || parts.Stack != "iam-tracker" || parts.Table != "<Table>" {
			t.Errorf("%s: parts %+v, %v", name, parts, err)
		}
		if err := app.CheckChannels(cfg, false, lookup); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return cfg
	}

	s := evaluate(t, deploy.Template, nil)
	sources := slices.Sorted(slices.Values(coverage.DefaultSources()))
	for name := range s.of("AWS::Serverless::Function") {
		cfg := load(s, name)
		if got := slices.Sorted(slices.Values(cfg.Sources)); !slices.Equal(got, sources) {
			t.Errorf("%s: sources %v, collection's are %v", name, got, sources)
		}
		if len(cfg.Channels) != 1 || cfg.Channels[0].Type != "sns" || cfg.Channels[0].TopicARN != topicARN {
			t.Errorf("%s: channels %+v", name, cfg.Channels)
		}
		if cfg.HotDays != 7 || cfg.LakeDays != 0 || !cfg.FilterServiceEvents || cfg.LogLevel != "info" {
			t.Errorf("%s: %d hot days, %d lake days, filter %v, log level %s", name, cfg.HotDays, cfg.LakeDays, cfg.FilterServiceEvents, cfg.LogLevel)
		}
	}
	if bucket := s.environment("TrackerFunction")["IAMTRACK_BUCKET"]; bucket != "<Bucket>" {
		t.Errorf("bucket %q", bucket)
	}

	cfg := load(everything(t, map[string]string{
		"ProcessSTSEvents": "false", "ProcessSSOEvents": "false", "SSORegion": "eu-central-1", "Regions": "eu-west-3,us-east-1", "MaxWorkers": "3",
		"OrganizationRole": "audit/reader", "FilteredRoles": "PrismaCloud*,*Scanner*", "OffHoursStart": "20", "OffHoursTimeZone": "Europe/Berlin", "WorkDays": "mon-fri",
		"TrustedAccounts": "012345678901", "DisabledRules": "root-login", "AlertHorizon": "3d", "DailySummary": "7:30", "TimeZone": "Asia/Tokyo", "HotDays": "30", "LakeDays": "400", "LogLevel": "DEBUG", "FilterAWSServiceEvents": "false",
	}), "TrackerFunction")
	if want := []string{"iam.amazonaws.com", "signin.amazonaws.com", "organizations.amazonaws.com", "cloudtrail.amazonaws.com"}; !slices.Equal(cfg.Sources, want) {
		t.Errorf("sources %v", cfg.Sources)
	}
	for what, have := range map[string][2]any{
		"sso_region": {cfg.SSORegion, "eu-central-1"}, "regions": {strings.Join(cfg.Regions, ","), "eu-west-3,us-east-1"}, "max_workers": {cfg.MaxWorkers, 3},
		"organization": {cfg.Organization, true}, "organization_role": {cfg.OrganizationRole, "audit/reader"}, "filtered_roles": {strings.Join(cfg.FilteredRoles, ","), "PrismaCloud*,*Scanner*"},
		"off_hours_start": {cfg.OffHoursStart, 20 * 60}, "off_hours_tz": {cfg.OffHoursZone.String(), "Europe/Berlin"}, "work_days": {cfg.WorkDays[0], false},
		"trusted_accounts": {strings.Join(cfg.TrustedAccounts, ","), "012345678901"}, "disabled_rules": {strings.Join(cfg.DisabledRules, ","), "root-login"},
		"alert_horizon": {cfg.AlertHorizon.Hours(), 72.0}, "daily_summary": {cfg.DailySummary, 450}, "tz": {cfg.Zone.String(), "Asia/Tokyo"},
		"hot_days": {cfg.HotDays, 30}, "lake_days": {cfg.LakeDays, 400}, "log_level": {cfg.LogLevel, "debug"}, "filter_aws_service_events": {cfg.FilterServiceEvents, false},
		"channels": {len(cfg.Channels), 2},
	} {
		if have[0] != have[1] {
			t.Errorf("setting %s: %v, want %v", what, have[0], have[1])
		}
	}
	quiet := evaluate(t, deploy.Template, map[string]string{"EnableSecurityAlerts": "false", "EnableAnalytics": "false"})
	if cfg := load(quiet, "TrackerFunction"); len(cfg.Channels) != 0 || quiet.environment("TrackerFunction")["IAMTRACK_BUCKET"] != "" {
		t.Error("without alerts and analytics there is a channel or a bucket")
	}
}

// There is a function for each handler, and none is left out by default; without what
// needs them they aren't there.
func TestFunctions(t *testing.T) {
	handlers := func(s *stack) (names []string) {
		for _, p := range s.of("AWS::Serverless::Function") {
			names = append(names, p["Handler"].(string))
		}
		slices.Sort(names)
		return names
	}
	s := evaluate(t, deploy.Template, nil)
	if diff := cmp.Diff(slices.Sorted(slices.Values(function.Names())), handlers(s)); diff != "" {
		t.Error(diff)
	}
	if got := handlers(evaluate(t, deploy.Template, map[string]string{"EnableSecurityAlerts": "false", "EnableAnalytics": "false", "EnableRealtime": "false"})); !slices.Equal(got, []string{function.Tracker}) {
		t.Errorf("with all switched off: %v", got)
	}
	for name, p := range s.of("AWS::Serverless::Function") {
		handler := p["Handler"].(string)
		if p["FunctionName"] != "iam-tracker-"+handler {
			t.Errorf("%s is called %v", name, p["FunctionName"])
		}
		logs := s.properties(strings.TrimSuffix(name, "Function") + "Logs")
		if logs["LogGroupName"] != "/aws/lambda/iam-tracker-"+handler || logs["RetentionInDays"] != "30" {
			t.Errorf("%s: log %v", name, logs)
		}
	}
}

// The outputs are what the program looks for.
func TestOutputs(t *testing.T) {
	full, bare := everything(t, nil), evaluate(t, deploy.Template, map[string]string{"EnableSecurityAlerts": "false", "EnableAnalytics": "false", "EnableRealtime": "false"})
	for _, name := range []string{app.OutputTable, app.OutputBucket, app.OutputDatabase, app.OutputWorkgroup, app.OutputTopic, app.OutputExporter} {
		if got := full.outputs[name]; got != "<"+name+">" && (name != app.OutputTopic || got != topicARN) {
			t.Errorf("output %s is %q", name, full.outputs[name])
		}
	}
	if v := bare.outputs[deploy.OutputVersion]; v != strconv.Itoa(deploy.Version) {
		t.Errorf("output %s is %q, the program knows %d", deploy.OutputVersion, v, deploy.Version)
	}
	if bare.outputs[app.OutputTable] == "" || bare.outputs[app.OutputTopic] == "" || bare.outputs[app.OutputBucket] != "" || bare.outputs[app.OutputExporter] != "" {
		t.Errorf("outputs of a stack without analytics: %v", bare.outputs)
	}
	// What the earlier tool's outputs named is named.
	for kind, resources := range map[string][]string{
		"AWS::Serverless::Function": {"TrackerFunction", "RealtimeFunction", "ExporterFunction", "NotifierFunction"},
		"AWS::Logs::LogGroup":       {"TrackerLogs", "RealtimeLogs", "ExporterLogs", "NotifierLogs"},
	} {
		for _, r := range resources {
			if !slices.Contains(slices.Collect(maps.Values(full.outputs)), "<"+r+">") {
				t.Errorf("no output names the %s %s", kind, r)
			}
		}
	}
}

// What is paid for units stays within those that are free of charge, all of which are
// used; on demand nothing is provisioned.
func TestFreeTier(t *testing.T) {
	const free = 25
	var read, write int
	table := evaluate(t, deploy.Template, nil).properties("Table")
	add := func(p any) {
		units := p.(map[string]any)["ProvisionedThroughput"].(map[string]any)
		r, _ := strconv.Atoi(units["ReadCapacityUnits"].(string))
		w, _ := strconv.Atoi(units["WriteCapacityUnits"].(string))
		read, write = read+r, write+w
	}
	add(table)
	for _, i := range table["GlobalSecondaryIndexes"].([]any) {
		add(i)
	}
	if read != free || write != free || table["BillingMode"] != "PROVISIONED" {
		t.Errorf("%d read and %d write units are provisioned (%v), %d are free", read, write, table["BillingMode"], free)
	}
	onDemand, err := json.Marshal(evaluate(t, deploy.Template, map[string]string{"BillingMode": "PAY_PER_REQUEST"}).properties("Table"))
	if err != nil || bytes.Contains(onDemand, []byte("ProvisionedThroughput")) || !bytes.Contains(onDemand, []byte("PAY_PER_REQUEST")) {
		t.Errorf("on demand: %s %v", onDemand, err)
	}
}

// What is stored stays when the stack is deleted, unless that is asked for. What a
// making that failed leaves, empty, doesn't: its names would stand in the way of the next.
func TestDeletion(t *testing.T) {
	for deletes, want := range map[string][2]string{"false": {"RetainExceptOnCreate", "Retain"}, "true": {"Delete", "Delete"}} {
		s := everything(t, map[string]string{"DeleteData": deletes})
		for _, name := range []string{"Table", "Bucket", "BucketPolicy", "DeadLetters"} {
			r := s.resources[name]
			if r["DeletionPolicy"] != want[0] || r["UpdateReplacePolicy"] != want[1] {
				t.Errorf("DeleteData %s: %s has %v and %v", deletes, name, r["DeletionPolicy"], r["UpdateReplacePolicy"])
			}
		}
	}
}

// All that is stored is encrypted, with the customer's key if there is one, and
// reached over TLS by nobody from outside.
func TestSafe(t *testing.T) {
	plain, keyed := evaluate(t, deploy.Template, nil), everything(t, nil)
	key := keyed.values["KmsKeyArn"].(string)
	for _, name := range []string{"Table", "Bucket", "Workgroup", "Topic", "DeadLetters", "TrackerLogs", "RealtimeLogs", "ExporterLogs", "NotifierLogs"} {
		text, err := json.Marshal(keyed.properties(name))
		if err != nil || !strings.Contains(string(text), key) {
			t.Errorf("%s isn't encrypted with the customer's key", name)
		}
	}
	if keyed.globals["KmsKeyArn"] != key {
		t.Error("the functions' variables aren't encrypted with the customer's key")
	}
	for name, want := range map[string]string{"Bucket": "AES256", "Workgroup": "SSE_S3", "DeadLetters": "SqsManagedSseEnabled"} {
		text, err := json.Marshal(plain.properties(name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s isn't encrypted", name)
		}
	}
	for name, value := range plain.properties("Bucket")["PublicAccessBlockConfiguration"].(map[string]any) {
		if value != "true" {
			t.Errorf("the bucket has %s: %v", name, value)
		}
	}
	for _, name := range []string{"BucketPolicy", "TopicPolicy", "DeadLettersPolicy"} {
		text, err := json.Marshal(plain.properties(name))
		if err != nil || !strings.Contains(string(text), `{"Bool":{"aws:SecureTransport":"false"}},"Effect":"Deny","Principal":"*"`) {
			t.Errorf("%s takes requests without TLS: %s", name, text)
		}
	}
	if plain.properties("Table")["PointInTimeRecoverySpecification"].(map[string]any)["PointInTimeRecoveryEnabled"] != "true" {
		t.Error("the table can't be restored")
	}
	for _, rule := range plain.properties("Bucket")["LifecycleConfiguration"].(map[string]any)["Rules"].([]any) {
		r := rule.(map[string]any)
		prefix, _ := r["Prefix"].(string)
		expires := false
		for _, l := range dynamo.Lifetimes() {
			expires = expires || prefix == l.Prefix && fmt.Sprint(r["ExpirationInDays"]) == fmt.Sprint(l.Days)
		}
		if r["ExpirationInDays"] != nil && prefix != "athena-results/" && !expires {
			t.Errorf("a rule of the bucket deletes what is referred to: %v", r)
		}
		transitions, _ := r["Transitions"].([]any)
		for _, tr := range transitions {
			// Amazon Athena User Guide, "Work with source data and query results": classes
			// that must be restored first are passed over in silence.
			if class := tr.(map[string]any)["StorageClass"]; class != "STANDARD_IA" && class != "GLACIER_IR" {
				t.Errorf("Athena doesn't read the class %v", class)
			}
		}
	}
}

// watched are the metrics that the alarms of a stack look at, one each: AWS's own, of
// resources of the stack, and the ones that the functions write, with their dimension.
// Each alarm has an action.
func watched(t *testing.T, s *stack) map[string]bool {
	found := map[string]bool{}
	for name, a := range s.of("AWS::CloudWatch::Alarm") {
		for _, k := range []string{"AlarmActions", "OKActions"} {
			if fmt.Sprint(a[k]) != "["+topicARN+"]" {
				t.Errorf("%s: %s are %v", name, k, a[k])
			}
		}
		if a["Metrics"] != nil {
			t.Errorf("%s looks at several metrics, and each is charged for", name)
		}
		dims := map[string]string{}
		for _, d := range a["Dimensions"].([]any) {
			m := d.(map[string]any)
			dims[m["Name"].(string)] = m["Value"].(string)
		}
		metric := a["MetricName"].(string)
		switch a["Namespace"] {
		case function.Namespace:
			if diff := cmp.Diff(map[string]string{"Stack": "iam-tracker"}, dims); diff != "" {
				t.Errorf("%s: dimensions %s", name, diff)
			}
			if !slices.Contains(function.MetricNames(), metric) {
				t.Errorf("%s: no function has a metric %s", name, metric)
			}
		case "AWS/Lambda":
			f := strings.Trim(dims["FunctionName"], "<>")
			s.properties(f)
			metric = f + "/" + metric
		case "AWS/SQS":
			metric = "dead letters"
		default:
			t.Errorf("%s: unknown namespace %v", name, a["Namespace"])
		}
		if found[metric] {
			t.Errorf("%s: %s has two alarms", name, metric)
		}
		found[metric] = true
	}
	return found
}

// What is free of charge is ten metrics and ten alarms, and that is what a stack has by
// default. Each failure still raises an alarm.
func TestAlarms(t *testing.T) {
	always := []string{"TrackerFunction/Errors", "CollectionLag", "CoverageGaps", "TimeUsed"}
	lake, messages := []string{"ExporterFunction/Errors", "DaysToExport", "InboxUnreadable"}, []string{"NotifierFunction/Errors", "NotifierFunction/Throttles"}
	for name, c := range map[string]struct {
		given map[string]string
		want  []string
	}{
		"by default": {nil, slices.Concat(always, lake, messages, []string{"dead letters"})},
		"all": {map[string]string{"Alarms": "all"}, slices.Concat(always, lake, messages,
			[]string{"dead letters", "TrackerFunction/Throttles", "ExporterFunction/Throttles", "RealtimeFunction/Throttles", "RealtimeFunction/Errors"})},
		"no messages": {map[string]string{"EnableSecurityAlerts": "false"}, slices.Concat(always, lake, []string{"dead letters", "TrackerFunction/Throttles"})},
		"no lake":     {map[string]string{"EnableAnalytics": "false", "EnableRealtime": "false", "Alarms": "all"}, slices.Concat(always, messages, []string{"TrackerFunction/Throttles"})},
	} {
		has := watched(t, evaluate(t, deploy.Template, c.given))
		slices.Sort(c.want)
		if diff := cmp.Diff(c.want, slices.Sorted(maps.Keys(has))); diff != "" {
			t.Errorf("%s: what the alarms watch (-want +have):\n%s", name, diff)
		}
		if free := cost.DefaultPrices().Free; name == "by default" && (len(has) != int(cost.DefaultUnits().Alarms) || float64(len(has)) > free.Alarms || float64(len(function.MetricNames())) > free.Metrics) {
			t.Errorf("%d alarms and %d metrics, of which %v and %v are free", len(has), len(function.MetricNames()), free.Alarms, free.Metrics)
		}
	}
}

// EventBridge sends what collection reads, but for sts, from every region alike.
func TestRealtimePattern(t *testing.T) {
	pattern := evaluate(t, deploy.Template, nil).properties("RealtimeFunction")["Events"].(map[string]any)["Events"].(map[string]any)["Properties"].(map[string]any)["Pattern"].(map[string]any)
	var sources []string
	for _, s := range pattern["detail"].(map[string]any)["eventSource"].([]any) {
		sources = append(sources, s.(string))
	}
	slices.Sort(sources)
	want := slices.DeleteFunc(slices.Sorted(slices.Values(coverage.DefaultSources())), func(s string) bool { return s == "sts.amazonaws.com" })
	if !slices.Equal(sources, want) {
		t.Errorf("the rule asks for %v, collection for %v", sources, want)
	}
	// Anybody who may put events can name a detail-type; sources of AWS are AWS's.
	if diff := cmp.Diff([]any{map[string]any{"prefix": "aws."}}, pattern["source"]); diff != "" {
		t.Error(diff)
	}
	home := map[string]string{"HomeRegion": "us-east-1"}
	forwarded := evaluate(t, deploy.Realtime, home).properties("Forward")["EventPattern"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"account": []any{"111122223333"}, "region": []any{"eu-west-3"}, "detail": pattern["detail"], "detail-type": pattern["detail-type"],
		"source": []any{map[string]any{"prefix": "aws."}}}, forwarded); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct {
		given  map[string]string
		target string // "": nothing is forwarded
	}{
		{home, "arn:aws:events:us-east-1:111122223333:event-bus/default"},
		{map[string]string{"HomeRegion": "eu-west-3", "HomeAccount": "444455556666"}, "arn:aws:events:eu-west-3:444455556666:event-bus/default"},
		{map[string]string{"HomeRegion": "eu-west-3"}, ""},
		{map[string]string{"HomeRegion": "eu-west-3", "HomeAccount": "111122223333"}, ""},
	} {
		s := evaluate(t, deploy.Realtime, c.given)
		rules, roles := s.of("AWS::Events::Rule"), s.of("AWS::IAM::Role")
		if c.target == "" {
			if len(rules)+len(roles) > 0 {
				t.Errorf("%v: events are sent in a circle", c.given)
			}
			continue
		}
		if target := rules["Forward"]["Targets"].([]any)[0].(map[string]any)["Arn"]; target != c.target {
			t.Errorf("%v: events go to %v", c.given, target)
		}
		if text, _ := json.Marshal(roles["Sender"]["Policies"]); !strings.Contains(string(text), `"Action":"events:PutEvents","Effect":"Allow","Resource":"`+c.target+`"`) {
			t.Errorf("%v: the role may %s", c.given, text)
		}
	}
}

// The role of a member account may do what collection asks of one, and the tracker
// alone may assume it.
func TestMember(t *testing.T) {
	tracker := "arn:aws:iam::444455556666:role/iam-tracker-TrackerRole-1ABC"
	role := evaluate(t, deploy.Member, map[string]string{"TrackerRole": tracker}).properties("Reader")
	want, err := permission.Member(permission.Collect, permission.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, s := range want.Statement {
		actions = append(actions, s.Action...)
	}
	have := statements(t, role)
	if len(have) != 1 || !slices.Equal(have[0].resources, []string{"*"}) || !slices.Equal(slices.Sorted(slices.Values(actions)), have[0].actions) {
		t.Errorf("the role may %+v, collection needs %v", have, actions)
	}
	trust, err := permission.Trust(tracker, "")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(role["AssumeRolePolicyDocument"])
	if p := trust.Statement[0]; !strings.Contains(string(text), `"AWS":"`+p.Principal.AWS[0]+`"`) || strings.Count(string(text), "Effect") != 1 {
		t.Errorf("who may assume it: %s", text)
	}
	if d := parameters(t, deploy.Template)["OrganizationRole"].Default; d != role["RoleName"] {
		t.Errorf("the stack assumes %s, the role is called %v", d, role["RoleName"])
	}
}

// statement is one of a role's policies.
type statement struct {
	sid                string
	actions, resources []string // sorted
}

func statements(t *testing.T, role map[string]any) (all []statement) {
	t.Helper()
	texts := func(v any) (list []string) {
		switch v := v.(type) {
		case string:
			list = []string{v}
		case []any:
			for _, e := range v {
				list = append(list, e.(string))
			}
		}
		slices.Sort(list)
		return list
	}
	for _, p := range role["Policies"].([]any) {
		for _, s := range p.(map[string]any)["PolicyDocument"].(map[string]any)["Statement"].([]any) {
			m := s.(map[string]any)
			if m["Effect"] != "Allow" {
				t.Errorf("a statement that denies: %v", m)
			}
			all = append(all, statement{m["Sid"].(string), texts(m["Action"]), texts(m["Resource"])})
		}
	}
	return all
}

// The table is the one that the program makes.
func TestTable(t *testing.T) {
	table := evaluate(t, deploy.Template, nil).properties("Table")
	want := dynamo.Definition("x", dynamo.TableOptions{})
	keys := func(schema []types.KeySchemaElement) any {
		list := []any{}
		for _, k := range schema {
			list = append(list, map[string]any{"AttributeName": *k.AttributeName, "KeyType": string(k.KeyType)})
		}
		return list
	}
	attributes, indexes := []any{}, []any{}
	for _, a := range want.AttributeDefinitions {
		attributes = append(attributes, map[string]any{"AttributeName": *a.AttributeName, "AttributeType": string(a.AttributeType)})
	}
	for _, i := range want.GlobalSecondaryIndexes {
		indexes = append(indexes, map[string]any{"IndexName": *i.IndexName, "KeySchema": keys(i.KeySchema), "Projection": map[string]any{"ProjectionType": string(i.Projection.ProjectionType)}})
	}
	for _, i := range table["GlobalSecondaryIndexes"].([]any) {
		delete(i.(map[string]any), "ProvisionedThroughput")
	}
	for name, v := range map[string]any{
		"KeySchema": keys(want.KeySchema), "AttributeDefinitions": attributes, "GlobalSecondaryIndexes": indexes,
		"TimeToLiveSpecification": map[string]any{"AttributeName": dynamo.TTLAttribute, "Enabled": "true"},
	} {
		if diff := cmp.Diff(v, table[name]); diff != "" {
			t.Errorf("%s (-program +template):\n%s", name, diff)
		}
	}
	if want.LocalSecondaryIndexes != nil || want.StreamSpecification != nil || table["LocalSecondaryIndexes"] != nil || table["StreamSpecification"] != nil {
		t.Error("local indexes and streams aren't compared")
	}
}

// others are values of the parameters besides their defaults.
var others = map[string]string{
	"ScheduleExpression": "cron(0/10 * * * ? *)", "ProcessIAMEvents": "false", "ProcessSTSEvents": "false", "ProcessSigninEvents": "false", "ProcessSSOEvents": "false",
	"SSORegion": "eu-central-1", "Regions": "eu-west-3,us-east-1", "Organization": "true", "OrganizationRole": "audit/reader", "OrganizationId": "o-abcdefghij",
	"EnableRealtime": "false", "FilterAWSServiceEvents": "false", "FilteredRoles": "PrismaCloud*", "MaxWorkers": "4", "EnableSecurityAlerts": "false",
	"AlertsEmailAddress": "security@example.com", "NotifyScheduleExpression": "rate(1 minute)", "Channels": "{name: chat, type: slack, url: '${ssm:/iamtrack/slack}'}",
	"ChannelParameters": "arn:aws:ssm:us-east-1:123456789012:parameter/iamtrack/slack", "ChannelSecrets": "arn:aws:secretsmanager:us-east-1:123456789012:secret:iamtrack-AbCdEf",
	"AlertHorizon": "3d", "DailySummary": "07:30", "TimeZone": "Europe/Berlin", "OffHoursStart": "20", "OffHoursEnd": "7", "OffHoursTimeZone": "Asia/Tokyo", "WorkDays": "mon-fri",
	"TrustedAccounts": "012345678901", "DisabledRules": "root-login", "EnableAnalytics": "false", "ExportScheduleExpression": "rate(6 hours)", "ExportDaysBack": "7",
	"BucketName": "lake-of-iam-tracker", "AthenaDatabase": "iam", "AthenaWorkgroup": "security", "AthenaOutputLocation": "s3://results-of-queries/", "AthenaScanLimit": "1000000000",
	"HotDays": "30", "LakeDays": "400", "LogRetentionDays": "90", "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", "DeleteData": "true",
	"BillingMode": "PAY_PER_REQUEST", "Architecture": "x86_64", "TrackerMemorySize": "512", "ExporterMemorySize": "2048", "LogLevel": "DEBUG",
	"Alarms": "all", "CollectionLagSeconds": "90000", "TrackerSilentSeconds": "86400", "ExportAlarmDays": "7",
}

// Each parameter makes a difference to what the stack is made of.
func TestEachParameterCounts(t *testing.T) {
	made := func(given map[string]string) string {
		s := evaluate(t, deploy.Template, given)
		text, err := json.Marshal([]any{s.resources, s.globals})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	deflt := made(nil)
	have := parameters(t, deploy.Template)
	for name := range have {
		if made(map[string]string{name: others[name]}) == deflt {
			t.Errorf("the parameter %s makes no difference", name)
		}
	}
	for name := range others {
		if _, ok := have[name]; !ok {
			t.Errorf("there is no parameter %s", name)
		}
	}
}

// notAsked are permissions that no call of the program needs: AWS asks for them in the
// role's name.
var notAsked = map[string]string{
	"logs:CreateLogStream": "AWS Lambda writes the log",
	"logs:PutLogEvents":    "AWS Lambda writes the log",
	"sqs:SendMessage":      "AWS Lambda keeps events that the function could not take",
	"kms:Decrypt":          "table, bucket, topic and queue are encrypted with the customer's key",
	"kms:DescribeKey":      "as above",
	"kms:GenerateDataKey":  "as above",
}

// Each call that a function makes is permitted by its role, on that resource, and
// nothing else is: an action on everything only where AWS knows no resource.
func TestPermissions(t *testing.T) {
	s := everything(t, nil)
	names := strings.NewReplacer("<Table.Arn>", "table", "<Bucket.Arn>", "bucket", topicARN, "topic",
		s.values["ChannelParameters"].([]any)[0].(string), "parameter", s.values["ChannelSecrets"].([]any)[0].(string), "secret",
		"arn:aws:iam::*:role/iamtrack-read", "role")
	for _, name := range function.Names() {
		resource := strings.ToUpper(name[:1]) + name[1:]
		if got := s.properties(resource + "Function")["Role"]; got != "<"+resource+"Role.Arn>" {
			t.Errorf("%s has the role %v", name, got)
		}
		needs, has := map[string]bool{}, map[string]bool{}
		for _, l := range callstest.Needs(name) {
			needs[l.Action+" "+l.Resource] = true
		}
		for _, st := range statements(t, s.properties(resource+"Role")) {
			for _, a := range st.actions {
				for _, r := range st.resources {
					if strings.Contains(a, "*") {
						t.Errorf("%s: any action of %s", name, a)
					}
					if notAsked[a] != "" {
						if r == "*" {
							t.Errorf("%s: %s on everything", name, a)
						}
						continue
					}
					has[a+" "+names.Replace(r)] = true
				}
			}
		}
		for p := range needs {
			if !has[p] {
				t.Errorf("%s is not permitted %s", name, p)
			}
		}
		for p := range has {
			// One statement has some actions for several resources.
			if !needs[p] {
				t.Errorf("%s is permitted %s, which it doesn't ask for", name, p)
			}
		}
		if len(needs) < 5 {
			t.Errorf("%s: %d calls are known", name, len(needs))
		}
	}
	bare := evaluate(t, deploy.Template, map[string]string{"EnableAnalytics": "false"})
	for _, name := range []string{"TrackerRole", "RealtimeRole", "NotifierRole"} {
		for _, st := range statements(t, bare.properties(name)) {
			for _, a := range st.actions {
				if service, _, _ := strings.Cut(a, ":"); slices.Contains([]string{"s3", "kms", "sts", "organizations", "ssm", "secretsmanager"}, service) {
					t.Errorf("%s is permitted %s in a stack that doesn't need it", name, a)
				}
			}
		}
	}
}
