package awsapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// request is what a fake AWS was asked.
type request struct {
	Service, Region, KeyID string // of the signature's scope
	Operation              string
	Body                   string
	Path, Query            string
	SignedAt               time.Time
}

// fake is an AWS whose answers a test gives.
type fake struct {
	*httptest.Server
	mu   sync.Mutex
	seen []request
}

func (f *fake) requests() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]request(nil), f.seen...)
}

func newFake(t *testing.T, answer func(w http.ResponseWriter, r request)) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		q := request{Body: string(body), Path: r.URL.Path, Query: r.URL.RawQuery}
		// AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …
		if _, scope, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
			if p := strings.Split(scope, "/"); len(p) > 4 {
				q.KeyID, q.Region, q.Service = p[0], p[2], p[3]
			}
		}
		q.SignedAt, _ = time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if _, op, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
			q.Operation = op[strings.LastIndexByte(op, '.')+1:]
		} else if _, rest, ok := strings.Cut(q.Body, "Action="); ok {
			q.Operation, _, _ = strings.Cut(rest, "&")
		}
		f.mu.Lock()
		f.seen = append(f.seen, q)
		f.mu.Unlock()
		answer(w, q)
	}))
	t.Cleanup(f.Close)
	return f
}

// open opens a session that knows nothing but the fake.
func open(t *testing.T, f *fake, change ...func(*awsapi.Config)) *awsapi.Session {
	t.Helper()
	lonely(t)
	c := awsapi.Config{EndpointURL: f.URL, Region: "us-east-1", Keys: &awsapi.Keys{AccessKeyID: "AKIDFAKE", SecretAccessKey: "secret"}}
	for _, ch := range change {
		ch(&c)
	}
	s, err := awsapi.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lonely hides the machine's own AWS configuration.
func lonely(t *testing.T) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true", "AWS_PROFILE": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_ENDPOINT_URL": "",
		"AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(v)
}

// refuse is an error of the JSON protocol, as CloudTrail sends it.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
}

func TestLookupAsksAndReads(t *testing.T) {
	server := time.Date(2026, 11, 22, 10, 0, 30, 0, time.UTC)
	f := newFake(t, func(w http.ResponseWriter, _ request) {
		w.Header().Set("Date", server.Format(http.TimeFormat))
		answerJSON(w, map[string]any{"NextToken": "more", "Events": []any{
			map[string]any{"EventId": "b", "EventTime": 1795341700, "CloudTrailEvent": `{"eventID":"b"}`},
			map[string]any{"EventId": "a", "EventTime": 1795341600.0, "CloudTrailEvent": `{"eventID":"a"}`},
			map[string]any{"EventId": "c"},
		}})
	})
	var calls []awsapi.Call
	s := open(t, f, func(c *awsapi.Config) { c.Record = func(call awsapi.Call) { calls = append(calls, call) } })
	page, err := s.Own().Lookup(t.Context(), "eu-west-3", awsapi.LookupInput{
		Source: "iam.amazonaws.com", Start: time.Unix(1795300000, 999), End: time.Unix(1795341700, 0), Token: "tok",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Records) != 3 || string(page.Records[0]) != `{"eventID":"b"}` || !strings.Contains(string(page.Records[2]), `"eventID":"c"`) {
		t.Errorf("records %s", page.Records)
	}
	if page.Token != "more" || page.Newest.Unix() != 1795341700 || page.Oldest.Unix() != 1795341600 || !page.ServerTime.Equal(server) {
		t.Errorf("page %+v", page)
	}
	got := f.requests()[0]
	if got.Region != "eu-west-3" || got.Service != "cloudtrail" || got.Operation != "LookupEvents" {
		t.Errorf("request %+v", got)
	}
	var body struct {
		StartTime, EndTime float64
		MaxResults         int
		NextToken          string
		LookupAttributes   []struct{ AttributeKey, AttributeValue string }
	}
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
		t.Fatal(err)
	}
	if body.StartTime != 1795300000 || body.EndTime != 1795341700 || body.MaxResults != 50 || body.NextToken != "tok" ||
		len(body.LookupAttributes) != 1 || body.LookupAttributes[0].AttributeKey != "EventSource" || body.LookupAttributes[0].AttributeValue != "iam.amazonaws.com" {
		t.Errorf("asked %s", got.Body)
	}
	if len(calls) != 1 || calls[0] != (awsapi.Call{Action: "cloudtrail:LookupEvents", Region: "eu-west-3"}) {
		t.Errorf("calls %+v", calls)
	}
}
