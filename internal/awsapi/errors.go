package awsapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Kind is what went wrong, as far as a caller acts on it.
type Kind int

// What goes wrong. Throttled, Network and Unavailable pass by themselves;
// TokenExpired asks for the first page again; all others want a person.
const (
	Other              Kind = iota
	Throttled               // too many requests
	Denied                  // no permission
	CredentialsExpired      // also after they were fetched anew
	NoCredentials           // none found, or they could not be fetched
	BadCredentials          // AWS knows no such key
	TokenExpired            // the page token isn't valid any more
	RegionDisabled          // the account hasn't enabled the region
	Network                 // no answer
	Unavailable             // an answer that says: try later (HTTP 5xx)
	ClockSkew               // the local clock is too far off
	NotFound                // no such bucket, object, topic, organization
	NotAWS                  // something else answered
	Changed                 // an object isn't the one that was meant
)

// Sentinels for errors.Is; each stands for the Kind of its name.
var (
	ErrThrottled          = errors.New("too many requests")
	ErrDenied             = errors.New("access denied")
	ErrCredentialsExpired = errors.New("credentials expired")
	ErrNoCredentials      = errors.New("no credentials")
	ErrBadCredentials     = errors.New("credentials not accepted")
	ErrTokenExpired       = errors.New("page token expired")
	ErrRegionDisabled     = errors.New("region not enabled")
	ErrNetwork            = errors.New("no connection")
	ErrUnavailable        = errors.New("service unavailable")
	ErrClockSkew          = errors.New("the local clock is wrong")
	ErrNotFound           = errors.New("not found")
	ErrNotAWS             = errors.New("what answered is not AWS")
	ErrChanged            = errors.New("changed meanwhile")
)

var sentinels = map[Kind]error{
	Throttled: ErrThrottled, Denied: ErrDenied, CredentialsExpired: ErrCredentialsExpired, NoCredentials: ErrNoCredentials,
	BadCredentials: ErrBadCredentials, TokenExpired: ErrTokenExpired, RegionDisabled: ErrRegionDisabled, Network: ErrNetwork,
	Unavailable: ErrUnavailable, ClockSkew: ErrClockSkew, NotFound: ErrNotFound, NotAWS: ErrNotAWS, Changed: ErrChanged,
}

func tooLong(limit time.Duration) error { return fmt.Errorf("no answer within %s", limit) }

// String is the kind in a few words, such as for a line of coverage.
func (k Kind) String() string {
	if s := sentinels[k]; s != nil {
		return s.Error()
	}
	return "failed"
}

var errCredentials = errors.New("credentials")

// Error is a request that failed. Its text is a sentence for people: what was
// tried, where, what is wrong and what to do about it. What AWS wrote is part of
// it, made printable and short; it holds no credentials.
type Error struct {
	Kind     Kind
	Op       string // "read CloudTrail events"
	Action   string // as IAM names it, such as cloudtrail:LookupEvents
	Account  string // id, as far as known
	Region   string
	Resource string
	// SCP says that a service control policy of the organization denies it
	// (KMS and S3 say less than other services, so false proves nothing).
	SCP bool
	// Code and Message are AWS's; empty when none came.
	Code, Message string
	// ServerTime is the time that the answer carried; zero without one.
	ServerTime time.Time

	hint string
	err  error
}

// Reason is what went wrong, without where and what to do: "access denied by a
// service control policy".
func (e *Error) Reason() string {
	switch {
	case e.Kind == Denied && e.SCP:
		return "access denied by a service control policy"
	case e.Kind == Other && e.Code != "":
		return strings.TrimSuffix(e.Code+": "+e.Message, ": ")
	case e.Kind == Other:
		return tidy(e.err.Error())
	}
	return e.Kind.String()
}

// Hint is what to do about it; may be empty.
func (e *Error) Hint() string { return e.hint }

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Region != "" {
		b.WriteString(" in " + e.Region)
	}
	if e.Account != "" {
		b.WriteString(" of account " + e.Account)
	}
	b.WriteString(": " + e.Reason())
	switch e.Kind {
	case Denied:
		b.WriteString(": " + e.Action)
		if e.Resource != "" {
			b.WriteString(" on " + e.Resource)
		}
	case Network, NoCredentials:
		b.WriteString(": " + tidy(rootCause(e.err).Error()))
	case Other:
	default:
		if e.Resource != "" {
			b.WriteString(": " + e.Resource)
		}
		if e.Message != "" {
			b.WriteString(" (" + e.Message + ")")
		}
	}
	if e.hint != "" {
		b.WriteString(": " + e.hint)
	}
	return b.String()
}

// Unwrap gives the sentinel of the kind, and the SDK's error.
func (e *Error) Unwrap() []error {
	if s := sentinels[e.Kind]; s != nil {
		return []error{s, e.err}
	}
	return []error{e.err}
}

// KindOf returns what kind of failure err is; Other for what isn't an *Error.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Other
}

// codeOf returns AWS's code of a failure, empty without one.
func codeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// codes are the error codes of AWS by what they mean (CloudTrail and EC2 API
// Reference, "Common errors"; S3 API Reference, "Error responses").
var codes = map[string]Kind{
	"ThrottlingException": Throttled, "Throttling": Throttled, "ThrottledException": Throttled, "RequestThrottled": Throttled,
	"RequestThrottledException": Throttled, "RequestLimitExceeded": Throttled, "TooManyRequestsException": Throttled,
	"ProvisionedThroughputExceededException": Throttled,
	"SlowDown":                               Throttled, "PriorRequestNotComplete": Throttled, "BandwidthLimitExceeded": Throttled,

	"AccessDenied": Denied, "AccessDeniedException": Denied, "UnauthorizedOperation": Denied, "AuthorizationError": Denied,
	"AuthorizationErrorException": Denied, "KMS.AccessDeniedException": Denied, "KMSAccessDenied": Denied, "NotAuthorized": Denied,

	"ExpiredToken": CredentialsExpired, "ExpiredTokenException": CredentialsExpired, "TokenRefreshRequired": CredentialsExpired,

	"UnrecognizedClientException": BadCredentials, "InvalidClientTokenId": BadCredentials, "AuthFailure": BadCredentials,
	"InvalidAccessKeyId": BadCredentials, "InvalidToken": BadCredentials, "SignatureDoesNotMatch": BadCredentials,
	"InvalidSignatureException": BadCredentials, "IncompleteSignature": BadCredentials, "MissingAuthenticationToken": BadCredentials,

	"InvalidNextTokenException": TokenExpired, "InvalidNextToken": TokenExpired, "ExpiredNextTokenException": TokenExpired,

	"OptInRequired": RegionDisabled, "RegionDisabledException": RegionDisabled, "SubscriptionRequiredException": RegionDisabled,

	"RequestTimeTooSkewed": ClockSkew, "RequestExpired": ClockSkew, "RequestInTheFuture": ClockSkew,

	"PreconditionFailed": Changed, "ConditionalRequestConflict": Changed,

	"NoSuchVersion": NotFound, "NoSuchUpload": NotFound,
	"NoSuchBucket": NotFound, "NoSuchKey": NotFound, "NotFound": NotFound, "NotFoundException": NotFound,
	"AWSOrganizationsNotInUseException": NotFound, "ParameterNotFound": NotFound, "ResourceNotFoundException": NotFound,

	"InternalFailure": Unavailable, "InternalError": Unavailable, "InternalServerError": Unavailable, "ServiceUnavailable": Unavailable,
	"ServiceUnavailableException": Unavailable, "InternalServiceException": Unavailable, "RequestTimeout": Unavailable,
}

// maxSkew is how far clocks may differ before signatures are refused; AWS grants
// 5 minutes (S3: 15), of which an answer's way takes some.
const maxSkew = 4 * time.Minute

// isSkew tells whether the SDK takes a refusal for the local clock's fault.
func isSkew(err error) bool {
	var skewed interface{ RetryableError() bool }
	var coded smithy.APIError
	return errors.As(err, &coded) && errors.As(err, &skewed) && skewed.RetryableError()
}

// explain makes an Error of what a request returned.
func (a *Account) explain(c call, err error, s seen) *Error {
	e := &Error{Op: c.op, Action: c.action, Account: a.ID(), Region: c.region, Resource: c.resource, ServerTime: s.serverTime, err: err}
	status := 0
	var (
		api  smithy.APIError
		resp *smithyhttp.ResponseError
		role *roleError
		sign *v4.SigningError
	)
	if errors.As(err, &resp) {
		status = resp.HTTPStatusCode()
	}
	if errors.As(err, &role) {
		// What failed is fetching credentials, not what needed them.
		e.Op, e.Action, e.Resource, e.Region = c.op+": assume the role", "sts:AssumeRole", role.arn, ""
	}
	var coded *smithy.OperationError
	if errors.As(err, &api) {
		e.Code, e.Message = tidy(api.ErrorCode()), tidy(api.ErrorMessage())
		e.Kind = codes[api.ErrorCode()]
		if e.Kind == Other {
			e.Kind = byStatus(status)
		}
	} else if inner := cmp.Or(role.cause(), err); isCredentialsError(inner) {
		// Whatever an instance's metadata answered: the request was never sent.
		e.Kind = NoCredentials
	} else if errors.As(err, &coded) && status != 0 {
		e.Kind = byStatus(status)
	} else if errors.As(err, &sign) || isCredentialsError(err) {
		e.Kind = NoCredentials
	} else if isNetwork(err) {
		e.Kind = Network
	}
	if e.Kind == Other && api == nil && isNetwork(err) {
		e.Kind = Network // the answer broke off
	}
	if e.Kind == Other && isCredentialsError(err) {
		e.Kind = NoCredentials
	}
	// A load balancer of AWS, too, may say 503 in HTML.
	if s.foreign && e.Kind != Network && (e.Kind == Other || api == nil || api.ErrorCode() == "NotFound" || codes[api.ErrorCode()] == Other) &&
		(a.s.endpoint() != "" || status < 500) {
		e.Kind, e.Code, e.Message = NotAWS, "", fmt.Sprintf("HTTP %d, without the marks of AWS's answers", cmp.Or(status, http.StatusOK))
	}
	switch {
	case e.Kind == BadCredentials && (isSkew(err) || !s.serverTime.IsZero() && apart(s.serverTime) > maxSkew):
		e.Kind = ClockSkew
	case e.Kind == BadCredentials && role == nil && a.served.Load() && e.Code != "SignatureDoesNotMatch" && e.Code != "InvalidSignatureException":
		// The same key was good elsewhere (IAM User Guide, "Managing AWS STS in an
		// AWS Region": sessions aren't valid in regions that aren't enabled).
		e.Kind = RegionDisabled
	}
	e.SCP = e.Kind == Denied && strings.Contains(e.Message, "service control policy")
	if e.Kind == Denied {
		e.denial()
	}
	e.hint = a.advice(e, err)
	if s.bucketRegion != "" && (e.Code == "PermanentRedirect" || e.Code == "AuthorizationHeaderMalformed") {
		e.hint = "the bucket lies in " + tidy(s.bucketRegion) + " now: start again, it is asked for its region then"
	}
	return e
}

// denial takes action and resource from AWS's words where they tell more: a
// refusal to read an object may be about its key.
func (e *Error) denial() {
	words := strings.Fields(e.Message)
	object := e.Resource
	for i, w := range words {
		// "… is not authorized to perform: kms:Decrypt on resource: arn:… because …"
		if w == "perform:" && i+1 < len(words) && strings.Contains(words[i+1], ":") {
			e.Action = strings.Trim(words[i+1], ".,")
		}
		if w == "resource:" && i+1 < len(words) && strings.HasPrefix(words[i+1], "arn:") {
			e.Resource = strings.Trim(words[i+1], ".,")
		}
	}
	if strings.HasPrefix(e.Action, "kms:") && e.Resource == object {
		// "… on the resource associated with this ciphertext …"
		e.Resource = "the key that encrypts it"
	}
}

// advice says what to do.
func (a *Account) advice(e *Error, err error) string {
	var sso *ssocreds.InvalidTokenError
	if errors.As(err, &sso) {
		return "the SSO session has ended: run `aws sso login" + a.s.profileFlag() + "`"
	}
	switch e.Kind {
	case Denied:
		switch {
		case e.SCP:
			return "permit it in the organization's policies, or leave the region out (setting regions)"
		case strings.Contains(e.Message, "explicit deny"):
			return "an explicit deny in a policy forbids it"
		case e.Action == "sts:AssumeRole":
			return "permit it to the caller, and name the caller (and the external id, if it asks for one) in the role's trust policy"
		case strings.HasPrefix(e.Action, "kms:"):
			return "permit it in the key's policy and to the caller"
		}
		return "permit it to the caller"
	case CredentialsExpired:
		return "get new ones, for example with `aws sso login" + a.s.profileFlag() + "`"
	case NoCredentials:
		return "set AWS_PROFILE or the setting aws_profile, or log in with `aws sso login" + a.s.profileFlag() + "`"
	case BadCredentials:
		return "check the access key, and that the region (setting aws_region) belongs to the account's partition"
	case RegionDisabled:
		return "enable it, or leave it out (setting regions)"
	case ClockSkew:
		if !e.ServerTime.IsZero() {
			return fmt.Sprintf("AWS says it is %s: set the local clock", e.ServerTime.UTC().Format(time.RFC3339))
		}
		return "set the local clock"
	case NotFound:
		switch {
		case strings.HasPrefix(e.Resource, "table "):
			return "check the name of the stack, and its region (setting aws_region)"
		case e.Code == "AWSOrganizationsNotInUseException":
			return "the account is in no organization: leave out --organization, or give a list with --accounts"
		case strings.HasPrefix(e.Resource, "arn:") && strings.Contains(e.Resource, ":s3:::") && !strings.Contains(e.Resource, "/"):
			return "check the bucket's name"
		}
	case NotAWS:
		if u := a.s.endpoint(); u != "" {
			return "something else listens at " + u + ": check the setting endpoint_url (or AWS_ENDPOINT_URL), and leave it out to ask AWS"
		}
		return "a proxy or the log-in page of a network is in between: check HTTPS_PROXY, and the network"
	case Network:
		if u := a.s.endpoint(); u != "" {
			return "is anything running at " + u + "? Start it, check the setting endpoint_url (or AWS_ENDPOINT_URL), or leave it out to ask AWS"
		}
		return "check the network, proxy settings (HTTPS_PROXY), and that the region exists"
	}
	return ""
}

// endpoint is what is asked instead of AWS, without a password; "" for AWS.
func (s *Session) endpoint() string {
	if s.base.BaseEndpoint == nil {
		return ""
	}
	u, err := url.Parse(*s.base.BaseEndpoint)
	if err != nil {
		return *s.base.BaseEndpoint
	}
	return u.Redacted()
}

func (s *Session) profileFlag() string {
	if s.c.Profile == "" {
		return ""
	}
	return " --profile " + s.c.Profile
}

func byStatus(status int) Kind {
	switch {
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusForbidden:
		return Denied
	case status == http.StatusNotFound:
		return NotFound
	case status >= 500:
		return Unavailable
	}
	return Other
}

func apart(server time.Time) time.Duration { return time.Since(server).Abs() }

// isNetwork tells whether no answer came, or none to its end.
func isNetwork(err error) bool {
	var (
		n    net.Error
		send *smithyhttp.RequestSendError
	)
	return errors.As(err, &send) || errors.As(err, &n) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, context.DeadlineExceeded)
}

// isCredentialsError recognizes the ways in which the SDK finds no credentials.
func isCredentialsError(err error) bool {
	var (
		sso     *ssocreds.InvalidTokenError
		assume  config.AssumeRoleTokenProviderNotSetError
		profile config.SharedConfigProfileNotExistError
	)
	return errors.As(err, &sso) || errors.As(err, &assume) || errors.As(err, &profile) ||
		strings.Contains(err.Error(), "get credentials") || strings.Contains(err.Error(), "refresh cached credentials")
}

// explainConfig is the error of Open: files and settings that make no sense.
func explainConfig(c Config, err error) error {
	var profile config.SharedConfigProfileNotExistError
	if errors.As(err, &profile) {
		return fmt.Errorf("read the AWS configuration: there is no profile %q in ~/.aws/config or ~/.aws/credentials (setting aws_profile): %w", profile.Profile, ErrNoCredentials)
	}
	return fmt.Errorf("read the AWS configuration: %w", err)
}

// rootCause is the innermost error: the SDK wraps it in its own words.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // it goes through them itself
			if all := many.Unwrap(); len(all) > 0 {
				next = all[len(all)-1]
			}
		}
		if next == nil || strings.TrimSpace(next.Error()) == "" {
			return err
		}
		err = next
	}
}

// tidy makes foreign text one printable line of at most 300 characters.
func tidy(s string) string { return oneLine(s, 300) }

// oneLine makes foreign text one printable line of at most so many characters.
func oneLine(s string, most int) string {
	// Encoded authorization messages are long, and say nothing to a reader.
	s, _, _ = strings.Cut(s, "Encoded authorization failure message")
	var b strings.Builder
	n := 0
	for _, r := range strings.Join(strings.Fields(s), " ") {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if !unicode.IsGraphic(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return strings.TrimRight(b.String(), " .")
}
