package deploy_test

import (
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/function"
)

func parameters(t *testing.T, template string) map[string]deploy.Parameter {
	t.Helper()
	list, err := deploy.Parameters(template)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]deploy.Parameter{}
	for _, p := range list {
		byName[p.Name] = p
	}
	return byName
}

// The parameters of the earlier tool are there, with its defaults, but for the
// collection's schedule; each default is a value that the template takes.
func TestParameters(t *testing.T) {
	have := parameters(t, deploy.Template)
	for name, deflt := range map[string]string{
		"ScheduleExpression": "rate(5 minutes)", "ExportScheduleExpression": "rate(1 day)", "MaxWorkers": "16", "LogLevel": "INFO",
		"ProcessIAMEvents": "true", "ProcessSTSEvents": "true", "ProcessSigninEvents": "true", "ProcessSSOEvents": "true", "SSORegion": "",
		"FilterAWSServiceEvents": "true", "FilteredRoles": "", "EnableAnalytics": "true", "ExportDaysBack": "1", "EnableSecurityAlerts": "true",
		"AlertsEmailAddress": "", "OffHoursStart": "22:00", "OffHoursEnd": "06:00", "AthenaDatabase": "", "AthenaWorkgroup": "", "AthenaOutputLocation": "",
	} {
		p, ok := have[name]
		if !ok || p.Required || p.Default != deflt {
			t.Errorf("parameter %s: %+v, want the default %q", name, p, deflt)
		}
	}
	for file, template := range map[string]string{"template": deploy.Template, "member": deploy.Member, "realtime": deploy.Realtime} {
		for _, p := range parameters(t, template) {
			if p.Description == "" || p.Pattern != "" && !strings.HasPrefix(p.Constraint, "must be ") {
				t.Errorf("%s: parameter %s doesn't say what it is, or what is allowed", file, p.Name)
			}
			if !p.Required {
				if err := p.Check(p.Default); err != nil {
					t.Errorf("%s: the default: %v", file, err)
				}
			}
		}
	}
}

// Any value that AWS takes is taken, and what it doesn't is refused with a reason.
func TestCheckParameter(t *testing.T) {
	have := parameters(t, deploy.Template)
	for _, c := range []struct {
		name, good, bad string // separated by |
		says            string
	}{
		{"ScheduleExpression", "rate(1 minute)|rate(90 minutes)|rate(2 hours)|rate(1 day)|cron(0/5 * * * ? *)|cron(15 10 ? * MON-FRI 2026-2030)",
			"5 minutes|rate(0 minutes)|rate(1 minutes)|rate(5 minute)|rate(1 week)|cron(0 0 * * *)|rate(5 minutes) |", "must be rate(VALUE UNIT)"},
		{"SSORegion", "|eu-central-2|us-gov-west-1|ap-southeast-7", "EU|eu-central|eu-central-1,eu-west-1", "must be a region"},
		{"Regions", "|eu-west-3|eu-west-3,us-east-1", "eu-west-3;us-east-1|eu-west-3,", "must be regions"},
		{"MaxWorkers", "1|32", "0|33|many|1.5", ""},
		{"OffHoursStart", "22|9:30|00:00", "24|25:00|22:60", "must be a time"},
		{"KmsKeyArn", "|arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd-12ab", "alias/mine|1234abcd", "must be the ARN of a key"},
		{"AthenaOutputLocation", "|s3://results/|s3://results/a/b/", "results|s3://results|s3://results/a", "must be s3://"},
		{"BillingMode", "PROVISIONED|PAY_PER_REQUEST", "on-demand", "use PROVISIONED, PAY_PER_REQUEST"},
		{"HotDays", "1|3650", "0|-1|3651", ""},
		{"OrganizationId", "|o-abcdefghij", "r-abcd", "must be the id of an organization"},
		{"TrustedAccounts", "|012345678901|012345678901,111122223333", "12345678901", "must be account ids"},
		{"FilteredRoles", "PrismaCloud*,*Scanner*,arn:aws:iam::123456789012:role/X", strings.Repeat("x", 1025), "more than 1024 characters"},
	} {
		p, ok := have[c.name]
		if !ok {
			t.Errorf("no parameter %s", c.name)
			continue
		}
		for v := range strings.SplitSeq(c.good, "|") {
			if err := p.Check(v); err != nil {
				t.Error(err)
			}
		}
		for v := range strings.SplitSeq(c.bad, "|") {
			if err := p.Check(v); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.name) {
				t.Errorf("%s = %q: %v, want an error that says %q", c.name, v, err, c.says)
			}
		}
	}
	if err := have["Channels"].Check(strings.Repeat("secret", 1000)); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a hidden value: %v", err)
	}
	if _, err := deploy.Parameters("Parameters: {A: {Typ: String}}"); err == nil || !strings.Contains(err.Error(), "Typ") {
		t.Errorf("an unknown key: %v", err)
	}
}

// Packaged names another place of the program, for every function.
func TestPackaged(t *testing.T) {
	packed := deploy.Packaged("my-bucket", "iamtrack/v1.zip")
	if strings.Count(packed, `      CodeUri: {Bucket: "my-bucket", Key: "iamtrack/v1.zip"}`+"\n") != len(function.Names()) || strings.Contains(packed, "../dist") {
		t.Error("the packaged template hasn't the bucket")
	}
	if have, want := parameters(t, packed), parameters(t, deploy.Template); len(have) != len(want) {
		t.Error("the packaged template isn't the template")
	}
}
