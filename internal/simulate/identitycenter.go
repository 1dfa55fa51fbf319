package simulate

import "fmt"

func (w *World) assignment(principalType, principal string, set *permissionSet, acct uint8) *call {
	id := w.accounts[acct].id
	rp := obj{"instanceArn": w.directory.instanceARN, "targetId": id, "targetType": "AWS_ACCOUNT", "permissionSetArn": set.arn, "principalType": principalType, "principalId": principal}
	status := obj{"status": "IN_PROGRESS", "requestId": w.entity("assignment", principal, set.arn, id).newUUID().String(), "targetId": id, "targetType": "AWS_ACCOUNT",
		"permissionSetArn": set.arn, "principalType": principalType, "principalId": principal}
	return change("sso", "CreateAccountAssignment", rp, obj{"accountAssignmentCreationStatus": status})
}

// administer signs the platform lead in where Identity Center is run.
func (s *script) administer() (*person, *session) {
	lead := s.w.people[platformLead]
	return lead, s.enter(lead, management, "AdministratorAccess", true)
}

// tellJoiner: a new colleague gets a user, a group and an account.
func tellJoiner(s *script, n int) {
	w, day := s.w, s.at
	s.clock(day, "09:05:00")
	lead, in := s.administer()
	joiner := w.newPerson(joiners + n)
	s.step("%s creates a user in Identity Center for the joiner %s.", lead.name, joiner.name)
	s.all(in, w.home,
		change("identitystore", "CreateUser", obj{"identityStoreId": w.directory.storeID, "userName": "HIDDEN_DUE_TO_SECURITY_REASONS", "displayName": "HIDDEN_DUE_TO_SECURITY_REASONS"},
			obj{"userId": joiner.userID, "identityStoreId": w.directory.storeID}),
		change("identitystore", "CreateGroupMembership", obj{"identityStoreId": w.directory.storeID, "groupId": w.entity("group", "developers").newUUID().String(), "memberId": obj{"userId": joiner.userID}},
			obj{"membershipId": s.r.newUUID().String(), "identityStoreId": w.directory.storeID}))
	s.step("%s gives %s the developers' rights in the development account.", lead.name, joiner.name)
	s.alert(s.do(in, w.assignment("USER", joiner.userID, w.set("DeveloperAccess"), development), w.home), "sso-account-assignment-created", "high")
	s.clock(day+2*86400, "08:55:00")
	s.step("%s signs in for the first time.", joiner.name)
	first := s.enter(joiner, development, "DeveloperAccess", true)
	s.all(first, w.home, readerCalls[0], readerCalls[3], readerCalls[11], builderCalls[0])
}

// tellPermissionSets: two new permission sets, a modest one and a mighty one,
// and who gets them. The mighty one reaches production as a role that Identity
// Center's own service role makes there.
func tellPermissionSets(s *script, n int) {
	w, day := s.w, s.at
	s.clock(day, "10:15:00")
	lead, in := s.administer()
	create := func(name, duration, severity string) *permissionSet {
		set := &permissionSet{name: name}
		set.arn = w.sets[0].arn[:len(w.sets[0].arn)-16] + s.r.text(lowerHex, 16)
		s.alert(s.do(in, change("sso", "CreatePermissionSet", obj{"instanceArn": w.directory.instanceARN, "name": name, "sessionDuration": duration},
			obj{"permissionSet": obj{"name": name, "permissionSetArn": set.arn, "sessionDuration": duration}}), w.home), "sso-permission-set-created", severity)
		return set
	}
	update := func(set *permissionSet, severity string, changes obj) {
		changes["instanceArn"], changes["permissionSetArn"] = w.directory.instanceARN, set.arn
		s.alert(s.do(in, change("sso", "UpdatePermissionSet", changes, obj{}), w.home), "sso-permission-set-updated", severity)
	}
	policy := func(set *permissionSet, name string) *plan {
		return s.do(in, change("sso", "AttachManagedPolicyToPermissionSet", obj{"instanceArn": w.directory.instanceARN, "permissionSetArn": set.arn, "managedPolicyArn": awsPolicy(name)}, obj{}), w.home)
	}
	group := func(name string) string { return w.entity("group", name).newUUID().String() }

	s.step("%s makes the permission set DataScience, which reads only.", lead.name)
	science := create(fmt.Sprintf("DataScience%d", n+1), "PT4H", "medium")
	policy(science, "ReadOnlyAccess")
	update(science, "low", obj{"description": "reads for the data team"})
	s.alert(s.do(in, w.assignment("GROUP", group("data"), science, development), w.home), "sso-account-assignment-created", "high")

	s.step("%s makes the permission set BreakGlass, twelve hours of AdministratorAccess, for production.", lead.name)
	glass := create(fmt.Sprintf("BreakGlass%d", n+1), "PT12H", "high")
	s.alert(policy(glass, "AdministratorAccess"), "sso-permission-set-admin-policy", "critical")
	s.wait(60)
	s.alert(s.do(in, w.assignment("GROUP", group("on-call"), glass, production), w.home), "sso-account-assignment-created", "critical")

	s.step("Identity Center makes the BreakGlass role in production, with AdministratorAccess.")
	reserved := w.role(production, "/aws-reserved/sso.amazonaws.com/"+w.regions[w.home]+"/", "AWSReservedSSO_"+glass.name+"_"+s.r.text(lowerHex, 16))
	host := "sso.amazonaws.com"
	provision := w.assume(&s.r, w.role(production, linked+host+"/", "AWSServiceRoleForSSO"), "AWS-SSO", s.at, nil, root{RootService, host},
		roleOptions{ip: host, agent: host, identityExtra: `,"invokedBy":"` + host + `"`})
	s.issue(serviceSession(production, host), callAssumeByService, w.home, provision).shared = true
	saml := document(obj{"Effect": "Allow", "Principal": obj{"Federated": "arn:aws:iam::" + w.accounts[production].id + ":saml-provider/AWSSSO_9f2c51d07ab34e68_DO_NOT_DELETE"},
		"Action": []string{"sts:AssumeRoleWithSAML", "sts:TagSession"}, "Condition": obj{"StringEquals": obj{"SAML:aud": samlAudience}}})
	s.do(provision, w.createRole(production, reserved.name, saml, ""), w.global)
	s.alert(s.do(provision, attach("Role", reserved.name, awsPolicy("AdministratorAccess")), w.global), "iam-admin-policy-attached", "critical")

	s.clock(day+86400, "11:20:00")
	s.step("A day later %s lengthens DataScience's sessions, and lets %s into the management account's billing.", lead.name, w.people[auditor].name)
	_, in = s.administer()
	update(science, "high", obj{"sessionDuration": "PT12H"})
	s.alert(s.do(in, w.assignment("USER", w.people[auditor].userID, w.set("BillingAccess"), management), w.home), "sso-account-assignment-created", "critical")
	w.alerts[len(w.alerts)-1].Unconfigured = "high"
}

// tellApplications: applications come to the portal, one goes.
func tellApplications(s *script, _ int) {
	w := s.w
	s.clock(s.at, "13:45:00")
	lead, in := s.administer()
	arn := "arn:aws:sso::" + w.accounts[management].id + ":application/" + w.directory.instanceARN[len("arn:aws:sso:::instance/"):] + "/apl-" + s.r.text(lowerHex, 16)
	s.step("%s puts a wiki and a reporting tool into the portal, then takes the wiki out.", lead.name)
	s.alert(s.do(in, change("sso", "CreateApplication", obj{"instanceArn": w.directory.instanceARN, "name": "wiki", "applicationProviderArn": "arn:aws:sso::aws:applicationProvider/custom"}, obj{"applicationArn": arn}), w.home),
		"sso-application-created", "high")
	s.alert(s.do(in, change("sso", "CreateManagedApplicationInstance", obj{"templateId": "tpl-" + s.r.text(lowerHex, 16), "name": "reporting"}, obj{"applicationInstance": obj{"instanceId": "ins-" + s.r.text(lowerHex, 16), "status": "ENABLED"}}), w.home),
		"sso-application-created", "high")
	s.wait(900)
	s.alert(s.do(in, change("sso", "DeleteApplication", obj{"applicationArn": arn}, obj{}), w.home), "sso-application-deleted", "medium")
}
