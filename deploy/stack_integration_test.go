//go:build integration

package deploy_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/peers"
)

// cfn-lint has nothing to say of the templates, and much of one that is wrong.
func TestLint(t *testing.T) {
	for name, template := range map[string]string{"template.yaml": deploy.Template, "member.yaml": deploy.Member, "realtime.yaml": deploy.Realtime} {
		if said := peers.Linted(t, template); said != "" {
			t.Errorf("%s:\n%s", name, said)
		}
	}
	if said := peers.Linted(t, strings.Replace(deploy.Template, "SSEAlgorithm: AES256", "SSEAlgorithm: AES257", 1)); !strings.Contains(said, "AES257") {
		t.Errorf("cfn-lint takes AES257 for good: %s", said)
	}
}

// notMade are the types of resources that moto only notes, and what is asked of them
// instead: each is checked by cfn-lint against AWS's own schemas, and further as said.
var notMade = map[string]string{
	"AWS::Athena::NamedQuery":        "TestGenerated, TestMovingRange; its SQL is asked of Trino",
	"AWS::Athena::WorkGroup":         "TestSafe",
	"AWS::CloudWatch::Alarm":         "TestAlarms",
	"AWS::Events::EventBusPolicy":    "",
	"AWS::Glue::Database":            "",
	"AWS::Glue::Table":               "TestGenerated; Trino reads the lake by the same definition",
	"AWS::Lambda::EventInvokeConfig": "",
	"AWS::S3::BucketPolicy":          "TestSafe",
	"AWS::SNS::Subscription":         "",
	"AWS::SNS::TopicPolicy":          "TestSafe",
	"AWS::SQS::QueuePolicy":          "TestSafe",
}

// emulated is CloudFormation of moto with the program in a bucket.
type emulated struct {
	t         *testing.T
	cfn       *cloudformation.Client
	s3        *s3.Client
	tables    *dynamodb.Client
	functions *lambda.Client
}

const (
	codeBucket = "code-of-the-stack"
	codeKey    = "bootstrap.zip"
	stackName  = "iam-tracker"
)

func emulate(t *testing.T) *emulated {
	e := connect(t, peers.Moto(t))
	if _, err := e.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(codeBucket)}); err != nil {
		t.Fatal(err)
	}
	var code bytes.Buffer
	z := zip.NewWriter(&code)
	if _, err := z.Create("bootstrap"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	e.put(codeKey, code.Bytes())
	return e
}

func connect(t *testing.T, url string) *emulated {
	cfg := aws.Config{Region: peers.Region, BaseEndpoint: aws.String(url), Credentials: credentials.NewStaticCredentialsProvider("AKIDTEST", "secret", "")}
	return &emulated{t: t, cfn: cloudformation.NewFromConfig(cfg), tables: dynamodb.NewFromConfig(cfg), functions: lambda.NewFromConfig(cfg),
		s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })}
}

func (e *emulated) put(key string, data []byte) {
	e.t.Helper()
	if _, err := e.s3.PutObject(e.t.Context(), &s3.PutObjectInput{Bucket: aws.String(codeBucket), Key: aws.String(key), Body: bytes.NewReader(data)}); err != nil {
		e.t.Fatal(err)
	}
}

// upload puts the template where CloudFormation reads it, as it is after AWS's
// transforms, and returns its URL.
func (e *emulated) upload(given map[string]string) *string {
	e.t.Helper()
	e.put("template.json", []byte(peers.Transformed(e.t, deploy.Packaged(codeBucket, codeKey), given)))
	return aws.String("https://" + codeBucket + ".s3.amazonaws.com/template.json")
}

func (e *emulated) describe(table string) *types.TableDescription {
	e.t.Helper()
	out, err := e.tables.DescribeTable(e.t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(table)})
	if err != nil {
		e.t.Fatal(err)
	}
	return out.Table
}

func inputs(given map[string]string) (list []cftypes.Parameter) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		list = append(list, cftypes.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(given[name])})
	}
	return list
}

// about is the stack, which must be in that state.
func (e *emulated) about(status cftypes.StackStatus) cftypes.Stack {
	e.t.Helper()
	out, err := e.cfn.DescribeStacks(e.t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(stackName)})
	if err != nil {
		e.t.Fatal(err)
	}
	s := out.Stacks[0]
	if s.StackStatus != status {
		e.t.Fatalf("the stack is %s (%s), want %s", s.StackStatus, aws.ToString(s.StackStatusReason), status)
	}
	return s
}

// made are the logical ids of the stack's resources that moto made; those that it only
// noted have none.
func (e *emulated) made() map[string]bool {
	e.t.Helper()
	ids := map[string]bool{}
	pages := cloudformation.NewListStackResourcesPaginator(e.cfn, &cloudformation.ListStackResourcesInput{StackName: aws.String(stackName)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(e.t.Context())
		if err != nil {
			e.t.Fatal(err)
		}
		for _, r := range page.StackResourceSummaries {
			ids[aws.ToString(r.LogicalResourceId)] = true
		}
	}
	return ids
}

// The template, as AWS's own tools transform it, becomes a stack, is changed in each
// parameter, and is deleted.
func TestCreatedUpdatedDeleted(t *testing.T) {
	e, ctx := emulate(t), t.Context()
	full := map[string]string{"AlertsEmailAddress": "security@example.com", "OrganizationId": "o-abcdefghij"}
	keeps := e.upload(full)
	if _, err := e.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: aws.String(stackName), TemplateURL: keeps, Parameters: inputs(full), Capabilities: []cftypes.Capability{cftypes.CapabilityCapabilityIam},
	}); err != nil {
		t.Fatal(err)
	}
	outputs := map[string]string{}
	for _, o := range e.about(cftypes.StackStatusCreateComplete).Outputs {
		outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}

	var transformed struct {
		Resources map[string]struct{ Type string }
	}
	if err := json.Unmarshal([]byte(peers.Transformed(t, deploy.Packaged(codeBucket, codeKey), full)), &transformed); err != nil {
		t.Fatal(err)
	}
	have := e.made()
	noted, made := map[string]bool{}, map[string]bool{}
	for id, r := range transformed.Resources {
		if strings.HasPrefix(r.Type, "AWS::Serverless") {
			t.Errorf("%s is still a %s", id, r.Type)
		}
		if have[id] {
			made[r.Type] = true
		} else {
			noted[r.Type] = true
		}
	}
	for kind := range made {
		if noted[kind] {
			t.Errorf("of the type %s moto makes some", kind)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(notMade)), slices.Sorted(maps.Keys(noted))); diff != "" {
		t.Errorf("what moto doesn't make (-expected +found):\n%s", diff)
	}

	// What is made is what the outputs say.
	table := e.describe(outputs["Table"])
	if len(table.GlobalSecondaryIndexes) != 2 || aws.ToInt64(table.ProvisionedThroughput.WriteCapacityUnits) != 13 {
		t.Errorf("table %s: %+v", outputs["Table"], table)
	}
	if _, err := e.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(outputs["Bucket"])}); err != nil {
		t.Errorf("bucket %s: %v", outputs["Bucket"], err)
	}
	policy, err := e.functions.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: aws.String(outputs["TrackerFunction"])})
	if err != nil || !strings.Contains(aws.ToString(policy.Policy), "events.amazonaws.com") {
		t.Errorf("EventBridge may not start the tracker: %+v %v", policy, err)
	}

	update := func(url *string, given map[string]string) {
		t.Helper()
		if _, err := e.cfn.UpdateStack(ctx, &cloudformation.UpdateStackInput{
			StackName: aws.String(stackName), TemplateURL: url, Parameters: inputs(given), Capabilities: []cftypes.Capability{cftypes.CapabilityCapabilityIam},
		}); err != nil {
			t.Fatalf("%v: %v", given, err)
		}
		have := map[string]string{}
		for _, p := range e.about(cftypes.StackStatusUpdateComplete).Parameters {
			have[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
		}
		for name, value := range given {
			p := parameters(t, deploy.Template)[name]
			if have[name] != value && !p.Hidden && p.Type != "CommaDelimitedList" { // moto writes a list in Python's way
				t.Errorf("%s is %q, want %q", name, have[name], value)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		if !slices.Contains(changeTable, name) {
			update(keeps, map[string]string{name: others[name]})
		}
	}
	update(keeps, full)

	if _, err := e.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String(stackName)}); err != nil {
		t.Fatal(err)
	}
	if out, err := e.cfn.DescribeStacks(context.WithoutCancel(ctx), &cloudformation.DescribeStacksInput{StackName: aws.String(stackName)}); err == nil {
		t.Errorf("the stack is still %s", out.Stacks[0].StackStatus)
	}
}

// changeTable are the parameters that change the table, which moto can make, but not
// change: a stack is created with each.
var changeTable = []string{"BillingMode", "DeleteData", "KmsKeyArn"}

func TestCreatedWithAnotherTable(t *testing.T) {
	e := emulate(t)
	for _, name := range changeTable {
		given := map[string]string{name: others[name]}
		if _, err := e.cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{
			StackName: aws.String(stackName), TemplateURL: e.upload(given), Parameters: inputs(given), Capabilities: []cftypes.Capability{cftypes.CapabilityCapabilityIam},
		}); err != nil {
			t.Fatal(err)
		}
		var table string
		for _, o := range e.about(cftypes.StackStatusCreateComplete).Outputs {
			if aws.ToString(o.OutputKey) == "Table" {
				table = aws.ToString(o.OutputValue)
			}
		}
		about := e.describe(table)
		if onDemand := about.BillingModeSummary != nil && about.BillingModeSummary.BillingMode == types.BillingModePayPerRequest; onDemand != (name == "BillingMode") {
			t.Errorf("with %s: billing %+v", name, about.BillingModeSummary)
		}
		if _, err := e.cfn.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: aws.String(stackName)}); err != nil {
			t.Fatal(err)
		}
		_, err := e.tables.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(table)})
		if gone := err != nil; gone != (name == "DeleteData") {
			t.Errorf("with %s: after the stack was deleted, the table: %v", name, err)
		}
	}
}
