package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/permission"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/source"
)

type permissionsOptions struct {
	command   string
	known     bool   // as a command, whether or not it asks AWS
	path      string // s3://…
	document  string
	principal string
	external  string
	kmsKey    string
	partition string
	table     string // of the earlier tool
}

// Documents that permissions prints.
const (
	documentCaller = "caller"
	documentMember = "member"
	documentTrust  = "trust"
)

func newPermissionsCmd(e *env) *cobra.Command {
	var o permissionsOptions
	cmd := &cobra.Command{
		Use:   "permissions COMMAND [s3://BUCKET/PREFIX]",
		Short: "Print the least IAM policy that a command needs",
		Long: `Print the least IAM policy that a command needs, with these settings and flags, as
a JSON document to give to whoever runs it. COMMAND is one of:
` + wrapped(strings.Join(permission.Commands(), ", "), 80) + `;
import, verify (--trail) and doctor take the place of the trail in S3; those of aws
are for the stack that --stack names. Nobody is asked, and nothing is changed in AWS.

With --organization or --accounts there are three documents: --document caller
(the default) is for whoever runs the command; member is for the role in each of
the other accounts; trust says, with --principal, who may assume that role.
organizations:ListAccounts is permitted in the management account, or in a
delegated administrator's, only.

Of ec2:DescribeRegions and account:ListRegions the second is asked only when the
first is denied: one of them is enough, and none when the regions are named
(setting regions). SNS topics are those of the setting channels.

With --stack it is for whoever asks that stack: COMMAND is one of
` + strings.Join(permission.StackCommands(), ", ") + `,
with --fresh and --engine as for the command. The names of the stack's parts are asked
of CloudFormation.`,
		Example: `  iamtrack permissions collect
  iamtrack permissions query --stack prod --fresh
  iamtrack permissions collect --organization
  iamtrack permissions aws deploy --stack audit
  iamtrack permissions collect --organization --document member
  iamtrack permissions collect --document trust --principal arn:aws:iam::111122223333:role/iamtrack
  iamtrack permissions import s3://my-trail --kms-key arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab`,
		ValidArgs: permission.Commands(),
		Args:      argCount(1, 2, "a command: "+strings.Join(permission.Commands(), ", ")),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "aws" && len(args) > 1 {
				args = append([]string{"aws " + args[1]}, args[2:]...)
			}
			o.command = args[0]
			o.known = o.command != "aws" && slices.ContainsFunc(cmd.Root().Commands(), func(c *cobra.Command) bool { return c.Name() == o.command })
			if len(args) > 1 {
				o.path = args[1]
			}
			if e.config.Stack != "" && !strings.HasPrefix(o.command, "aws ") && (cmd.Flags().Changed("stack") || slices.Contains(permission.StackCommands(), o.command)) {
				return runPermissionsOnStack(cmd.Context(), e, o)
			}
			return runPermissions(e, o)
		},
	}
	cmd.Annotations = map[string]string{withoutStack: "endpoint-url"}
	f := cmd.Flags()
	f.StringVar(&o.document, "document", documentCaller, "which document: caller, member or trust")
	f.StringVar(&o.principal, "principal", "", "ARN of the user or role that runs the command, for --document trust")
	f.StringVar(&o.external, "external-id", "", "external id that the role is to ask for, for --document trust")
	f.StringVar(&o.kmsKey, "kms-key", "", "ARN of the KMS key that encrypts the trail")
	f.StringVar(&o.table, "from-legacy-table", "", "for import: the earlier tool's table that is read, instead of a trail")
	f.StringVar(&o.partition, "partition", "", "aws, aws-cn or aws-us-gov (default: that of the settings' ARNs and regions, else aws)")
	complete(cmd, "document", documentCaller, documentMember, documentTrust)
	complete(cmd, "partition", "aws", "aws-cn", "aws-us-gov")
	awsFlags(cmd, "regions", "accounts", "organization")
	return engineFlag(e, freshFlag(e, cmd))
}

// runPermissionsOnStack prints the policy for a command on the stack of --stack.
func runPermissionsOnStack(ctx context.Context, e *env, o permissionsOptions) error {
	if !slices.Contains(permission.StackCommands(), o.command) {
		return withHint(usagef("`iamtrack %s` asks no stack", o.command), "those that do are "+strings.Join(permission.StackCommands(), ", "))
	}
	if o.document != documentCaller || o.path != "" || o.kmsKey != "" {
		return usagef("--stack: there is one document, and no trail is read")
	}
	session, err := e.aws(ctx)()
	if err != nil {
		return err
	}
	parts, err := app.FindStack(ctx, session, e.config.Stack)
	if err != nil {
		return awsHint(err)
	}
	at := strings.SplitN(parts.ID, ":", 6) // arn:PARTITION:cloudformation:REGION:ACCOUNT:…
	if len(at) < 6 {
		return fmt.Errorf("the stack %s has the id %q, which is no ARN", parts.Stack, parts.ID)
	}
	d, err := permission.OnStack(o.command, permission.Stack{
		Partition: at[1], Region: at[3], Account: at[4], Name: parts.Stack, Table: parts.Table, Bucket: parts.Bucket, Database: parts.Database,
		Workgroup: parts.Workgroup, Results: parts.Results, Exporter: parts.Exporter, KMSKey: parts.KMSKey,
	}, e.flags.fresh, e.flags.engine == engineDuckDB, permission.Options{RegionsKnown: len(e.config.Regions) > 0})
	if err != nil {
		return fmt.Errorf("permissions: %w", err)
	}
	return e.object(d, func() string { return policyText(d) })
}

func runPermissions(e *env, o permissionsOptions) error {
	if !slices.Contains(permission.Commands(), o.command) {
		if o.known {
			hint := "those that ask AWS are " + strings.Join(permission.Commands(), ", ")
			if slices.Contains(permission.StackCommands(), o.command) {
				hint += "; on a stack: --stack NAME"
			}
			return withHint(usagef("%s asks AWS for nothing: no permission is needed", o.command), hint)
		}
		return unknown("command", o.command, permission.Commands(), "those that ask AWS are "+strings.Join(permission.Commands(), ", "))
	}
	if (o.principal != "" || o.external != "") != (o.document == documentTrust) || o.document == documentTrust && o.principal == "" {
		return withHint(usagef("--principal and --external-id go with --document trust, which needs the first"), "`iamtrack permissions --help` shows how")
	}
	need, err := e.permissionOptions(o)
	if err != nil {
		return err
	}
	var d permission.Document
	switch o.document {
	case documentCaller:
		d, err = permission.Caller(o.command, need)
	case documentMember:
		d, err = permission.Member(o.command, need)
	case documentTrust:
		d, err = permission.Trust(o.principal, o.external)
	default:
		return unknown("document", o.document, []string{documentCaller, documentMember, documentTrust}, "")
	}
	if err != nil {
		return withHint(usagef("permissions: %v", err), "`iamtrack permissions --help` shows how")
	}
	if err := e.object(d, func() string { return policyText(d) }); err != nil {
		return err
	}
	if o.document == documentCaller && (need.Organization || len(need.Roles) > 0) && o.command != permission.Import && o.command != permission.Verify && o.command != permission.Alerts {
		e.note("the role in the other accounts needs --document member, and --document trust --principal ARN")
	}
	if need.Bucket != "" && need.KMSKey == "" {
		e.note("a trail that a KMS key encrypts needs kms:Decrypt too: --kms-key ARN")
	}
	return nil
}

// permissionOptions takes from settings and flags what decides over permissions.
func (e *env) permissionOptions(o permissionsOptions) (permission.Options, error) {
	c := e.config
	need := permission.Options{
		Stack:     e.stackName(),
		Partition: o.partition, Own: true, Organization: c.Organization, RoleName: c.OrganizationRole,
		RegionsKnown: len(c.Regions) > 0, KMSKey: o.kmsKey,
	}
	if o.table != "" && (o.command != permission.Import || o.path != "" || o.kmsKey != "") {
		return need, usagef("--from-legacy-table goes with import, and with no trail")
	}
	need.LegacyTable = o.table
	if strings.HasPrefix(o.command, "aws ") {
		need.Stack = e.stackName()
	}
	if o.path != "" {
		var ok bool
		if need.Bucket, need.Prefix, ok = source.ParseS3(o.path); !ok || need.Bucket == "" {
			return need, withHint(usagef("%q is no place in S3", o.path), "use s3://BUCKET/PREFIX")
		}
		if o.command != permission.Import && o.command != permission.Verify && o.command != permission.Doctor {
			return need, usagef("%s reads nothing from S3", o.command)
		}
	}
	if o.kmsKey != "" && (need.Bucket == "" || !strings.HasPrefix(o.kmsKey, "arn:") || !strings.Contains(o.kmsKey, ":kms:")) {
		return need, usagef("--kms-key takes the ARN of a key, and goes with s3://BUCKET/PREFIX")
	}
	var arns []string
	if c.AccountsFile != "" {
		specs, err := awsapi.ReadAccounts(c.AccountsFile)
		if err != nil {
			return need, err
		}
		need.Own = false
		known := true
		for _, s := range specs {
			known = known && len(s.Regions) > 0
			if s.RoleARN == "" {
				need.Own = true
				continue
			}
			need.Roles = append(need.Roles, s.RoleARN)
		}
		need.RegionsKnown = need.RegionsKnown || known
		arns = append(arns, need.Roles...)
	}
	for _, ch := range c.Channels {
		if ch.Type == "sns" && !ch.Off {
			need.Topics = append(need.Topics, ch.TopicARN)
		}
		for _, ref := range ch.InAWS() {
			switch {
			case ch.Off:
			case ref.Service == "ssm":
				need.Parameters = append(need.Parameters, ref.Name)
			default:
				need.Secrets = append(need.Secrets, ref.Name)
			}
		}
	}
	if need.Partition == "" {
		need.Partition = partitionOfSettings(slices.Concat(arns, need.Topics, []string{o.kmsKey}), append(slices.Clone(c.Regions), c.AWSRegion))
	}
	if !slices.Contains([]string{"aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"}, need.Partition) {
		return need, withHint(usagef("unknown partition %q", need.Partition), "use aws, aws-cn or aws-us-gov")
	}
	return need, nil
}

// partitionOfSettings is the one that ARNs name, else that of regions.
func partitionOfSettings(arns, regions []string) string {
	for _, arn := range arns {
		if parts := strings.SplitN(arn, ":", 3); len(parts) == 3 && parts[0] == "arn" {
			return parts[1]
		}
	}
	for _, r := range regions {
		switch {
		case strings.HasPrefix(r, "cn-"):
			return "aws-cn"
		case strings.HasPrefix(r, "us-gov-"):
			return "aws-us-gov"
		}
	}
	return "aws"
}

// wrapped breaks a text into lines of at most that many characters.
func wrapped(text string, width int) string {
	var b strings.Builder
	used := 0
	for i, word := range strings.SplitAfter(text, ", ") {
		if i > 0 && used+len(word) > width {
			b.WriteByte('\n')
			used = 0
		}
		b.WriteString(word)
		used += len(word)
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

// policyText is a policy as people paste it.
func policyText(d permission.Document) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil { // strings and lists always encode
		return fmt.Sprintf("%v\n", err)
	}
	return string(render.EscapeJSON(b.Bytes()))
}
