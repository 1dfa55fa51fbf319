package filter_test

import (
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
)

// session is a record as CloudTrail writes it, of a session of the given role.
func sessionRecord(t *testing.T, rolePath, roleName, category string) event.Event {
	t.Helper()
	e, err := event.NewParser().Parse([]byte(`{"eventVersion":"1.09","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:task",
		"arn":"arn:aws:sts::111122223333:assumed-role/` + roleName + `/task","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE",
		"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111122223333:role` + rolePath + roleName + `","accountId":"111122223333","userName":"` + roleName + `"},
		"attributes":{"creationDate":"2024-06-01T11:00:00Z","mfaAuthenticated":"false"}},"invokedBy":"ecs.amazonaws.com"},
		"eventTime":"2024-06-01T12:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"DescribeInstances","awsRegion":"eu-west-1","sourceIPAddress":"ecs.amazonaws.com",
		"userAgent":"ecs.amazonaws.com","requestParameters":null,"responseElements":null,"eventID":"0e0f0f0e-0000-4000-8000-000000000001","readOnly":true,"eventType":"AwsApiCall",
		"managementEvent":` + map[string]string{"Management": "true", "Data": "false"}[category] + `,"recipientAccountId":"111122223333","eventCategory":"` + category + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What the filter looks for is where the parser puts it.
func TestParsedRecords(t *testing.T) {
	linked := sessionRecord(t, "/aws-service-role/ecs.amazonaws.com/", "AWSServiceRoleForECS", "Management")
	named := sessionRecord(t, "/", "AWSServiceRoleForECS", "Data")
	pathed := sessionRecord(t, "/team/", "Scanner", "Data")
	service := newFilter(t, filter.Config{ServiceEvents: true})
	if got := service.Reason(&linked); got != filter.Service {
		t.Errorf("session of a linked role: %q", got)
	}
	if got := service.Reason(&named); got != "" {
		t.Errorf("session of a role that has only the name: %q", got)
	}
	for pattern, want := range map[string]string{
		"scanner": filter.Role, "arn:aws:iam::111122223333:role/team/Scanner": filter.Role, "arn:aws:iam::111122223333:role/other/Scanner": "", "team/*": filter.Role,
	} {
		if got := newFilter(t, filter.Config{Roles: []string{pattern}}).Reason(&pathed); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	management := newFilter(t, filter.Config{ManagementOnly: true})
	if !management.Selected(&linked) || management.Selected(&pathed) {
		t.Error("data events are not told from management events")
	}
}
