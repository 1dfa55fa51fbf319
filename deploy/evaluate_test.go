package deploy_test

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/iamtrack/iamtrack/deploy"
)

// stack is a template as CloudFormation would take it with some parameters: functions
// and conditions are worked out. What AWS makes up is written as "<Resource>" for a
// reference and "<Resource.Attribute>" for an attribute.
type stack struct {
	t          *testing.T
	values     map[string]any // parameters and pseudo parameters
	conditions map[string]any
	names      map[string]any // all resources of the template
	// Resources that the conditions leave, evaluated.
	resources map[string]map[string]any
	outputs   map[string]string
	globals   map[string]any // of functions, evaluated
}

// topicARN is how the topic is referred to: the program wants an ARN.
const topicARN = "arn:aws:sns:eu-west-3:111122223333:iam-tracker-Topic-1ABC"

// evaluate works a template out; parameters that aren't given have their defaults.
func evaluate(t *testing.T, template string, given map[string]string) *stack {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(template), &doc); err != nil {
		t.Fatal(err)
	}
	all := plain(t, doc.Content[0]).(map[string]any)
	s := &stack{t: t, values: map[string]any{
		"AWS::StackName": "iam-tracker", "AWS::Region": "eu-west-3", "AWS::AccountId": "111122223333", "AWS::Partition": "aws", "AWS::NoValue": noValue{},
		"Topic": topicARN,
	}, resources: map[string]map[string]any{}, outputs: map[string]string{}}
	for _, p := range parameters(t, template) {
		value, ok := given[p.Name]
		if !ok {
			value = p.Default
		}
		if err := p.Check(value); err != nil {
			t.Fatal(err)
		}
		s.values[p.Name] = any(value)
		if p.Type == "CommaDelimitedList" {
			list := []any{}
			for v := range strings.SplitSeq(value, ",") {
				list = append(list, v)
			}
			s.values[p.Name] = list
		}
	}
	for name := range given {
		if _, ok := s.values[name]; !ok {
			t.Fatalf("there is no parameter %s", name)
		}
	}
	s.conditions, _ = all["Conditions"].(map[string]any)
	s.names, _ = all["Resources"].(map[string]any)
	if g, ok := all["Globals"].(map[string]any); ok {
		s.globals = s.eval(g["Function"]).(map[string]any)
	}
	for name, r := range all["Resources"].(map[string]any) {
		if m := r.(map[string]any); s.holds(m["Condition"]) {
			delete(m, "Condition")
			s.resources[name] = s.eval(m).(map[string]any)
		}
	}
	for name, o := range all["Outputs"].(map[string]any) {
		if m := o.(map[string]any); s.holds(m["Condition"]) {
			s.outputs[name] = s.eval(m["Value"]).(string)
		}
	}
	return s
}

type noValue struct{}

// plain is YAML as maps, lists and texts; short forms of functions are written out.
func plain(t *testing.T, n *yaml.Node) any {
	var v any
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if _, twice := m[n.Content[i].Value]; twice {
				t.Fatalf("line %d: %s is there twice", n.Content[i].Line, n.Content[i].Value)
			}
			m[n.Content[i].Value] = plain(t, n.Content[i+1])
		}
		v = m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = plain(t, c)
		}
		v = list
	case yaml.ScalarNode:
		v = n.Value
	default: // CloudFormation takes no aliases
		t.Fatalf("line %d: YAML that CloudFormation doesn't take", n.Line)
	}
	switch tag := n.Tag; {
	case !strings.HasPrefix(tag, "!") || strings.HasPrefix(tag, "!!"):
		return v
	case tag == "!Ref" || tag == "!Condition":
		return map[string]any{tag[1:]: v}
	default:
		return map[string]any{"Fn::" + tag[1:]: v}
	}
}

func (s *stack) holds(condition any) bool {
	if condition == nil {
		return true
	}
	c, ok := s.conditions[condition.(string)]
	if !ok {
		s.t.Fatalf("there is no condition %v", condition)
	}
	return s.eval(c).(bool)
}

var variable = regexp.MustCompile(`\$\{(!?)([A-Za-z0-9:.]+)\}`)

func (s *stack) ref(name string) any {
	if v, ok := s.values[name]; ok {
		return v
	}
	if _, ok := s.names[name]; !ok {
		s.t.Fatalf("there is nothing called %s", name)
	}
	return "<" + name + ">"
}

// made are the resources that AWS SAM makes of a function's events.
var made = regexp.MustCompile(`^([A-Za-z]+Function)(Schedule|Events)$`)

func (s *stack) attribute(text string) string {
	name, _, _ := strings.Cut(text, ".")
	if m := made.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	if _, ok := s.names[name]; !ok {
		s.t.Fatalf("there is no resource %s", name)
	}
	return "<" + text + ">"
}

func (s *stack) sub(text string, own map[string]any) string {
	return variable.ReplaceAllStringFunc(text, func(m string) string {
		p := variable.FindStringSubmatch(m)
		if p[1] == "!" {
			return "${" + p[2] + "}"
		}
		if v, ok := own[p[2]]; ok {
			return fmt.Sprint(v)
		}
		if strings.Contains(p[2], ".") {
			return s.attribute(p[2])
		}
		return fmt.Sprint(s.ref(p[2]))
	})
}

func (s *stack) eval(v any) any {
	switch v := v.(type) {
	case []any:
		list := []any{}
		for _, e := range v {
			if e := s.eval(e); e != (noValue{}) {
				list = append(list, e)
			}
		}
		return list
	case map[string]any:
		if len(v) == 1 {
			for k, arg := range v {
				if out, ok := s.call(k, arg); ok {
					return out
				}
			}
		}
		m := map[string]any{}
		for k, e := range v {
			if e := s.eval(e); e != (noValue{}) {
				m[k] = e
			}
		}
		return m
	}
	return v
}

func (s *stack) call(name string, arg any) (any, bool) {
	if name == "Ref" {
		return s.ref(arg.(string)), true
	}
	if c, ok := arg.(string); ok && name == "Condition" {
		return s.holds(c), true
	}
	if !strings.HasPrefix(name, "Fn::") {
		return nil, false
	}
	if name == "Fn::If" {
		list := arg.([]any)
		if s.holds(list[0]) {
			return s.eval(list[1]), true
		}
		return s.eval(list[2]), true
	}
	if text, ok := arg.(string); ok {
		switch name {
		case "Fn::GetAtt":
			return s.attribute(text), true
		case "Fn::Sub":
			return s.sub(text, nil), true
		}
	}
	list := s.eval(arg).([]any)
	switch name {
	case "Fn::Equals":
		return list[0] == list[1], true
	case "Fn::Not":
		return !list[0].(bool), true
	case "Fn::And":
		for _, c := range list {
			if !c.(bool) {
				return false, true
			}
		}
		return true, true
	case "Fn::Or":
		for _, c := range list {
			if c.(bool) {
				return true, true
			}
		}
		return false, true
	case "Fn::Sub":
		return s.sub(list[0].(string), list[1].(map[string]any)), true
	case "Fn::Join":
		parts := []string{}
		for _, p := range list[1].([]any) {
			parts = append(parts, p.(string))
		}
		return strings.Join(parts, list[0].(string)), true
	case "Fn::Split":
		parts := []any{}
		for p := range strings.SplitSeq(list[1].(string), list[0].(string)) {
			parts = append(parts, p)
		}
		return parts, true
	}
	s.t.Fatalf("the function %s isn't known", name)
	return nil, false
}

// of returns the resources of a type.
func (s *stack) of(kind string) map[string]map[string]any {
	found := map[string]map[string]any{}
	for name, r := range s.resources {
		if r["Type"] == kind {
			found[name] = r["Properties"].(map[string]any)
		}
	}
	return found
}

func (s *stack) properties(name string) map[string]any {
	s.t.Helper()
	r, ok := s.resources[name]
	if !ok {
		s.t.Fatalf("the stack has no %s", name)
	}
	return r["Properties"].(map[string]any)
}

// environment is that of a function.
func (s *stack) environment(function string) map[string]string {
	env := map[string]string{}
	for _, from := range []map[string]any{s.globals, s.properties(function)} {
		if e, ok := from["Environment"].(map[string]any); ok {
			for k, v := range e["Variables"].(map[string]any) {
				env[k] = v.(string)
			}
		}
	}
	return env
}

// everything is switched on.
func everything(t *testing.T, more map[string]string) *stack {
	given := map[string]string{
		"Alarms": "all", "Organization": "true", "OrganizationId": "o-abcdefghij", "AlertsEmailAddress": "security@example.com",
		"KmsKeyArn":         "arn:aws:kms:eu-west-3:111122223333:key/1234abcd",
		"Channels":          "{name: chat, type: slack, url: '${ssm:/iamtrack/slack}'}",
		"ChannelParameters": "arn:aws:ssm:eu-west-3:111122223333:parameter/iamtrack/slack",
		"ChannelSecrets":    "arn:aws:secretsmanager:eu-west-3:111122223333:secret:iamtrack-AbCdEf",
	}
	maps.Copy(given, more)
	return evaluate(t, deploy.Template, given)
}
