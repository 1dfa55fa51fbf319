package filter

import (
	"fmt"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

// rolePattern is one entry of the role filter. Case does not matter.
type rolePattern struct {
	event.Glob
	form roleForm
	// name is what the last part of a role's path, its name, must match for the
	// whole to match: it is cheap to ask.
	name event.Glob
	bare event.Glob // byARN: the pattern without the path
}

type roleForm int

const (
	byName roleForm = iota // the last part: Scanner*
	byPath                 // path and name: team/Scanner
	byARN                  // arn:PARTITION:iam::ACCOUNT:role/PATH/NAME
)

// parseRole reads one entry. Only '*' and '?' are special in a pattern.
func parseRole(entry string) (rolePattern, error) {
	var p rolePattern
	pattern := entry
	switch {
	case len(entry) > 4 && strings.EqualFold(entry[:4], "arn:"):
		parts := strings.SplitN(strings.ToLower(entry), ":", 6)
		if len(parts) != 6 || parts[1] == "" || parts[2] != "iam" || parts[3] != "" || !isAccount(parts[4]) ||
			len(parts[5]) <= len("role/") || !strings.HasPrefix(parts[5], "role/") {
			return p, fmt.Errorf("%q is not a role's ARN: give arn:aws:iam::123456789012:role/NAME, or the name alone", entry)
		}
		p.form = byARN
	case strings.Contains(entry, "/"):
		p.form = byPath
		pattern = strings.Trim(entry, "/")
	}
	name := pattern[strings.LastIndexByte(pattern, '/')+1:]
	if name == "" || strings.Trim(name, roleNameBytes) != "" || p.form != byARN && strings.ContainsAny(pattern, ": \t") {
		return p, fmt.Errorf("%q is not a role: give its name, a pattern such as Scanner*, or its ARN", entry)
	}
	p.Glob = event.NewGlob(pattern)
	if p.form == byARN {
		account := strings.Index(strings.ToLower(pattern), ":role/")
		p.bare = event.NewGlob(pattern[:account] + ":role/" + name)
	}
	// A wildcard in the last part may also stand for a part of the path.
	p.name = event.NewGlob("*" + name[strings.LastIndexAny(name, "*?")+1:])
	if p.form == byName {
		p.name = p.Glob
	}
	return p, nil
}

// roleNameBytes are those of a role's name (IAM API Reference, CreateRole), and
// the wildcards.
const roleNameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=.@-*?"

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
	if r.name == "" {
		_, after, _ := strings.Cut(e.IdentityARN, ":assumed-role/")
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
		if !p.name.Match(r.name) {
			continue
		}
		if p.form == byName {
			return true
		}
		if r.session != nil && r.arn == "" && strings.Contains(r.session.Rest, "sessionIssuer") {
			r.arn = issuer(r.session)
		}
		switch {
		case p.form == byPath:
			// Without the path nothing is known, so nothing is dropped.
			if part := rolePart(r.arn); part != "" && p.Match(part) {
				return true
			}
		case r.arn != "":
			if p.Match(r.arn) {
				return true
			}
		case r.session != nil && p.bare.Match(bareARN(r.session)):
			return true
		}
	}
	return false
}
