package event

import "strings"

// Values of Event.TargetKind.
const (
	TargetUser               = "user"
	TargetFederatedUser      = "federated-user"
	TargetRole               = "role"
	TargetGroup              = "group"
	TargetPolicy             = "policy"
	TargetAccessKey          = "access-key"
	TargetMFADevice          = "mfa-device"
	TargetInstanceProfile    = "instance-profile"
	TargetSAMLProvider       = "saml-provider"
	TargetOIDCProvider       = "oidc-provider"
	TargetServerCertificate  = "server-certificate"
	TargetAccount            = "account"
	TargetDelegation         = "delegation-request"
	TargetInstance           = "identity-center-instance"
	TargetPermissionSet      = "permission-set"
	TargetAssignment         = "account-assignment"
	TargetApplication        = "application"
	TargetTokenIssuer        = "trusted-token-issuer"
	TargetDirectory          = "directory"
	TargetIdentityCenterUser = "identity-center-user"
	TargetIdentityGroup      = "identity-center-group"
)

// target says where an event names what it acted on. Paths start in rp
// (requestParameters), re (responseElements) or details (serviceEventDetails), or
// are one of the words that firstOf knows; "|"
// separates alternatives, the first that is there counts.
type target struct {
	kind string
	name string
	arn  string
	key  string // access key id that was issued
	// self: without a name it is the caller (IAM: "If you don't specify a user
	// name, IAM determines it from the access key ID signing the request").
	self bool
}

// targetRow gives one target to several events of a source.
type targetRow struct {
	source string // without .amazonaws.com
	events string // separated by white space
	target
}

// targetRows covers every write action, and those that issue credentials.
// Where an action ties two things together, the target is the one that gains or
// loses a right: the user of AddUserToGroup, the role of AttachRolePolicy.
// Source: API references and Service Authorization Reference of IAM, STS, IAM
// Identity Center, Identity Center directory and Identity Store, and CloudTrail
// User Guide, "AWS Management Console sign-in events".
var targetRows = []targetRow{
	// IAM users
	{"iam", `CreateUser`, target{kind: TargetUser, name: "rp.userName|re.user.userName", arn: "re.user.arn"}},
	{"iam", `UpdateUser DeleteUser TagUser UntagUser AddUserToGroup RemoveUserFromGroup
		AttachUserPolicy DetachUserPolicy PutUserPolicy DeleteUserPolicy
		PutUserPermissionsBoundary DeleteUserPermissionsBoundary`, target{kind: TargetUser, name: "rp.userName"}},
	{"iam", `CreateLoginProfile`, target{kind: TargetUser, name: "rp.userName|re.loginProfile.userName", self: true}},
	{"iam", `UpdateLoginProfile DeleteLoginProfile ChangePassword
		DeleteSSHPublicKey UpdateSSHPublicKey DeleteSigningCertificate UpdateSigningCertificate
		UpdateServiceSpecificCredential DeleteServiceSpecificCredential ResyncMFADevice`, target{kind: TargetUser, name: "rp.userName", self: true}},
	{"iam", `UploadSSHPublicKey`, target{kind: TargetUser, name: "rp.userName|re.sSHPublicKey.userName", self: true}},
	{"iam", `UploadSigningCertificate`, target{kind: TargetUser, name: "rp.userName|re.certificate.userName", self: true}},
	{"iam", `CreateServiceSpecificCredential ResetServiceSpecificCredential`,
		target{kind: TargetUser, name: "rp.userName|re.serviceSpecificCredential.userName", self: true}},
	{"iam", `CreateAccessKey`,
		target{kind: TargetUser, name: "re.accessKey.userName|rp.userName", key: "re.accessKey.accessKeyId", self: true}},
	{"iam", `UpdateAccessKey DeleteAccessKey`, target{kind: TargetUser, name: "rp.userName", self: true}},
	{"iam", `EnableMFADevice DeactivateMFADevice`, target{kind: TargetUser, name: "rp.userName", self: true}},
	{"iam", `CreateVirtualMFADevice`,
		target{kind: TargetMFADevice, name: "rp.virtualMFADeviceName", arn: "re.virtualMFADevice.serialNumber"}},
	{"iam", `DeleteVirtualMFADevice TagMFADevice UntagMFADevice`, target{kind: TargetMFADevice, arn: "rp.serialNumber"}},

	// IAM groups
	{"iam", `CreateGroup`, target{kind: TargetGroup, name: "rp.groupName|re.group.groupName", arn: "re.group.arn"}},
	{"iam", `UpdateGroup DeleteGroup AttachGroupPolicy DetachGroupPolicy PutGroupPolicy DeleteGroupPolicy`,
		target{kind: TargetGroup, name: "rp.groupName"}},

	// IAM roles
	{"iam", `CreateRole`, target{kind: TargetRole, name: "rp.roleName|re.role.roleName", arn: "re.role.arn"}},
	{"iam", `CreateServiceLinkedRole`, target{kind: TargetRole, name: "re.role.roleName|rp.aWSServiceName", arn: "re.role.arn"}},
	{"iam", `AcquireRole`, target{kind: TargetRole, name: "re.role.roleName", arn: "re.role.arn|rp.templateArn"}},
	{"iam", `UpdateRole UpdateRoleDescription DeleteRole DeleteServiceLinkedRole TagRole UntagRole UpdateAssumeRolePolicy
		AttachRolePolicy DetachRolePolicy PutRolePolicy DeleteRolePolicy
		PutRolePermissionsBoundary DeleteRolePermissionsBoundary`, target{kind: TargetRole, name: "rp.roleName", arn: "re.role.arn"}},
	{"iam", `CreateInstanceProfile`, target{kind: TargetInstanceProfile,
		name: "rp.instanceProfileName|re.instanceProfile.instanceProfileName", arn: "re.instanceProfile.arn"}},
	{"iam", `DeleteInstanceProfile AddRoleToInstanceProfile RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile`,
		target{kind: TargetInstanceProfile, name: "rp.instanceProfileName"}},

	// IAM policies
	{"iam", `CreatePolicy`, target{kind: TargetPolicy, name: "rp.policyName|re.policy.policyName", arn: "re.policy.arn"}},
	{"iam", `DeletePolicy CreatePolicyVersion DeletePolicyVersion SetDefaultPolicyVersion TagPolicy UntagPolicy`,
		target{kind: TargetPolicy, arn: "rp.policyArn"}},

	// IAM providers and certificates
	{"iam", `CreateSAMLProvider`, target{kind: TargetSAMLProvider, name: "rp.name", arn: "re.sAMLProviderArn"}},
	{"iam", `UpdateSAMLProvider DeleteSAMLProvider TagSAMLProvider UntagSAMLProvider`,
		target{kind: TargetSAMLProvider, arn: "rp.sAMLProviderArn|re.sAMLProviderArn"}},
	{"iam", `CreateOpenIDConnectProvider`, target{kind: TargetOIDCProvider, name: "rp.url", arn: "re.openIDConnectProviderArn"}},
	{"iam", `DeleteOpenIDConnectProvider AddClientIDToOpenIDConnectProvider RemoveClientIDFromOpenIDConnectProvider
		UpdateOpenIDConnectProviderThumbprint TagOpenIDConnectProvider UntagOpenIDConnectProvider`,
		target{kind: TargetOIDCProvider, arn: "rp.openIDConnectProviderArn"}},
	{"iam", `UploadServerCertificate`, target{kind: TargetServerCertificate,
		name: "rp.serverCertificateName|re.serverCertificateMetadata.serverCertificateName", arn: "re.serverCertificateMetadata.arn"}},
	{"iam", `UpdateServerCertificate DeleteServerCertificate TagServerCertificate UntagServerCertificate`,
		target{kind: TargetServerCertificate, name: "rp.serverCertificateName"}},

	// IAM account
	{"iam", `CreateAccountAlias DeleteAccountAlias`, target{kind: TargetAccount, name: "rp.accountAlias"}},
	{"iam", `UpdateAccountPasswordPolicy DeleteAccountPasswordPolicy SetSecurityTokenServicePreferences
		SetSTSRegionalEndpointStatus EnableOrganizationsRootCredentialsManagement DisableOrganizationsRootCredentialsManagement
		EnableOrganizationsRootSessions DisableOrganizationsRootSessions
		EnableOutboundWebIdentityFederation DisableOutboundWebIdentityFederation
		UpdateAccountEmailAddress UpdateAccountName PutAccountProperties
		UploadCloudFrontPublicKey UpdateCloudFrontPublicKey DeleteCloudFrontPublicKey
		GenerateCredentialReport GenerateOrganizationsAccessReport`, target{kind: TargetAccount, name: "account"}},
	{"iam", `GenerateServiceLastAccessedDetails`, target{arn: "rp.arn"}},
	{"iam", `CreateDelegationRequest`, target{kind: TargetDelegation, name: "re.delegationRequestId"}},
	{"iam", `AcceptDelegationRequest AssociateDelegationRequest RejectDelegationRequest UpdateDelegationRequest SendDelegationToken`,
		target{kind: TargetDelegation, name: "rp.delegationRequestId"}},

	// STS
	{"sts", `AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity`,
		target{kind: TargetRole, arn: "rp.roleArn|resource|error", key: "re.credentials.accessKeyId"}},
	{"sts", `AssumeRoot`, target{kind: TargetAccount, name: "rp.targetPrincipal", key: "re.credentials.accessKeyId"}},
	{"sts", `GetSessionToken`, target{kind: TargetUser, key: "re.credentials.accessKeyId", self: true}},
	{"sts", `GetFederationToken`, target{kind: TargetFederatedUser,
		name: "rp.name", arn: "re.federatedUser.arn|error", key: "re.credentials.accessKeyId"}},
	{"sts", `GetDelegatedAccessToken`, target{kind: TargetRole, arn: "re.assumedPrincipal", key: "re.credentials.accessKeyId"}},

	// Sign-in. The session of SwitchRole is the role's: it is the caller here.
	{"signin", `SwitchRole`, target{kind: TargetRole, name: "role", arn: "issuer"}},
	{"signin", `PasswordUpdated PasswordRecoveryRequested PasswordRecoveryCompleted EmailUpdated CheckMfa`,
		target{kind: TargetUser, self: true}},

	// IAM Identity Center: permission sets and assignments
	{"sso", `CreatePermissionSet`, target{kind: TargetPermissionSet,
		name: "rp.name|re.permissionSet.name", arn: "re.permissionSet.permissionSetArn"}},
	{"sso", `UpdatePermissionSet DeletePermissionSet ProvisionPermissionSet
		AttachManagedPolicyToPermissionSet DetachManagedPolicyFromPermissionSet
		AttachCustomerManagedPolicyReferenceToPermissionSet DetachCustomerManagedPolicyReferenceFromPermissionSet
		PutInlinePolicyToPermissionSet DeleteInlinePolicyFromPermissionSet
		PutPermissionsBoundaryToPermissionSet DeletePermissionsBoundaryFromPermissionSet
		PutPermissionsPolicy DeletePermissionsPolicy`,
		target{kind: TargetPermissionSet, name: "rp.permissionSetArn|rp.permissionSetId", arn: "rp.permissionSetArn"}},
	{"sso", `CreateAccountAssignment DeleteAccountAssignment`,
		target{kind: TargetAssignment, name: "rp.principalId", arn: "rp.permissionSetArn"}},
	{"sso", `AssociateProfile DisassociateProfile`,
		target{kind: TargetAssignment, name: "rp.accessorId|rp.principalId", arn: "rp.permissionSetArn"}},
	{"sso", `CreateProfile UpdateProfile DeleteProfile`, target{kind: TargetAssignment, name: "rp.profileId|re.profile.profileId|rp.name"}},
	{"sso", `CreateTrust UpdateTrust`, target{kind: TargetAccount, name: "rp.accountId|rp.targetAccountId"}},

	// Applications
	{"sso", `CreateApplication`, target{kind: TargetApplication, name: "rp.name", arn: "re.applicationArn"}},
	{"sso", `UpdateApplication DeleteApplication CreateApplicationAssignment DeleteApplicationAssignment
		PutApplicationAssignmentConfiguration PutApplicationAuthenticationMethod DeleteApplicationAuthenticationMethod
		PutApplicationGrant DeleteApplicationGrant PutApplicationAccessScope DeleteApplicationAccessScope
		PutApplicationSessionConfiguration`, target{kind: TargetApplication, arn: "rp.applicationArn"}},
	{"sso", `CreateApplicationInstance CreateManagedApplicationInstance`, target{kind: TargetApplication,
		name: "rp.name|rp.displayName|rp.display.displayName|re.applicationInstance.display.displayName|rp.templateId|re.applicationInstance.instanceId|rp.instanceId",
		arn:  "re.applicationInstance.arn|re.applicationInstanceArn|re.managedApplicationInstanceArn"}},
	{"sso", `DeleteApplicationInstance DeleteManagedApplicationInstance UpdateManagedApplicationInstanceStatus
		UpdateApplicationInstanceStatus UpdateApplicationInstanceDisplayData UpdateApplicationInstanceActiveCertificate
		UpdateApplicationInstanceResponseConfiguration UpdateApplicationInstanceResponseSchemaConfiguration
		UpdateApplicationInstanceSecurityConfiguration UpdateApplicationInstanceServiceProviderConfiguration
		CreateApplicationInstanceCertificate DeleteApplicationInstanceCertificate
		ImportApplicationInstanceServiceProviderMetadata`, target{kind: TargetApplication,
		name: "rp.instanceId|rp.applicationInstanceId|rp.managedApplicationInstanceId",
		arn:  "rp.applicationInstanceArn|rp.managedApplicationInstanceArn|rp.instanceArn"}},
	{"sso", `CreateTrustedTokenIssuer`, target{kind: TargetTokenIssuer, name: "rp.name", arn: "re.trustedTokenIssuerArn"}},
	{"sso", `UpdateTrustedTokenIssuer DeleteTrustedTokenIssuer`,
		target{kind: TargetTokenIssuer, name: "rp.name", arn: "rp.trustedTokenIssuerArn"}},

	// The instance and its directory
	{"sso", `CreateInstance StartSSO`, target{kind: TargetInstance, name: "rp.name", arn: "re.instanceArn"}},
	{"sso", `UpdateInstance DeleteInstance DeleteSSO UpdateSSOConfiguration AddRegion RemoveRegion
		CreateInstanceAccessControlAttributeConfiguration UpdateInstanceAccessControlAttributeConfiguration
		DeleteInstanceAccessControlAttributeConfiguration`, target{kind: TargetInstance, arn: "rp.instanceArn"}},
	{"sso", `TagResource UntagResource`, target{kind: "resource", arn: "rp.resourceArn"}},
	{"sso sso-directory", `AssociateDirectory DisassociateDirectory UpdateDirectoryAssociation PutMfaDeviceManagementForDirectory
		CreateAlias CreateExternalIdPConfigurationForDirectory UpdateExternalIdPConfigurationForDirectory
		DeleteExternalIdPConfigurationForDirectory EnableExternalIdPConfigurationForDirectory
		DisableExternalIdPConfigurationForDirectory ImportExternalIdPCertificate DeleteExternalIdPCertificate
		CreateBearerToken DeleteBearerToken CreateProvisioningTenant DeleteProvisioningTenant`,
		target{kind: TargetDirectory, name: "rp.directoryId|rp.identityStoreId|rp.tenantId|rp.alias"}},
	{"identitystore", `UpdateIdentityStore`, target{kind: TargetDirectory, name: "rp.identityStoreId", arn: "re.identityStoreArn"}},
	{"sso sso-directory", `GetRoleCredentials Federate`, target{kind: TargetRole,
		name: "rp.roleName|rp.role_name|details.role_name|details.roleName",
		key:  "re.roleCredentials.accessKeyId|re.credentials.accessKeyId"}},

	// Users and groups of Identity Center
	{"sso-directory identitystore identitystore-scim", `CreateUser`, target{kind: TargetIdentityCenterUser,
		name: "rp.userName|re.userId|re.user.userId|re.id"}},
	{"sso-directory identitystore identitystore-scim", `UpdateUser DeleteUser PatchUser PutUser EnableUser DisableUser
		UpdateUserName UpdatePassword ResetPassword VerifyEmail StartEmailVerification
		StartVirtualMfaDeviceRegistration CompleteVirtualMfaDeviceRegistration
		StartWebAuthnDeviceRegistration CompleteWebAuthnDeviceRegistration
		UpdateMfaDeviceForUser DeleteMfaDeviceForUser`, target{kind: TargetIdentityCenterUser,
		name: "rp.userId|rp.user.userId|rp.id|rp.userName"}},
	{"sso-directory identitystore identitystore-scim", `CreateGroup`, target{kind: TargetIdentityGroup,
		name: "rp.displayName|rp.groupName|re.groupId|re.group.groupId|re.id"}},
	{"sso-directory identitystore identitystore-scim", `UpdateGroup DeleteGroup PatchGroup PutGroup UpdateGroupDisplayName
		AddMemberToGroup RemoveMemberFromGroup CreateGroupMembership`, target{kind: TargetIdentityGroup,
		name: "rp.groupId|rp.group.groupId|rp.id|rp.displayName"}},
	{"identitystore", `DeleteGroupMembership`, target{kind: TargetIdentityGroup, name: "rp.groupId|rp.membershipId"}},
	{"sso-oauth sso", `RegisterClient`, target{kind: TargetApplication, name: "rp.clientName|re.clientId"}},
	{"sso-oauth sso", `StartDeviceAuthorization CreateToken CreateTokenWithIAM`, target{kind: TargetApplication, name: "rp.clientId"}},
}

// spec is a target with its paths taken apart.
type spec struct {
	target
	namePaths, arnPaths, keyPaths [][]string
}

var targets = func() map[string]map[string]*spec {
	m := map[string]map[string]*spec{}
	for i := range targetRows {
		row := &targetRows[i]
		s := &spec{row.target, paths(row.name), paths(row.arn), paths(row.key)}
		for _, source := range strings.Fields(row.source) {
			source += ".amazonaws.com"
			if m[source] == nil {
				m[source] = map[string]*spec{}
			}
			for _, name := range strings.Fields(row.events) {
				m[source][name] = s
			}
		}
	}
	return m
}()

func paths(list string) (out [][]string) {
	for _, alternative := range strings.Split(list, "|") {
		if alternative != "" {
			out = append(out, strings.Split(alternative, "."))
		}
	}
	return out
}

// fillTarget fills the columns about what the event acted on.
func (e *Event) fillTarget() {
	if e.Category == CategoryOther {
		return
	}
	s := targets[e.EventSource][e.EventName]
	if s == nil {
		return
	}
	e.TargetName = e.firstOf(s.namePaths)
	e.TargetARN = e.firstOf(s.arnPaths)
	if !strings.HasPrefix(e.TargetARN, "arn:") {
		if e.TargetName == "" {
			e.TargetName = e.TargetARN // a serial number, say
		}
		e.TargetARN = ""
	}
	e.IssuedAccessKeyID = e.firstOf(s.keyPaths)
	if e.TargetName == "" && e.TargetARN == "" && s.self {
		e.TargetName, e.TargetARN = e.self(), e.selfARN()
	}
	if s.kind == TargetAccount && strings.HasPrefix(e.TargetName, "arn:") {
		e.TargetARN, e.TargetName = e.TargetName, accountOf(e.TargetName)
	} else if strings.HasPrefix(e.TargetName, "arn:") || e.TargetName == "" {
		// The last part of an ARN names the thing; providers are named by all
		// that follows the type, and keep their slashes.
		kind, path := cutARN(first(e.TargetARN, e.TargetName))
		if kind != "oidc-provider" {
			path = lastPart(path)
		}
		e.TargetName = first(path, e.TargetName)
	}
	if e.TargetName != "" || e.TargetARN != "" {
		e.TargetKind = s.kind
		if e.TargetKind == "" {
			e.TargetKind, _ = cutARN(e.TargetARN)
		}
	}
}

// accountOf returns the account of an ARN.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

// self names the caller as a target.
func (e *Event) self() string {
	switch e.ActorKind {
	case KindRoot:
		return "root"
	case KindIAMUser:
		return e.Actor
	}
	return ""
}

func (e *Event) selfARN() string {
	if e.ActorKind == KindRoot || e.ActorKind == KindIAMUser {
		return e.IdentityARN
	}
	return ""
}

// firstOf returns the text at the first path that has one.
func (e *Event) firstOf(alternatives [][]string) string {
	for _, path := range alternatives {
		var s string
		switch path[0] {
		case "rp":
			s = text(lookup(e.RequestParameters, path[1:]...))
		case "re":
			s = text(lookup(e.ResponseElements, path[1:]...))
		case "details":
			s = text(lookup(lookup(e.Rest, fieldNames[fServiceEventDetails]), path[1:]...))
		case "resource":
			s = text(lookup(firstElement(e.Resources), "ARN"))
		case "error":
			s = arnInError(e.ErrorMessage)
		case "account":
			s = e.AccountID
		case "role":
			s = e.RoleName
		case "issuer":
			s = text(lookup(e.Rest, "userIdentity", "sessionContext", "sessionIssuer", "arn"))
		}
		if s != "" && s != "HIDDEN_DUE_TO_SECURITY_REASONS" {
			return s
		}
	}
	return ""
}

// arnInError returns the ARN after "on resource: ": a denied call has no
// parameters, and its target is only there.
func arnInError(message string) string {
	const mark = "on resource: "
	i := strings.Index(message, mark)
	if i < 0 {
		return ""
	}
	s := message[i+len(mark):]
	if end := strings.IndexAny(s, " \t\n\"',"); end >= 0 {
		s = s[:end]
	}
	s = strings.TrimRight(s, ".;")
	if !strings.HasPrefix(s, "arn:") {
		return ""
	}
	return s
}
