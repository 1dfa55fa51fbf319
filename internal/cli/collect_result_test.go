package cli

import (
	"errors"
	"testing"

	"github.com/iamtrack/iamtrack/internal/lookup"
)

// A run beside another collector did its part; one that reached no account failed.
func TestCollectResult(t *testing.T) {
	for name, c := range map[string]struct {
		sum  lookup.Summary
		part bool
	}{
		"another collector reads all regions": {lookup.Summary{Problems: []lookup.Problem{{AccountID: "111122223333", Region: "us-east-1"}}}, true},
		"no credentials":                      {lookup.Summary{Problems: []lookup.Problem{{}}}, false},
		"one account of two": {lookup.Summary{
			Regions: []lookup.RegionStats{{AccountID: "111122223333", Region: "us-east-1"}}, Problems: []lookup.Problem{{AccountID: "444455556666"}},
		}, true},
	} {
		var part *partError
		if err := collectResult(&c.sum); err == nil || errors.As(err, &part) != c.part {
			t.Errorf("%s: %v", name, err)
		}
	}
}
