package awsapi

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
)

// inputKey leads to what an operation was called with.
type inputKey struct{}

// remember keeps an operation's input for record: IAM asks for other permissions when,
// for example, an object's version is given.
func remember(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("iamtrack/remember", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
		middleware.InitializeOutput, middleware.Metadata, error,
	) {
		return next.HandleInitialize(middleware.WithStackValue(ctx, inputKey{}, in.Parameters), in)
	}), middleware.After)
}

// callsOf are the permissions that a request needs. resource is what the caller noted
// (see about).
//
// Source: Service Authorization Reference; for transactions Amazon DynamoDB Developer
// Guide, "Using IAM with DynamoDB transactions".
func callsOf(service, operation, region, resource string, input any) []Call {
	table := func(name *string, index ...string) string {
		arn := "arn:" + partitionOf(region) + ":dynamodb:" + region + ":*:table/" + aws.ToString(name)
		for _, i := range index {
			arn += "/index/" + i
		}
		return arn
	}
	calls := func(action string, resources ...string) (list []Call) {
		slices.Sort(resources)
		for _, r := range slices.Compact(resources) {
			list = append(list, Call{Action: action, Region: region, Resource: r})
		}
		return list
	}
	action := actionOf(service, operation)
	switch in := input.(type) {
	case *dynamodb.QueryInput:
		if in.IndexName != nil {
			return calls(action, table(in.TableName, *in.IndexName))
		}
		return calls(action, table(in.TableName))
	case *dynamodb.ScanInput:
		if in.IndexName != nil {
			return calls(action, table(in.TableName, *in.IndexName))
		}
		return calls(action, table(in.TableName))
	case *dynamodb.PutItemInput:
		return calls(action, table(in.TableName))
	case *dynamodb.GetItemInput:
		return calls(action, table(in.TableName))
	case *dynamodb.UpdateItemInput:
		return calls(action, table(in.TableName))
	case *dynamodb.DeleteItemInput:
		return calls(action, table(in.TableName))
	case *dynamodb.BatchGetItemInput:
		var tables []string
		for name := range in.RequestItems {
			tables = append(tables, table(&name))
		}
		return calls(action, tables...)
	case *dynamodb.BatchWriteItemInput:
		var tables []string
		for name := range in.RequestItems {
			tables = append(tables, table(&name))
		}
		return calls(action, tables...)
	case *dynamodb.TransactWriteItemsInput:
		var list []Call
		for i := range in.TransactItems {
			w := &in.TransactItems[i]
			switch {
			case w.Put != nil:
				list = append(list, calls("dynamodb:PutItem", table(w.Put.TableName))...)
			case w.Update != nil:
				list = append(list, calls("dynamodb:UpdateItem", table(w.Update.TableName))...)
			case w.Delete != nil:
				list = append(list, calls("dynamodb:DeleteItem", table(w.Delete.TableName))...)
			case w.ConditionCheck != nil:
				list = append(list, calls("dynamodb:ConditionCheckItem", table(w.ConditionCheck.TableName))...)
			}
		}
		slices.SortFunc(list, func(a, b Call) int { return strings.Compare(a.Action+a.Resource, b.Action+b.Resource) })
		return slices.Compact(list)
	case *dynamodb.TransactGetItemsInput:
		var tables []string
		for i := range in.TransactItems {
			if g := in.TransactItems[i].Get; g != nil {
				tables = append(tables, table(g.TableName))
			}
		}
		return calls("dynamodb:GetItem", tables...)
	case *dynamodb.DescribeTableInput:
		return calls(action, table(in.TableName))
	case *dynamodb.CreateTableInput:
		return calls(action, table(in.TableName))
	case *dynamodb.DeleteTableInput:
		return calls(action, table(in.TableName))
	case *dynamodb.UpdateTimeToLiveInput:
		return calls(action, table(in.TableName))
	case *dynamodb.DescribeTimeToLiveInput:
		return calls(action, table(in.TableName))
	case *s3.GetObjectInput:
		if in.VersionId != nil {
			action = "s3:GetObjectVersion"
		}
	case *s3.HeadObjectInput:
		if in.VersionId != nil {
			action = "s3:GetObjectVersion"
		}
	case *s3.DeleteObjectInput:
		if in.VersionId != nil {
			action = "s3:DeleteObjectVersion"
		}
	}
	return calls(action, resource)
}
