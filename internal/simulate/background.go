package simulate

import "fmt"

// noise plans a service's session of at most limit records.
func (p *planner) noise(limit int) {
	w, r := p.w, &p.r
	acct, region, at := p.account(), w.anyRegion(r), p.begin()
	if r.chance(0.1) {
		k := pick(r, serviceEvents)
		host := k.source + ".amazonaws.com"
		if k.source == "s3" || k.name == "GenerateDataKey" {
			host = "cloudtrail.amazonaws.com"
		}
		e := p.emit(at, serviceSession(acct, host), k, region)
		e.shared = true
		return
	}
	kind := &serviceKinds[r.intn(len(serviceKinds))]
	name := kind.session
	switch name {
	case "%d":
		name = fmt.Sprint(r.intn(1 << 30))
	case "TrustedAdvisor_%d":
		name = fmt.Sprintf("TrustedAdvisor_%d", r.intn(1<<30))
	case "%s":
		name = r.text(lowerHex, 32)
	}
	ro := w.role(acct, kind.path, kind.role)
	child := w.assume(r, ro, name, at, nil, root{RootService, kind.host}, roleOptions{ip: kind.host, agent: kind.host,
		identityExtra: `,"invokedBy":"` + kind.host + `"`})
	p.issue(at, serviceSession(acct, kind.host), callAssumeByService, region, child).shared = true
	if len(kind.calls) > 0 {
		p.work(&at, child, kind.calls, min(limit-1, r.between(1, 6)), 120, region)
	}
}

// person plans a stretch of somebody's work, from signing in to the last call.
func (p *planner) person() {
	w, r := p.w, &p.r
	who := pick(r, w.people)
	at := p.begin()
	if who.saml {
		p.samlPerson(who, at)
		return
	}
	g := pick(r, who.grants)
	console := r.chance(0.55)
	agent := who.cli
	if console {
		agent = who.browser
	}
	portal := w.portalSession(who, who.ipOn(at), who.browser)
	if r.chance(0.06) {
		p.emit(at, portal, callCredentialFailed, w.home)
		p.later(&at, 30)
	}
	for _, k := range []*call{callCredentialPassword, callCredentialTOTP, callUserAuthentication, callListAccounts, callListAccountRoles} {
		p.emit(at, portal, k, w.home)
		p.later(&at, 12)
	}
	if !console {
		p.emit(at, portal, callCreateToken, w.home)
		p.later(&at, 5)
	}
	child, second := w.enter(r, who, g, at, who.ipOn(at), agent, console)
	step := callGetRoleCredentials
	if console {
		step = callFederate
	}
	e := p.emit(at, portal, step, w.home)
	e.child = child
	p.emit(at, w.samlSession(g.acct, "gZq3Jc0vQmY1d8rTnS5wXk2aBfE=", who.email, personRoot(who), "sso.amazonaws.com", "sso.amazonaws.com"), callAssumePortal, w.home).child = child
	region := w.anyRegion(r)
	if console {
		p.later(&at, 5)
		p.emit(at, w.loginIdentity(child), callLoginPortal, w.global)
	}
	calls := readerCalls
	if g.set.name != "ReadOnlyAccess" && g.set.name != "BillingAccess" && r.chance(0.6) {
		calls = builderCalls
	}
	n := r.between(3, 11)
	p.work(&at, child, readerCalls, (n+1)/2, 500, region)
	p.work(&at, second, calls, n/2, 500, region)
	if r.chance(0.12) {
		p.hop(&at, second, w.role(p.otherAccount(g.acct), "/", "shared-reader"), who.userName, region)
	}
}

func (p *planner) otherAccount(than uint8) uint8 {
	return (than + 1 + uint8(p.r.intn(len(p.w.accounts)-1))) % uint8(len(p.w.accounts))
}

// hop plans the way on from a session into a role, with some work there.
func (p *planner) hop(at *int64, from *session, to *role, name string, region uint8) *session {
	p.later(at, 60)
	child := p.w.assume(&p.r, to, name, *at, from, root{}, roleOptions{ip: from.ip, agent: from.agent, console: from.console})
	p.issue(*at, from, callAssume, region, child)
	p.work(at, child, readerCalls, p.r.between(2, 4), 200, region)
	return child
}

// enter makes the session of a person in a member account. Console sessions
// change keys as they go, so there are two; of a CLI session both are one.
func (w *World) enter(r *rng, who *person, g grant, at int64, ip, agent string, console bool) (first, second *session) {
	o := roleOptions{ip: ip, agent: agent, console: console, lasts: 8 * 3600, onBehalfOf: who}
	origin := root{RootPerson, who.email}
	first = w.assume(r, g.set.roles[g.acct], who.email, at, nil, origin, o)
	if !console {
		return first, first
	}
	return first, w.assume(r, g.set.roles[g.acct], who.email, at, nil, origin, o)
}

// loginIdentity is a role session at the console's door.
func (w *World) loginIdentity(s *session) *session {
	var unused rng
	door := w.assume(&unused, s.role, s.name, s.created, nil, s.root, roleOptions{ip: s.ip, agent: s.agent, keyless: true})
	door.chain = s.chain
	return door
}

// samlPerson comes by the old SAML provider into the development account.
func (p *planner) samlPerson(who *person, at int64) {
	w, r := p.w, &p.r
	origin := root{RootSAML, corporateSAML + "/" + who.email}
	child := w.assume(r, w.role(development, "/", "ADFS-Engineer"), who.email, at, nil, origin,
		roleOptions{ip: who.ipOn(at), agent: who.browser, console: true, lasts: 3600})
	p.emit(at, w.samlSession(development, "Yt7Lw0uHq4bKd2sVxZ1nC9mEoR8=", who.userName, origin, who.ipOn(at), who.browser), callAssumeSAML, w.global).child = child
	p.later(&at, 4)
	p.emit(at, w.loginIdentity(child), callLoginSAML, w.global)
	region := w.anyRegion(r)
	p.work(&at, child, readerCalls, r.between(3, 8), 300, region)
	p.work(&at, child, builderCalls, r.between(0, 4), 300, region)
}

// pipeline plans a CI job: in by OIDC, on through the chain of roles.
func (p *planner) pipeline() {
	w, r := p.w, &p.r
	pl := pick(r, w.accounts[p.account()].pipelines)
	at := p.begin()
	subject := "repo:" + pl.repo + ":ref:refs/heads/" + pl.branch
	acct := pl.role.acct
	job := w.oidcSession(acct, subject, pl.ip)
	s := w.assume(r, pl.role, "GitHubActions", at, job, root{}, roleOptions{ip: pl.ip, agent: pl.agent,
		contextExtra: `,"webIdFederationData":{"federatedProvider":"arn:aws:iam::` + w.accounts[acct].id + `:oidc-provider/` + githubIssuer + `","attributes":{}}`})
	p.issue(at, job, callAssumeWeb, pl.region, s)
	p.later(&at, 5)
	p.emit(at, s, callCallerIdentity, pl.region)
	p.work(&at, s, pipelineCalls, r.between(3, 9), 60, pl.region)
	name := fmt.Sprintf("run-%d", 10_000_000+r.intn(80_000_000))
	for _, ro := range pl.chain {
		p.later(&at, 20)
		child := w.assume(r, ro, name, at, s, root{}, roleOptions{ip: pl.ip, agent: pl.agent})
		p.issue(at, s, callAssume, pl.region, child)
		p.work(&at, child, pipelineCalls, r.between(3, 7), 60, pl.region)
		s = child
	}
}

// instance plans an instance that gets fresh credentials and uses them.
func (p *planner) instance() {
	w, r := p.w, &p.r
	in := pick(r, w.accounts[p.account()].instances)
	at := p.begin()
	acct := in.role.acct
	origin := root{RootInstance, "arn:aws:ec2:" + w.regions[in.region] + ":" + w.accounts[acct].id + ":instance/" + in.id}
	s := w.assume(r, in.role, in.id, at, nil, origin, roleOptions{ip: in.ip, agent: boto3Agent, lasts: 6 * 3600, contextExtra: `,"ec2RoleDelivery":"2.0"`})
	p.issue(at, serviceSession(acct, "ec2.amazonaws.com"), callAssumeByService, in.region, s).shared = true
	p.work(&at, s, in.calls, r.between(2, 6), 1200, in.region)
}

// function plans a Lambda function's execution environment.
func (p *planner) function() {
	w, r := p.w, &p.r
	fn := pick(r, w.accounts[p.account()].functions)
	at := p.begin()
	acct := fn.role.acct
	arn := "arn:aws:lambda:" + w.regions[fn.region] + ":" + w.accounts[acct].id + ":function:" + fn.name
	s := w.assume(r, fn.role, fn.name, at, nil, root{RootFunction, arn}, roleOptions{ip: exitIP(int(acct)), agent: lambdaAgent, lasts: 12 * 3600,
		identityExtra: `,"inScopeOf":{"issuerType":"AWS::Lambda::Function","credentialsIssuedTo":"` + arn + `"}`})
	p.issue(at, serviceSession(acct, "lambda.amazonaws.com"), callAssumeByService, fn.region, s).shared = true
	p.work(&at, s, fn.calls, r.between(2, 6), 600, fn.region)
}

// scan plans a visit of the vendor's posture scanner, which reads everything.
func (p *planner) scan() {
	w, r := p.w, &p.r
	acct := p.account()
	at := p.begin()
	region := w.anyRegion(r)
	vendor := outsiderSession(acct, vendorAccount, "AROAVENDORSCANNERCORE:scan-worker", w.scanner.ip, scannerAgent)
	s := w.assume(r, w.scanner.roles[acct], "posture-"+r.text(lowerHex, 8), at, vendor, root{}, roleOptions{ip: w.scanner.ip, agent: scannerAgent})
	p.issue(at, vendor, callAssumeVendor, region, s)
	p.work(&at, s, scannerCalls, r.between(10, 20), 15, region)
}

// robot plans some work of an IAM user.
func (p *planner) robot() {
	w, r := p.w, &p.r
	u := pick(r, w.accounts[p.account()].users)
	at := p.begin()
	switch {
	case u.browser != "":
		// A human being: works in the daytime only.
		if h := hourOfDay(at); h < 7 || h > 17 || weekday(at)%6 == 0 {
			u = w.accounts[u.acct].users[0]
			break
		}
		p.consoleUser(u, at)
		return
	case u.federates:
		name := "partner-" + r.text(lowerHex, 4)
		broker := w.keySession(u, u.keyAt(at), u.ip, u.agent)
		s := w.federatedSession(r, u, name, at, u.ip, u.agent)
		p.issue(at, broker, callFederationToken, u.region, s)
		p.work(&at, s, robotCalls[:2], r.between(2, 5), 120, u.region)
		return
	}
	s := w.keySession(u, u.keyAt(at), u.ip, u.agent)
	p.work(&at, s, u.calls, r.between(3, 7), 120, u.region)
}

// consoleUser is an IAM user with a password and an MFA device: at the console,
// sometimes switching roles, or at the CLI with a session token.
func (p *planner) consoleUser(u *iamUser, at int64) {
	w, r := p.w, &p.r
	ip := "198.51.100.253"
	if r.chance(0.4) {
		s := w.keySession(u, u.keyAt(at), ip, u.agent)
		child := w.userSession(r, u, at, true, false, ip, u.agent)
		child.name = u.name
		p.issue(at, s, callSessionToken, u.region, child)
		p.work(&at, child, u.calls, r.between(3, 6), 200, u.region)
		return
	}
	door := w.loginSession(u, ip, u.browser)
	region := w.global
	if r.chance(0.5) {
		region = w.region(pick(r, signinRegions))
	}
	if r.chance(0.1) {
		p.emit(at, door, callLoginWrongCode, region)
		p.later(&at, 20)
	}
	p.emit(at, door, callLoginMFA, region)
	s := w.userSession(r, u, at, true, true, ip, u.browser)
	p.work(&at, s, u.calls, r.between(3, 7), 300, w.home)
	if r.chance(0.3) {
		p.later(&at, 60)
		child := w.assume(r, w.role(development, "/", "ops-readonly"), u.name, at, s, root{}, roleOptions{ip: ip, agent: u.browser, mfa: true, console: true})
		p.issue(at, s, callAssume, w.global, child)
		p.later(&at, 3)
		switched := w.loginIdentity(child)
		p.emit(at, switched, switchRoleCall(u), w.global)
		p.work(&at, child, readerCalls, r.between(2, 5), 200, w.home)
	}
}

// switchRoleCall is a console user's change into a role; the record is of the
// role's account and names the user it came from.
func switchRoleCall(u *iamUser) *call {
	return signinCall("SwitchRole", "AwsConsoleSignIn", `{"SwitchRole":"Success"}`,
		`{"SwitchFrom":"`+u.arn+`","RedirectTo":"https://console.aws.amazon.com/console/home"}`, "")
}
