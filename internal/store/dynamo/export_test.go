//go:build integration

package dynamo

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// Later lets writers of this process believe that it is later, until the test ends.
func Later(t *testing.T, d time.Duration) {
	old := wall
	wall = func() time.Time { return time.Now().Add(d) }
	t.Cleanup(func() { wall = old })
}

// MakeNewer leaves what a newer version of the program would.
func MakeNewer(ctx context.Context, db *awsapi.DynamoDB, table string) error {
	it := versionKey.item()
	it["v"] = num(version + 1)
	_, _, err := Open(db, table, Options{}).put(ctx, it, condition{})
	return err
}

// CreateBare makes a table without indexes.
func CreateBare(ctx context.Context, db *awsapi.DynamoDB, table string) error {
	_, err := db.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String(table), BillingMode: types.BillingModePayPerRequest, KeySchema: keySchema("pk", "sk"),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
	})
	return err
}
