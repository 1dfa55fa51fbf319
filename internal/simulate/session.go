package simulate

import (
	"strings"
	"time"
)

// Kinds of a Root: who or what is behind a session in the end.
const (
	RootPerson   = "person"   // came by Identity Center
	RootSAML     = "saml"     // came by a SAML provider
	RootIAMUser  = "iam-user" // an IAM user's key or password
	RootAccount  = "root"     // an account's root user
	RootCI       = "ci-job"   // came by OIDC
	RootInstance = "instance" // EC2
	RootFunction = "function" // Lambda
	RootService  = "service"  // an AWS service
	RootExternal = "external" // somebody in an account outside the organisation
	RootUnknown  = "unknown"  // nobody proven, as at a failed sign-in
)

// root is the declared origin of a chain of sessions.
type root struct{ kind, name string }

// session is one set of credentials in somebody's hands. It is immutable once
// made, as records are rendered from it on any core.
type session struct {
	acct     uint8
	identity []byte // the userIdentity object
	arn      string // userIdentity.arn, for error messages
	key      string // access key id, if any
	ip       string
	agent    string
	console  bool // sessionCredentialFromConsole
	noTLS    bool // made inside AWS: no tlsDetails
	noise    bool
	root     root
	chain    []string // ARNs of the sessions from the root to this one
	role     *role    // of role sessions
	name     string   // role session name
	created  int64    // Unix seconds
	lasts    int64    // seconds
	actor    string   // declared actor key of interactive sessions: who off-hours access is counted for
}

func appendTime(dst []byte, at int64) []byte {
	return time.Unix(at, 0).UTC().AppendFormat(dst, "2006-01-02T15:04:05Z")
}

func formatTime(at int64) string { return string(appendTime(nil, at)) }

// quote makes a JSON string. It is for text made here, which is UTF-8.
func quote(s string) string { return string(appendQuoted(nil, s)) }

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, `\u00`...)
			dst = append(dst, lowerHex[c>>4], lowerHex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

func str(dst []byte, parts ...string) []byte {
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// keySession is an IAM user at work with a long-term access key.
func (w *World) keySession(u *iamUser, key, ip, agent string) *session {
	id := str(make([]byte, 0, 256), `{"type":"IAMUser","principalId":"`, u.id, `","arn":"`, u.arn, `","accountId":"`, w.accounts[u.acct].id,
		`","accessKeyId":"`, key, `","userName":"`, u.name, `"}`)
	return &session{acct: u.acct, identity: id, arn: u.arn, key: key, ip: ip, agent: agent, root: root{RootIAMUser, u.arn}, chain: []string{u.arn}, actor: u.arn}
}

// loginSession is an IAM user at the sign-in page: no credentials yet.
func (w *World) loginSession(u *iamUser, ip, agent string) *session {
	id := str(make([]byte, 0, 256), `{"type":"IAMUser","principalId":"`, u.id, `","arn":"`, u.arn, `","accountId":"`, w.accounts[u.acct].id,
		`","userName":"`, u.name, `"}`)
	return &session{acct: u.acct, identity: id, arn: u.arn, ip: ip, agent: agent, root: root{RootIAMUser, u.arn}, chain: []string{u.arn}, actor: u.arn}
}

// userSession is an IAM user with temporary credentials: those of the console,
// or of GetSessionToken.
func (w *World) userSession(r *rng, u *iamUser, at int64, mfa, console bool, ip, agent string) *session {
	key := r.key("ASIA")
	id := str(make([]byte, 0, 384), `{"type":"IAMUser","principalId":"`, u.id, `","arn":"`, u.arn, `","accountId":"`, w.accounts[u.acct].id,
		`","accessKeyId":"`, key, `","userName":"`, u.name, `","sessionContext":{"attributes":{"creationDate":"`)
	id = appendTime(id, at)
	id = str(id, `","mfaAuthenticated":"`, yes(mfa), `"}}}`)
	return &session{acct: u.acct, identity: id, arn: u.arn, key: key, ip: ip, agent: agent, console: console, root: root{RootIAMUser, u.arn},
		chain: []string{u.arn}, created: at, lasts: 12 * 3600, actor: u.arn}
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// rootSession is an account's root user; without a key it stands at the
// sign-in page.
func (w *World) rootSession(acct uint8, key string, at int64, mfa bool, ip, agent string) *session {
	a := w.accounts[acct]
	arn := "arn:aws:iam::" + a.id + ":root"
	id := str(make([]byte, 0, 320), `{"type":"Root","principalId":"`, a.id, `","arn":"`, arn, `","accountId":"`, a.id, `","accessKeyId":"`, key, `"`)
	if key != "" {
		id = str(id, `,"sessionContext":{"attributes":{"creationDate":"`, formatTime(at), `","mfaAuthenticated":"`, yes(mfa), `"}}`)
	}
	return &session{acct: acct, identity: append(id, '}'), arn: arn, key: key, ip: ip, agent: agent, console: key != "", root: root{RootAccount, arn},
		chain: []string{arn}, created: at, actor: "root/" + a.id}
}

// federatedSession is what GetFederationToken gives.
func (w *World) federatedSession(r *rng, u *iamUser, name string, at int64, ip, agent string) *session {
	a := w.accounts[u.acct]
	key, arn := r.key("ASIA"), "arn:aws:sts::"+a.id+":federated-user/"+name
	id := str(make([]byte, 0, 512), `{"type":"FederatedUser","principalId":"`, a.id, `:`, name, `","arn":"`, arn, `","accountId":"`, a.id, `","accessKeyId":"`, key,
		`","sessionContext":{"sessionIssuer":{"type":"IAMUser","principalId":"`, u.id, `","arn":"`, u.arn, `","accountId":"`, a.id, `","userName":"`, u.name,
		`"},"attributes":{"creationDate":"`, formatTime(at), `","mfaAuthenticated":"false"}}}`)
	return &session{acct: u.acct, identity: id, arn: arn, key: key, ip: ip, agent: agent, root: root{RootIAMUser, u.arn}, chain: []string{u.arn, arn},
		name: name, created: at, lasts: 3600}
}

// serviceSession is an AWS service acting as itself, by its host name.
func serviceSession(acct uint8, host string) *session {
	id := str(make([]byte, 0, 80), `{"type":"AWSService","invokedBy":"`, host, `"}`)
	return &session{acct: acct, identity: id, ip: host, agent: host, noTLS: true, noise: true, root: root{RootService, host}, chain: []string{host}}
}

// personRoot is the declared origin of all that an Identity Center user does.
func personRoot(p *person) root { return root{RootPerson, p.email} }

// portalSession is a person in the access portal, recorded in the management
// account.
func (w *World) portalSession(p *person, ip, agent string) *session {
	id := str(make([]byte, 0, 320), `{"type":"IdentityCenterUser","accountId":"`, w.accounts[management].id, `","onBehalfOf":{"userId":"`, p.userID,
		`","identityStoreArn":"`, w.directory.storeARN, `"},"credentialId":"`, p.credentialID, `"}`)
	return &session{acct: management, identity: id, arn: p.userID, ip: ip, agent: agent, root: personRoot(p), chain: []string{p.email},
		actor: w.directory.storeARN + " " + p.userID}
}

// roleOptions are what differs between role sessions.
type roleOptions struct {
	ip, agent string
	mfa       bool
	console   bool
	lasts     int64 // seconds; 0 means an hour
	// onBehalfOf names the Identity Center user of the newer records.
	onBehalfOf *person
	// extra is put into sessionContext, or behind it: JSON members, each with a
	// leading comma.
	contextExtra, identityExtra string
	// keyless is the identity of the sign-in page, which has no credentials yet.
	keyless bool
}

// assume is a session of a role; from is the session, or nil, that assumed it.
func (w *World) assume(r *rng, ro *role, name string, at int64, from *session, origin root, o roleOptions) *session {
	a := w.accounts[ro.acct]
	key := ""
	if !o.keyless {
		key = r.key("ASIA")
	}
	arn := "arn:aws:sts::" + a.id + ":assumed-role/" + ro.name + "/" + name
	id := str(make([]byte, 0, 768), `{"type":"AssumedRole","principalId":"`, ro.id, `:`, name, `","arn":"`, arn, `","accountId":"`, a.id, `","accessKeyId":"`, key,
		`","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"`, ro.id, `","arn":"`, ro.arn, `","accountId":"`, a.id, `","userName":"`, ro.name,
		`"},"attributes":{"creationDate":"`)
	id = appendTime(id, at)
	id = str(id, `","mfaAuthenticated":"`, yes(o.mfa), `"}`, o.contextExtra, `}`, o.identityExtra)
	if o.onBehalfOf != nil {
		id = str(id, `,"onBehalfOf":{"userId":"`, o.onBehalfOf.userID, `","identityStoreArn":"`, w.directory.storeARN, `"}`)
	}
	s := &session{acct: ro.acct, identity: append(id, '}'), arn: arn, key: key, ip: o.ip, agent: o.agent, console: o.console, role: ro, name: name,
		created: at, lasts: o.lasts, root: origin, actor: ro.arn + " " + name}
	if s.lasts == 0 {
		s.lasts = 3600
	}
	if from != nil {
		s.root = from.root
		s.chain = append(append(make([]string, 0, len(from.chain)+1), from.chain...), arn)
	} else {
		s.chain = []string{origin.name, arn}
	}
	if ro.linked {
		s.noise = true
	}
	if strings.HasSuffix(o.ip, ".amazonaws.com") {
		s.noTLS = true
	}
	return s
}

// samlSession is somebody with an assertion of an identity provider, on the way
// to a role; origin is who that is.
func (w *World) samlSession(acct uint8, provider, name string, origin root, ip, agent string) *session {
	id := str(make([]byte, 0, 160), `{"type":"SAMLUser","principalId":"`, provider, `:`, name, `","userName":"`, name, `","identityProvider":"`, provider, `"}`)
	return &session{acct: acct, identity: id, arn: provider + ":" + name, ip: ip, agent: agent, noTLS: strings.HasSuffix(ip, ".amazonaws.com"),
		root: origin, chain: []string{origin.name}, name: name}
}

// oidcSession is a CI job with its web identity, on the way to a role.
func (w *World) oidcSession(acct uint8, subject, ip string) *session {
	provider := "arn:aws:iam::" + w.accounts[acct].id + ":oidc-provider/" + githubIssuer
	id := str(make([]byte, 0, 384), `{"type":"WebIdentityUser","principalId":"`, provider, `:sts.amazonaws.com:`, subject, `","userName":"`, subject,
		`","identityProvider":"`, provider, `"}`)
	return &session{acct: acct, identity: id, arn: provider + ":" + subject, ip: ip, agent: actionsAgent, root: root{RootCI, subject}, chain: []string{subject}, name: subject}
}

// outsiderSession is a caller of another organisation's account who assumes a
// role of ours: all that is recorded is the account and a principal id.
func outsiderSession(acct uint8, account, principal, ip, agent string) *session {
	id := str(make([]byte, 0, 128), `{"type":"AWSAccount","principalId":"`, principal, `","accountId":"`, account, `"}`)
	return &session{acct: acct, identity: id, arn: principal, ip: ip, agent: agent, root: root{RootExternal, account}, chain: []string{account}}
}

// appendForeign writes how the account that owns a role records a caller from another
// account: no more than a principal id and whose it is.
func (s *session) appendForeign(dst []byte, account string) []byte {
	dst = str(dst, `{"type":"AWSAccount","principalId":"`)
	switch {
	case s.role != nil:
		dst = str(dst, s.role.id, `:`, s.name)
	default:
		// The principal id of a user: the identity holds it.
		const before = `"principalId":"`
		id := string(s.identity)
		if i := strings.Index(id, before); i >= 0 {
			id = id[i+len(before):]
			dst = append(dst, id[:strings.IndexByte(id, '"')]...)
		}
	}
	return str(dst, `","accountId":"`, account, `"}`)
}
