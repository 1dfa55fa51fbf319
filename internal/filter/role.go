package filter

import (
	"fmt"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

// rolePattern is one entry of the role filter, in lower case.
type rolePattern struct {
	pattern string
	form    roleForm
	tail    string // what the role's name must end in; cheap to ask first
	bare    string // byARN: the pattern without the path
}

type roleForm int

const (
	byName roleForm = iota // the last part: Scanner*
	byPath                 // path and name: team/Scanner
	byARN                  // arn:PARTITION:iam::ACCOUNT:role/PATH/NAME
)

// parseRole reads one entry. Only '*' and '?' are special in a pattern.
func parseRole(entry string) (rolePattern, error) {
	p := rolePattern{pattern: lowerText(entry)}
	switch {
	case strings.HasPrefix(p.pattern, "arn:"):
		parts := strings.SplitN(p.pattern, ":", 6)
		if len(parts) != 6 || parts[1] == "" || parts[2] != "iam" || parts[3] != "" || !isAccount(parts[4]) ||
			len(parts[5]) <= len("role/") || !strings.HasPrefix(parts[5], "role/") {
			return p, fmt.Errorf("%q is not a role's ARN: give arn:aws:iam::123456789012:role/NAME, or the name alone", entry)
		}
		p.form = byARN
		prefix, _, _ := strings.Cut(p.pattern, ":role/")
		p.bare = prefix + ":role/" + p.pattern[strings.LastIndexByte(p.pattern, '/')+1:]
	case strings.ContainsAny(p.pattern, ": \t"):
		return p, fmt.Errorf("%q is not a role: give its name, a pattern such as Scanner*, or its ARN", entry)
	case strings.Contains(p.pattern, "/"):
		p.form = byPath
		p.pattern = strings.Trim(p.pattern, "/")
		if p.pattern == "" {
			return p, fmt.Errorf("%q is not a role: give its name, a pattern such as Scanner*, or its ARN", entry)
		}
	}
	p.tail = p.pattern[strings.LastIndexAny(p.pattern, "/*?")+1:]
	return p, nil
}

// isAccount reports whether s is 12 digits, or a pattern of them.
func isAccount(s string) bool {
	return s != "" && strings.Trim(s, "0123456789*?") == "" && (len(s) == 12 || strings.Contains(s, "*"))
}

// isRole reports whether the event is the assumption of a filtered role, or is
// done by one of its sessions.
func (f *Filter) isRole(e *event.Event) bool {
	if e.IdentityType == "AssumedRole" && f.filtered(sessionRole(e)) {
		return true
	}
	switch e.EventName {
	case "AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity":
		return e.EventSource == "sts.amazonaws.com" && f.filtered(role{arn: requestedRole(e)})
	}
	return false
}

// role is what is known of a role.
type role struct {
	name string
	arn  string // "" when it is not known
	// An assumed-role ARN has lost the role's path. The whole ARN is in the
	// record, at the cost of a JSON parse: see sessionRole.
	session *event.Event
}

// sessionRole is the role of the caller's session.
func sessionRole(e *event.Event) role {
	r := role{name: e.RoleName, session: e}
	// arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION
	if _, after, ok := strings.Cut(e.IdentityARN, ":assumed-role/"); ok && r.name == "" {
		r.name, _, _ = strings.Cut(after, "/")
	}
	return r
}

// bareARN is the ARN of a session's role as if it had no path. Names of roles
// are unique in an account, whatever their paths.
func bareARN(e *event.Event) string {
	prefix, after, ok := strings.Cut(e.IdentityARN, ":assumed-role/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(after, "/")
	return strings.Replace(prefix, ":sts:", ":iam:", 1) + ":role/" + name
}

func (f *Filter) filtered(r role) bool {
	if r.name == "" {
		part := rolePart(r.arn)
		r.name = part[strings.LastIndexByte(part, '/')+1:]
	}
	if r.name == "" {
		return false
	}
	for i := range f.roles {
		p := &f.roles[i]
		if len(r.name) < len(p.tail) || !strings.EqualFold(r.name[len(r.name)-len(p.tail):], p.tail) {
			continue
		}
		if p.form == byName {
			if match(p.pattern, r.name) {
				return true
			}
			continue
		}
		if r.session != nil && r.arn == "" && strings.Contains(r.session.Rest, "sessionIssuer") {
			r.arn = issuer(r.session)
		}
		switch {
		case p.form == byPath:
			// Without the path nothing is known, so nothing is dropped.
			if part := rolePart(r.arn); part != "" && match(p.pattern, part) {
				return true
			}
		case r.arn != "":
			if match(p.pattern, r.arn) {
				return true
			}
		case r.session != nil && match(p.bare, bareARN(r.session)):
			return true
		}
	}
	return false
}

// match reports whether the pattern, in lower case, matches all of text in any
// case; '*' is any run of bytes, '?' one. Only the last '*' is ever tried
// again, so the work is at most len(pattern) * len(text).
func match(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == lower(text[t])):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// lowerText is lower over a text. Names of roles are ASCII; strings.ToLower
// would also rewrite bytes that are not UTF-8.
func lowerText(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
