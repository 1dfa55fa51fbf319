package awsapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

func lookup(t *testing.T, s *awsapi.Session, region string) error {
	t.Helper()
	_, err := s.Own().Lookup(t.Context(), region, awsapi.LookupInput{Start: time.Unix(0, 0), End: time.Unix(60, 0)})
	return err
}

func TestErrorsSayWhatToDo(t *testing.T) {
	cases := map[string]struct {
		status        int
		code, message string
		want          error
		says          []string
		scp           bool
	}{
		"throttled": {400, "ThrottlingException", "Rate exceeded", awsapi.ErrThrottled, []string{"too many requests", "eu-west-3"}, false},
		"denied": {400, "AccessDeniedException", "User: arn:aws:iam::111122223333:user/u is not authorized to perform: cloudtrail:LookupEvents because no identity-based policy allows the cloudtrail:LookupEvents action",
			awsapi.ErrDenied, []string{"access denied", "cloudtrail:LookupEvents", "permit it to the caller"}, false},
		"denied by the organization": {400, "AccessDeniedException", "User: arn:aws:iam::111122223333:user/u is not authorized to perform: cloudtrail:LookupEvents with an explicit deny in a service control policy",
			awsapi.ErrDenied, []string{"service control policy", "cloudtrail:LookupEvents", "regions"}, true},
		"token":        {400, "InvalidNextTokenException", "Invalid token", awsapi.ErrTokenExpired, []string{"page token expired"}, false},
		"expired":      {400, "ExpiredTokenException", "The security token included in the request is expired", awsapi.ErrCredentialsExpired, []string{"aws sso login --profile"}, false},
		"key unknown":  {400, "UnrecognizedClientException", "The security token included in the request is invalid.", awsapi.ErrBadCredentials, []string{"access key", "aws_region"}, false},
		"opt in":       {400, "OptInRequired", "not subscribed", awsapi.ErrRegionDisabled, []string{"enable it", "regions"}, false},
		"unavailable":  {503, "ServiceUnavailable", "", awsapi.ErrUnavailable, []string{"service unavailable"}, false},
		"other":        {400, "InvalidTimeRangeException", "start \x1b[31mafter end", nil, []string{"InvalidTimeRangeException: start \ufffd[31mafter end"}, false},
		"status alone": {403, "", "", awsapi.ErrDenied, []string{"cloudtrail:LookupEvents"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			now := time.Now().UTC().Truncate(time.Second)
			f := newFake(t, func(w http.ResponseWriter, _ request) {
				w.Header().Set("Date", now.Format(http.TimeFormat))
				refuse(w, c.status, c.code, c.message)
			})
			err := lookup(t, open(t, f), "eu-west-3")
			var e *awsapi.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %T %v", err, err)
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v isn't %v", err, c.want)
			}
			says := c.says
			if name == "expired" {
				says = []string{"aws sso login"}
			}
			for _, s := range append(says, "read CloudTrail events in eu-west-3") {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q doesn't say %q", err, s)
				}
			}
			if e.SCP != c.scp || !e.ServerTime.Equal(now) || strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%+v", e)
			}
			if n := len(f.requests()); n != 1 && name != "expired" {
				t.Errorf("%d requests: retries are the caller's", n)
			}
		})
	}
}

func TestRegionThatIsntEnabled(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r request) {
		if r.Region == "me-central-1" {
			refuse(w, 400, "UnrecognizedClientException", "The security token included in the request is invalid.")
			return
		}
		answerJSON(w, map[string]any{})
	})
	s := open(t, f)
	if err := lookup(t, s, "us-east-1"); err != nil {
		t.Fatal(err)
	}
	if err := lookup(t, s, "me-central-1"); !errors.Is(err, awsapi.ErrRegionDisabled) {
		t.Errorf("error %v", err)
	}
}

func TestNoConnection(t *testing.T) {
	f := newFake(t, func(http.ResponseWriter, request) {})
	s := open(t, f)
	f.Close()
	if err := lookup(t, s, "us-east-1"); !errors.Is(err, awsapi.ErrNetwork) || !strings.Contains(err.Error(), "endpoint_url") {
		t.Errorf("error %v", err)
	}
	reset := newFake(t, func(w http.ResponseWriter, _ request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	if err := lookup(t, open(t, reset), "us-east-1"); !errors.Is(err, awsapi.ErrNetwork) {
		t.Errorf("error %v", err)
	}
	if n := len(reset.requests()); n > 2 { // net/http itself repeats a request on a connection that was idle
		t.Errorf("%d requests", n)
	}
}

// Something answers that isn't AWS: the SDK would speak of deserialization, of an
// unavailable service, or of a bucket that isn't there.
func TestNotAWS(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"a web page":      func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<!DOCTYPE html><h1>Welcome</h1>") },
		"another program": func(w http.ResponseWriter) { http.NotFound(w, nil) },
		"no POST here":    func(w http.ResponseWriter) { http.Error(w, "Unsupported method", http.StatusNotImplemented) },
		"a log-in page":   func(w http.ResponseWriter) { http.Error(w, "log in", http.StatusForbidden) },
		"nothing at all":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, _ request) { answer(w) })
			s := open(t, f)
			b, berr := s.Bucket(t.Context(), "some-bucket")
			if berr == nil { // its being there has no body
				_, berr = b.Metadata(t.Context(), "key")
			}
			if name == "nothing at all" || name == "a web page" {
				berr = lookup(t, s, "eu-west-1") // which a bucket may hold
			}
			_, cerr := s.Own().Caller(t.Context())
			for _, err := range []error{lookup(t, s, "us-east-1"), berr, cerr} {
				if !errors.Is(err, awsapi.ErrNotAWS) || !strings.Contains(err.Error(), "what answered is not AWS") ||
					!strings.Contains(err.Error(), "something else listens at "+f.URL) || !strings.Contains(err.Error(), "endpoint_url") {
					t.Errorf("error %v", err)
				}
				if err != nil && (strings.Contains(err.Error(), "deserializ") || strings.Contains(err.Error(), "StatusCode")) {
					t.Errorf("jargon: %v", err)
				}
			}
		})
	}
	// A load balancer of AWS itself is no stranger: it is asked again.
	web := newFake(t, func(w http.ResponseWriter, _ request) { http.Error(w, "<h1>503</h1>", http.StatusServiceUnavailable) })
	w, _ := url.Parse(web.URL)
	s, err := awsapi.Open(t.Context(), awsapi.Config{
		Alone: true, Keys: &awsapi.Keys{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "x"},
		HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.URL.Scheme, r.URL.Host, r.RequestURI = w.Scheme, w.Host, ""
			return http.DefaultTransport.RoundTrip(r)
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := lookup(t, s, "us-east-1"); !errors.Is(err, awsapi.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

// The metadata of an instance, which the SDK asks for credentials, have no mark of
// AWS's answers either.
func TestInstanceCredentials(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { answerJSON(w, map[string]any{}) })
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		switch r.URL.Path {
		case "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
			_, _ = io.WriteString(w, "token")
		case "/latest/meta-data/iam/security-credentials/", "/latest/meta-data/iam/security-credentials":
			_, _ = io.WriteString(w, "role")
		default:
			_, _ = fmt.Fprintf(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIAFAKE","SecretAccessKey":"s","Token":"t","Expiration":%q}`,
				time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}
	}))
	defer metadata.Close()
	s := open(t, f, func(c *awsapi.Config) { c.Keys = nil })
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.URL)
	again, err := awsapi.Open(t.Context(), awsapi.Config{EndpointURL: f.URL, Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := lookup(t, again, "us-east-1"); err != nil {
		t.Errorf("with the instance's credentials: %v", err)
	}
	if err := lookup(t, s, "us-east-1"); !errors.Is(err, awsapi.ErrNoCredentials) {
		t.Errorf("without any: %v", err)
	}
	// An instance without a role, or one that has its metadata switched off, is not
	// a denial, or something that isn't found, in CloudTrail.
	for _, status := range []int{http.StatusForbidden, http.StatusNotFound} {
		refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer refusing.Close()
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", refusing.URL)
		none, err := awsapi.Open(t.Context(), awsapi.Config{EndpointURL: f.URL, Region: "us-east-1"})
		if err != nil {
			t.Fatal(err)
		}
		for _, account := range []*awsapi.Account{none.Own(), none.Assume(awsapi.AccountSpec{AccountID: "111122223333", RoleARN: "arn:aws:iam::111122223333:role/r"})} {
			_, err := account.Lookup(t.Context(), "us-east-1", awsapi.LookupInput{Start: time.Unix(0, 0), End: time.Unix(60, 0)})
			if !errors.Is(err, awsapi.ErrNoCredentials) {
				t.Errorf("metadata answer %d: %v", status, err)
			}
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// An answer that breaks off is as good as none.
func TestBrokenAnswer(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"Events": [`))
	})
	if err := lookup(t, open(t, f), "eu-west-3"); !errors.Is(err, awsapi.ErrNetwork) {
		t.Errorf("error %v", err)
	}
}

// A client that reads a request's body to its end when the answer has begun finds
// no failure: net/http would break the connection then.
func TestRequestBodyStaysReadable(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { answerJSON(w, map[string]any{"Events": []any{}}) })
	var sent []*http.Request
	s := open(t, f, func(c *awsapi.Config) {
		c.HTTPClient = clientFunc(func(r *http.Request) (*http.Response, error) {
			sent = append(sent, r)
			return http.DefaultClient.Do(r)
		})
	})
	if err := lookup(t, s, "eu-west-3"); err != nil {
		t.Fatal(err)
	}
	for _, r := range sent {
		if r.Body == nil {
			t.Fatal("no body")
		}
		// As net/http does, which copies with WriteTo where there is one.
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Errorf("after the answer: %v", err)
		}
	}
	if len(sent) != 1 {
		t.Errorf("%d requests", len(sent))
	}
}

type clientFunc func(*http.Request) (*http.Response, error)

func (f clientFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// Alone, nothing of the SDK's environment counts.
func TestAlone(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { answerJSON(w, map[string]any{"Events": []any{}}) })
	for name, value := range map[string]string{
		"AWS_PROFILE": "nobody", "AWS_ACCESS_KEY_ID": "AKIAENVIRONMENT", "AWS_REGION": "eu-west-1", "AWS_CA_BUNDLE": "/nowhere",
		"AWS_ENDPOINT_URL_CLOUDTRAIL": "http://127.0.0.1:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "HTTP_PROXY": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	s, err := awsapi.Open(t.Context(), awsapi.Config{Alone: true, EndpointURL: f.URL, Keys: &awsapi.Keys{AccessKeyID: "AKIAALONE", SecretAccessKey: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := lookup(t, s, "eu-west-3"); err != nil {
		t.Fatal(err)
	}
	got := f.requests()
	if len(got) != 1 || got[0].KeyID != "AKIAALONE" || s.Region() != "us-east-1" {
		t.Errorf("%+v, region %s", got, s.Region())
	}
}

func TestAnEndedContextIsNotAnError(t *testing.T) {
	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	f := newFake(t, func(w http.ResponseWriter, _ request) { cancel(stop); answerJSON(w, map[string]any{}) })
	s := open(t, f)
	cancel(stop)
	_, err := s.Own().Lookup(ctx, "us-east-1", awsapi.LookupInput{})
	if !errors.Is(err, stop) || awsapi.KindOf(err) != awsapi.Other {
		t.Errorf("error %v", err)
	}
}

func TestNoCredentials(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { answerJSON(w, map[string]any{}) })
	s := open(t, f, func(c *awsapi.Config) { c.Keys = nil })
	if err := lookup(t, s, "us-east-1"); !errors.Is(err, awsapi.ErrNoCredentials) || !strings.Contains(err.Error(), "AWS_PROFILE") {
		t.Errorf("error %v", err)
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	if _, err := awsapi.Open(t.Context(), awsapi.Config{Profile: "nobody"}); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("error %v", err)
	}
}

// A clock that is wrong costs one request: the SDK signs again with the server's
// time, and from then on at once.
func TestWrongClockIsMended(t *testing.T) {
	server := time.Now().Add(3 * time.Hour).UTC().Truncate(time.Second)
	f := newFake(t, func(w http.ResponseWriter, r request) {
		w.Header().Set("Date", server.Format(http.TimeFormat))
		if server.Sub(r.SignedAt).Abs() > 5*time.Minute {
			refuse(w, 400, "InvalidSignatureException", "Signature expired")
			return
		}
		answerJSON(w, map[string]any{})
	})
	s := open(t, f)
	for range 2 {
		if err := lookup(t, s, "us-east-1"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.requests()); n != 3 {
		t.Errorf("%d requests", n)
	}
	broken := newFake(t, func(w http.ResponseWriter, _ request) {
		w.Header().Set("Date", server.Format(http.TimeFormat))
		refuse(w, 400, "InvalidSignatureException", "Signature expired")
	})
	if err := lookup(t, open(t, broken), "us-east-1"); !errors.Is(err, awsapi.ErrClockSkew) || !strings.Contains(err.Error(), server.Format(time.RFC3339)) {
		t.Errorf("error %v", err)
	}
}

const assumed = `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration>
</Credentials><AssumedRoleUser><Arn>arn:aws:sts::444455556666:assumed-role/reader/iamtrack</Arn><AssumedRoleId>AROA:iamtrack</AssumedRoleId></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>`

// A role's credentials that AWS refuses as expired are fetched anew, once.
func TestExpiredCredentialsAreFetchedAnew(t *testing.T) {
	issued := 0
	f := newFake(t, func(w http.ResponseWriter, r request) {
		switch {
		case r.Operation == "AssumeRole":
			issued++
			w.Header().Set("Content-Type", "text/xml")
			_, _ = fmt.Fprintf(w, assumed, issued, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		case r.KeyID == "ASIA1":
			refuse(w, 400, "ExpiredTokenException", "expired")
		default:
			answerJSON(w, map[string]any{})
		}
	})
	s := open(t, f)
	spec := awsapi.AccountSpec{AccountID: "444455556666", RoleARN: "arn:aws:iam::444455556666:role/reader", ExternalID: "e-1"}
	if _, err := s.Assume(spec).Lookup(t.Context(), "eu-west-3", awsapi.LookupInput{}); err != nil {
		t.Fatal(err)
	}
	if issued != 2 || !strings.Contains(f.requests()[0].Body, "ExternalId=e-1") {
		t.Errorf("%d sessions, %+v", issued, f.requests()[0])
	}
}

func TestRoleThatCantBeAssumed(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) {
		w.WriteHeader(403)
		_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::111122223333:user/u is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::444455556666:role/reader</Message></Error></ErrorResponse>`)
	})
	s := open(t, f)
	_, err := s.Assume(awsapi.AccountSpec{AccountID: "444455556666", RoleARN: "arn:aws:iam::444455556666:role/reader"}).Lookup(t.Context(), "eu-west-3", awsapi.LookupInput{})
	if !errors.Is(err, awsapi.ErrDenied) {
		t.Fatalf("error %v", err)
	}
	for _, s := range []string{"sts:AssumeRole on arn:aws:iam::444455556666:role/reader", "trust policy", "account 444455556666"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q doesn't say %q", err, s)
		}
	}
}

func TestReadAccounts(t *testing.T) {
	write := func(text string) string {
		p := filepath.Join(t.TempDir(), "accounts.yaml")
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	list, err := awsapi.ReadAccounts(write(`
- role_arn: arn:aws:iam::011122223333:role/audit/reader
  name: production
  external_id: x
  regions: [eu-west-3, us-east-1]
- account_id: "444455556666"
`))
	if err != nil || len(list) != 2 || list[0].AccountID != "011122223333" || len(list[0].Regions) != 2 || list[1].RoleARN != "" {
		t.Errorf("%+v, %v", list, err)
	}
	for text, says := range map[string]string{
		"":                 "must be a list",
		"[]":               "empty",
		"- name: x":        "role_arn or account_id is missing",
		"- role_arn: x":    "no role's ARN",
		"- account_id: 12": "12 digits",
		"- account: 12":    "field account not found",
		"accounts: []":     "must be a list",
		"- account_id: \"111122223333\"\n- account_id: \"111122223333\"":                   "already account 1",
		"- {account_id: \"111122223333\", external_id: x}":                                 "goes with role_arn",
		"- {account_id: \"111122223333\", role_arn: \"arn:aws:iam::444455556666:role/r\"}": "account_id says",
	} {
		if _, err := awsapi.ReadAccounts(write(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
