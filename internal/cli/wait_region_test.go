package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/query"
)

// CloudTrail is asked for what can't hide an event that matches: no patterns, and
// not one value of several.
func TestWaitQuestions(t *testing.T) {
	type asked = []awsapi.Attribute
	all := asked{{}}
	for name, c := range map[string]struct {
		f    query.EventFilter
		want asked
	}{
		"nothing to ask for":  {query.EventFilter{Outcomes: []string{"denied"}, Actors: []string{"alice"}}, all},
		"id first":            {query.EventFilter{EventIDs: []string{"x"}, EventNames: []string{"A"}}, asked{{Key: "EventId", Value: "x"}}},
		"name before user":    {query.EventFilter{Users: []string{"u"}, EventNames: []string{"A", "B"}}, asked{{Key: "EventName", Value: "A"}, {Key: "EventName", Value: "B"}}},
		"pattern":             {query.EventFilter{EventNames: []string{"Create*", "A"}}, all},
		"pattern, then user":  {query.EventFilter{EventNames: []string{"Create*"}, Users: []string{"u"}}, asked{{Key: "Username", Value: "u"}}},
		"too many":            {query.EventFilter{EventNames: []string{"A", "B", "C", "D", "E"}}, all},
		"key, used or issued": {query.EventFilter{Keys: []string{"AKIA"}, EventSources: []string{"iam"}}, asked{{Key: "AccessKeyId", Value: "AKIA"}, {Key: "ResourceName", Value: "AKIA"}}},
		"target":              {query.EventFilter{Targets: []string{"t"}}, asked{{Key: "ResourceName", Value: "t"}}},
		"source":              {query.EventFilter{EventSources: []string{"iam"}}, asked{{Key: "EventSource", Value: "iam.amazonaws.com"}}},
	} {
		if d := cmp.Diff(c.want, questions(&c.f)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestWaitPlaces(t *testing.T) {
	regions := []string{"eu-west-1", "eu-west-3", "us-east-1"}
	place := coverage.Place{AccountID: "111122223333", Global: "us-east-1", Regions: regions, IdentityCenter: regions}
	for name, c := range map[string]struct {
		f    query.EventFilter
		want []string
	}{
		"anything":       {query.EventFilter{}, regions},
		"iam":            {query.EventFilter{EventSources: []string{"IAM"}}, []string{"us-east-1"}},
		"iam or another": {query.EventFilter{EventSources: []string{"iam", "ec2"}}, regions},
		"pattern":        {query.EventFilter{EventSources: []string{"iam*"}}, regions},
		"region":         {query.EventFilter{Regions: []string{"EU-*"}}, []string{"eu-west-1", "eu-west-3"}},
		"iam elsewhere":  {query.EventFilter{EventSources: []string{"iam"}, Regions: []string{"eu-west-1"}}, []string{}},
	} {
		if d := cmp.Diff(c.want, waitPlaces(&c.f, place)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
