package server

import (
	"encoding/xml"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

type metadata struct {
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

// sts answers STS: AWS Security Token Service API Reference.
func (s *Server) sts(q *request) (reply, *apiError) {
	switch q.operation {
	case "GetCallerIdentity":
		var out struct {
			XMLName xml.Name
			ARN     string `xml:"GetCallerIdentityResult>Arn"`
			UserID  string `xml:"GetCallerIdentityResult>UserId"`
			Account string `xml:"GetCallerIdentityResult>Account"`
			metadata
		}
		out.XMLName = xml.Name{Space: stsNamespace, Local: "GetCallerIdentityResponse"}
		out.ARN, out.UserID, out.Account, out.RequestID = q.arn, q.userID, q.account, q.id
		return xmlReply(out)
	case "AssumeRole":
		return s.assumeRole(q)
	}
	return reply{}, bad("InvalidAction", "Could not find operation "+q.operation+" for version 2011-06-15")
}

var (
	roleARN     = regexp.MustCompile(`^arn:aws:iam::(\d{12}):role/(?:[\w+=,.@/-]*/)?([\w+=,.@-]{1,64})$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// The ways a duration can be: seconds.
const (
	shortestSession = 900
	longestSession  = 43_200
	usualSession    = 3_600
)

func (s *Server) assumeRole(q *request) (reply, *apiError) {
	arn, name := q.form.Get("RoleArn"), q.form.Get("RoleSessionName")
	seconds := usualSession
	if text := q.form.Get("DurationSeconds"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil || seconds < shortestSession || seconds > longestSession {
			return reply{}, bad("ValidationError", "DurationSeconds is "+text+": it is 900 to 43200")
		}
	}
	m := roleARN.FindStringSubmatch(arn)
	if m == nil {
		return reply{}, bad("ValidationError", arn+" is invalid")
	}
	if !sessionName.MatchString(name) {
		return reply{}, bad("ValidationError", "RoleSessionName is not valid")
	}
	account := m[1]
	known := slices.Contains(s.world.Accounts(), account) && slices.ContainsFunc(s.o.Roles, func(r Role) bool {
		return r.Name == m[2] && (r.ExternalID == "" || r.ExternalID == q.form.Get("ExternalId"))
	})
	if !known {
		return reply{}, &apiError{http.StatusForbidden, "AccessDenied", "User: " + q.arn + " is not authorized to perform: sts:AssumeRole on resource: " + arn}
	}
	good := time.Duration(seconds) * time.Second
	if most := s.Faults().CredentialsExpire; most > 0 {
		good = min(good, most)
	}
	until := s.now().Add(good).Truncate(time.Second)
	key := issueKey(account, until)
	var out struct {
		XMLName      xml.Name
		Key          string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
		Secret       string `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
		Token        string `xml:"AssumeRoleResult>Credentials>SessionToken"`
		Expiration   string `xml:"AssumeRoleResult>Credentials>Expiration"`
		RoleID       string `xml:"AssumeRoleResult>AssumedRoleUser>AssumedRoleId"`
		RoleUser     string `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
		PackedPolicy int    `xml:"AssumeRoleResult>PackedPolicySize"`
		metadata
	}
	out.XMLName = xml.Name{Space: stsNamespace, Local: "AssumeRoleResponse"}
	out.Key, out.Secret, out.Token, out.Expiration = key, secret(key), issueToken(m[2], name), until.Format(time.RFC3339)
	out.RoleID = stableID("AROA", account, m[2]) + ":" + name
	out.RoleUser = "arn:aws:sts::" + account + ":assumed-role/" + m[2] + "/" + name
	out.PackedPolicy = 6
	out.RequestID = q.id
	return xmlReply(out)
}

// iam answers IAM: SimulatePrincipalPolicy says what Faults.Deny would do to each
// action (AWS Identity and Access Management API Reference).
func (s *Server) iam(q *request) (reply, *apiError) {
	if q.operation != "SimulatePrincipalPolicy" {
		return reply{}, bad("InvalidAction", "Could not find operation "+q.operation+" for version 2010-05-08")
	}
	type result struct {
		Action   string `xml:"EvalActionName"`
		Resource string `xml:"EvalResourceName"`
		Decision string `xml:"EvalDecision"`
	}
	var out struct {
		XMLName   xml.Name
		Results   []result `xml:"SimulatePrincipalPolicyResult>EvaluationResults>member"`
		Truncated bool     `xml:"SimulatePrincipalPolicyResult>IsTruncated"`
		metadata
	}
	out.XMLName = xml.Name{Space: "https://iam.amazonaws.com/doc/2010-05-08/", Local: "SimulatePrincipalPolicyResponse"}
	out.RequestID = q.id
	actions := members(q.form, "ActionNames.member.")
	if len(actions) == 0 || q.form.Get("PolicySourceArn") == "" {
		return reply{}, bad("ValidationError", "PolicySourceArn and ActionNames are required")
	}
	f := s.Faults()
	for _, a := range actions {
		service, operation, ok := strings.Cut(a, ":")
		if !ok {
			return reply{}, bad("InvalidInput", "Invalid Action: "+a)
		}
		r := result{a, "*", "allowed"}
		if f.denied(&q.caller, service, operation) {
			r.Decision = "explicitDeny"
		}
		out.Results = append(out.Results, r)
	}
	return xmlReply(out)
}
