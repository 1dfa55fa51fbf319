package rule

import (
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Whatever any rule is named for may be grave; what AWS services do all day in
// services that no rule knows is not.
func TestMayBeGrave(t *testing.T) {
	en, err := NewEngine(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range en.Rules() {
		for _, source := range r.EventSources {
			for _, name := range r.EventNames {
				if source == "*" {
					continue // root, below
				}
				if !en.MayBeGrave(source, name, "AWSService") {
					t.Errorf("%s: %s %s may not be grave", r.ID, source, name)
				}
			}
		}
	}
	e := event.Event{EventSource: "kms.amazonaws.com", EventName: "GenerateDataKey", IdentityType: "AWSService", Outcome: event.OutcomeOK}
	if en.MayBeGrave(e.EventSource, e.EventName, e.IdentityType) || len(en.Evaluate(&e)) > 0 {
		t.Error("a service's GenerateDataKey may be grave")
	}
	if !en.MayBeGrave(e.EventSource, e.EventName, "Root") {
		t.Error("root's may not")
	}
}
