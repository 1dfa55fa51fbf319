package simulate

import (
	"fmt"
	"strings"
)

// The accounts by their place in World.accounts.
const (
	management  = 0
	production  = 1
	development = 2
)

// Ids of the first three accounts and of two outsiders; they are from AWS
// documentation or obviously made up, so that they are nobody's.
var firstAccounts = [3]string{"111122223333", "012345678901", "444455556666"}

const (
	vendorAccount   = "777788889999" // the posture scanner's maker
	attackerAccount = "999988887777"
)

const mailDomain = "example.com"

type account struct {
	index     uint8
	id, name  string
	roles     map[string]*role
	users     []*iamUser // background users only; stories bring their own
	instances []*instance
	functions []*function
	pipelines []*pipeline
	names     pools
}

// pools are the names of things that calls are made on.
type pools struct {
	buckets, tables, volumes, groups, keys, secrets, stacks []string
}

type role struct {
	acct   uint8
	name   string
	arn    string
	id     string // AROA…
	linked bool   // a service-linked role
}

type permissionSet struct {
	name, arn string
	roles     []*role // by account
}

// directory is the Identity Center instance with its identity store.
type directory struct {
	storeID, storeARN, instanceARN, portal string
}

type person struct {
	name, email, userName string
	userID                string // in the identity store
	credentialID          string
	homeIP                string
	officeIP              string
	browser, cli          string
	grants                []grant
	saml                  bool // comes by the old SAML provider
}

type grant struct {
	acct uint8
	set  *permissionSet
}

type iamUser struct {
	acct      uint8
	name      string
	arn       string
	id        string // AIDA…
	keys      []keySpan
	ip, agent string
	browser   string
	mfaSerial string
	region    uint8
	calls     []*call
	federates bool // hands out federation tokens
}

// keySpan is an access key that its owner uses from a time on.
type keySpan struct {
	from int64 // Unix seconds
	id   string
}

// keyAt returns the access key that the user works with at a time.
func (u *iamUser) keyAt(at int64) string {
	key := ""
	for _, k := range u.keys {
		if k.from <= at {
			key = k.id
		}
	}
	return key
}

type instance struct {
	id, ip string
	region uint8
	role   *role
	calls  []*call
}

type function struct {
	name   string
	region uint8
	role   *role
	calls  []*call
}

// pipeline is a repository's CI job, which comes by OIDC.
type pipeline struct {
	repo, branch string
	role         *role
	chain        []*role // assumed one after the other
	region       uint8
	agent        string
	ip           string
}

type scanner struct {
	roles []*role // by account
	ip    string
}

func (w *World) entity(parts ...string) *rng {
	return newRNG(w.cfg.Seed, label("entity"), label(strings.Join(parts, "\x00")))
}

func (w *World) principalID(prefix string, parts ...string) string {
	return prefix + w.entity(append(parts, prefix)...).text(upperBase32, 17)
}

// key makes an access key id: AKIA for long-term keys, ASIA for sessions.
func (r *rng) key(prefix string) string { return prefix + r.text(upperBase32, 16) }

// role returns the account's role of that name, which it makes if need be.
func (w *World) role(acct uint8, path, name string) *role {
	a := w.accounts[acct]
	if r := a.roles[name]; r != nil {
		return r
	}
	r := &role{
		acct: acct, name: name,
		arn:    "arn:aws:iam::" + a.id + ":role" + path + name,
		id:     w.principalID("AROA", a.id, name),
		linked: strings.HasPrefix(path, "/aws-service-role/"),
	}
	a.roles[name] = r
	return r
}

func (w *World) user(acct uint8, name string) *iamUser {
	a := w.accounts[acct]
	return &iamUser{
		acct: acct, name: name,
		arn:       "arn:aws:iam::" + a.id + ":user/" + name,
		id:        w.principalID("AIDA", a.id, name),
		keys:      []keySpan{{w.start, w.entity(a.id, name, "key").key("AKIA")}},
		mfaSerial: "arn:aws:iam::" + a.id + ":mfa/" + name,
		region:    w.home,
	}
}

// found makes everything that exists when the window begins.
func (w *World) found() {
	r := w.entity("organisation")
	w.orgID = "o-" + r.text(lowerAlnum, 10)
	store := "d-" + r.text(lowerHex, 10)
	w.directory = directory{
		storeID:     store,
		storeARN:    "arn:aws:identitystore::" + firstAccounts[management] + ":identitystore/" + store,
		instanceARN: "arn:aws:sso:::instance/ssoins-" + r.text(lowerHex, 16),
		portal:      "https://" + store + ".awsapps.com/start",
	}
	for i := range w.cfg.Accounts {
		a := &account{index: uint8(i), roles: map[string]*role{}}
		switch i {
		case management, production, development:
			a.id, a.name = firstAccounts[i], [...]string{"management", "production", "development"}[i]
		default:
			a.id, a.name = fmt.Sprintf("%012d", 200_000_000_000+w.entity("account", fmt.Sprint(i)).intn(700_000_000_000)), fmt.Sprintf("team-%02d", i-2)
		}
		w.accounts = append(w.accounts, a)
		w.stock(a)
	}
	for _, name := range []string{"AdministratorAccess", "DeveloperAccess", "ReadOnlyAccess", "BillingAccess", "OnCallOperator"} {
		w.sets = append(w.sets, w.newPermissionSet(name))
	}
	w.hire()
	w.employ()
}

// stock fills an account with things to act on; more records, more things.
func (w *World) stock(a *account) {
	r := w.entity("stock", a.id)
	n := 6 + min(w.cfg.Events/20_000, 200)
	p := &a.names
	for i := range n {
		p.buckets = append(p.buckets, fmt.Sprintf("%s-%s-%s", a.name, pick(r, []string{"artifacts", "logs", "data", "backup", "web", "exports"}), r.text(lowerHex, 6)))
		p.tables = append(p.tables, fmt.Sprintf("%s-%d", pick(r, []string{"orders", "sessions", "customers", "inventory", "carts"}), i))
		p.volumes = append(p.volumes, "vol-0"+r.text(lowerHex, 16))
		p.groups = append(p.groups, "sg-0"+r.text(lowerHex, 16))
		p.keys = append(p.keys, r.newUUID().String())
		p.secrets = append(p.secrets, fmt.Sprintf("%s/%s-%d", a.name, pick(r, []string{"database", "api", "smtp", "partner"}), i))
		p.stacks = append(p.stacks, fmt.Sprintf("%s-%s-%d", a.name, pick(r, []string{"network", "service", "queue", "alarms"}), i))
	}
}

func (w *World) newPermissionSet(name string) *permissionSet {
	r := w.entity("set", name)
	s := &permissionSet{
		name: name,
		arn:  "arn:aws:sso:::permissionSet/" + strings.TrimPrefix(w.directory.instanceARN, "arn:aws:sso:::instance/") + "/ps-" + r.text(lowerHex, 16),
	}
	suffix := r.text(lowerHex, 16)
	for i := range w.accounts {
		s.roles = append(s.roles, w.role(uint8(i), "/aws-reserved/sso.amazonaws.com/"+w.regions[w.home]+"/", "AWSReservedSSO_"+name+"_"+suffix))
	}
	return s
}

func (w *World) set(name string) *permissionSet {
	for _, s := range w.sets {
		if s.name == name {
			return s
		}
	}
	return nil
}
