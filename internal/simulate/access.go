package simulate

import "fmt"

func document(statements ...any) string {
	return js(obj{"Version": "2012-10-17", "Statement": statements})
}

func allow(action, resource any) obj {
	return obj{"Effect": "Allow", "Action": action, "Resource": resource}
}

// trust is a role's trust policy; condition may be nil.
func trust(principal any, condition any) string {
	st := obj{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
	if condition != nil {
		st["Condition"] = condition
	}
	return document(st)
}

// percentEncoded writes a document as IAM's answers hold it.
func percentEncoded(s string) string {
	const upperHex = "0123456789ABCDEF"
	var b []byte
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '~', c == '*':
			b = append(b, c)
		default:
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(b)
}

func (w *World) createRole(acct uint8, name, trustPolicy, description string) *call {
	arn := "arn:aws:iam::" + w.accounts[acct].id + ":role/" + name
	return change("iam", "CreateRole", obj{"roleName": name, "assumeRolePolicyDocument": trustPolicy, "description": description, "maxSessionDuration": 3600},
		obj{"role": obj{"path": "/", "roleName": name, "roleId": w.principalID("AROA", w.accounts[acct].id, name), "arn": arn, "createDate": "%{date}",
			"assumeRolePolicyDocument": percentEncoded(trustPolicy)}})
}

func (w *World) createUser(u *iamUser) *call {
	return change("iam", "CreateUser", obj{"userName": u.name}, obj{"user": obj{"path": "/", "userName": u.name, "userId": u.id, "arn": u.arn, "createDate": "%{date}"}})
}

func createKey(u *iamUser, key string) *call {
	return change("iam", "CreateAccessKey", obj{"userName": u.name}, obj{"accessKey": obj{"userName": u.name, "accessKeyId": key, "status": "Active", "createDate": "%{date}"}})
}

func attach(kind, name, policy string) *call {
	return change("iam", "Attach"+kind+"Policy", obj{map[string]string{"User": "userName", "Role": "roleName", "Group": "groupName"}[kind]: name, "policyArn": policy}, nil)
}

func awsPolicy(name string) string { return "arn:aws:iam::aws:policy/" + name }

// tellVendorRole: an auditor outside gets a role, with an external id.
func tellVendorRole(s *script, _ int) {
	w := s.w
	s.clock(s.at, "09:40:00")
	lead := w.people[securityLead]
	in := s.enter(lead, production, "AdministratorAccess", true)
	s.step("%s sets up a role for a vendor's auditors, who must give an external id.", lead.name)
	s.alert(s.do(in, w.createRole(production, "VendorCostAudit", trust(obj{"AWS": "arn:aws:iam::" + vendorAccount + ":root"},
		obj{"StringEquals": obj{"sts:ExternalId": "b7c4-audit-2026"}}), "cost audit by a vendor"), w.global), "iam-role-trust-external-account", "high")
	s.do(in, attach("Role", "VendorCostAudit", awsPolicy("SecurityAudit")), w.global)
}

// tellPartnerUser: an administrator creates an IAM user with a key.
func tellPartnerUser(s *script, n int) {
	w := s.w
	s.clock(s.at, "15:05:00")
	lead := w.people[securityLead]
	u := w.user(production, fmt.Sprintf("svc-carrier-%d", n+1))
	in := s.enter(lead, production, "AdministratorAccess", true)
	s.step("%s creates the IAM user %s for a partner's deliveries.", lead.name, u.name)
	s.alert(s.do(in, w.createUser(u), w.global), "iam-user-created", "high")
	s.do(in, attach("User", u.name, awsPolicy("AmazonS3ReadOnlyAccess")), w.global)
	s.alert(s.do(in, change("iam", "PutUserPolicy", obj{"userName": u.name, "policyName": "deliveries",
		"policyDocument": document(allow([]string{"s3:PutObject"}, "arn:aws:s3:::production-deliveries/"+u.name+"/*"))}, nil), w.global), "iam-inline-policy-added", "low")
	key := u.keys[0].id
	s.alert(s.do(in, createKey(u, key), w.global), "iam-access-key-created-for-other", "critical")
	s.clock(s.at-s.at%86400, "16:30:00")
	s.step("The partner tries the new key.")
	s.all(w.keySession(u, key, "198.51.100.240", javaAgent), w.home, callCallerIdentity, ask("s3", "ListBuckets", obj{"Host": "s3.amazonaws.com"}))
}

// tellLeaver: somebody's access is taken away. Deleting the virtual device
// follows from deactivating it and is no alert of its own.
func tellLeaver(s *script, n int) {
	w, day := s.w, s.at
	u := w.user(production, fmt.Sprintf("j.varga%d", n+1))
	s.clock(day, "09:20:00")
	s.step("%s works a last time.", u.name)
	s.do(w.loginSession(u, "198.51.100.244", browsers[3]), callLoginMFA, w.global)
	s.all(w.userSession(&s.r, u, s.at, true, true, "198.51.100.244", browsers[3]), w.home, readerCalls[0], readerCalls[4], readerCalls[9])

	s.clock(day+2*86400, "16:45:00")
	lead := w.people[securityLead]
	in := s.enter(lead, production, "AdministratorAccess", true)
	s.step("%s takes the leaver %s's key, MFA device, password and user away.", lead.name, u.name)
	s.alert(s.do(in, change("iam", "UpdateAccessKey", obj{"userName": u.name, "accessKeyId": u.keys[0].id, "status": "Inactive"}, nil), w.global), "iam-access-key-updated", "medium")
	s.alert(s.do(in, change("iam", "DeactivateMFADevice", obj{"userName": u.name, "serialNumber": u.mfaSerial}, nil), w.global), "iam-mfa-device-removed", "critical")
	s.do(in, change("iam", "DeleteVirtualMFADevice", obj{"serialNumber": u.mfaSerial}, nil), w.global)
	s.do(in, change("iam", "DeleteLoginProfile", obj{"userName": u.name}, nil), w.global)
	s.alert(s.do(in, change("iam", "DeleteAccessKey", obj{"userName": u.name, "accessKeyId": u.keys[0].id}, nil), w.global), "iam-access-key-deleted", "medium")
	s.all(in, w.global, change("iam", "RemoveUserFromGroup", obj{"userName": u.name, "groupName": "operators"}, nil), change("iam", "DeleteUser", obj{"userName": u.name}, nil))
}

// tellPipelineRoles: Terraform in CI makes roles, some with more rights than
// they need, and is refused one thing.
func tellPipelineRoles(s *script, n int) {
	w, day := s.w, s.at
	acct := uint8(development)
	id := w.accounts[acct].id
	s.clock(day, "12:10:00")
	subject, ip := "repo:example-org/infra:ref:refs/heads/main", exitIP(60)
	job := w.oidcSession(acct, subject, ip)
	ro := w.role(acct, "/ci/", "github-infra")
	in := w.assume(&s.r, ro, "GitHubActions", s.at, job, root{}, roleOptions{ip: ip, agent: terraformAgent,
		contextExtra: `,"webIdFederationData":{"federatedProvider":"arn:aws:iam::` + id + `:oidc-provider/` + githubIssuer + `","attributes":{}}`})
	s.step("A CI job of example-org/infra takes its role.")
	s.issue(job, callAssumeWeb, w.home, in)
	name := func(base string) string { return fmt.Sprintf("%s-%d", base, n+1) }

	s.step("Terraform makes a function's role with narrow rights.")
	s.do(in, w.createRole(acct, name("orders-worker"), trust(obj{"Service": "lambda.amazonaws.com"}, nil), "orders"), w.global)
	s.do(in, attach("Role", name("orders-worker"), awsPolicy("service-role/AWSLambdaBasicExecutionRole")), w.global)
	s.alert(s.do(in, change("iam", "PutRolePolicy", obj{"roleName": name("orders-worker"), "policyName": "queue",
		"policyDocument": document(allow([]string{"sqs:ReceiveMessage", "sqs:DeleteMessage"}, "arn:aws:sqs:eu-west-1:"+id+":orders"))}, nil), w.global), "iam-inline-policy-added", "low")
	s.alert(s.do(in, change("iam", "PutRolePolicy", obj{"roleName": name("orders-worker"), "policyName": "assume-reader",
		"policyDocument": js(obj{"Version": "2012-10-17", "Statement": allow("sts:AssumeRole", "arn:aws:iam::"+id+":role/shared-reader")})}, nil), w.global), "iam-inline-policy-added", "low")

	s.step("Terraform makes a role for the web front end's builds, with a service's own administrator policy.")
	s.do(in, w.createRole(acct, name("amplify-build"), trust(obj{"Service": []string{"amplify.amazonaws.com"}}, nil), "builds"), w.global)
	s.alert(s.do(in, attach("Role", name("amplify-build"), awsPolicy("AdministratorAccess-Amplify")), w.global), "iam-admin-policy-attached", "medium")

	s.step("Terraform makes a role that anybody in the organisation may take.")
	s.alert(s.do(in, w.createRole(acct, name("org-inventory"), trust(obj{"AWS": "*"}, obj{"StringEquals": obj{"aws:PrincipalOrgID": w.orgID}}), "inventory"), w.global), "iam-role-trust-wildcard", "medium")

	s.step("Terraform lets the build role pass any role on: more than it needs.")
	s.alert(s.do(in, change("iam", "PutRolePolicy", obj{"roleName": name("amplify-build"), "policyName": "pass",
		"policyDocument": document(allow([]string{"logs:CreateLogGroup", "iam:PassRole"}, "*"))}, nil), w.global), "iam-inline-policy-dangerous", "high")

	s.step("Terraform tries to attach AdministratorAccess to it, and a guard rail refuses.")
	s.alert(s.do(in, attach("Role", name("amplify-build"), awsPolicy("AdministratorAccess")).
		failing("AccessDenied", "User: "+in.arn+" is not authorized to perform: iam:AttachRolePolicy on resource: role "+name("amplify-build")+" with an explicit deny in a service control policy", true), w.global),
		"iam-admin-policy-attached-attempt", "high")
	s.all(in, w.home, callCallerIdentity)
}
