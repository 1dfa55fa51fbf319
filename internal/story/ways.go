package story

import "strings"

// way is how somebody works, as the user agent tells. Any caller may set it: it
// tells honest sessions apart, and proves nothing.
type way struct {
	name  string
	parts []string // of the user agent in lower case; one of them is in it
}

// ways, the most telling first: an assistant's or Terraform's agent names the SDK
// under it too.
var ways = []way{
	{"assistant", []string{"aws-mcp", "awslabs/mcp", "awslabs#mcp", "mcp-server", "/mcp", "#mcp", "amazonq", "amazon-q", "kiro/"}},
	{"Terraform", []string{"terraform"}},
	{"OpenTofu", []string{"opentofu"}},
	{"Pulumi", []string{"pulumi"}},
	{"CDK", []string{"aws-cdk", "cdk-"}},
	{"CloudFormation", []string{"cloudformation.amazonaws.com"}},
	{"Ansible", []string{"ansible"}},
	{"GitHub Actions", []string{"configure-aws-credentials"}},
	{"CloudShell", []string{"cloudshell"}},
	{"CLI", []string{"aws-cli/"}},
	{"PowerShell", []string{"awspowershell", "aws.tools."}},
	{"console", []string{"mozilla", "console.", "signin.amazonaws.com", "s3console", "consolefrontend", " console"}},
	{"Lambda function", []string{"aws_lambda_"}},
	{"Python", []string{"boto3", "botocore", "aiobotocore"}},
	{"Go", []string{"aws-sdk-go"}},
	{"Java", []string{"aws-sdk-java"}},
	{"JavaScript", []string{"aws-sdk-js", "aws-sdk-nodejs"}},
	{"Rust", []string{"aws-sdk-rust"}},
	{".NET", []string{"aws-sdk-dotnet"}},
	{"PHP", []string{"aws-sdk-php"}},
	{"Ruby", []string{"aws-sdk-ruby"}},
	{"C++", []string{"aws-sdk-cpp"}},
	{"AWS", []string{"aws-internal", "aws internal", ".amazonaws.com"}},
}

// Ways of working that more than the user agent tells.
const (
	wayLogin   = "aws login"              // CLI or SDK, with what a sign-in gave
	wayConsole = "CLI with console's key" // a console session's key outside the console
	wayOther   = "other"
)

// WayOf tells how somebody works by the user agent and by what the record says of
// its session: whether its key came from the console, or from `aws login`.
func WayOf(userAgent string, fromConsole, fromSignIn bool) string {
	agent := strings.ToLower(userAgent)
	name := wayOther
	for _, w := range ways {
		if w.in(agent) {
			name = w.name
			break
		}
	}
	switch {
	case name == "console" || name == "AWS" || name == "CloudShell":
		return name // where such a key belongs
	case fromSignIn:
		return wayLogin
	case fromConsole:
		return wayConsole
	}
	return name
}

func (w *way) in(agent string) bool {
	for _, p := range w.parts {
		if strings.Contains(agent, p) {
			return true
		}
	}
	return false
}

// waySQL is WayOf in SQL.
var waySQL = func() string {
	var b strings.Builder
	b.WriteString("CASE")
	late := map[string]bool{"console": true, "AWS": true, "CloudShell": true}
	own := "strpos(rest, '\"signInSessionArn\"') > 0"
	console := "strpos(rest, '\"sessionCredentialFromConsole\":\"true\"') > 0"
	for _, w := range ways {
		var or []string
		for _, p := range w.parts {
			or = append(or, "strpos(agent, '"+p+"') > 0")
		}
		then := "'" + w.name + "'"
		if !late[w.name] {
			then = "coalesce(given, " + then + ")"
		}
		b.WriteString(" WHEN " + strings.Join(or, " OR ") + " THEN " + then)
	}
	b.WriteString(" ELSE coalesce(given, '" + wayOther + "') END")
	return "(SELECT " + b.String() + " FROM (SELECT lower(coalesce(user_agent, '')) AS agent, CASE WHEN " + own + " THEN '" + wayLogin + "' WHEN " + console + " THEN '" + strings.ReplaceAll(wayConsole, "'", "''") + "' END AS given))"
}()
