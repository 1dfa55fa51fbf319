package permission

import (
	"fmt"
	"slices"
	"strings"
)

// Stack is the stack that a command asks, as CloudFormation tells of it.
type Stack struct {
	Partition, Region, Account, Name string
	Table                            string
	// Bucket has the lake; empty when there is none.
	Bucket              string
	Database, Workgroup string
	Results             string // where Athena writes results, s3://BUCKET/PREFIX
	Exporter            string // name of the function
	KMSKey              string // ARN of the key that all of it is encrypted with; may be empty
}

// Commands on a stack, besides those of Commands.
const (
	Events   = "events"
	Who      = "who"
	Timeline = "timeline"
	Trace    = "trace"
	Status   = "status"
	Query    = "query"
	SQL      = "sql"
	Push     = "push"
	Pull     = "pull"
)

// StackCommands lists the commands that work on a stack.
func StackCommands() []string {
	return []string{Events, Who, Timeline, Trace, Alerts, Status, Query, SQL, Verify, Wait, Push, Pull}
}

// OnStack is the policy for whoever runs a command on a stack: to read, and, for
// alerts, to acknowledge, for push to write. With fresh the stack's exporter may be run. duckdb: query and
// sql are answered without Athena. An error means that the command isn't one of
// StackCommands.
//
// Source: Service Authorization Reference; for Athena also the Amazon Athena User
// Guide, "Fine-grained access to databases and tables in the AWS Glue Data Catalog".
func OnStack(command string, s Stack, fresh, duckdb bool, o Options) (Document, error) {
	if !slices.Contains(StackCommands(), command) {
		return Document{}, fmt.Errorf("command %q asks no stack", command)
	}
	arn := func(service, resource string) string {
		return fmt.Sprintf("arn:%s:%s:%s:%s:%s", s.Partition, service, s.Region, s.Account, resource)
	}
	table := arn("dynamodb", "table/"+s.Table)
	list := []Statement{
		permit("FindStack", []string{arn("cloudformation", "stack/"+s.Name+"/*")}, "cloudformation:DescribeStacks"),
		permit("ReadTable", []string{table, table + "/index/*"}, "dynamodb:BatchGetItem", "dynamodb:Query"),
	}
	switch command {
	case Alerts: // ack
		list = append(list, permit("Acknowledge", []string{table}, "dynamodb:UpdateItem"))
	case Verify: // the lease that keeps the exporter away meanwhile
		list = append(list, permit("KeepTheExporterAway", []string{table}, "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"))
	case Push:
		list = append(list, permit("WriteTable", []string{table}, "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem"))
	case Wait:
		list = append(list, history(Wait, o)...)
	}
	asksAthena := (command == Query || command == SQL) && !duckdb && s.Workgroup != ""
	if s.Bucket != "" {
		bucket := fmt.Sprintf("arn:%s:s3:::%s", s.Partition, s.Bucket)
		list = append(list,
			permit("ListLake", []string{bucket}, "s3:ListBucket"),
			// Files that change while they are read are read by their version.
			permit("ReadLake", []string{bucket + "/*"}, "s3:GetObject", "s3:GetObjectVersion"))
		if command == Push {
			list = append(list,
				permit("WriteLake", []string{bucket + "/events/*", bucket + "/filtered/*", bucket + "/keys/*"}, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"),
				permit("KeepLargeValues", []string{bucket + "/large/*"}, "s3:PutObject"))
		}
		if asksAthena {
			list = append(list, athena(s, arn)...)
		}
		if fresh {
			list = append(list, permit("RunExporter", []string{arn("lambda", "function:"+s.Exporter)}, "lambda:InvokeFunction"))
		}
	}
	if s.KMSKey != "" {
		actions := []string{"kms:Decrypt"}
		if asksAthena || command == Push { // to write results, or the lake
			actions = append(actions, "kms:GenerateDataKey")
		}
		list = append(list, permit("UseKey", []string{s.KMSKey}, actions...))
	}
	return document(list), nil
}

// athena is what a query in Athena needs: of the workgroup, of the tables'
// definitions, and of the place of the results, which Athena writes as the caller.
func athena(s Stack, arn func(service, resource string) string) []Statement {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(s.Results, "s3://"), "/")
	results := fmt.Sprintf("arn:%s:s3:::%s", s.Partition, bucket)
	return []Statement{
		permit("Ask", []string{arn("athena", "workgroup/"+s.Workgroup)},
			"athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults", "athena:StopQueryExecution"),
		permit("ReadDefinitions", []string{arn("glue", "catalog"), arn("glue", "database/"+s.Database), arn("glue", "table/"+s.Database+"/*")},
			"glue:GetDatabase", "glue:GetTable", "glue:GetPartitions"),
		permit("FindResults", []string{results}, "s3:GetBucketLocation", "s3:ListBucket"),
		permit("WriteResults", []string{results + "/" + literal(prefix) + "*"},
			"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
	}
}
