package permission_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/permission"
)

// Policies are valid: known version, unique Sids of letters and digits, actions
// and resources that are not empty, and all of it sorted.
func TestValid(t *testing.T) {
	every := permission.Options{
		Own: true, Organization: true, RoleName: "audit/read", Roles: []string{"arn:aws:iam::222233334444:role/b", "arn:aws:iam::111122223333:role/a"},
		Bucket: "trail", Prefix: "a*?$", KMSKey: "arn:aws:kms:us-east-1:111122223333:key/1", Topics: []string{"arn:aws:sns:us-east-1:111122223333:t"},
		Parameters: []string{"/iamtrack/hook"}, Secrets: []string{"mail", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:a-AbCdEf"},
	}
	n := 0
	for _, command := range permission.Commands() {
		for _, make := range []func(string, permission.Options) (permission.Document, error){permission.Caller, permission.Member} {
			d, err := make(command, every)
			if err != nil {
				continue
			}
			n++
			seen := ""
			if d.Version != "2012-10-17" || len(d.Statement) == 0 {
				t.Errorf("%s: %+v", command, d)
			}
			for _, s := range d.Statement {
				if s.Sid <= seen || strings.Trim(s.Sid, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
					t.Errorf("%s: Sid %q after %q", command, s.Sid, seen)
				}
				seen = s.Sid
				if s.Effect != "Allow" || len(s.Action) == 0 || len(s.Resource) == 0 || !slices.IsSorted(s.Action) || !slices.IsSorted(s.Resource) {
					t.Errorf("%s: %+v", command, s)
				}
				for _, r := range s.Resource {
					if r != "*" && !strings.HasPrefix(r, "arn:") {
						t.Errorf("%s: resource %q", command, r)
					}
				}
			}
		}
	}
	if n < 9 {
		t.Errorf("only %d policies", n)
	}
	d, err := permission.Caller(permission.Import, every)
	if err != nil || !slices.ContainsFunc(d.Statement, func(s permission.Statement) bool {
		return slices.Contains(s.Resource, "arn:aws:s3:::trail/a${*}${?}${$}*")
	}) {
		t.Errorf("%+v, %v", d, err)
	}
}

// The secrets of channels are what sending may read, and nothing else of its kind.
func TestVaults(t *testing.T) {
	d, err := permission.Caller(permission.Alerts, permission.Options{Partition: "aws-us-gov", Parameters: []string{"/iamtrack/hook"}, Secrets: []string{"mail", "arn:aws:x"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(d.Statement)
	want := `[{"Sid":"ReadChannelParameters","Effect":"Allow","Action":["ssm:GetParameter"],"Resource":["arn:aws-us-gov:ssm:*:*:parameter/iamtrack/hook"]},` +
		`{"Sid":"ReadChannelSecrets","Effect":"Allow","Action":["secretsmanager:GetSecretValue"],"Resource":["arn:aws-us-gov:secretsmanager:*:*:secret:mail-??????","arn:aws:x"]}]`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestNothingNeeded(t *testing.T) {
	for command, want := range map[string]string{
		"events": "asks AWS for nothing", permission.Alerts: "no SNS topic", permission.Import: "asks AWS for nothing with these settings",
	} {
		if _, err := permission.Caller(command, permission.Options{Own: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", command, err)
		}
	}
	if _, err := permission.Member(permission.Import, permission.Options{}); err == nil {
		t.Error("import has a policy for a role")
	}
}

func TestTrust(t *testing.T) {
	d, err := permission.Trust("arn:aws-cn:iam::111122223333:role/ci/collector", "x1")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d)
	want := `{"Version":"2012-10-17","Statement":[{"Sid":"LetIamtrackAssume","Effect":"Allow","Principal":{"AWS":["arn:aws-cn:iam::111122223333:role/ci/collector"]},"Action":["sts:AssumeRole"],"Condition":{"StringEquals":{"sts:ExternalId":"x1"}}}]}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	for _, wrong := range []string{"", "*", "111122223333", "arn:aws:sts::111122223333:assumed-role/x/y", "arn:aws:iam::*:root"} {
		if _, err := permission.Trust(wrong, ""); err == nil {
			t.Errorf("%q may assume the role", wrong)
		}
	}
}
