package rule

// Ids that the code names; the catalogue has them all.
const (
	idRootLogin            = "root-console-login"
	idRootLoginFailed      = "root-console-login-failed"
	idRootActivity         = "root-api-activity"
	idRootKeyCreated       = "root-access-key-created"
	idLoginWithoutMFA      = "signin-console-login-without-mfa"
	idUserCreated          = "iam-user-created"
	idAdminAttached        = "iam-admin-policy-attached"
	idInlineDangerous      = "iam-inline-policy-dangerous"
	idInlineAdded          = "iam-inline-policy-added"
	idKeyCreated           = "iam-access-key-created"
	idKeyCreatedForOther   = "iam-access-key-created-for-other"
	idKeyUpdated           = "iam-access-key-updated"
	idKeyDeleted           = "iam-access-key-deleted"
	idTrustWildcard        = "iam-role-trust-wildcard"
	idTrustExternal        = "iam-role-trust-external-account"
	idMFARemoved           = "iam-mfa-device-removed"
	idPermissionSetCreated = "sso-permission-set-created"
	idPermissionSetUpdated = "sso-permission-set-updated"
	idPermissionSetAdmin   = "sso-permission-set-admin-policy"
	idAssignmentCreated    = "sso-account-assignment-created"
	idApplicationCreated   = "sso-application-created"
	idApplicationDeleted   = "sso-application-deleted"
	idLoggingEvasion       = "iam-logging-evasion"
	idOffHours             = "off-hours-access"
)

// logic is each rule's judgement of one event whose source, name and outcome
// already fit the catalogue entry. off-hours-access is apart: it also looks at
// what the others found.
var logic = map[string]func(*view) []match{
	idRootLogin:            matchRootLogin,
	idRootLoginFailed:      matchRootLoginFailed,
	idRootActivity:         matchRootActivity,
	idRootKeyCreated:       matchRootKeyCreated,
	idLoginWithoutMFA:      matchLoginWithoutMFA,
	idUserCreated:          matchUserCreated,
	idAdminAttached:        matchAdminAttached,
	idInlineDangerous:      matchInlineDangerous,
	idInlineAdded:          matchInlineAdded,
	idKeyCreated:           matchKeyCreated,
	idKeyCreatedForOther:   matchKeyCreatedForOther,
	idKeyUpdated:           matchKeyUpdated,
	idKeyDeleted:           matchKeyDeleted,
	idTrustWildcard:        matchTrustWildcard,
	idTrustExternal:        matchTrustExternal,
	idMFARemoved:           matchMFARemoved,
	idPermissionSetCreated: matchPermissionSetCreated,
	idPermissionSetUpdated: matchPermissionSetUpdated,
	idPermissionSetAdmin:   matchPermissionSetAdmin,
	idAssignmentCreated:    matchAssignmentCreated,
	idApplicationCreated:   matchApplicationCreated,
	idApplicationDeleted:   matchApplicationDeleted,
	idLoggingEvasion:       matchLoggingEvasion,
}

// one is a plain match: an alert for this event.
func one(sev Severity, detail string, targets ...string) []match {
	return []match{{severity: sev, detail: detail, targets: targets}}
}
