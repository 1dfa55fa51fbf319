package legacy_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/legacy"
)

// The name of a row is taken for the caller's only where it can't be another's.
func TestCallerIsNotMadeUp(t *testing.T) {
	for _, c := range []struct{ event, name, request, want string }{
		{"CreateUser", "ann", "{}", "ann"},
		{"CreateUser", "unknown", "{}", ""},
		{"CreateUser", "", "{}", ""},
		{"AssumeRole", "deploy", `{"roleArn":"arn:aws:iam::111122223333:role/deploy"}`, ""},
		{"AssumeRole", "ci/deploy", `{"roleArn":"arn:aws:iam::111122223333:role/ci/deploy"}`, ""},
		{"AssumeRole", "ann", `{"roleArn":"arn:aws:iam::111122223333:role/deploy"}`, "ann"},
		{"AssumeRole", "ann", `{broken`, ""},
		{"ConsoleLogin", "root", "null", "root"},
	} {
		r, _ := legacy.Record(map[string]string{"event_name": c.event, "user_name": c.name, "request_parameters": c.request}, "111122223333")
		identity, _ := r["userIdentity"].(map[string]any)
		if got, _ := identity["userName"].(string); got != c.want {
			t.Errorf("%s by %q of %s: %q, want %q", c.event, c.name, c.request, got, c.want)
		}
	}
}

// Whatever is in a row, what is made of it is a JSON line that the parser takes or
// rejects, of the account that was given, and without a version.
func FuzzRecord(f *testing.F) {
	f.Add("e", "2026-11-20T10:00:00+00:00", "CreateUser", "ann", `{"userName":"x"}`)
	f.Add("e", "never", "AssumeRole", "\x1b[31m", `{"roleArn": 1}`)
	f.Add("", "2026-11-20T10:00:00.5+05:30", "\xff", `"`, `{"a":`)
	f.Add("e", "2026-11-20T10:00:00Z", "ConsoleLogin", "root", `{"recipientAccountId":"999999999999","eventVersion":"9.99"}`)
	parser := event.NewParser()
	f.Fuzz(func(t *testing.T, id, at, name, user, request string) {
		r, _ := legacy.Record(map[string]string{"event_id": id, "event_time": at, "event_name": name, "event_source": "iam.amazonaws.com", "user_name": user, "request_parameters": request, "response_elements": request}, "111122223333")
		line, err := json.Marshal(r)
		if err != nil || strings.Contains(string(line), "\n") || !utf8.Valid(line) {
			t.Fatalf("%v: %q", err, line)
		}
		e, err := parser.Parse(line)
		if err != nil {
			return // rejected
		}
		if e.AccountID != "111122223333" || e.EventVersion != "" || !strings.Contains(e.Rest, legacy.Mark) {
			t.Fatalf("%+v", e)
		}
	})
}
