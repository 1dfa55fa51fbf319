package stack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/cost"
)

// Value is the value that a parameter of the stack is to have.
type Value struct {
	Name, Value string
	// Origin says where it comes from: "flag --parameter", "environment
	// SCHEDULE_EXPRESSION", "FILE:LINE", "the stack", "default".
	Origin string
	Hidden bool // AWS doesn't show it, and nobody else should
}

// FromStack and FromTemplate are origins of values that nobody gave.
const (
	FromStack    = "the stack"
	FromTemplate = "default"
)

// legacyNames are parameters that environment variables of the earlier tool give, by
// the name of the parameter in capitals. Others, such as BUCKET_NAME, might be meant
// for something else, and need IAMTRACK_ before them.
var legacyNames = []string{
	"ScheduleExpression", "ExportScheduleExpression", "MaxWorkers", "ProcessIAMEvents", "ProcessSTSEvents", "ProcessSigninEvents", "ProcessSSOEvents",
	"SSORegion", "FilterAWSServiceEvents", "FilteredRoles", "EnableAnalytics", "ExportDaysBack", "EnableSecurityAlerts", "AlertsEmailAddress",
	"OffHoursStart", "OffHoursEnd", "AthenaDatabase", "AthenaWorkgroup", "AthenaOutputLocation", "LogLevel",
}

// settingOf are parameters that are a setting under another name.
var settingOf = map[string]string{
	"OffHoursTimeZone": "off_hours_tz", "FilterAWSServiceEvents": "filter_aws_service_events", "TimeZone": "tz",
}

// notSettings are parameters whose setting means something else on this machine, or
// would have to be translated.
var notSettings = []string{"Channels", "HotDays", "LakeDays", "LogLevel", "TimeZone"}

// snake is a parameter's name in lower case, with _ between its words: SSORegion is
// sso_region.
func snake(name string) string {
	var b strings.Builder
	upper := func(i int) bool { return i >= 0 && i < len(name) && name[i] >= 'A' && name[i] <= 'Z' }
	for i := range len(name) {
		if upper(i) && i > 0 && (!upper(i-1) || i+1 < len(name) && !upper(i+1)) {
			b.WriteByte('_')
		}
		b.WriteByte(name[i])
	}
	return strings.ToLower(b.String())
}

// Inputs are where the values of parameters come from.
type Inputs struct {
	// Given are --parameter NAME=VALUE.
	Given []string
	// Settings and LookupEnv are what is configured; nil: only what is given counts.
	Settings  []config.Setting
	LookupEnv func(string) (string, bool)
	// Stack is what there is; its values stay where nothing else is said.
	Stack awsapi.Stack
}

// hasLake is the parameter that gives a stack a lake, or doesn't.
const hasLake = "EnableAnalytics"

// Values decides over the parameters of a template, in its order, and checks each as
// CloudFormation would. A value that stays has no text when AWS hides it.
func Values(template []deploy.Parameter, in Inputs) ([]Value, error) {
	given := map[string]string{}
	for _, text := range in.Given {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("parameter %q has no value: use NAME=VALUE", text)
		}
		i := slices.IndexFunc(template, func(p deploy.Parameter) bool { return strings.EqualFold(p.Name, name) })
		if i < 0 {
			names := make([]string, len(template))
			for i, p := range template {
				names[i] = p.Name
			}
			if near := config.Near(name, names); near != "" {
				return nil, fmt.Errorf("the template has no parameter %s: did you mean %s?", name, near)
			}
			return nil, fmt.Errorf("the template has no parameter %s: its parameters are %s", name, strings.Join(names, ", "))
		}
		if _, twice := given[template[i].Name]; twice {
			return nil, fmt.Errorf("parameter %s is given twice", template[i].Name)
		}
		given[template[i].Name] = value
	}
	list := make([]Value, 0, len(template))
	for _, p := range template {
		v := Value{Name: p.Name, Hidden: p.Hidden}
		value, isGiven := given[p.Name]
		configured, origin := in.configured(p.Name)
		before, kept := in.Stack.Parameters[p.Name]
		switch {
		case isGiven:
			v.Value, v.Origin = value, "flag --parameter"
		case origin != "":
			v.Value, v.Origin = configured, origin
		case kept:
			v.Value, v.Origin = before, FromStack
		case p.Required:
			return nil, fmt.Errorf("parameter %s has no value: give it with --parameter %s=VALUE (%s)", p.Name, p.Name, p.Description)
		default:
			v.Value, v.Origin = p.Default, FromTemplate
		}
		if v.Origin != FromStack {
			if err := check(p, v.Value); err != nil {
				return nil, fmt.Errorf("%w (%s)", err, v.Origin)
			}
		}
		if p.Name == hasLake && before == "true" && v.Value == "false" {
			return nil, fmt.Errorf("parameter %s: the stack has a lake, and can't do without: its table has the latest days only, and nobody would ask the lake for the others; make another stack, and move there what this one has by `iamtrack pull` and `iamtrack push` (%s)", p.Name, v.Origin)
		}
		list = append(list, v)
	}
	return list, nil
}

// check is what CloudFormation and, of schedules, EventBridge say of a value.
func check(p deploy.Parameter, value string) error {
	if strings.HasSuffix(p.Name, "ScheduleExpression") {
		if _, err := cost.RunsADay(value); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
	}
	return p.Check(value)
}

// configured is the value that the environment or a settings file has for a parameter,
// and where; an empty origin means none.
func (in Inputs) configured(name string) (value, origin string) {
	key := snake(name)
	if in.LookupEnv != nil {
		names := []string{"IAMTRACK_" + strings.ToUpper(key)}
		if slices.Contains(legacyNames, name) {
			names = append(names, strings.ToUpper(key))
		}
		for _, n := range names {
			// A variable that is empty says nothing, as in the earlier tool.
			if v, ok := in.LookupEnv(n); ok && v != "" && !slices.Contains(notSettings, name) {
				return v, "environment " + n
			}
		}
	}
	if slices.Contains(notSettings, name) {
		return "", ""
	}
	if k, ok := settingOf[name]; ok {
		key = k
	}
	for _, s := range in.Settings {
		if s.Key == key && s.Origin != "default" && s.Origin != "" && !strings.HasPrefix(s.Origin, "environment") {
			return s.Value, s.Origin
		}
	}
	return "", ""
}

// forCloudFormation is what is sent: what stays isn't named by its value, which may be
// hidden, and defaults are the template's.
func forCloudFormation(values []Value) []awsapi.StackParameter {
	var list []awsapi.StackParameter
	for _, v := range values {
		switch v.Origin {
		case FromStack:
			list = append(list, awsapi.StackParameter{Name: v.Name, Keep: true})
		case FromTemplate:
		default:
			list = append(list, awsapi.StackParameter{Name: v.Name, Value: v.Value})
		}
	}
	return list
}
