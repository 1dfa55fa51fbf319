// Package filter says which events matter. It knows two kinds of noise: what
// AWS does for itself (by far most of a CloudTrail log), and what roles that an
// operator has named do (scanners, say). It drops nothing itself: it names the
// reason, and the caller counts the event, keeps a thin row of it
// (event.Filtered), and still shows it to the critical rules.
//
// What is dangerous is package rule's business. Everything here is pure.
package filter

import (
	"fmt"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Reasons why an event is noise.
const (
	Service = "service" // AWS for itself
	Role    = "role"    // a role of Config.Roles
)

// Config is what an operator may say; the zero value keeps everything.
type Config struct {
	// ServiceEvents filters what AWS services do for themselves.
	ServiceEvents bool
	// Roles are names of roles, patterns of names ('*' any run, '?' one
	// character), or role ARNs (patterns too); each entry may be a list with
	// commas. Case does not matter. A name that contains a '/' is compared with
	// path and name.
	Roles []string
	// Sources narrow what is read at all: event sources, with or without
	// .amazonaws.com, patterns too. Empty: all.
	Sources []string
	// ManagementOnly leaves data events out.
	ManagementOnly bool
}

// Filter decides about events. It is immutable, so it may be used by any
// number of goroutines.
type Filter struct {
	service        bool
	roles          []rolePattern
	sources        []event.Glob // ending in .amazonaws.com
	managementOnly bool
	selection      Selection
}

// New checks the configuration; the error names the setting.
func New(cfg Config) (*Filter, error) {
	f := &Filter{service: cfg.ServiceEvents, managementOnly: cfg.ManagementOnly}
	for _, entry := range split(cfg.Roles) {
		p, err := parseRole(entry)
		if err != nil {
			return nil, fmt.Errorf("filtered_roles: %w", err)
		}
		f.roles = append(f.roles, p)
	}
	var names []string
	for _, s := range split(cfg.Sources) {
		s = strings.ToLower(s)
		if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-*?") != "" {
			return nil, fmt.Errorf("sources: %q is not an event source: give a name such as iam or iam.amazonaws.com", s)
		}
		if !strings.Contains(s, ".") {
			s += awsDomain
		}
		f.sources = append(f.sources, event.NewGlob(s))
		names = append(names, s)
	}
	f.selection = newSelection(names, cfg.ManagementOnly)
	return f, nil
}

const awsDomain = ".amazonaws.com"

// split cuts comma lists, trims the entries and leaves empty ones out.
func split(in []string) []string {
	var out []string
	for _, list := range in {
		for entry := range strings.SplitSeq(list, ",") {
			if entry = strings.TrimSpace(entry); entry != "" {
				out = append(out, entry)
			}
		}
	}
	return out
}

// Selected reports whether the event is to be read at all, by Config.Sources
// and Config.ManagementOnly. It comes before Reason: what is not selected is as
// if it were not in the input, so it is not counted as filtered.
func (f *Filter) Selected(e *event.Event) bool {
	return f.hasSource(e.EventSource) && (!f.managementOnly || !isData(e))
}

func (f *Filter) hasSource(source string) bool {
	for i := range f.sources {
		if f.sources[i].Match(source) {
			return true
		}
	}
	return len(f.sources) == 0
}

// isData reports whether the record is a data event (or a network activity or
// Insights event): eventCategory says so since event version 1.07, before that
// managementEvent is false. A record that says neither is a management event.
func isData(e *event.Event) bool {
	if !strings.Contains(e.Rest, `"eventCategory"`) && !strings.Contains(e.Rest, `"managementEvent"`) {
		return false
	}
	p := parsers.Get()
	defer parsers.Put(p)
	v, err := p.Parse(e.Rest)
	if err != nil {
		return false
	}
	if c := v.GetStringBytes("eventCategory"); len(c) > 0 {
		return string(c) != "Management"
	}
	m := v.Get("managementEvent")
	return m != nil && (m.Type() == fastjson.TypeFalse || string(m.GetStringBytes()) == "false")
}

var parsers fastjson.ParserPool

// Reason says why the event is noise; "" means that it is to be kept.
func (f *Filter) Reason(e *event.Event) string {
	if f.service && isService(e) {
		return Service
	}
	if len(f.roles) > 0 && f.isRole(e) {
		return Role
	}
	return ""
}

// HeadReason says why the event is noise, from its head alone. What it gives,
// Reason gives too, and the event is Selected; "" means that only the whole
// event tells.
func (f *Filter) HeadReason(h *event.Head) string {
	if !f.MayBeNoise(h) || !f.hasSource(h.EventSource) {
		return ""
	}
	return Service
}

// MayBeNoise reports whether HeadReason may give a reason, from the caller alone:
// of the head only IdentityType and IssuerARN count.
func (f *Filter) MayBeNoise(h *event.Head) bool {
	return f.service && !f.managementOnly &&
		(h.IdentityType == serviceType || h.IdentityType == "AssumedRole" && isLinked(h.IssuerARN))
}

// serviceType is userIdentity.type of AWS services.
const serviceType = "AWSService"

// ServiceRolePath is reserved, in a role's ARN: only AWS makes roles under it.
// The name of such a role (AWSServiceRoleFor…) proves nothing, nor does the text
// further on in an ARN: paths of one's own roles may hold colons.
const ServiceRolePath = ":role/aws-service-role/"

// isLinked reports whether an ARN names a role under ServiceRolePath.
func isLinked(arn string) bool {
	return strings.HasPrefix(event.RolePath(arn), "aws-service-role/")
}

// isService reports whether AWS acts for itself.
func isService(e *event.Event) bool {
	if e.IdentityType == serviceType {
		return true
	}
	if e.EventName == "AssumeRole" && e.EventSource == "sts.amazonaws.com" && (fromAWS(e.UserAgent) || fromAWS(e.SourceIP)) &&
		strings.Contains(e.RequestParameters, ServiceRolePath) && isLinked(requestedRole(e)) {
		return true
	}
	return e.IdentityType == "AssumedRole" && strings.Contains(e.Rest, "/aws-service-role/") &&
		isLinked(issuer(e))
}

func fromAWS(host string) bool { return strings.HasSuffix(host, awsDomain) }

// requestedRole is the ARN of the role that an AssumeRole call asks for. A
// denied call has no parameters; its message names the role.
func requestedRole(e *event.Event) string {
	if e.TargetKind == event.TargetRole && strings.Contains(e.TargetARN, ":role/") {
		return e.TargetARN // the column has it already
	}
	if e.RequestParameters != "" {
		if arn := textIn(e.RequestParameters, "roleArn"); arn != "" {
			return arn
		}
	}
	if _, after, ok := strings.Cut(e.ErrorMessage, "on resource: arn:"); ok {
		end := strings.IndexAny(after, " \t\n\"'")
		if end < 0 {
			end = len(after)
		}
		return "arn:" + strings.TrimRight(after[:end], ".,;")
	}
	return ""
}

// issuer is the ARN of the role that issued the caller's session.
func issuer(e *event.Event) string {
	return textIn(e.Rest, "userIdentity", "sessionContext", "sessionIssuer", "arn")
}

func textIn(json string, path ...string) string {
	p := parsers.Get()
	defer parsers.Put(p)
	v, err := p.Parse(json)
	if err != nil {
		return ""
	}
	return string(v.GetStringBytes(path...))
}

// rolePart is PATH/NAME of a role's ARN, or "" for anything else.
func rolePart(arn string) string {
	_, part, _ := strings.Cut(arn, ":role/")
	return part
}
