package story_test

import (
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/story"
)

func TestFormsAreRecognised(t *testing.T) {
	for text, want := range map[string]string{
		"CreateAccessKey":                      story.AsEventName,
		"Create*":                              story.AsEventName,
		"iam:CreateUser":                       story.AsEventName,
		"iam:Create*":                          story.AsEventName,
		"ConsoleLogin":                         story.AsEventName,
		"SwitchRole":                           story.AsEventName,
		"arn:aws:iam::111122223333:user/alice": story.AsARN,
		"arn:aws:s3:::bucket":                  story.AsARN,
		"arn:nonsense":                         story.AsName,
		"AKIAIOSFODNN7EXAMPLE":                 story.AsKey,
		"ASIAIOSFODNN7EXAMPLE":                 story.AsKey,
		"198.51.100.7":                         story.AsIP,
		"075.050.255.67":                       story.AsIP, // anonymised
		"999.1.1.1":                            story.AsName,
		"198.51.100.0/24":                      story.AsIP,
		"2001:db8::1":                          story.AsIP,
		"2001:db8::/32":                        story.AsIP,
		"0f5c0004-0000-4000-8000-000000000004": story.AsEvent,
		"0f5c0004":                             story.AsEvent,
		"0f5c0004-00":                          story.AsEvent,
		"derived-0123456789abcdef0123456789abcdef": story.AsEvent,
		"111122223333":      story.AsAccount,
		"11112222333":       story.AsName,
		"alice":             story.AsName,
		"alice@example.com": story.AsName,
		"Administrator":     story.AsName,
		"deploy/run-7":      story.AsName,
		"Listing":           story.AsName,
		"repo:acme/infra:ref @ token.actions.example": story.AsName,
		"\x1b[2J":                 story.AsName,
		strings.Repeat("A", 5000): story.AsName,
	} {
		if got := story.Recognise(text).As; got != want {
			t.Errorf("%q is taken for %s, want %s", text, got, want)
		}
	}
}

func TestForcedFormsAreChecked(t *testing.T) {
	for _, c := range []struct{ text, as, wrong string }{
		{"alice", story.AsUser, ""},
		{"arn:aws:iam::111122223333:user/alice", story.AsUser, ""},
		{"CreateUser", story.AsUser, ""},
		{"alice", story.AsARN, "not an ARN"},
		{"alice", story.AsIP, "not an address"},
		{"cloudtrail.amazonaws.com", story.AsIP, ""},
		{"alice", story.AsAccount, "12 digits"},
		{"0f5c", story.AsEvent, "too short"},
		{"alice", "person", "none of event-name"},
	} {
		_, err := story.As(c.text, c.as)
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%s as %s: %v", c.text, c.as, err)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s as %s: %v, want %q", c.text, c.as, err, c.wrong)
		}
	}
}
