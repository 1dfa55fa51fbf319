package event

// ColumnInfo describes a column of the event table.
type ColumnInfo struct {
	Name        string
	Type        string // string, timestamp (milliseconds, UTC), date, bool, json, int64
	Origin      string // CloudTrail fields it comes from
	Description string
	Internal    bool // in the lake, not in machine output
}

var columns = []ColumnInfo{
	{"event_id", "string", "eventID", "unique id of the event in its account; \"derived-\" and a hash of the record where it has none", false},
	{"event_time", "timestamp", "eventTime", "when the call was made, UTC, milliseconds", false},
	{"event_date", "date", "eventTime", "UTC day of event_time; the lake's partition", false},
	{"account_id", "string", "recipientAccountId, else userIdentity.accountId", "account that the event belongs to; leading zeros are kept", false},
	{"aws_region", "string", "awsRegion", "region that recorded the event", false},
	{"event_source", "string", "eventSource", "service that was called, such as iam.amazonaws.com", false},
	{"event_name", "string", "eventName", "the action", false},
	{"event_type", "string", "eventType", "AwsApiCall, AwsConsoleSignIn, AwsServiceEvent and others", false},
	{"category", "string", "eventSource", "iam, sts, signin, sso (IAM Identity Center and its directory) or other", false},
	{"outcome", "string", "errorCode, responseElements, serviceEventDetails", "ok, denied (refused by a policy) or failed; sign-ins state theirs in the response", false},
	{"read_only", "bool", "readOnly", "whether the action only reads", false},
	{"error_code", "string", "errorCode", "the service's error code", false},
	{"error_message", "string", "errorMessage", "the service's error text, credentials removed", false},
	{"source_ip", "string", "sourceIPAddress", "address, service host name or \"AWS Internal\"", false},
	{"user_agent", "string", "userAgent", "client, as it calls itself", false},
	{"identity_type", "string", "userIdentity.type", "Root, IAMUser, AssumedRole and others", false},
	{"identity_arn", "string", "userIdentity.arn", "ARN of the caller", false},
	{"principal_id", "string", "userIdentity.principalId", "unique id of the caller", false},
	{"identity_account_id", "string", "userIdentity.accountId", "account of the caller", false},
	{"user_name", "string", "userIdentity.userName", "user who called; NULL for role sessions", false},
	{"role_name", "string", "userIdentity.sessionContext.sessionIssuer.userName, userIdentity.arn", "role whose session called", false},
	{"session_name", "string", "userIdentity.arn, userIdentity.principalId", "name of the role session that called", false},
	{"access_key_id", "string", "userIdentity.accessKeyId", "access key that signed the call", false},
	{"invoked_by", "string", "userIdentity.invokedBy", "service that called on the identity's behalf", false},
	{"mfa", "bool", "additionalEventData.MFAUsed, userIdentity.sessionContext.attributes.mfaAuthenticated", "whether a second factor was used; NULL where that isn't recorded", false},
	{"target_kind", "string", "by event: see docs", "kind of what was acted on: user, role, group, policy and others", false},
	{"target_name", "string", "requestParameters, responseElements, userIdentity", "name of what was acted on", false},
	{"target_arn", "string", "requestParameters, responseElements, resources, errorMessage", "ARN of what was acted on", false},
	{"issued_access_key_id", "string", "responseElements", "access key id that the event created or issued", false},
	{"actor", "string", "userIdentity; records that issued the credentials", "person or workload at the root of the session, as far as the stored events prove it", false},
	{"actor_kind", "string", "userIdentity; records that issued the credentials", "what actor is: root, iam-user, federated-user, saml-user, web-identity, identity-center-user, directory-user, source-identity, ec2-instance, lambda-function, service; role-session, account and unknown when the root isn't known", false},
	{"actor_chain", "string", "userIdentity; records that issued the credentials", "hops from actor to the caller, joined by \" > \"", false},
	{"request_parameters", "json", "requestParameters", "what was asked for", false},
	{"response_elements", "json", "responseElements", "what was answered, credentials removed", false},
	{"additional_event_data", "json", "additionalEventData", "what the service adds", false},
	{"resources", "json", "resources", "resources that the service names", false},
	{"rest", "json", "all other fields", "what no other column holds", false},
	{"event_version", "string", "eventVersion", "version of the record format", false},
	{"filtered_by", "string", "", "filter that would have dropped the event, had no critical rule fired", false},
	{"record_hash", "int64", "the whole record", "first eight bytes of the SHA-256 of the canonical redacted record", true},
}

// Columns returns the columns of the event table, in order. The caller owns the
// slice.
func Columns() []ColumnInfo { return append([]ColumnInfo(nil), columns...) }

// NumColumns is the number of columns.
const NumColumns = 40

// Value returns the event's value in column i of Columns: string, int64 (times
// in milliseconds since the epoch, and record_hash), Date, bool, or nil where
// the column is NULL.
func (e *Event) Value(i int) any {
	var s string
	switch i {
	case 0:
		s = e.EventID
	case 1:
		return e.EventTime
	case 2:
		return e.Date()
	case 3:
		return e.AccountID // "" is no account, as in the lake
	case 4:
		s = e.AWSRegion
	case 5:
		s = e.EventSource
	case 6:
		s = e.EventName
	case 7:
		s = e.EventType
	case 8:
		s = e.Category
	case 9:
		s = e.Outcome
	case 10:
		return boolValue(e.ReadOnly)
	case 11:
		s = e.ErrorCode
	case 12:
		s = e.ErrorMessage
	case 13:
		s = e.SourceIP
	case 14:
		s = e.UserAgent
	case 15:
		s = e.IdentityType
	case 16:
		s = e.IdentityARN
	case 17:
		s = e.PrincipalID
	case 18:
		s = e.IdentityAccountID
	case 19:
		s = e.UserName
	case 20:
		s = e.RoleName
	case 21:
		s = e.SessionName
	case 22:
		s = e.AccessKeyID
	case 23:
		s = e.InvokedBy
	case 24:
		return boolValue(e.MFA)
	case 25:
		s = e.TargetKind
	case 26:
		s = e.TargetName
	case 27:
		s = e.TargetARN
	case 28:
		s = e.IssuedAccessKeyID
	case 29:
		s = e.Actor
	case 30:
		s = e.ActorKind
	case 31:
		s = e.ActorChain
	case 32:
		s = e.RequestParameters
	case 33:
		s = e.ResponseElements
	case 34:
		s = e.AdditionalEventData
	case 35:
		s = e.Resources
	case 36:
		s = e.Rest
	case 37:
		s = e.EventVersion
	case 38:
		s = e.FilteredBy
	case 39:
		return e.RecordHash
	}
	if s == "" {
		return nil
	}
	return s
}

func boolValue(b *bool) any {
	if b == nil {
		return nil
	}
	return *b
}
