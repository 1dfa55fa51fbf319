package permission

import (
	"cmp"
	"fmt"
	"strings"
)

// ofStack is what the aws commands need. Account and region of a name are the caller's.
func ofStack(command string, o Options) []Statement {
	partition := cmp.Or(o.Partition, "aws")
	arn := func(service, rest string) string { return fmt.Sprintf("arn:%s:%s:*:*:%s", partition, service, rest) }
	stack := []string{arn("cloudformation", "stack/"+o.Stack+"/*")}
	functions := func(names ...string) (list []string) {
		for _, name := range names {
			list = append(list, arn("lambda", "function:"+o.Stack+"-"+name))
		}
		return list
	}
	// Table and bucket have names that AWS makes.
	tables := []string{arn("dynamodb", "table/"+o.Stack+"-*")}
	list := []Statement{permit("FindStack", stack, "cloudformation:DescribeStacks")}
	switch command {
	case AWSDeploy, AWSUpdate:
		bucket := fmt.Sprintf("arn:%s:s3:::%s", partition, cmp.Or(o.ArtifactsBucket, "iamtrack-artifacts-*"))
		list = append(list,
			permit("ChangeStack", append(stack, fmt.Sprintf("arn:%s:cloudformation:*:aws:transform/*", partition)),
				"cloudformation:CreateChangeSet"),
			permit("FollowStack", stack, "cloudformation:DescribeChangeSet", "cloudformation:DescribeStackEvents", "cloudformation:ExecuteChangeSet",
				"cloudformation:DeleteChangeSet"),
			permit("OpenProgramBucket", []string{bucket}, "s3:ListBucket"),
			permit("StoreProgram", []string{bucket + "/iamtrack/*"}, "s3:GetObject", "s3:PutObject"))
		if o.ArtifactsBucket == "" {
			list = append(list, permit("MakeProgramBucket", []string{bucket}, "s3:CreateBucket", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock"))
		}
		if command == AWSDeploy { // what could not be made, or is not to be
			list = append(list, permit("DropStack", stack, "cloudformation:DeleteStack"))
		}
		list = append(list, history(Collect, o)...) // the sample of the estimate
		list = append(list, made(partition, o.Stack)...)
	case AWSInit:
		list = append(list, permit("RunFunctions", functions("tracker", "exporter"), "lambda:InvokeFunction"))
		// And the first query.
		query, err := OnStack(Query, Stack{
			Partition: partition, Region: "*", Account: "*", Name: o.Stack, Table: o.Stack + "-*", Bucket: o.Stack + "-*",
			Database: strings.ReplaceAll(o.Stack, "-", "_"), Workgroup: o.Stack, Results: "s3://" + o.Stack + "-*/athena-results/",
		}, false, false, o)
		if err == nil { // Query is one of its commands
			list = append(list, query.Statement[1:]...) // FindStack is there
		}
	case AWSTestAlerts:
		list = append(list, permit("RunFunctions", functions("notifier"), "lambda:InvokeFunction"))
	case AWSLogs:
		list = append(list, permit("ReadLogs", []string{arn("logs", "log-group:/aws/lambda/"+o.Stack+"-*")}, "logs:FilterLogEvents"))
	case AWSStatus:
		list = append(list,
			permit("ReadLogs", []string{arn("logs", "log-group:/aws/lambda/"+o.Stack+"-*")}, "logs:FilterLogEvents"),
			permit("ReadAlarms", []string{arn("cloudwatch", "alarm:*")}, "cloudwatch:DescribeAlarms"),
			permit("ReadCoverage", tables, "dynamodb:BatchGetItem", "dynamodb:Query"),
			permit("OpenLake", []string{fmt.Sprintf("arn:%s:s3:::%s-*", partition, o.Stack)}, "s3:ListBucket"))
	case AWSDestroy:
		lake := fmt.Sprintf("arn:%s:s3:::%s-*", partition, o.Stack)
		list = append(list,
			permit("DeleteStack", append(stack, fmt.Sprintf("arn:%s:cloudformation:*:aws:transform/*", partition)), "cloudformation:CreateChangeSet"),
			permit("FollowStack", stack, "cloudformation:DescribeChangeSet", "cloudformation:DescribeStackEvents", "cloudformation:ExecuteChangeSet",
				"cloudformation:DeleteChangeSet", "cloudformation:DeleteStack", "cloudformation:ListStackResources"),
			permit("EmptyLake", []string{lake}, "s3:ListBucket", "s3:ListBucketVersions"),
			permit("EmptyLakeObjects", []string{lake + "/*"}, "s3:DeleteObject", "s3:DeleteObjectVersion"))
		list = append(list, made(partition, o.Stack)...)
	}
	return list
}

// made is what CloudFormation does in the caller's name to make, change and delete what
// the template has; it calls many actions of each service, which AWS may add to.
//
// Source: AWS CloudFormation User Guide, "Control CloudFormation access with AWS
// Identity and Access Management".
func made(partition, stack string) []Statement {
	arn := func(service, rest string) string { return fmt.Sprintf("arn:%s:%s:*:*:%s", partition, service, rest) }
	global := func(service, rest string) string { return fmt.Sprintf("arn:%s:%s:::%s", partition, service, rest) }
	return []Statement{
		permit("MakeTable", []string{arn("dynamodb", "table/"+stack+"-*")}, "dynamodb:*"),
		permit("MakeLake", []string{global("s3", stack+"-*")}, "s3:*"),
		permit("MakeFunctions", []string{arn("lambda", "function:"+stack+"-*")}, "lambda:*"),
		permit("MakeRoles", []string{fmt.Sprintf("arn:%s:iam::*:role/%s-*", partition, stack)},
			"iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:GetRolePolicy", "iam:PassRole", "iam:PutRolePolicy",
			"iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription"),
		permit("MakeSchedules", []string{arn("events", "rule/"+stack+"-*"), arn("events", "event-bus/default")}, "events:*"),
		permit("MakeTopic", []string{arn("sns", stack+"-*")}, "sns:*"),
		permit("MakeQueue", []string{arn("sqs", stack+"-*")}, "sqs:*"),
		permit("MakeLogs", []string{arn("logs", "log-group:/aws/lambda/"+stack+"-*")}, "logs:*"),
		permit("ListLogs", []string{"*"}, "logs:DescribeLogGroups"),
		permit("MakeAlarms", []string{arn("cloudwatch", "alarm:"+stack+"-*")}, "cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource"),
		permit("MakeLakeTables", []string{arn("glue", "catalog"), arn("glue", "database/*"), arn("glue", "table/*")},
			"glue:CreateDatabase", "glue:CreateTable", "glue:DeleteDatabase", "glue:DeleteTable", "glue:GetDatabase", "glue:GetTable", "glue:UpdateDatabase", "glue:UpdateTable"),
		permit("MakeQueries", []string{arn("athena", "workgroup/*")},
			"athena:CreateNamedQuery", "athena:CreateWorkGroup", "athena:DeleteNamedQuery", "athena:DeleteWorkGroup", "athena:GetNamedQuery", "athena:GetWorkGroup",
			"athena:TagResource", "athena:UntagResource", "athena:UpdateWorkGroup"),
	}
}
