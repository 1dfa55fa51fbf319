package lineage

import (
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/iamtrack/iamtrack/internal/event"
)

// stem is what an event alone says of its caller.
type stem struct {
	chain []Hop // at least one hop, the caller last
	// rooted is the certainty of the first hop being the root, "" when only what
	// issued the credentials tells; how says by what.
	rooted, how string
	// nodes lead to who issued the caller's credentials, the best first. A rooted
	// caller has them when they may lead further still.
	nodes []string
	// same is not a node of the caller's credentials but of another account's
	// record of the same call, which knows the caller better.
	same string
	// node and name are a name that the event shows.
	node, name string
	reason     string // why it isn't rooted
}

// Prefixes of nodes that are no access key ids.
const (
	sharedNode    = "shared:"    // sharedEventID
	sessionNode   = "session:"   // ARN, "@", seconds since 1970 of its creation
	userNode      = "user:"      // id of an identity store, "/", user id
	principalNode = "principal:" // account, "/", AIDA…
)

// reader reads stems. It is not safe for concurrent use.
type reader struct {
	p fastjson.Parser
}

// stem reads what the event says of its caller, from columns that stay as they
// are: never from Actor, ActorKind and ActorChain.
func (r *reader) stem(e *event.Event) stem {
	switch e.IdentityType {
	case "AssumedRole", "Role":
		return r.roleSession(e)
	case "IAMUser":
		return atTheDoor(e, r.user(e))
	case "Root":
		return atTheDoor(e, r.root(e))
	case "FederatedUser":
		return r.federated(e)
	case "SAMLUser", "WebIdentityUser":
		return r.external(e)
	case "IdentityCenterUser":
		return atTheDoor(e, r.identityCenter(e))
	case "AWSAccount":
		return r.account(e)
	case "AWSService":
		return known(Hop{Kind: event.KindService, Name: first(e.InvokedBy, e.PrincipalID, e.SourceIP)}, "the record names the service")
	case "Directory":
		return known(Hop{Kind: event.KindDirectory, Name: first(e.UserName, e.PrincipalID, e.IdentityARN), ARN: e.IdentityARN}, "the record names the directory's user")
	}
	return stem{
		chain:  []Hop{{Kind: event.KindUnknown, Name: first(e.UserName, e.PrincipalID, e.IdentityARN, e.InvokedBy), ARN: e.IdentityARN}},
		reason: "the record doesn't say who called",
	}
}

func known(h Hop, how string) stem { return stem{chain: []Hop{h}, rooted: Proven, how: how} }

// atTheDoor takes for what it is that somebody failed to sign in, or was asked for
// a password: the name that was typed.
func atTheDoor(e *event.Event, s stem) stem {
	if e.Category != event.CategorySignin || e.AccessKeyID != "" || s.rooted == "" {
		return s
	}
	switch {
	case e.Outcome != event.OutcomeOK:
		s.reason = "the sign-in failed, so that only the name that was typed is known, not who typed it"
	case e.EventName == "CredentialChallenge":
		s.reason = "the sign-in has just begun, so that only the name that was typed is known, not who typed it"
	default:
		return s
	}
	s.rooted, s.how = Inferred, "the name that was typed"
	return s
}

// hidden is what CloudTrail puts in the place of a text that may be a password
// typed as a user name (CloudTrail User Guide, "AWS Management Console sign-in
// events").
const hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

func (r *reader) user(e *event.Event) stem {
	h := Hop{Kind: event.KindIAMUser, Name: first(e.UserName, lastPart(e.IdentityARN), e.PrincipalID), ARN: e.IdentityARN, AccountID: first(e.IdentityAccountID, e.AccountID)}
	if e.UserName == hidden || h.Name == "" {
		h.Kind = event.KindUnknown
		return stem{chain: []Hop{h}, reason: "the record hides who tried to sign in"}
	}
	s := known(h, "the record names the IAM user")
	if strings.HasPrefix(e.PrincipalID, "AIDA") && e.UserName != "" {
		s.node, s.name = userOf(h.AccountID, e.PrincipalID), e.UserName
	}
	return s
}

// userOf is the node of an IAM user's name. AWS gives each principal id once, but
// made-up and anonymised records don't: one account's say nothing of another's.
func userOf(account, principalID string) string { return principalNode + account + "/" + principalID }

// root is the root user, or a session that AssumeRoot gave: then the link of its
// key says whose.
func (r *reader) root(e *event.Event) stem {
	h := Hop{Kind: event.KindRoot, Name: "root", ARN: e.IdentityARN, AccountID: first(e.IdentityAccountID, e.AccountID)}
	s := known(h, "the record names the root user")
	if assumedRoot(r.identity(e).Get("sessionContext")) {
		h.Kind, h.Name = event.KindRoleSession, "root (AssumeRoot)"
		s = stem{chain: []Hop{h}, reason: "the record that issued the session's credentials isn't there"}
	}
	if strings.HasPrefix(e.AccessKeyID, "ASIA") {
		s.nodes = []string{e.AccessKeyID}
	}
	return s
}

// assumedRoot reports whether a session is one that somebody of the management
// account took, not the root user.
func assumedRoot(ctx *fastjson.Value) bool {
	for _, v := range []*fastjson.Value{ctx.Get("assumedRoot"), ctx.Get("attributes", "assumedRoot")} {
		if v != nil && (v.Type() == fastjson.TypeTrue || string(v.GetStringBytes()) == "true") {
			return true
		}
	}
	return false
}

func (r *reader) federated(e *event.Event) stem {
	_, session, _ := strings.Cut(e.PrincipalID, ":")
	self := Hop{Kind: event.KindFederatedUser, Name: first(lastPart(e.IdentityARN), session, e.PrincipalID), ARN: e.IdentityARN, AccountID: first(e.IdentityAccountID, e.AccountID)}
	issuer := r.identity(e).Get("sessionContext", "sessionIssuer")
	user := Hop{Kind: event.KindIAMUser, Name: text(issuer, "userName"), ARN: text(issuer, "arn"), AccountID: text(issuer, "accountId")}
	switch text(issuer, "type") {
	case "IAMUser":
	case "Root":
		user.Kind, user.Name = event.KindRoot, "root"
	default:
		user.Name = ""
	}
	if user.Name == "" {
		return stem{chain: []Hop{self}, nodes: list(e.AccessKeyID), reason: "the record doesn't say who made the federated session"}
	}
	return stem{chain: []Hop{user, self}, rooted: Proven, how: "the session's issuer"}
}

// external is somebody with an assertion of an identity provider.
func (r *reader) external(e *event.Event) stem {
	name := first(e.UserName, e.PrincipalID)
	if e.Outcome != event.OutcomeOK && e.Outcome != event.OutcomeDenied {
		// Denied is who AWS knows; any other error may be of an assertion that AWS
		// doesn't believe.
		return stem{chain: []Hop{{Kind: event.KindUnknown, Name: name, ARN: e.PrincipalID}}, reason: "the call failed: AWS may not have checked who it says it is"}
	}
	if e.IdentityType == "WebIdentityUser" {
		provider := text(r.identity(e), "identityProvider")
		if _, path, ok := strings.Cut(provider, ":oidc-provider/"); ok {
			provider = path
		}
		return known(Hop{Kind: event.KindWebIdentity, Name: at(name, provider), ARN: e.PrincipalID}, "the identity provider's token")
	}
	asked := r.object(e.RequestParameters)
	provider, role := text(asked, "principalArn"), text(asked, "roleArn")
	if e.Outcome == event.OutcomeOK && strings.Contains(provider, identityCenterProvider) && ofIdentityCenter(role) {
		return known(Hop{Kind: event.KindIdentityCenter, Name: name}, "Identity Center's assertion")
	}
	// Providers are called as their account likes.
	h := Hop{Kind: event.KindSAMLUser, ARN: e.PrincipalID, AccountID: first(accountOf(provider), e.AccountID)}
	if _, path, ok := strings.Cut(provider, ":saml-provider/"); ok {
		provider = path
	} else {
		provider = text(r.identity(e), "identityProvider")
	}
	h.Name = at(name, provider)
	return known(h, "the identity provider's assertion")
}

// identityCenterProvider begins the name of the SAML provider that Identity
// Center makes in an account. The name isn't reserved: only with a role of
// Identity Center, which no other provider can give, it proves anything.
const identityCenterProvider = ":saml-provider/AWSSSO_"

// ofIdentityCenter reports whether an ARN is of a role that Identity Center made:
// their path is reserved.
func ofIdentityCenter(role string) bool {
	return strings.HasPrefix(event.RolePath(role), "aws-reserved/sso.amazonaws.com/")
}

// serviceRole is the path of service-linked roles, followed by the service's
// host; it is reserved.
const serviceRole = "aws-service-role/"

func (r *reader) identityCenter(e *event.Event) stem {
	behalf := r.identity(e).Get("onBehalfOf")
	id, store := text(behalf, "userId"), text(behalf, "identityStoreArn")
	h := Hop{Kind: event.KindIdentityCenter, Name: first(e.UserName, id, e.PrincipalID)}
	if id != "" && store != "" {
		h.ARN = store + "/user/" + id
		if e.UserName == "" {
			h.Node = UserNode(store, id)
		}
	}
	if h.Name == "" {
		h.Kind = event.KindUnknown
		return stem{chain: []Hop{h}, reason: "the record doesn't say which user of Identity Center"}
	}
	return known(h, "the record names the user of Identity Center")
}

// account is a caller of another account, as the account whose role it takes
// sees it. The record of the caller's own account knows more.
func (r *reader) account(e *event.Event) stem {
	h := Hop{Kind: event.KindAccount, ARN: e.PrincipalID, AccountID: e.IdentityAccountID}
	id := first(e.IdentityAccountID, e.PrincipalID)
	if id == "" {
		h.Kind = event.KindUnknown
		return stem{chain: []Hop{h}, reason: "the record doesn't say who called"}
	}
	h.Name = "account/" + id
	if _, session, ok := strings.Cut(e.PrincipalID, ":"); ok && e.IdentityAccountID != "" {
		h.Name += "/" + session
	}
	s := known(h, "the record names the caller's account")
	if e.IssuedAccessKeyID != "" {
		s.same = e.IssuedAccessKeyID
	} else if shared := text(r.object(e.Rest), "sharedEventID"); shared != "" {
		s.same = sharedNode + shared
	}
	if strings.HasPrefix(e.PrincipalID, "AIDA") && e.IdentityAccountID != "" {
		s.chain[0].Node = userOf(e.IdentityAccountID, e.PrincipalID)
	}
	return s
}

// roleSession looks for what AWS itself says of who has the session, and else
// leaves it to the record that issued it.
func (r *reader) roleSession(e *event.Event) stem {
	self := Hop{Kind: event.KindRoleSession, ARN: e.IdentityARN, AccountID: first(e.IdentityAccountID, e.AccountID)}
	switch {
	case e.RoleName == "":
		self.Name = first(e.SessionName, e.PrincipalID, e.IdentityARN)
	case e.SessionName == "":
		self.Name = e.RoleName
	default:
		self.Name = e.RoleName + "/" + e.SessionName
	}
	rest := r.object(e.Rest)
	id := rest.Get("userIdentity")
	ctx := id.Get("sessionContext")
	issuer := text(ctx, "sessionIssuer", "arn")
	self.SourceIdentity = text(ctx, "sourceIdentity")
	reserved := ofIdentityCenter(issuer) && e.SessionName != ""

	person := Hop{Kind: event.KindIdentityCenter}
	if behalf := id.Get("onBehalfOf"); behalf != nil {
		user, store := text(behalf, "userId"), text(behalf, "identityStoreArn")
		if user != "" && store != "" {
			person.Name, person.ARN, person.Node = user, store+"/user/"+user, UserNode(store, user)
			s := stem{chain: []Hop{person, self}, rooted: Proven, how: "onBehalfOf names the user of Identity Center"}
			if reserved {
				s.chain[0].Name = e.SessionName
				s.node, s.name = person.Node, e.SessionName
			}
			return s
		}
	}
	if reserved {
		person.Name = e.SessionName
		return stem{chain: []Hop{person, self}, rooted: Inferred, how: "Identity Center names the sessions of its roles after their user"}
	}
	if path, ok := strings.CutPrefix(event.RolePath(issuer), serviceRole); ok {
		host, _, _ := strings.Cut(path, "/")
		return stem{chain: []Hop{{Kind: event.KindService, Name: host}, self}, rooted: Proven, how: "the role is linked to the service"}
	}
	if scope := id.Get("inScopeOf"); scope != nil {
		if to := text(scope, "credentialsIssuedTo"); to != "" {
			return stem{chain: []Hop{workload(text(scope, "issuerType"), to), self}, rooted: Proven, how: "inScopeOf names what the credentials were issued to"}
		}
	}
	if ctx.Get("ec2RoleDelivery") != nil && strings.HasPrefix(e.SessionName, "i-") {
		return stem{chain: []Hop{{Kind: event.KindInstance, Name: e.SessionName, AccountID: self.AccountID}, self}, rooted: Proven, how: "the instance metadata service delivered the credentials"}
	}
	s := stem{chain: []Hop{self}, nodes: list(e.AccessKeyID)}
	if e.Category == event.CategorySignin && e.EventName == "SwitchRole" {
		if from := text(r.object(e.AdditionalEventData), "SwitchFrom"); isUser(from) {
			user := Hop{Kind: event.KindIAMUser, Name: lastPart(from), ARN: from, AccountID: accountOf(from)}
			return stem{chain: []Hop{user, self}, rooted: Proven, how: "SwitchRole names the user who switched"}
		}
		rest = r.object(e.Rest) // the parser has read something else since
		ctx = rest.Get("userIdentity", "sessionContext")
	}
	if e.AccessKeyID == "" || rest.Get("sessionCredentialFromConsole") != nil {
		if created := seconds(text(ctx, "attributes", "creationDate")); created != 0 && e.IdentityARN != "" {
			s.nodes = append(s.nodes, sessionAt(e.IdentityARN, created))
		}
	}
	s.reason = "the record that issued the session's credentials isn't there"
	if text(ctx, "webIdFederationData", "federatedProvider") != "" {
		s.reason += "; it came with a web identity"
	}
	return s
}

// workload is what temporary credentials were issued to, by the type and the name
// that AWS gives.
func workload(kind, to string) Hop {
	h := Hop{Kind: event.KindService, Name: lastPart(to), ARN: to, AccountID: accountOf(to)}
	switch kind {
	case "AWS::Lambda::Function":
		h.Kind = event.KindFunction
		h.Name = to[strings.LastIndexByte(to, ':')+1:]
	case "AWS::EC2::Instance":
		h.Kind = event.KindInstance
	}
	return h
}

// issuedTo is what a service took a role for, as far as the session's name, which
// the service gives, tells.
func issuedTo(host, sessionName, account string) Hop {
	switch {
	case host == "ec2.amazonaws.com" && strings.HasPrefix(sessionName, "i-"):
		return Hop{Kind: event.KindInstance, Name: sessionName, AccountID: account}
	case host == "lambda.amazonaws.com" && sessionName != "":
		return Hop{Kind: event.KindFunction, Name: sessionName, AccountID: account}
	}
	return Hop{Kind: event.KindService, Name: host}
}

// identity is the part of userIdentity that no column holds.
func (r *reader) identity(e *event.Event) *fastjson.Value {
	return r.object(e.Rest).Get("userIdentity")
}

// object parses a column of JSON; what it returned before is gone then.
func (r *reader) object(json string) *fastjson.Value {
	if json == "" {
		return nil
	}
	v, err := r.p.Parse(json)
	if err != nil {
		return nil // the column was written by us; a reader need not trust it
	}
	return v
}

func text(v *fastjson.Value, path ...string) string { return string(v.GetStringBytes(path...)) }

// sessionAt is the node of a role session by its name and the second of its
// creation.
func sessionAt(arn string, created int64) string {
	return sessionNode + arn + "@" + strconv.FormatInt(created, 10)
}

// seconds reads a creationDate, of which there are two spellings; 0 for none.
func seconds(s string) int64 {
	for _, layout := range [...]string{time.RFC3339, "20060102T150405Z"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.Unix()
		}
	}
	return 0
}

func at(name, provider string) string {
	if name == "" || provider == "" {
		return name
	}
	return name + " @ " + provider
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func lastPart(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

// isUser reports whether an ARN is an IAM user's. Paths may hold colons.
func isUser(arn string) bool {
	parts := strings.SplitN(arn, ":", 6)
	return len(parts) == 6 && parts[2] == "iam" && strings.HasPrefix(parts[5], "user/")
}

func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// IsNamed reports whether a node is one that Names are kept of.
func IsNamed(node string) bool {
	return strings.HasPrefix(node, userNode) || strings.HasPrefix(node, principalNode)
}

// UserNode is the node of an Identity Center user, by the ARN or the id of the
// identity store and the user's id, which is unique in that store only.
func UserNode(store, userID string) string { return userNode + lastPart(store) + "/" + userID }
