package simulate

const (
	attackerIP    = "203.0.113.66"  // a rented server
	attackerOther = "203.0.113.201" // another one
	attackerTools = "Boto3/1.34.46 md/Botocore#1.34.46 ua/2.0 os/linux#6.6.15-amd64 md/arch#x86_64 lang/python#3.11.8 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.34.46"
	attackerCLI   = "aws-cli/2.15.22 Python/3.11.8 Linux/6.6.15-amd64 exe/x86_64.kali.2024 prompt/off"
	attackerWeb   = "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0"
)

// attackDay is the midnight of the attack's night, Unix seconds: at least 30
// hours before the end of the window.
func (w *World) attackDay() int64 { return (w.end - 30*3600) / 86400 * 86400 }

// tellAttack is the story that the demo finds: from a leaked key of a CI user to
// ways in that nobody has closed. It runs from the evening before attackDay to the
// evening of it, so that its times of day, and with them its off-hours alerts,
// are the same for any End.
func (w *World) tellAttack() {
	day := w.attackDay()
	s := &script{w: w, r: seeded(w.cfg.Seed, label("attack")), at: day, story: &Story{Title: "The leaked key", Attack: true}}
	w.stories = append(w.stories, s.story)

	account := w.accounts[management].id
	ci, okafor, haddad := w.user(management, leakyUser), w.user(management, victimUser), w.user(management, otherUser)
	leaked := w.keySession(ci, ci.keyAt(s.at), attackerIP, attackerTools)
	userARN := func(name string) string { return "arn:aws:iam::" + account + ":user/" + name }

	s.clock(day-86400, "23:04:11")
	s.step("The access key of the CI user %s is used from %s, where it was never used before: the intruder asks who he is.", ci.name, attackerIP)
	s.do(leaked, callCallerIdentity, w.global)
	s.step("He looks around with the CI user's rights. Much is denied, but users, roles and buckets can be listed.")
	s.all(leaked, w.global, ask("iam", "ListUsers", nil), ask("iam", "ListRoles", nil), ask("s3", "ListBuckets", obj{"Host": "s3.amazonaws.com"}))
	for _, k := range []*call{ask("iam", "GetAccountAuthorizationDetails", nil), ask("iam", "GetAccountSummary", nil), ask("iam", "ListAttachedUserPolicies", nil),
		ask("organizations", "DescribeOrganization", nil), ask("ec2", "DescribeInstances", nil), ask("secretsmanager", "ListSecrets", nil)} {
		s.do(leaked, k.refused(leaked, "*"), w.global)
		s.wait(20)
	}
	s.all(leaked, w.global, ask("iam", "ListAccessKeys", obj{"userName": okafor.name}), ask("iam", "ListGroupsForUser", obj{"userName": okafor.name}))

	s.clock(day-86400, "23:19:40")
	s.step("He tries to create a user: denied.")
	s.do(leaked, change("iam", "CreateUser", nil, nil).refused(leaked, userARN("support")), w.global)

	s.clock(day-86400, "23:31:02")
	s.step("But the CI user may create access keys, for anybody: he makes one for %s, an administrator.", okafor.name)
	stolen := s.r.key("AKIA")
	s.offHours(s.alert(s.do(leaked, createKey(okafor, stolen), w.global), "iam-access-key-created-for-other", "critical"), "high")

	s.clock(day, "01:12:30")
	s.step("An hour and a half later he works with %s's new key, and looks at that user's password and MFA device.", okafor.name)
	asOkafor := w.keySession(okafor, stolen, attackerIP, attackerCLI)
	s.all(asOkafor, w.global, callCallerIdentity, ask("iam", "GetLoginProfile", obj{"userName": okafor.name}), ask("iam", "ListMFADevices", obj{"userName": okafor.name}),
		ask("iam", "GetAccountAuthorizationDetails", nil))

	s.clock(day, "01:58:05")
	s.step("He gives %s a new password and removes the MFA device.", okafor.name)
	s.offHours(s.do(asOkafor, change("iam", "UpdateLoginProfile", obj{"userName": okafor.name, "passwordResetRequired": false}, nil), w.global), "medium")
	s.offHours(s.alert(s.do(asOkafor, change("iam", "DeactivateMFADevice", obj{"userName": okafor.name, "serialNumber": okafor.mfaSerial}, nil), w.global), "iam-mfa-device-removed", "high"), "high")

	s.clock(day, "02:12:44")
	s.step("He signs in at the console as %s, at night and without MFA.", okafor.name)
	s.offHours(s.alert(s.do(w.loginSession(okafor, attackerIP, attackerWeb), callLoginNoMFA, w.region("us-east-2")), "signin-console-login-without-mfa", "high"), "low")
	console := w.userSession(&s.r, okafor, s.at, false, true, attackerIP, attackerWeb)
	s.all(console, w.home, ask("iam", "GetAccountSummary", nil), ask("iam", "ListUsers", nil), ask("cloudtrail", "DescribeTrails", obj{"includeShadowTrails": true}))
	intrude := func(k *call, rule, severity string) {
		s.offHours(s.alert(s.do(console, k, w.global), rule, severity), "high")
		s.wait(90)
	}

	s.clock(day, "02:31:10")
	twin := w.user(management, "aws-conflg-sync")
	s.step("He creates a user of his own, %s, one letter away from %s, with AdministratorAccess and an access key.", twin.name, twinUser)
	intrude(w.createUser(twin), "iam-user-created", "high")
	intrude(attach("User", twin.name, awsPolicy("AdministratorAccess")), "iam-admin-policy-attached", "critical")
	intrude(createKey(twin, twin.keys[0].id), "iam-access-key-created-for-other", "critical")

	s.clock(day, "02:44:00")
	s.step("As a second way in he puts an inline policy on svc-metrics that allows everything.")
	intrude(change("iam", "PutUserPolicy", obj{"userName": "svc-metrics", "policyName": "metrics-v2", "policyDocument": document(allow("*", "*"))}, nil), "iam-inline-policy-dangerous", "critical")

	s.clock(day, "02:52:20")
	const door = "SupportDiagnosticsRole"
	s.step("As a third he makes the role %s, which his own account %s may take, and makes it an administrator.", door, attackerAccount)
	intrude(w.createRole(management, door, trust(obj{"AWS": "arn:aws:iam::" + attackerAccount + ":root"}, nil), "diagnostics"), "iam-role-trust-external-account", "critical")
	intrude(attach("Role", door, awsPolicy("AdministratorAccess")), "iam-admin-policy-attached", "critical")

	s.clock(day, "03:01:15")
	s.step("He writes a policy so large that CloudTrail leaves its text out.")
	padded := change("iam", "CreatePolicy", obj{"reason": "requestParameters too large", "omitted": true, "originalSize": 118784},
		obj{"policy": obj{"policyName": "baseline-v3", "policyId": "ANPA" + s.r.text(upperBase32, 17), "arn": "arn:aws:iam::" + account + ":policy/baseline-v3", "defaultVersionId": "v1"}})
	intrude(padded, "iam-logging-evasion", "high")

	s.clock(day, "03:06:00")
	s.step("He removes the MFA device of %s, who could stop him.", haddad.name)
	intrude(change("iam", "DeactivateMFADevice", obj{"userName": haddad.name, "serialNumber": haddad.mfaSerial}, nil), "iam-mfa-device-removed", "critical")

	s.clock(day, "03:20:30")
	s.step("With the new user's key, from %s, he takes OrganizationAccountAccessRole in production.", attackerOther)
	asTwin := w.keySession(twin, twin.keys[0].id, attackerOther, attackerCLI)
	s.do(asTwin, callCallerIdentity, w.global)
	s.do(asTwin, ask("organizations", "ListAccounts", nil), w.global)
	inProduction := w.assume(&s.r, w.role(production, "/", "OrganizationAccountAccessRole"), "botocore-session-1763695230", s.at, asTwin, root{}, roleOptions{ip: attackerOther, agent: attackerTools})
	s.issue(asTwin, callAssume, w.global, inProduction)
	s.step("In production he reads secrets and lists snapshots.")
	secrets := w.accounts[production].names.secrets
	s.all(inProduction, w.home, callCallerIdentity, ask("iam", "ListRoles", nil), ask("secretsmanager", "ListSecrets", obj{"maxResults": 100}),
		ask("secretsmanager", "GetSecretValue", obj{"secretId": secrets[0]}), ask("secretsmanager", "GetSecretValue", obj{"secretId": secrets[1]}),
		ask("ec2", "DescribeSnapshots", obj{"ownersSet": obj{"items": []obj{{"owner": "self"}}}}))
	snapshot := "snap-0" + s.r.text(lowerHex, 16)
	s.step("He shares the snapshot %s with his own account.", snapshot)
	s.do(inProduction, change("ec2", "ModifySnapshotAttribute", obj{"snapshotId": snapshot, "attributeType": "CREATE_VOLUME_PERMISSION",
		"createVolumePermission": obj{"add": obj{"items": []obj{{"userId": attackerAccount}}}}}, obj{"_return": true}), w.home)

	s.clock(day, "03:48:12")
	s.step("From production he goes on into development, and is refused the security tools' role.")
	inDevelopment := w.assume(&s.r, w.role(development, "/", "DataPipelineRole"), "botocore-session-1763696892", s.at, inProduction, root{}, roleOptions{ip: attackerOther, agent: attackerTools})
	s.issue(inProduction, callAssume, w.global, inDevelopment)
	s.all(inDevelopment, w.home, callCallerIdentity, ask("s3", "ListBuckets", obj{"Host": "s3.amazonaws.com"}))
	s.do(inProduction, ask("sts", "AssumeRole", nil).failing("AccessDenied", "User: "+inProduction.arn+" is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::"+
		w.accounts[production].id+":role/SecurityToolingRole", false), w.global)

	s.clock(day, "04:05:50")
	s.step("He tries to stop the trail: a service control policy refuses.")
	trail := "arn:aws:cloudtrail:" + w.regions[w.home] + ":" + account + ":trail/organization-trail"
	s.do(inProduction, change("cloudtrail", "StopLogging", obj{"name": trail}, nil).failing("AccessDenied",
		"User: "+inProduction.arn+" is not authorized to perform: cloudtrail:StopLogging on resource: "+trail+" with an explicit deny in a service control policy", true), w.home)

	s.clock(day, "04:41:00")
	s.step("He tries twice to sign in as root of the management account, and fails.")
	for range 2 {
		s.alert(s.do(w.rootSession(management, "", s.at, false, attackerIP, attackerWeb), callLoginWrong, w.global), "root-console-login-failed", "high")
		s.wait(60)
	}

	s.clock(day, "05:10:18")
	s.step("The role %s is taken from account %s: the third way in works.", door, attackerAccount)
	outside := outsiderSession(management, attackerAccount, "AIDAQ5M7T2XK3ZC4WVH6P", attackerOther, attackerCLI)
	throughDoor := w.assume(&s.r, w.role(management, "/", door), "diag", s.at, outside, root{}, roleOptions{ip: attackerOther, agent: attackerCLI})
	s.issue(outside, callAssume, w.global, throughDoor).shared = true
	s.all(throughDoor, w.global, callCallerIdentity, ask("iam", "ListUsers", nil), ask("organizations", "ListAccounts", nil))

	s.clock(day, "05:31:25")
	s.step("He cleans up: deletes the key he made for %s, and switches the CI user's leaked key off.", okafor.name)
	intrude(change("iam", "DeleteAccessKey", obj{"userName": okafor.name, "accessKeyId": stolen}, nil), "iam-access-key-deleted", "low")
	intrude(change("iam", "UpdateAccessKey", obj{"userName": ci.name, "accessKeyId": leaked.key, "status": "Inactive"}, nil), "iam-access-key-updated", "medium")

	s.clock(day, "22:37:09")
	s.step("The next evening %s is back, from %s: nobody has noticed.", twin.name, attackerOther)
	s.all(asTwin, w.global, callCallerIdentity, ask("s3", "ListBuckets", obj{"Host": "s3.amazonaws.com"}), ask("iam", "ListUsers", nil))
}
