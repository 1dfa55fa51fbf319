package simulate

import "fmt"

// routine is a script that is told again and again over the window.
type routine struct {
	title string
	first int64 // days after the first full day of the window
	every int64 // days; 0 means once
	days  int64 // how many days it takes, at most
	tell  func(s *script, n int)
}

var routines = []routine{
	{"The regulars of the management account", 0, 2, 1, tellRegulars},
	{"Mistakes", 1, 9, 1, tellMistakes},
	{"A vendor's role is set up", 2, 0, 1, tellVendorRole},
	{"Nights on call", 3, 14, 4, tellOnCall},
	{"Key rotation", 4, 30, 2, tellRotation},
	{"Root's billing day", 5, 90, 1, tellRootBilling},
	{"Roles by infrastructure code", 6, 21, 1, tellPipelineRoles},
	{"A login without MFA", 7, 28, 1, tellLegacyLogin},
	{"A joiner", 8, 30, 4, tellJoiner},
	{"Permission sets", 10, 60, 2, tellPermissionSets},
	{"A new phone", 11, 45, 1, tellNewPhone},
	{"Applications in the portal", 13, 60, 1, tellApplications},
	{"A leaver", 15, 30, 4, tellLeaver},
	{"A partner's user", 19, 45, 1, tellPartnerUser},
}

func (w *World) known(acct uint8, name string) *iamUser {
	for _, u := range w.accounts[acct].users {
		if u.name == name {
			return u
		}
	}
	return nil
}

// IAM users of the management account that the attack is about.
const (
	leakyUser  = "ci-artifacts"    // its key leaks
	victimUser = "m.okafor"        // may do too much
	otherUser  = "l.haddad"        // a colleague
	twinUser   = "aws-config-sync" // whose name is imitated
)

const officeIP = "192.0.2.6"

// tellRegulars shows the attack's characters at their ordinary work.
func tellRegulars(s *script, n int) {
	w, day := s.w, s.at
	if day >= w.attackDay() {
		return // by then their keys and passwords are in other hands
	}
	s.clock(day, "08:40:00")
	s.wait(1200)
	ci := w.user(management, leakyUser)
	bot := w.keySession(ci, ci.keyAt(s.at), exitIP(61), boto3Agent)
	s.step("The CI user %s pushes artifacts.", leakyUser)
	s.all(bot, w.global, callCallerIdentity, ask("s3", "ListBuckets", obj{"Host": "s3.amazonaws.com"}))
	sync := w.user(management, twinUser)
	s.step("%s copies configuration snapshots.", twinUser)
	s.all(w.keySession(sync, sync.keyAt(s.at), exitIP(62), oldBoto3Agent), w.home, ask("config", "DescribeConfigurationRecorders", nil), ask("config", "DescribeDeliveryChannels", nil))
	if n%3 != 0 {
		return
	}
	for i, name := range []string{victimUser, otherUser} {
		s.wait(1500)
		u := w.user(management, name)
		s.step("%s signs in at the console, with MFA.", name)
		region := []uint8{w.region("eu-north-1"), w.global}[(n+i)%2]
		s.do(w.loginSession(u, officeIP, browsers[i]), callLoginMFA, region)
		who := w.userSession(&s.r, u, s.at, true, true, officeIP, browsers[i])
		s.all(who, w.home, readerCalls[0], readerCalls[6], ask("iam", "GetAccountSummary", nil), ask("iam", "ListUsers", nil), ask("iam", "ListMFADevices", obj{"userName": name}))
	}
}

// tellMistakes: what looks like trouble and raises no alert.
func tellMistakes(s *script, n int) {
	w, day := s.w, s.at
	s.clock(day, "09:12:00")
	u := w.user(production, "p.novak")
	door := w.loginSession(u, officeIP, browsers[1])
	s.step("Somebody types a user name that does not exist.")
	nobody := &session{acct: production, ip: officeIP, agent: browsers[1], root: root{RootUnknown, ""}, chain: []string{},
		identity: []byte(`{"type":"IAMUser","accountId":"` + w.accounts[production].id + `","accessKeyId":"","userName":"HIDDEN_DUE_TO_SECURITY_REASONS"}`)}
	s.do(nobody, callLoginUnknownUser, w.global)
	s.step("%s mistypes the password twice, then gets in with MFA.", u.name)
	for range 2 {
		s.do(door, callLoginWrong, w.region("us-east-2"))
		s.wait(15)
	}
	s.do(door, callLoginMFA, w.region("us-east-2"))
	who := w.userSession(&s.r, u, s.at, true, true, officeIP, browsers[1])
	s.all(who, w.home, readerCalls[0])

	s.step("%s tries to create a user, which is not allowed.", u.name)
	s.do(who, change("iam", "CreateUser", obj{}, nil).refused(who, "arn:aws:iam::"+w.accounts[production].id+":user/test"), w.global)
	s.step("%s asks for a key of a user who is gone, and removes an MFA device that is gone.", u.name)
	s.do(who, change("iam", "CreateAccessKey", obj{"userName": "k.former"}, nil).failing("NoSuchEntityException", "The user with name k.former cannot be found.", true), w.global)
	s.do(who, change("iam", "DeactivateMFADevice", obj{"userName": "k.former", "serialNumber": "arn:aws:iam::" + w.accounts[production].id + ":mfa/k.former"}, nil).
		failing("NoSuchEntityException", "MFA Device invalid for user.", true), w.global)

	s.wait(1800)
	dev := w.people[firstDeveloper+n%2]
	s.step("%s takes the wrong role by mistake, and is refused.", dev.name)
	in := s.enter(dev, development, "DeveloperAccess", false)
	target := w.accounts[production].roles["deploy-hub"]
	s.do(in, ask("sts", "AssumeRole", obj{}).failing("AccessDenied", "User: "+in.arn+" is not authorized to perform: sts:AssumeRole on resource: "+target.arn, false), w.global)
	s.all(in, w.home, readerCalls[1], readerCalls[2])
	s.step("A role switch in the console fails: the name is wrong.")
	s.do(w.loginSession(u, officeIP, browsers[1]), signinCall("SwitchRole", "AwsConsoleSignIn", `{"SwitchRole":"Failure"}`,
		js(obj{"SwitchFrom": u.arn, "RedirectTo": "https://console.aws.amazon.com/console/home"}), ""), w.global)
}

// tellOnCall: one engineer works at night, twice; once up to the very end of
// the off-hours window.
func tellOnCall(s *script, n int) {
	w, day := s.w, s.at
	who := w.people[onCaller]
	s.night = true
	s.clock(day, "23:11:20")
	s.step("%s, on call, signs in after an alarm and looks around in production.", who.name)
	in := s.enter(who, production, "OnCallOperator", true)
	s.all(in, w.home, ask("monitoring", "DescribeAlarms", obj{"stateValue": "ALARM", "maxRecords": 100}), readerCalls[0], readerCalls[14])
	if n%2 == 0 {
		s.clock(day+86400, "01:40:07")
		s.step("Past midnight %s takes a policy off a role that was part of the trouble.", who.name)
		s.offHours(s.do(in, change("iam", "DetachRolePolicy", obj{"roleName": "batch-worker", "policyArn": "arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess"}, nil), w.global), "medium")
		s.all(in, w.home, readerCalls[13])
	}
	// The bounds: 22:00:00 is off hours, 06:00:00 is not.
	portal := w.portalSession(who, who.ipOn(day+3*86400), who.browser)
	s.clock(day+2*86400, "22:00:00")
	s.step("%s signs in at 22:00:00 sharp, the first second of the night.", who.name)
	s.offHours(s.do(portal, callUserAuthentication, w.home), "low")
	s.clock(day+3*86400, "06:00:00")
	s.step("%s signs in again at 06:00:00, when the day has begun.", who.name)
	s.do(portal, callUserAuthentication, w.home)
}

// tellRotation: robots change their own keys, and once back again.
func tellRotation(s *script, n int) {
	w, day := s.w, s.at
	for i, owner := range []*iamUser{w.known(production, "svc-backup"), w.known(development, "svc-metrics")} {
		s.clock(day, []string{"10:05:00", "13:20:00"}[i])
		old, fresh := owner.keyAt(s.at), s.r.key("AKIA")
		who := w.keySession(owner, old, owner.ip, owner.agent)
		// One robot leaves the user name away, the other gives its own.
		rp := func(o obj) any {
			if i == 1 {
				o["userName"] = owner.name
			}
			if len(o) == 0 {
				return nil
			}
			return o
		}
		s.step("%s makes itself a new access key.", owner.name)
		s.alert(s.do(who, change("iam", "CreateAccessKey", rp(obj{}), obj{"accessKey": obj{"userName": owner.name, "accessKeyId": fresh, "status": "Active", "createDate": "%{date}"}}), w.global),
			"iam-access-key-created", "high")
		owner.keys = append(owner.keys, keySpan{s.at, fresh})
		status := func(who *session, to, severity string) {
			s.wait(600)
			s.alert(s.do(who, change("iam", "UpdateAccessKey", rp(obj{"accessKeyId": old, "status": to}), nil), w.global), "iam-access-key-updated", severity)
		}
		who = w.keySession(owner, fresh, owner.ip, owner.agent)
		s.step("%s switches its old key off%s.", owner.name, []string{", on again because a job still needs it, and off", ""}[i])
		status(who, "Inactive", "low")
		if i == 0 {
			status(who, "Active", "high")
			status(who, "Inactive", "low")
		}
		s.clock(day+86400, []string{"10:30:00", "13:40:00"}[i])
		s.step("A day later %s deletes the old key.", owner.name)
		s.alert(s.do(who, change("iam", "DeleteAccessKey", rp(obj{"accessKeyId": old}), nil), w.global), "iam-access-key-deleted", "low")
	}
}

// tellRootBilling: root comes once a quarter, in the daytime, with MFA.
func tellRootBilling(s *script, _ int) {
	w, day := s.w, s.at
	s.clock(day, "10:05:00")
	s.step("Root of the management account signs in with MFA, for the payment settings.")
	s.alert(s.do(w.rootSession(management, "", s.at, true, officeIP, browsers[0]), callLoginMFA, w.global), "root-console-login", "critical")
	who := w.rootSession(management, s.r.key("ASIA"), s.at, true, officeIP, browsers[0])
	s.step("Root reads bills and contacts.")
	group := ExpectedAlert{Rule: "root-api-activity", Account: w.accounts[management].id, Severity: "low"}
	for _, k := range []*call{ask("ce", "GetCostAndUsage", obj{"granularity": "MONTHLY", "metrics": []string{"UnblendedCost"}}), ask("payments", "ListPaymentPreferences", nil),
		ask("account", "GetAlternateContact", obj{"alternateContactType": "BILLING"}), ask("organizations", "DescribeOrganization", nil)} {
		p := s.do(who, k, w.global)
		if group.EventID == "" {
			group.EventID, group.Time = p.id.String(), s.story.Steps[len(s.story.Steps)-1].Time
		}
		group.Events = append(group.Events, p.id.String())
		s.wait(200)
	}
	w.alerts = append(w.alerts, group)
	s.step("Root changes the billing contact.")
	s.alert(s.do(who, change("account", "PutAlternateContact", obj{"alternateContactType": "BILLING", "emailAddress": "billing@" + mailDomain, "name": "Billing", "phoneNumber": "HIDDEN_DUE_TO_SECURITY_REASONS"}, nil), w.global),
		"root-api-activity", "high")
}

// tellLegacyLogin: a user who never got an MFA device.
func tellLegacyLogin(s *script, n int) {
	w, day := s.w, s.at
	s.clock(day, "11:02:00")
	s.wait(3000)
	u := w.user(development, "legacy-report")
	s.step("%s signs in at the console without MFA, as always.", u.name)
	region := []string{"eu-north-1", "ap-southeast-2", globalRegion}[n%3]
	s.alert(s.do(w.loginSession(u, officeIP, browsers[2]), callLoginNoMFA, w.region(region)), "signin-console-login-without-mfa", "high")
	s.all(w.userSession(&s.r, u, s.at, false, true, officeIP, browsers[2]), w.home, readerCalls[3], readerCalls[4])
}

// tellNewPhone: a user replaces his own MFA device. Deleting the old device
// follows from deactivating it and is no alert of its own.
func tellNewPhone(s *script, n int) {
	w, day := s.w, s.at
	s.clock(day, "14:15:00")
	u := w.user(management, "vpn-operator")
	s.step("%s signs in with the old phone.", u.name)
	s.do(w.loginSession(u, "198.51.100.253", browsers[2]), callLoginMFA, w.global)
	who := w.userSession(&s.r, u, s.at, true, true, "198.51.100.253", browsers[2])
	s.step("%s replaces the MFA device by that of a new phone.", u.name)
	s.alert(s.do(who, change("iam", "DeactivateMFADevice", obj{"userName": u.name, "serialNumber": u.mfaSerial}, nil), w.global), "iam-mfa-device-removed", "high")
	fresh := fmt.Sprintf("%s-phone%d", u.mfaSerial, n+2)
	s.all(who, w.global,
		change("iam", "DeleteVirtualMFADevice", obj{"serialNumber": u.mfaSerial}, nil),
		change("iam", "CreateVirtualMFADevice", obj{"path": "/", "virtualMFADeviceName": fmt.Sprintf("vpn-operator-phone%d", n+2)}, obj{"virtualMFADevice": obj{"serialNumber": fresh}}),
		change("iam", "EnableMFADevice", obj{"userName": u.name, "serialNumber": fresh}, nil))
}
