// Package deploy is the stack in AWS as CloudFormation and AWS SAM take it. The
// templates lie beside the program that makes them into a stack, in a folder of their
// own and not at the repository's root, since there are three:
//
//	template.yaml  the stack: table, lake, functions, alarms
//	member.yaml    in each other account that is read: the role that the tracker assumes
//	realtime.yaml  in each other region or account: forwards events to the stack
//
// `sam deploy --template deploy/template.yaml` and iamtrack use the same files. What
// the program decides (the columns of the lake's tables, the query packs) is written
// into template.yaml by `make template`; tests keep the rest in step with the code.
package deploy

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The templates, as they are checked in.
var (
	//go:embed template.yaml
	Template string
	//go:embed member.yaml
	Member string
	//go:embed realtime.yaml
	Realtime string
)

// Version is that of Template, which the stack's output OutputVersion tells. It grows
// when a program must know of a change: a program refuses a stack that is newer than
// it knows.
const Version = 1

// OutputVersion is the output of the stack that has Version.
const OutputVersion = "TemplateVersion"

// codeLine is where Template says where the program is: the folder that `make lambda`
// fills.
const codeLine = "      CodeUri: ../dist/lambda/\n"

// Packaged is Template with the functions' program in a bucket, as a zip file that has
// the executable `bootstrap`. CloudFormation makes a stack of it without the tools of
// AWS SAM.
func Packaged(bucket, key string) string {
	return strings.ReplaceAll(Template, codeLine, fmt.Sprintf("      CodeUri: {Bucket: %s, Key: %s}\n", strconv.Quote(bucket), strconv.Quote(key)))
}

// Parameter is a parameter of a template.
type Parameter struct {
	Name string
	// Type is String, Number or CommaDelimitedList.
	Type    string
	Default string
	// Required: it has no default.
	Required    bool
	Allowed     []string
	Pattern     string // AllowedPattern, for the whole value; empty: any
	Constraint  string // what Pattern means: "must be …"
	Description string
	// Min and Max bound a Number; nil: nothing does.
	Min, Max  *int64
	MaxLength int // in characters; 0: any
	// Hidden: AWS doesn't show the value again.
	Hidden bool
}

// Parameters lists the parameters of a template, in its order. The error says that it
// isn't one.
func Parameters(template string) ([]Parameter, error) {
	var doc struct {
		Parameters yaml.Node `yaml:"Parameters"`
	}
	if err := yaml.Unmarshal([]byte(template), &doc); err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	var list []Parameter
	for i := 0; i+1 < len(doc.Parameters.Content); i += 2 {
		var p struct {
			Type, AllowedPattern, ConstraintDescription, Description string
			Default                                                  *string
			AllowedValues                                            []string
			MinValue, MaxValue                                       *int64
			MaxLength                                                int
			NoEcho                                                   bool
		}
		name := doc.Parameters.Content[i].Value
		if err := decode(doc.Parameters.Content[i+1], map[string]any{
			"Type": &p.Type, "AllowedPattern": &p.AllowedPattern, "ConstraintDescription": &p.ConstraintDescription, "Description": &p.Description,
			"Default": &p.Default, "AllowedValues": &p.AllowedValues, "MinValue": &p.MinValue, "MaxValue": &p.MaxValue, "MaxLength": &p.MaxLength, "NoEcho": &p.NoEcho,
		}); err != nil {
			return nil, fmt.Errorf("read the template: parameter %s: %w", name, err)
		}
		out := Parameter{Name: name, Type: p.Type, Allowed: p.AllowedValues, Pattern: p.AllowedPattern, Constraint: p.ConstraintDescription,
			Description: p.Description, Min: p.MinValue, Max: p.MaxValue, MaxLength: p.MaxLength, Hidden: p.NoEcho, Required: p.Default == nil}
		if p.Default != nil {
			out.Default = *p.Default
		}
		list = append(list, out)
	}
	return list, nil
}

// decode reads the keys of a mapping into fields; one that has no field is an error.
func decode(node *yaml.Node, fields map[string]any) error {
	for i := 0; i+1 < len(node.Content); i += 2 {
		to, ok := fields[node.Content[i].Value]
		if !ok {
			return fmt.Errorf("line %d: unknown key %s", node.Content[i].Line, node.Content[i].Value)
		}
		if err := node.Content[i+1].Decode(to); err != nil {
			return err
		}
	}
	return nil
}

// Check says what is wrong with a value, as CloudFormation would: "must be …".
func (p Parameter) Check(value string) error {
	wrong := func(format string, args ...any) error {
		shown := strconv.Quote(value)
		if p.Hidden {
			shown = "the value"
		}
		return fmt.Errorf("parameter %s: %s %s", p.Name, shown, fmt.Sprintf(format, args...))
	}
	if len(p.Allowed) > 0 && !slices.Contains(p.Allowed, value) {
		return wrong("is not allowed: use %s", strings.Join(p.Allowed, ", "))
	}
	if p.Type == "Number" {
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
			return wrong("is no whole number")
		case p.Min != nil && n < *p.Min:
			return wrong("is too small: the least is %d", *p.Min)
		case p.Max != nil && n > *p.Max:
			return wrong("is too large: the most is %d", *p.Max)
		}
	}
	if p.MaxLength > 0 && utf8.RuneCountInString(value) > p.MaxLength {
		return wrong("has more than %d characters", p.MaxLength)
	}
	if p.Pattern != "" {
		// CloudFormation's patterns are Java's and match the whole; those of our
		// templates mean the same here.
		re, err := regexp.Compile("^(?:" + p.Pattern + ")$")
		if err != nil {
			return fmt.Errorf("parameter %s: its pattern: %w", p.Name, err)
		}
		if !re.MatchString(value) {
			return wrong("is not allowed: it %s", p.Constraint)
		}
	}
	return nil
}
