package rule_test

import (
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// Fields that rules read from what no column holds are where the parser puts
// them. The records are written after the AWS documentation ("CloudTrail
// userIdentity element"); no public log has them all.
func TestParsedRecords(t *testing.T) {
	const tail = `"eventTime":"2024-06-01T12:00:00Z","awsRegion":"eu-west-1","sourceIPAddress":"198.51.100.7","userAgent":"x","eventID":"1","eventType":"AwsApiCall","recipientAccountId":"111122223333","eventVersion":"1.09"`
	for _, c := range []struct {
		name, record string
		want         []string
	}{
		{"instance role by its delivery", `{"userIdentity":{"type":"AssumedRole","principalId":"AROA:x","arn":"arn:aws:sts::111122223333:assumed-role/web/x","accountId":"111122223333",
			"sessionContext":{"sessionIssuer":{"type":"Role","userName":"web","arn":"arn:aws:iam::111122223333:role/web"},"ec2RoleDelivery":"2.0"}},
			"eventSource":"iam.amazonaws.com","eventName":"CreateUser","requestParameters":{"userName":"bob"},"readOnly":false,` + tail + `}`,
			[]string{"iam-user-created critical"}},
		{"instance role by its session", `{"userIdentity":{"type":"AssumedRole","principalId":"AROA:i-0123456789abcdef0","arn":"arn:aws:sts::111122223333:assumed-role/web/i-0123456789abcdef0","accountId":"111122223333"},
			"eventSource":"iam.amazonaws.com","eventName":"CreateUser","requestParameters":{"userName":"bob"},"readOnly":false,` + tail + `}`,
			[]string{"iam-user-created critical"}},
		{"a person of Identity Center grants himself", `{"userIdentity":{"type":"IdentityCenterUser","accountId":"111122223333","onBehalfOf":{"userId":"u-1","identityStoreArn":"arn:aws:identitystore::111122223333:identitystore/d-1"},"credentialId":"c"},
			"eventSource":"sso.amazonaws.com","eventName":"CreateAccountAssignment","requestParameters":{"targetId":"1","principalType":"USER","principalId":"u-1","permissionSetArn":"ps"},"readOnly":false,` + tail + `}`,
			[]string{"sso-account-assignment-created critical"}},
		{"sign-in without MFA", `{"userIdentity":{"type":"IAMUser","userName":"alice","arn":"arn:aws:iam::111122223333:user/alice","accountId":"111122223333"},
			"eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","responseElements":{"ConsoleLogin":"Success"},"additionalEventData":{"MFAUsed":"no"},` + tail + `}`,
			[]string{"signin-console-login-without-mfa high"}},
		{"parameters left out", `{"userIdentity":{"type":"IAMUser","userName":"alice","arn":"arn:aws:iam::111122223333:user/alice","accountId":"111122223333"},
			"eventSource":"iam.amazonaws.com","eventName":"PutRolePolicy","requestParameters":{"reason":"requestParameters too large","originalSize":"131072","omitted":"true"},"readOnly":false,` + tail + `}`,
			[]string{"iam-logging-evasion high", "iam-inline-policy-dangerous high"}},
		{"denied, parameters null", `{"userIdentity":{"type":"IAMUser","userName":"alice","arn":"arn:aws:iam::111122223333:user/alice","accountId":"111122223333"},
			"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","errorCode":"AccessDenied","errorMessage":"User: arn:aws:iam::111122223333:user/alice is not authorized to perform: iam:CreateAccessKey on resource: arn:aws:iam::111122223333:user/team/bob because no identity-based policy allows the action","requestParameters":null,"responseElements":null,"readOnly":false,` + tail + `}`,
			[]string{"iam-access-key-created-for-other-attempt high"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := event.NewParser().Parse([]byte(c.record))
			if err != nil {
				t.Fatal(err)
			}
			expect(t, alerts(engine(t, quiet), e), c.want...)
		})
	}

	// Root's data events of one hour are several alerts, so that no group
	// grows with the number of objects.
	var events []event.Event
	for i, at := range []string{"12:00:00", "12:04:59", "12:05:00"} {
		e, err := event.NewParser().Parse([]byte(`{"userIdentity":{"type":"Root","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"},"eventTime":"2024-06-01T` + at + `Z","eventSource":"s3.amazonaws.com",
			"eventName":"GetObject","eventID":"` + string(rune('a'+i)) + `","readOnly":true,"eventCategory":"Data","managementEvent":false,"recipientAccountId":"111122223333","sourceIPAddress":"198.51.100.7"}`))
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	expect(t, alerts(engine(t, rule.Config{}), events...), "root-api-activity low", "root-api-activity low")
}
