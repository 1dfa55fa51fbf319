package server

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The most bytes of a request; AWS's own limits are below it.
const maxBody = 1 << 20

// caller is who asks, and where.
type caller struct {
	account, region string
	key             string // access key id
	arn, userID     string
}

// request is one call of an API.
type request struct {
	caller
	http      *http.Request
	service   string
	operation string
	body      []byte
	form      url.Values // of query protocols
	id        string     // request id
}

// read takes a request apart. What it could find out is there even when it fails.
func (s *Server) read(r *http.Request) (*request, *apiError) {
	q := &request{http: r}
	q.account, q.region = s.world.Accounts()[0], globalRegion
	scope, key, signed := signature(r)
	if len(scope) == 3 {
		q.region, q.service = scope[1], scope[2]
	}
	target := r.Header.Get("X-Amz-Target")
	if q.service == "" {
		q.service = serviceOf(r, target)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return q, &apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the request can't be read, or is too large"}
	}
	q.body = body
	switch protocols[q.service] {
	case awsJSON:
		_, q.operation, _ = strings.Cut(target, ".")
		if i := strings.LastIndexByte(target, '.'); i >= 0 {
			q.operation = target[i+1:]
		}
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-amz-json-1.1" {
			return q, &apiError{http.StatusUnsupportedMediaType, "UnsupportedMediaTypeException", fmt.Sprintf("content type %q: use application/x-amz-json-1.1", kind)}
		}
	case awsQuery, ec2Query:
		q.form, err = url.ParseQuery(string(body))
		if err != nil {
			return q, &apiError{http.StatusBadRequest, "MalformedQueryString", "the request's form can't be read"}
		}
		for k, v := range r.URL.Query() {
			q.form[k] = v
		}
		q.operation = q.form.Get("Action")
	case restJSON:
		q.operation = strings.TrimPrefix(r.URL.Path, "/")
		if q.operation == "listRegions" {
			q.operation = "ListRegions"
		}
	case restXML:
		q.operation = s3Operation(r)
	default:
		return q, &apiError{http.StatusNotFound, "UnknownService", fmt.Sprintf("service %q is not simulated", q.service)}
	}
	q.id = fmt.Sprintf("00000000-0000-4000-8000-%012x", s.number(sequence{operation: "request id"}))
	if !signed {
		return q, &apiError{http.StatusForbidden, codeMissingToken, "the request is not signed"}
	}
	return q, s.identify(q, key, securityToken(r))
}

// signature returns region and service of a request's credential scope (date,
// region, service) and the access key: AWS General Reference, "Signature Version 4".
func signature(r *http.Request) (scope []string, key string, ok bool) {
	text := r.URL.Query().Get("X-Amz-Credential")
	if _, after, found := strings.Cut(r.Header.Get("Authorization"), "Credential="); found {
		text, _, _ = strings.Cut(after, ",")
	}
	parts := strings.Split(strings.TrimSpace(text), "/")
	if n := len(parts); n >= 5 && parts[n-1] == "aws4_request" {
		return parts[n-4 : n-1], strings.Join(parts[:n-4], "/"), true
	}
	return nil, "", false
}

func securityToken(r *http.Request) string {
	if t := r.Header.Get("X-Amz-Security-Token"); t != "" {
		return t
	}
	return r.URL.Query().Get("X-Amz-Security-Token")
}

// serviceOf guesses the service of a request that is not signed, so that it is
// refused in its own protocol.
func serviceOf(r *http.Request, target string) string {
	for prefix, service := range map[string]string{"com.amazonaws.cloudtrail": "cloudtrail", "CloudTrail_": "cloudtrail", "AWSOrganizations": "organizations", "SWBExternalService": "sso", "AWSIdentityStore": "identitystore"} {
		if strings.HasPrefix(target, prefix) {
			return service
		}
	}
	if r.Method == http.MethodPost && r.URL.Path == "/" {
		return "sts"
	}
	return "s3"
}

// admit refuses a request whose sender may not make it.
func (s *Server) admit(q *request, f *Faults, n int) *apiError {
	now := s.now()
	if s.o.StrictTime {
		// AWS allows five minutes (AWS General Reference, "Signature Version 4").
		if at, err := time.Parse("20060102T150405Z", signedAt(q.http)); err == nil && (now.Sub(at) > 5*time.Minute || at.Sub(now) > 5*time.Minute) {
			return &apiError{http.StatusForbidden, codeSkew, fmt.Sprintf("Signature not current: %s is not within 5 min of %s", at.Format("20060102T150405Z"), now.Format("20060102T150405Z"))}
		}
	}
	if slices.Contains(f.UnknownKeys, q.key) || !slices.Contains(s.enabled, q.region) {
		return &apiError{http.StatusForbidden, codeUnknownKey, "The security token included in the request is invalid."}
	}
	if !s.credentialsGood(q.key, now, f.CredentialsExpire) {
		return &apiError{http.StatusForbidden, codeExpired, "The security token included in the request is expired"}
	}
	exempt := q.service == "sts" && q.operation == "GetCallerIdentity" && !slices.ContainsFunc(f.Deny, func(d Denial) bool { return d.Operation == q.operation })
	if !exempt && f.denied(&q.caller, q.service, q.operation) {
		return &apiError{http.StatusForbidden, codeDenied, fmt.Sprintf("User: %s is not authorized to perform: %s:%s with an explicit deny in a service control policy", q.arn, q.service, q.operation)}
	}
	if code := f.forced(&q.caller, q.operation); code != "" {
		return &apiError{http.StatusBadRequest, code, "as asked for"}
	}
	if q.service == "cloudtrail" && q.operation == "LookupEvents" {
		if !s.take(place{q.account, q.region}, f) || s.chance(f.Throttle, "throttle", q.account, q.region, n) {
			return &apiError{http.StatusBadRequest, "ThrottlingException", "Rate exceeded"}
		}
	}
	if s.chance(f.Error500, "error500", q.account, q.region, q.operation, n) {
		return &apiError{http.StatusInternalServerError, "InternalFailure", "We encountered an internal error. Please try again."}
	}
	return nil
}

func signedAt(r *http.Request) string {
	if at := r.Header.Get("X-Amz-Date"); at != "" {
		return at
	}
	return r.URL.Query().Get("X-Amz-Date")
}
