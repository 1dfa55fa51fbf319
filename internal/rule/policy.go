package rule

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/valyala/fastjson"
)

// maxPolicyBytes is the size limit of a policy document. IAM's own limits are
// far lower, but do not count white space.
const maxPolicyBytes = 128 << 10

// Reasons why a policy document could not be read.
var (
	errPolicyAbsent = errors.New("the document is not recorded")
	errPolicyHidden = errors.New("the document is hidden")
	errPolicySize   = errors.New("the document is larger than 128 KiB")
	errPolicyForm   = errors.New("the document is not a policy")
)

// policy is what a policy document says, flattened: lists always are lists,
// element names are known in any case, actions are in lower case.
type policy struct {
	statements []statement
	deny       bool // some statement denies something
}

// statement is one statement of a policy document.
type statement struct {
	allow        bool
	actions      []string // lower case
	notActions   []string // lower case
	hasNotAction bool
	resources    []string
	notResource  bool // NotResource is present
	principals   []principal
	notPrincipal bool
	conditions   []condition
}

// principal is one value of a Principal element.
type principal struct {
	kind  string // lower case: "aws", "federated", "service", "canonicaluser"; "*" for the bare star
	value string
}

// condition is one key of a Condition element.
type condition struct {
	operator string // lower case, with its set prefix and IfExists
	key      string // lower case
	values   []string
}

// parsePolicy reads a document from an event: a JSON object, or a string that
// holds one, percent-encoded up to twice (responses are encoded, requests
// usually are not). '+' is never a space: IAM encodes as in a path.
func parsePolicy(v *fastjson.Value) (policy, error) {
	if v == nil || v.Type() == fastjson.TypeNull {
		return policy{}, errPolicyAbsent
	}
	switch v.Type() {
	case fastjson.TypeString:
		return parsePolicyText(string(v.GetStringBytes()))
	case fastjson.TypeObject:
		return parsePolicyText(string(v.MarshalTo(nil)))
	default:
		return policy{}, errPolicyForm
	}
}

func parsePolicyText(text string) (policy, error) {
	if text == "" {
		return policy{}, errPolicyAbsent
	}
	if strings.Contains(text, "HIDDEN_DUE_TO_SECURITY_REASONS") && len(text) < 64 {
		return policy{}, errPolicyHidden
	}
	parser := parsers.Get()
	defer parsers.Put(parser)
	for decoded := 0; ; decoded++ {
		if len(text) > maxPolicyBytes {
			return policy{}, errPolicySize
		}
		v, err := parser.Parse(text)
		if err == nil {
			return readPolicy(v)
		}
		if decoded == 2 || !strings.Contains(text, "%") {
			return policy{}, errPolicyForm
		}
		if text, err = url.PathUnescape(text); err != nil {
			return policy{}, errPolicyForm
		}
	}
}

// readPolicy flattens a parsed document.
func readPolicy(v *fastjson.Value) (policy, error) {
	o, err := v.Object()
	if err != nil {
		return policy{}, errPolicyForm
	}
	var p policy
	found := false
	o.Visit(func(key []byte, v *fastjson.Value) {
		if !strings.EqualFold(string(key), "Statement") {
			return
		}
		found = true
		for _, s := range oneOrMany(v) {
			if s.Type() != fastjson.TypeObject {
				err = fmt.Errorf("%w: a statement is not an object", errPolicyForm)
				return
			}
			st := readStatement(s.GetObject())
			p.deny = p.deny || !st.allow
			p.statements = append(p.statements, st)
		}
	})
	if err != nil {
		return policy{}, err
	}
	if !found {
		return policy{}, fmt.Errorf("%w: no Statement", errPolicyForm)
	}
	return p, nil
}

func readStatement(o *fastjson.Object) statement {
	var s statement
	o.Visit(func(key []byte, v *fastjson.Value) {
		switch strings.ToLower(string(key)) {
		case "effect":
			s.allow = string(v.GetStringBytes()) == "Allow"
		case "action":
			s.actions = append(s.actions, lowered(texts(v))...)
		case "notaction":
			s.hasNotAction = true
			s.notActions = append(s.notActions, lowered(texts(v))...)
		case "resource":
			s.resources = append(s.resources, texts(v)...)
		case "notresource":
			s.notResource = true
		case "principal":
			s.principals = append(s.principals, readPrincipals(v)...)
		case "notprincipal":
			s.notPrincipal = true
		case "condition":
			s.conditions = append(s.conditions, readConditions(v)...)
		}
	})
	return s
}

func readPrincipals(v *fastjson.Value) []principal {
	var out []principal
	if v.Type() != fastjson.TypeObject {
		for _, t := range texts(v) { // "*", or a list that IAM would refuse
			kind := "aws"
			if t == "*" {
				kind = "*"
			}
			out = append(out, principal{kind, t})
		}
		return out
	}
	v.GetObject().Visit(func(key []byte, v *fastjson.Value) {
		kind := strings.ToLower(string(key))
		for _, t := range texts(v) {
			out = append(out, principal{kind, strings.TrimSpace(t)})
		}
	})
	return out
}

func readConditions(v *fastjson.Value) []condition {
	var out []condition
	if v.Type() != fastjson.TypeObject {
		return nil
	}
	v.GetObject().Visit(func(op []byte, v *fastjson.Value) {
		if v.Type() != fastjson.TypeObject {
			return
		}
		operator := strings.ToLower(string(op))
		v.GetObject().Visit(func(key []byte, v *fastjson.Value) {
			out = append(out, condition{operator, strings.ToLower(string(key)), texts(v)})
		})
	})
	return out
}

// oneOrMany returns the elements of a list, or the value itself.
func oneOrMany(v *fastjson.Value) []*fastjson.Value {
	if v.Type() == fastjson.TypeArray {
		return v.GetArray()
	}
	return []*fastjson.Value{v}
}

// texts returns a string, or the strings of a list; other values as JSON text
// (a condition's value may be true or a number).
func texts(v *fastjson.Value) []string {
	var out []string
	for _, e := range oneOrMany(v) {
		switch e.Type() {
		case fastjson.TypeString:
			out = append(out, string(e.GetStringBytes()))
		case fastjson.TypeTrue, fastjson.TypeFalse, fastjson.TypeNumber:
			out = append(out, e.String())
		}
	}
	return out
}

func lowered(in []string) []string {
	for i, s := range in {
		in[i] = strings.ToLower(strings.TrimSpace(s))
	}
	return in
}

// keys returns the condition keys of a statement, each once, in order.
func (s *statement) keys() []string {
	var out []string
	for _, c := range s.conditions {
		out = appendNew(out, c.key)
	}
	return out
}
