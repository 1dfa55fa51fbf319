// Package event says what an event is: one CloudTrail record, parsed, redacted
// and flattened into the columns that rules, SQL and every answer use.
//
// A Splitter cuts a stream (any accepted file form) into single JSON values, a
// Parser turns each value into an Event or a *RejectError (Parser.Next does both
// at once), and Event.Record reassembles the canonical redacted record byte for
// byte. The package is pure:
// it reads no clock, no file and no setting, so that the same bytes give the
// same Event everywhere. What is interesting is package filter's business, what
// is dangerous is package rule's; storing is done by store and lake.
package event

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// Event is one CloudTrail record. Field order is column order, in the lake and
// in machine output. An empty string, and nil, mean "the record has no such
// value"; they are NULL in the lake and in SQL.
//
// The lake's partition column event_date (UTC day of EventTime) is derived and
// therefore not a field; see Date.
type Event struct {
	// EventID is eventID; for a record without one it is "derived-" and the
	// first 32 hex digits of the SHA-256 of the canonical record.
	EventID string `parquet:"event_id" json:"event_id"`
	// EventTime is eventTime in milliseconds since the Unix epoch, UTC.
	EventTime int64 `parquet:"event_time,timestamp(millisecond:local)" json:"event_time"`
	// AccountID is recipientAccountId, else userIdentity.accountId; a string,
	// leading zeros kept; empty when the record names no account.
	AccountID   string `parquet:"account_id,dict" json:"account_id"`
	AWSRegion   string `parquet:"aws_region,optional,dict" json:"aws_region"`
	EventSource string `parquet:"event_source,optional,dict" json:"event_source"`
	EventName   string `parquet:"event_name,optional,dict" json:"event_name"`
	EventType   string `parquet:"event_type,optional,dict" json:"event_type"`
	// Category is one of the Category constants, from EventSource.
	Category string `parquet:"category,dict" json:"category"`
	// Outcome is one of the Outcome constants.
	Outcome      string `parquet:"outcome,dict" json:"outcome"`
	ReadOnly     *bool  `parquet:"read_only,optional" json:"read_only"`
	ErrorCode    string `parquet:"error_code,optional,dict" json:"error_code"`
	ErrorMessage string `parquet:"error_message,optional" json:"error_message"`
	// SourceIP is sourceIPAddress as recorded: an address, a service's host
	// name or "AWS Internal".
	SourceIP          string `parquet:"source_ip,optional,dict" json:"source_ip"`
	UserAgent         string `parquet:"user_agent,optional,dict" json:"user_agent"`
	IdentityType      string `parquet:"identity_type,optional,dict" json:"identity_type"`
	IdentityARN       string `parquet:"identity_arn,optional,dict" json:"identity_arn"`
	PrincipalID       string `parquet:"principal_id,optional,dict" json:"principal_id"`
	IdentityAccountID string `parquet:"identity_account_id,optional,dict" json:"identity_account_id"`
	// UserName is who called (userIdentity.userName), never an assumed role's
	// target. For role sessions it is empty: see RoleName and SessionName.
	UserName string `parquet:"user_name,optional,dict" json:"user_name"`
	// RoleName is the caller's role (sessionContext.sessionIssuer.userName or
	// the role part of the assumed-role ARN).
	RoleName    string `parquet:"role_name,optional,dict" json:"role_name"`
	SessionName string `parquet:"session_name,optional,dict" json:"session_name"`
	AccessKeyID string `parquet:"access_key_id,optional,dict" json:"access_key_id"`
	InvokedBy   string `parquet:"invoked_by,optional,dict" json:"invoked_by"`
	// MFA is additionalEventData.MFAUsed for sign-ins, else
	// sessionContext.attributes.mfaAuthenticated; nil when neither is recorded.
	MFA *bool `parquet:"mfa,optional" json:"mfa"`
	// TargetKind, TargetName and TargetARN say what was acted on, by the
	// targets table (targets.go).
	TargetKind string `parquet:"target_kind,optional,dict" json:"target_kind"`
	TargetName string `parquet:"target_name,optional,dict" json:"target_name"`
	TargetARN  string `parquet:"target_arn,optional,dict" json:"target_arn"`
	// IssuedAccessKeyID is the access key id that this event created or issued.
	IssuedAccessKeyID string `parquet:"issued_access_key_id,optional" json:"issued_access_key_id"`
	// Actor is who acted, ActorKind one of the Kind constants, ActorChain the hops,
	// root first, joined by " > ". A Parser fills them with what the record itself
	// tells of the caller; in the lake they are as package lineage resolves them.
	Actor      string `parquet:"actor,optional,dict" json:"actor"`
	ActorKind  string `parquet:"actor_kind,optional,dict" json:"actor_kind"`
	ActorChain string `parquet:"actor_chain,optional,dict" json:"actor_chain"`
	// The next four are canonical JSON text of the redacted field; empty when
	// the field is absent or null.
	RequestParameters   string `parquet:"request_parameters,optional" json:"request_parameters"`
	ResponseElements    string `parquet:"response_elements,optional" json:"response_elements"`
	AdditionalEventData string `parquet:"additional_event_data,optional" json:"additional_event_data"`
	Resources           string `parquet:"resources,optional" json:"resources"`
	// Rest is a canonical JSON object with all that no other column holds.
	Rest string `parquet:"rest,optional" json:"rest"`
	// EventVersion is eventVersion, for example "1.11".
	EventVersion string `parquet:"event_version,optional,dict" json:"event_version"`
	// FilteredBy is empty, or the filter's reason (filter.Service, filter.Role)
	// when the event is noise that was kept because a critical rule fired on it.
	FilteredBy string `parquet:"filtered_by,optional,dict" json:"filtered_by"`
	// RecordHash is the first eight bytes (big endian) of the SHA-256 of the
	// canonical redacted record, kept as the bits of an int64; compare it as
	// uint64 (Version does). It is in the lake, not in machine output.
	RecordHash int64 `parquet:"record_hash" json:"-"`
}

// Values of Event.Category.
const (
	CategoryIAM    = "iam"    // iam.amazonaws.com
	CategorySTS    = "sts"    // sts.amazonaws.com
	CategorySignin = "signin" // signin.amazonaws.com
	CategorySSO    = "sso"    // sso, sso-directory, sso-oauth, identitystore
	CategoryOther  = "other"
)

// Values of Event.Outcome.
const (
	OutcomeOK     = "ok"
	OutcomeDenied = "denied" // refused by a policy
	OutcomeFailed = "failed" // any other error, a failed sign-in among them
)

// Values of Event.ActorKind.
const (
	KindRoot           = "root"
	KindIAMUser        = "iam-user"
	KindRoleSession    = "role-session"
	KindFederatedUser  = "federated-user"
	KindSAMLUser       = "saml-user"
	KindWebIdentity    = "web-identity"
	KindIdentityCenter = "identity-center-user"
	KindDirectory      = "directory-user"
	KindAccount        = "account" // a caller in another account
	KindService        = "service"
	KindInstance       = "ec2-instance"
	KindFunction       = "lambda-function"
	KindSourceIdentity = "source-identity" // named by the session's source identity only
	KindUnknown        = "unknown"
)

// Key identifies an event: one row per key, in the hot store and in the lake.
type Key struct {
	AccountID string
	EventID   string
}

// Compare orders keys by account, then event id.
func (k Key) Compare(o Key) int {
	return cmp.Or(strings.Compare(k.AccountID, o.AccountID), strings.Compare(k.EventID, o.EventID))
}

// Key returns the event's identity.
func (e *Event) Key() Key { return Key{e.AccountID, e.EventID} }

// Version ranks the contents seen for one key: of two contents the greater
// Version is the event, the other a conflict, whatever the order of arrival.
// The zero Version is less than any event's.
type Version struct {
	Major, Minor int    // eventVersion as two integers; 0, 0 when absent or odd
	Hash         uint64 // Event.RecordHash
}

// Version returns the rank of the event's content.
func (e *Event) Version() Version {
	major, minor, _ := strings.Cut(e.EventVersion, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	if errA != nil || errB != nil {
		a, b = 0, 0
	}
	return Version{a, b, uint64(e.RecordHash)}
}

// Compare returns -1, 0 or 1 as v ranks below, equal to or above o.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Major, o.Major), cmp.Compare(v.Minor, o.Minor), cmp.Compare(v.Hash, o.Hash))
}

// Time returns EventTime in UTC.
func (e *Event) Time() time.Time { return time.UnixMilli(e.EventTime).UTC() }

// Date returns the UTC day of the event, the lake's partition.
func (e *Event) Date() Date { return DateOf(e.EventTime) }

// Compare is the total order of events in a day file and in every answer that
// sorts ascending: account, time, event id.
func (e *Event) Compare(o *Event) int {
	if c := strings.Compare(e.AccountID, o.AccountID); c != 0 {
		return c
	}
	if e.EventTime != o.EventTime {
		return cmp.Compare(e.EventTime, o.EventTime)
	}
	return strings.Compare(e.EventID, o.EventID)
}

// Date is a UTC calendar day, as days since 1970-01-01.
type Date int32

const msPerDay = 24 * 60 * 60 * 1000

// DateOf returns the UTC day of a time in milliseconds since the epoch.
func DateOf(ms int64) Date {
	d := ms / msPerDay
	if ms%msPerDay < 0 {
		d--
	}
	return Date(d)
}

// ParseDate reads YYYY-MM-DD.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, err
	}
	return DateOf(t.UnixMilli()), nil
}

// Time returns the day's first instant, UTC.
func (d Date) Time() time.Time { return time.UnixMilli(int64(d) * msPerDay).UTC() }

// String returns YYYY-MM-DD.
func (d Date) String() string { return d.Time().Format(time.DateOnly) }

// Filtered is an event that a filter dropped: enough to count it once, whatever
// is read again, and to tell what was dropped. One row per Key; a stored event
// with the same key takes its place.
type Filtered struct {
	EventID     string `parquet:"event_id" json:"event_id"`
	EventTime   int64  `parquet:"event_time,timestamp(millisecond:local)" json:"event_time"`
	AccountID   string `parquet:"account_id,dict" json:"account_id"`
	AWSRegion   string `parquet:"aws_region,optional,dict" json:"aws_region"`
	EventSource string `parquet:"event_source,optional,dict" json:"event_source"`
	EventName   string `parquet:"event_name,optional,dict" json:"event_name"`
	// Reason is filter.Service or filter.Role.
	Reason string `parquet:"reason,dict" json:"reason"`
}

// Key returns the filtered event's identity.
func (f *Filtered) Key() Key { return Key{f.AccountID, f.EventID} }

// Date returns the UTC day of the filtered event.
func (f *Filtered) Date() Date { return DateOf(f.EventTime) }
