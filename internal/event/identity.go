package event

import (
	"bytes"
	"strings"
)

// derive fills the columns that follow from others.
func (p *Parser) derive() {
	e := &p.ev
	e.Category = categoryOf(e.EventSource)
	e.Outcome = p.outcome()
	e.MFA = p.mfa()
	p.actor()
	e.fillTarget()
}

// categoryOf returns the category of an event source.
func categoryOf(source string) string {
	switch source {
	case "iam.amazonaws.com":
		return CategoryIAM
	case "sts.amazonaws.com":
		return CategorySTS
	case "signin.amazonaws.com":
		return CategorySignin
	}
	if strings.HasPrefix(source, "sso") || strings.HasPrefix(source, "identitystore") {
		return CategorySSO
	}
	return CategoryOther
}

// mfa returns whether the caller had used a second factor, nil where that isn't
// recorded.
func (p *Parser) mfa() *bool {
	e := &p.ev
	if e.Category == CategorySignin {
		switch used := text(lookup(e.AdditionalEventData, "MFAUsed")); {
		case strings.EqualFold(used, "yes"):
			return &yes
		case strings.EqualFold(used, "no"):
			return &no
		}
	}
	v := p.nested(fMFAAuthenticated, pathIdentity, pathSession, pathAttributes)
	switch v = bytes.Trim(v, `"`); {
	case len(v) > 5:
	case bytes.EqualFold(v, []byte("true")):
		return &yes
	case bytes.EqualFold(v, []byte("false")):
		return &no
	}
	return nil
}

// outcome tells how the call ended. Sign-in events say so in their payload and
// mostly have no errorCode. Source: CloudTrail User Guide, "AWS Management
// Console sign-in events", and section 0.2 of the detection catalogue.
func (p *Parser) outcome() string {
	e := &p.ev
	if e.ErrorCode != "" {
		if denied(e.ErrorCode) {
			return OutcomeDenied
		}
		return OutcomeFailed
	}
	// An errorCode of another type than text is an error all the same.
	if v := p.vals[fErrorCode]; v.end > 0 {
		switch string(p.c.out[v.start:v.end]) {
		case "null", `""`, "0", "false", "{}", "[]":
		default:
			return OutcomeFailed
		}
	}
	details := p.vals[fServiceEventDetails]
	if e.Category != CategorySignin && details.end == 0 {
		return OutcomeOK
	}
	result := results(e.ResponseElements)
	if result == "" && details.end > 0 {
		result = results(string(p.c.out[details.start:details.end]))
	}
	switch {
	case result != "":
		return result
	case e.Category == CategorySignin && e.ErrorMessage != "":
		return OutcomeFailed
	}
	return OutcomeOK
}

// denied reports whether a policy refused the call.
func denied(code string) bool {
	lower := strings.ToLower(code)
	return strings.Contains(lower, "accessdenied") || strings.Contains(lower, "unauthorized")
}

// results returns the outcome that {"ConsoleLogin":"Failure"} and its like
// state; "" for none. One failure makes a failure.
func results(obj string) string {
	out := ""
	members(obj, func(_, v string) bool {
		switch s := text(v); {
		case strings.EqualFold(s, "failure"), strings.EqualFold(s, "failed"):
			out = OutcomeFailed
			return false
		case strings.EqualFold(s, "success"):
			out = OutcomeOK
		}
		return true
	})
	return out
}

// actor fills who acted. Actor is for people to read, and to group by within
// one account and ActorKind:
//
//	Root                root
//	IAMUser             NAME
//	AssumedRole         ROLE/SESSION
//	FederatedUser       NAME
//	SAMLUser            NAME @ PROVIDER
//	WebIdentityUser     NAME @ PROVIDER
//	IdentityCenterUser  USER-ID
//	Directory           NAME
//	AWSAccount          account/ACCOUNT-ID, and /SESSION of a role there
//	AWSService          HOST, such as cloudtrail.amazonaws.com
//	others              user name, principal id or ARN, whichever is first there
//
// Root is decided by the identity's type alone: an IAM user may be named root.
// ActorChain is the one hop that the record itself proves.
func (p *Parser) actor() {
	e := &p.ev
	arnKind, arnPath := cutARN(e.IdentityARN)
	_, session, _ := strings.Cut(e.PrincipalID, ":")
	e.ActorKind = kindOf(e.IdentityType)
	switch e.ActorKind {
	case KindRoot:
		e.Actor = "root"
	case KindIAMUser:
		e.Actor = first(e.UserName, lastPart(arnPath), e.PrincipalID)
	case KindRoleSession:
		p.roleSession(arnKind, arnPath, session)
	case KindFederatedUser:
		name := ""
		if arnKind == "federated-user" {
			name = arnPath
		}
		e.Actor = first(name, session, e.UserName, e.PrincipalID, e.IdentityARN)
	case KindSAMLUser, KindWebIdentity:
		e.Actor = first(e.UserName, e.PrincipalID)
		v := p.vals[fIdentityProvider]
		if provider := string(p.str(p.c.out[v.start:v.end])); provider != "" && e.Actor != "" {
			e.Actor += " @ " + provider
		}
	case KindIdentityCenter:
		id := string(p.str(p.nested(fUserID, pathIdentity, pathBehalf)))
		e.Actor = first(id, e.UserName, e.PrincipalID)
	case KindAccount:
		if account := first(e.IdentityAccountID, e.PrincipalID); account != "" {
			e.Actor = "account/" + account
			if session != "" && e.IdentityAccountID != "" {
				e.Actor += "/" + session
			}
		}
	case KindService:
		e.Actor = first(e.InvokedBy, e.PrincipalID, e.SourceIP)
	default:
		e.Actor = first(e.UserName, e.PrincipalID, e.IdentityARN, e.InvokedBy)
	}
	e.ActorChain = e.Actor
}

// roleSession fills role, session and actor of an assumed role. The ARN
// arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION has both; where it is
// missing, the session's issuer and the principal id do.
func (p *Parser) roleSession(arnKind, arnPath, session string) {
	e := &p.ev
	if arnKind == "assumed-role" {
		if role, name, ok := strings.Cut(arnPath, "/"); ok {
			e.RoleName, e.SessionName = role, name
			if issuer := p.str(p.issuerName()); len(issuer) > 0 && string(issuer) != role {
				e.RoleName = p.intern.get(issuer)
			} else {
				e.Actor = arnPath
				return
			}
		}
	}
	if e.RoleName == "" {
		e.RoleName = p.intern.get(p.str(p.issuerName()))
	}
	if e.RoleName == "" && arnKind == "role" {
		e.RoleName = lastPart(arnPath)
	}
	if e.SessionName == "" {
		e.SessionName = session
	}
	switch {
	case e.RoleName == "":
		e.Actor = first(e.SessionName, e.PrincipalID, e.IdentityARN)
	case e.SessionName == "":
		e.Actor = e.RoleName
	default:
		e.Actor = e.RoleName + "/" + e.SessionName
	}
}

func (p *Parser) issuerName() []byte {
	return p.nested(fUserName, pathIdentity, pathSession, pathIssuer)
}

// kindOf returns the actor kind of userIdentity.type. Source: CloudTrail User
// Guide, "CloudTrail userIdentity element".
func kindOf(identityType string) string {
	switch identityType {
	case "Root":
		return KindRoot
	case "IAMUser":
		return KindIAMUser
	case "AssumedRole", "Role":
		return KindRoleSession
	case "FederatedUser":
		return KindFederatedUser
	case "SAMLUser":
		return KindSAMLUser
	case "WebIdentityUser":
		return KindWebIdentity
	case "IdentityCenterUser":
		return KindIdentityCenter
	case "Directory":
		return KindDirectory
	case "AWSAccount":
		return KindAccount
	case "AWSService":
		return KindService
	}
	return KindUnknown
}

// cutARN returns the resource type and path of an ARN, such as user and
// /division/name without its first slash.
func cutARN(arn string) (kind, path string) {
	if !strings.HasPrefix(arn, "arn:") {
		return "", ""
	}
	rest := arn
	for range 5 {
		_, after, ok := strings.Cut(rest, ":")
		if !ok {
			return "", ""
		}
		rest = after
	}
	kind, path, _ = strings.Cut(rest, "/")
	return kind, path
}

// RolePath returns the path and the name of the role that an ARN names, without
// the first slash; "" for any other ARN. What an account chooses itself, such as
// paths, which may hold colons, can't pass for a path that AWS reserves.
func RolePath(arn string) string {
	kind, path := cutARN(arn)
	if kind != "role" {
		return ""
	}
	return path
}

// lastPart returns what follows the last slash.
func lastPart(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

// first returns the first string that isn't empty.
func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
