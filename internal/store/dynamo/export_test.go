//go:build integration

package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/coverage"
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

// LargeKey is where a value is kept.
var LargeKey = largeKey

// MakeOldReference has the ledger of a stream refer to its value as a program did that
// had no folders; it returns where that kept it.
func MakeOldReference(ctx context.Context, db *awsapi.DynamoDB, table string, stream coverage.Stream, sum string) (string, error) {
	_, _, err := Open(db, table, Options{}).update(ctx, streamKey(stream), "SET l = :l", item{":l": str(sum)}, condition{"attribute_exists(l)", nil})
	old := sha256.Sum256([]byte(sum))
	return "large/" + hex.EncodeToString(old[:]), err
}
