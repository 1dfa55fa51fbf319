package rule

import (
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Event sources that rules name.
const (
	sourceIAM    = "iam.amazonaws.com"
	sourceSignin = "signin.amazonaws.com"
	sourceSSO    = "sso.amazonaws.com"
)

// Values of Event.IdentityType that rules ask for.
const (
	typeRoot        = "Root"
	typeIAMUser     = "IAMUser"
	typeAssumedRole = "AssumedRole"
	typeAWSService  = "AWSService"
)

var parsers fastjson.ParserPool

// view is an event as rules see it: the columns, and the JSON columns parsed
// when first asked for. A JSON column that is absent, not an object or not
// JSON reads as an object without fields: null is normal, never an error.
type view struct {
	*event.Event
	en *Engine

	docs   [4]*fastjson.Value // request, response, additional, rest
	held   [4]*fastjson.Parser
	policy map[string]policyResult
}

type policyResult struct {
	policy policy
	err    error
}

const (
	docRequest = iota
	docResponse
	docAdditional
	docRest
)

// emptyObject is shared by goroutines. fastjson unescapes an object's keys when
// it is first asked, and notes that in the object; that is done here, once.
var emptyObject = func() *fastjson.Value {
	v := fastjson.MustParse("{}")
	v.Get("")
	return v
}()

func (v *view) doc(i int) *fastjson.Value {
	if v.docs[i] == nil {
		text := [...]string{v.RequestParameters, v.ResponseElements, v.AdditionalEventData, v.Rest}[i]
		v.docs[i] = emptyObject
		if text != "" {
			p := parsers.Get()
			v.held[i] = p
			if d, err := p.Parse(text); err == nil {
				v.docs[i] = d
			}
		}
	}
	return v.docs[i]
}

// release gives the parsers back; no parsed value may be used afterwards.
func (v *view) release() {
	for i, p := range v.held {
		if p != nil {
			parsers.Put(p)
			v.held[i], v.docs[i] = nil, nil
		}
	}
}

// req, resp and extra return a string of requestParameters, responseElements
// and additionalEventData; rest one of what no column holds.
func (v *view) req(path ...string) string   { return textAt(v.doc(docRequest), path...) }
func (v *view) resp(path ...string) string  { return textAt(v.doc(docResponse), path...) }
func (v *view) extra(path ...string) string { return textAt(v.doc(docAdditional), path...) }
func (v *view) rest(path ...string) string  { return textAt(v.doc(docRest), path...) }

func textAt(v *fastjson.Value, path ...string) string { return string(v.GetStringBytes(path...)) }

// requestPolicy parses a policy document of the request once for all rules that ask.
func (v *view) requestPolicy(key string) (policy, error) {
	if r, ok := v.policy[key]; ok {
		return r.policy, r.err
	}
	p, err := parsePolicy(v.doc(docRequest).Get(key))
	if v.policy == nil {
		v.policy = map[string]policyResult{}
	}
	v.policy[key] = policyResult{p, err}
	return p, err
}

func (v *view) ok() bool     { return v.Outcome == event.OutcomeOK }
func (v *view) denied() bool { return v.Outcome == event.OutcomeDenied }
func (v *view) isRoot() bool { return v.IdentityType == typeRoot }

// account is the account of the event: recipientAccountId, which the event
// model falls back to the caller's account.
func (v *view) account() string {
	if v.AccountID != "" {
		return v.AccountID
	}
	return v.IdentityAccountID
}

// who is the subject of a sentence: how the event's actor is called.
func (v *view) who() string {
	if v.isRoot() {
		return "The root user of account " + name(v.account())
	}
	return name(v.actor())
}

// actor is the display name of who acted.
func (v *view) actor() string {
	switch {
	case v.Actor != "":
		return v.Actor
	case v.isRoot():
		return "root"
	case v.UserName != "":
		return v.UserName
	case v.RoleName != "":
		return v.RoleName + "/" + v.SessionName
	case v.IdentityARN != "":
		return v.IdentityARN
	case v.InvokedBy != "":
		return v.InvokedBy
	}
	return v.PrincipalID
}

// actorKey tells one actor from another, whatever they are called: of a role
// session it has the role and the session, so that people who share a role
// stay apart.
func (v *view) actorKey() string {
	switch {
	case v.isRoot():
		return "root/" + v.account()
	case v.IdentityARN != "":
		return v.IdentityARN
	case v.PrincipalID != "":
		return v.IdentityAccountID + "/" + v.PrincipalID
	}
	return v.IdentityAccountID + "/" + v.actor()
}

// self reports whether the named target user is the caller: no name means
// "myself" in IAM's own calls, and only an IAM user can be a named one. Names
// are compared whole, since bob is a part of jimbob.
func (v *view) self(target string) bool {
	if target == "" {
		return true
	}
	return v.IdentityType == typeIAMUser && strings.EqualFold(target, v.UserName)
}

// targetUser is the user that a credential call acts on; for denied calls,
// whose parameters are null, the user that the error message names.
func (v *view) targetUser() string {
	if t := v.req("userName"); t != "" {
		return t
	}
	if v.denied() {
		if kind, n := deniedResource(v.ErrorMessage); kind == "user" {
			return n
		}
	}
	return ""
}

// deniedResource reads kind and name of the IAM resource from the message of a
// denied call: "… is not authorized to perform: iam:X on resource: user bob
// because …", or "… on resource: arn:aws:iam::123456789012:user/path/bob …".
func deniedResource(message string) (kind, resource string) {
	_, after, found := strings.Cut(message, "on resource: ")
	if !found {
		return "", ""
	}
	words := strings.Fields(clip(after, targetRunes))
	if len(words) == 0 {
		return "", ""
	}
	first := strings.TrimRight(words[0], ".,;")
	if strings.HasPrefix(first, "arn:") {
		parts := strings.SplitN(first, ":", 6)
		if len(parts) < 6 {
			return "", ""
		}
		kind, path, ok := strings.Cut(parts[5], "/")
		if !ok {
			return "", ""
		}
		return kind, path[strings.LastIndexByte(path, '/')+1:]
	}
	switch first {
	case "user", "role", "group", "policy":
		if len(words) > 1 {
			return first, strings.TrimRight(words[1], ".,;")
		}
	}
	return "", ""
}

// isService reports whether AWS itself acted.
func (v *view) isService() bool {
	return v.IdentityType == typeAWSService ||
		strings.HasSuffix(v.InvokedBy, ".amazonaws.com") ||
		strings.HasSuffix(v.SourceIP, ".amazonaws.com") || v.SourceIP == "AWS Internal"
}

// workload names the compute service whose role the caller is, or is empty.
func (v *view) workload() string {
	if v.IdentityType != typeAssumedRole {
		return ""
	}
	switch {
	case isInstanceID(v.SessionName),
		v.doc(docRest).Exists("userIdentity", "sessionContext", "ec2RoleDelivery"):
		return "EC2 instance"
	case v.InvokedBy == "lambda.amazonaws.com", strings.Contains(v.UserAgent, "AWS_Lambda"):
		return "Lambda function"
	}
	return ""
}

// isInstanceID reports whether s is i- and 8 or 17 hex digits, in any case.
func isInstanceID(s string) bool {
	if len(s) != 10 && len(s) != 19 || !strings.EqualFold(s[:2], "i-") {
		return false
	}
	return strings.Trim(s[2:], "0123456789abcdefABCDEF") == ""
}

// readOnly reports whether the call only reads; old records do not say so, then
// its name tells.
func (v *view) readOnly() bool {
	if v.ReadOnly != nil {
		return *v.ReadOnly
	}
	for _, prefix := range [...]string{"Get", "List", "Describe", "Head", "Lookup", "Search", "BatchGet", "Simulate", "Generate", "Decode", "Validate"} {
		if strings.HasPrefix(v.EventName, prefix) {
			return true
		}
	}
	return false
}

// from is where the call came from, for a sentence.
func (v *view) from() string { return " from " + name(v.SourceIP) }

// at is the event's time for a sentence.
func at(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05") + " UTC" }
