package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// cures are commands of AWS's own CLI that take back what an event did, or the
// credentials that it was made with. Names come from the event, so whoever made it
// chose them: one that can't be shown as it is gives no command.
func cures(a *rule.Alert, e *event.Event) []string {
	var out []string
	// The service, the operation, then flags, each with its value.
	add := func(words ...string) {
		quoted := slices.Clone(words[:2])
		for i := 2; i < len(words); i += 2 {
			q, ok := shellQuote(words[i+1])
			if !ok || words[i+1][0] == '-' { // the CLI would take it for a flag
				return
			}
			quoted = append(quoted, words[i], q)
		}
		c := "aws " + strings.Join(quoted, " ")
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	if e.Outcome == event.OutcomeOK {
		undo(add, e)
	}
	if a.Severity < rule.High {
		return out
	}
	switch {
	case strings.HasPrefix(e.AccessKeyID, "AKIA") && e.UserName != "":
		add("iam", "update-access-key", "--user-name", e.UserName, "--access-key-id", e.AccessKeyID, "--status", "Inactive")
	case e.RoleName != "" && strings.HasPrefix(e.AccessKeyID, "ASIA") && !strings.HasPrefix(e.RoleName, "AWSReservedSSO_"):
		// What the console's "Revoke active sessions" does (IAM User Guide, "Revoke
		// IAM role temporary security credentials"). Sessions that are begun later go on.
		at := time.UnixMilli(lastEvent(a)).UTC().Add(beside).Format(time.RFC3339)
		add("iam", "put-role-policy", "--role-name", e.RoleName, "--policy-name", "AWSRevokeOlderSessions", "--policy-document",
			`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"`+at+`"}}}]}`)
	}
	return out
}

// undo adds what takes an event back.
func undo(add func(...string), e *event.Event) {
	var p fastjson.Parser
	request, err := p.Parse(e.RequestParameters)
	if err != nil {
		return // none was recorded
	}
	get := func(name string) string { return string(request.GetStringBytes(name)) }
	switch e.EventName {
	case "CreateAccessKey":
		add("iam", "update-access-key", "--user-name", e.TargetName, "--access-key-id", e.IssuedAccessKeyID, "--status", "Inactive")
	case "CreateLoginProfile", "UpdateLoginProfile":
		add("iam", "delete-login-profile", "--user-name", e.TargetName)
	case "AttachUserPolicy":
		add("iam", "detach-user-policy", "--user-name", get("userName"), "--policy-arn", get("policyArn"))
	case "AttachRolePolicy":
		add("iam", "detach-role-policy", "--role-name", get("roleName"), "--policy-arn", get("policyArn"))
	case "AttachGroupPolicy":
		add("iam", "detach-group-policy", "--group-name", get("groupName"), "--policy-arn", get("policyArn"))
	case "PutUserPolicy":
		add("iam", "delete-user-policy", "--user-name", get("userName"), "--policy-name", get("policyName"))
	case "PutRolePolicy":
		add("iam", "delete-role-policy", "--role-name", get("roleName"), "--policy-name", get("policyName"))
	case "PutGroupPolicy":
		add("iam", "delete-group-policy", "--group-name", get("groupName"), "--policy-name", get("policyName"))
	case "AddUserToGroup":
		add("iam", "remove-user-from-group", "--user-name", get("userName"), "--group-name", get("groupName"))
	case "StopLogging":
		add("cloudtrail", "start-logging", "--name", get("name"), "--region", e.AWSRegion)
	}
}
