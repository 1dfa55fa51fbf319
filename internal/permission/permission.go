// Package permission knows which AWS permissions each command needs, no more, and
// writes them as IAM policies: for whoever starts the program, for the role that
// it assumes in other accounts, and who may assume that role.
//
// What a command needs is what it asks of AWS; a test of package cli compares the
// policies with the calls of real runs, both ways. The package asks nobody.
//
// Source of actions and the resources they take: Service Authorization Reference.
package permission

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Document is an IAM policy. Statements are sorted by Sid, all lists too.
type Document struct {
	Version   string
	Statement []Statement
}

// Statement permits actions on resources; in a trust policy, to a principal.
type Statement struct {
	Sid       string
	Effect    string
	Principal *Principal `json:",omitempty"`
	Action    []string
	Resource  []string                     `json:",omitempty"`
	Condition map[string]map[string]string `json:",omitempty"`
}

// Principal is who may do something.
type Principal struct{ AWS []string }

// version is the policy language's (IAM User Guide, "IAM JSON policy elements:
// Version").
const version = "2012-10-17"

// Commands that ask AWS for something.
const (
	Collect = "collect"
	Wait    = "wait"
	Doctor  = "doctor"
	Import  = "import" // from S3
	Verify  = "verify" // --trail
	Alerts  = "alerts" // test, resend

	AWSDeploy     = "aws deploy"
	AWSUpdate     = "aws update"
	AWSInit       = "aws init"
	AWSStatus     = "aws status"
	AWSLogs       = "aws logs"
	AWSTestAlerts = "aws test-alerts"
	AWSDestroy    = "aws destroy"
)

// Commands lists those that there are policies for.
func Commands() []string {
	return []string{Collect, Wait, Doctor, Import, Verify, Alerts, AWSDeploy, AWSUpdate, AWSInit, AWSStatus, AWSLogs, AWSTestAlerts, AWSDestroy}
}

// Options are what of the settings decides which permissions are needed.
type Options struct {
	Partition string // "": aws
	// Own: the account of the credentials is read with them, without a role.
	Own bool
	// Organization: all of its accounts are read, by the role of that name, with
	// its path; Roles are ARNs of roles that are assumed otherwise.
	Organization bool
	RoleName     string
	Roles        []string
	// RegionsKnown: the regions to read from are configured, nobody is asked.
	RegionsKnown bool
	// Bucket and Prefix are the trail's; empty: none is read from S3. KMSKey is the
	// ARN of the key that encrypts it; empty: none does.
	Bucket, Prefix, KMSKey string
	// LegacyTable is the earlier tool's table that is imported, instead of a trail.
	LegacyTable string
	// Stack is the name of the stack that the aws commands work on, ArtifactsBucket the
	// bucket for its program; empty: the program's own.
	Stack, ArtifactsBucket string
	// Topics are the ARNs of SNS topics that alerts go to.
	Topics []string
	// Parameters are names in the Parameter Store, and Secrets names or ARNs in
	// Secrets Manager, of the secrets of channels.
	Parameters, Secrets []string
}

// Caller is the policy for whoever starts the command. An error means that nothing
// is needed, or that the command isn't one of Commands.
func Caller(command string, o Options) (Document, error) {
	var list []Statement
	switch command {
	case Collect, Wait, Doctor:
		if o.Own {
			list = append(list, history(command, o)...)
			if command != Wait { // Identity Center is the caller's own account's
				list = append(list, permit("NameUsers", []string{"*"}, "identitystore:ListUsers"))
			}
		}
		list = append(list, accounts(o)...)
	case Import:
		if o.LegacyTable != "" {
			table := fmt.Sprintf("arn:%s:dynamodb:*:*:table/%s", cmp.Or(o.Partition, "aws"), o.LegacyTable)
			list = append(list, permit("ReadLegacyTable", []string{table}, "dynamodb:DescribeTable", "dynamodb:Scan"))
		}
	case Verify:
		list = append(list, permit("ReadDigestKeys", []string{"*"}, "cloudtrail:ListPublicKeys"))
	case Alerts:
		if len(o.Topics)+len(o.Parameters)+len(o.Secrets) == 0 {
			return Document{}, errors.New("alerts go to no SNS topic, and no secret of a channel is in AWS: no permission is needed")
		}
	case AWSDeploy, AWSUpdate, AWSInit, AWSStatus, AWSLogs, AWSTestAlerts, AWSDestroy:
		return document(ofStack(command, o)), nil
	default:
		return Document{}, fmt.Errorf("command %q asks AWS for nothing", command)
	}
	if command == Import && o.LegacyTable == "" || command == Verify || command == Doctor {
		list = append(list, trail(o)...)
	}
	if len(o.Topics) > 0 {
		switch command {
		case Collect, Wait, Import, Alerts:
			list = append(list, permit("SendAlerts", o.Topics, "sns:Publish"))
		case Doctor: // asks instead of sending
			list = append(list, permit("AskWhatIsPermitted", []string{"*"}, "iam:SimulatePrincipalPolicy"))
		}
	}
	switch command {
	case Collect, Wait, Import, Alerts, Doctor:
		list = append(list, vaults(o)...)
	}
	if len(list) == 0 {
		return Document{}, fmt.Errorf("%s asks AWS for nothing with these settings", command)
	}
	return document(list), nil
}

// Member is the policy of the role that is assumed in another account.
func Member(command string, o Options) (Document, error) {
	switch command {
	case Collect, Wait, Doctor:
		return document(history(command, o)), nil
	}
	return Document{}, fmt.Errorf("%s assumes no role in other accounts", command)
}

var principalARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:(root|(user|role)/[\w+=,.@/-]+)$`)

// Trust is the trust policy of the role that is assumed: by the user or role of
// that ARN, or by all whom that account permits it. externalID must be given by
// who assumes it, if it is set.
//
// Source: IAM User Guide, "Access to AWS accounts owned by third parties".
func Trust(principal, externalID string) (Document, error) {
	if !principalARN.MatchString(principal) {
		return Document{}, fmt.Errorf("%q is not the ARN of a user or role: use arn:aws:iam::ACCOUNT:role/NAME, user/NAME or root", principal)
	}
	s := permit("LetIamtrackAssume", nil, "sts:AssumeRole")
	s.Principal = &Principal{AWS: []string{principal}}
	if externalID != "" {
		s.Condition = map[string]map[string]string{"StringEquals": {"sts:ExternalId": externalID}}
	}
	return document([]Statement{s}), nil
}

// history is what reading an account's event history needs. None of these actions
// takes a resource.
func history(command string, o Options) []Statement {
	all := []string{"*"}
	list := []Statement{permit("ReadEventHistory", all, "cloudtrail:LookupEvents")}
	if !o.RegionsKnown {
		list = append(list, permit("FindRegions", all, "ec2:DescribeRegions", "account:ListRegions"))
	}
	if command != Wait { // which looks in every region
		list = append(list, permit("FindIdentityCenter", all, "sso:ListInstances"))
	}
	return list
}

// accounts is what reaching other accounts needs.
func accounts(o Options) []Statement {
	var list []Statement
	roles := slices.Clone(o.Roles)
	if o.Organization {
		list = append(list, permit("ListAccounts", []string{"*"}, "organizations:ListAccounts"))
		roles = append(roles, fmt.Sprintf("arn:%s:iam::*:role/%s", cmp.Or(o.Partition, "aws"), o.RoleName))
	}
	if len(roles) > 0 {
		list = append(list, permit("AssumeRoles", roles, "sts:AssumeRole"))
	}
	return list
}

// trail is what reading a trail's bucket needs.
func trail(o Options) []Statement {
	if o.Bucket == "" {
		return nil
	}
	bucket := fmt.Sprintf("arn:%s:s3:::%s", cmp.Or(o.Partition, "aws"), o.Bucket)
	list := []Statement{
		permit("ListTrail", []string{bucket}, "s3:ListBucket"),
		permit("ReadTrail", []string{bucket + "/" + literal(o.Prefix) + "*"}, "s3:GetObject"),
	}
	if o.KMSKey != "" {
		list = append(list, permit("DecryptTrail", []string{o.KMSKey}, "kms:Decrypt"))
	}
	return list
}

// vaults is what reading the secrets of channels needs. Account and region of a name
// are the caller's; Secrets Manager ends ARNs with six characters of its own (AWS
// Secrets Manager User Guide, "What's in a secret").
func vaults(o Options) []Statement {
	var list []Statement
	partition := cmp.Or(o.Partition, "aws")
	if len(o.Parameters) > 0 {
		arns := make([]string, len(o.Parameters))
		for i, name := range o.Parameters {
			if arns[i] = name; !strings.HasPrefix(name, "arn:") {
				arns[i] = fmt.Sprintf("arn:%s:ssm:*:*:parameter/%s", partition, literal(strings.TrimPrefix(name, "/")))
			}
		}
		list = append(list, permit("ReadChannelParameters", arns, "ssm:GetParameter"))
	}
	if len(o.Secrets) > 0 {
		arns := make([]string, len(o.Secrets))
		for i, id := range o.Secrets {
			if arns[i] = id; !strings.HasPrefix(id, "arn:") {
				arns[i] = fmt.Sprintf("arn:%s:secretsmanager:*:*:secret:%s-??????", partition, literal(id))
			}
		}
		list = append(list, permit("ReadChannelSecrets", arns, "secretsmanager:GetSecretValue"))
	}
	return list
}

// literal is text that means itself in a resource (IAM User Guide, "IAM policy
// elements: Variables and tags", special characters).
func literal(s string) string {
	return strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace(s)
}

func permit(sid string, resources []string, actions ...string) Statement {
	return Statement{Sid: sid, Effect: "Allow", Action: sorted(actions), Resource: sorted(resources)}
}

func sorted(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func document(list []Statement) Document {
	slices.SortFunc(list, func(a, b Statement) int { return strings.Compare(a.Sid, b.Sid) })
	return Document{Version: version, Statement: list}
}
