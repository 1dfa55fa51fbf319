package dynamo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/store"
)

// version is that of the items. A greater one in a table is refused; what is only
// added needs none.
const version = 1

// The indexes, with their keys.
const (
	principalIndex = "principal" // gp, t
	nameIndex      = "name"      // gn, t
)

var indexKeys = map[string]string{principalIndex: "gp", nameIndex: "gn"}

// TableOptions say how a table is paid for.
type TableOptions struct {
	// Read and Write are provisioned capacity units, of the table and of each
	// index; both 0: on demand.
	Read, Write int64
}

// TTLAttribute has the time when an item expires, in seconds since the epoch.
const TTLAttribute = "x"

// Definition is a table as Create makes it: its keys and indexes.
func Definition(table string, o TableOptions) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName: aws.String(table), BillingMode: types.BillingModePayPerRequest, KeySchema: keySchema("pk", "sk"),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("t"), AttributeType: types.ScalarAttributeTypeN},
		},
	}
	var provisioned *types.ProvisionedThroughput
	if o.Read > 0 || o.Write > 0 {
		in.BillingMode = types.BillingModeProvisioned
		provisioned = &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(o.Read), WriteCapacityUnits: aws.Int64(o.Write)}
		in.ProvisionedThroughput = provisioned
	}
	for _, name := range []string{principalIndex, nameIndex} {
		in.AttributeDefinitions = append(in.AttributeDefinitions,
			types.AttributeDefinition{AttributeName: aws.String(indexKeys[name]), AttributeType: types.ScalarAttributeTypeS})
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: aws.String(name), KeySchema: keySchema(indexKeys[name], "t"), ProvisionedThroughput: provisioned,
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		})
	}
	return in
}

// Create makes a table and waits until it can be used: its keys, indexes and expiry.
// A table that is there already is an error. Permissions: dynamodb:CreateTable,
// dynamodb:DescribeTable, dynamodb:UpdateTimeToLive.
func Create(ctx context.Context, db *awsapi.DynamoDB, table string, o TableOptions) error {
	s, in := Open(db, table, Options{}), Definition(table, o)
	if err := s.call(ctx, "CreateTable", func(ctx context.Context) error {
		_, err := db.CreateTable(ctx, in)
		return err
	}); err != nil {
		return err
	}
	for {
		about, err := s.describe(ctx)
		if err != nil {
			return err
		}
		if about.TableStatus == types.TableStatusActive && !slices.ContainsFunc(about.GlobalSecondaryIndexes, building) {
			break
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return s.call(ctx, "UpdateTimeToLive", func(ctx context.Context) error {
		_, err := db.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: aws.String(table),
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(TTLAttribute), Enabled: aws.Bool(true)}})
		return err
	})
}

func building(i types.GlobalSecondaryIndexDescription) bool {
	return i.IndexStatus != types.IndexStatusActive
}

func keySchema(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: aws.String(hash), KeyType: types.KeyTypeHash},
		{AttributeName: aws.String(sort), KeyType: types.KeyTypeRange},
	}
}

func (s *Store) describe(ctx context.Context) (*types.TableDescription, error) {
	var out *dynamodb.DescribeTableOutput
	err := s.call(ctx, "DescribeTable", func(ctx context.Context) (err error) {
		out, err = s.db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(s.table)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return out.Table, nil
}

// Check looks whether the table is what this version needs: its keys, indexes,
// expiry, and the version of what is in it. Permissions: dynamodb:DescribeTable,
// dynamodb:DescribeTimeToLive, dynamodb:BatchGetItem.
func (s *Store) Check(ctx context.Context) error {
	about, err := s.describe(ctx)
	if err != nil {
		return err
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("table %s in %s %s: update the stack that it belongs to", s.table, s.db.Region(), fmt.Sprintf(format, args...))
	}
	if !sameKeys(about.KeySchema, "pk", "sk") {
		return wrong("has other keys than pk and sk: is it another program's?")
	}
	for _, name := range []string{principalIndex, nameIndex} {
		i := slices.IndexFunc(about.GlobalSecondaryIndexes, func(g types.GlobalSecondaryIndexDescription) bool { return aws.ToString(g.IndexName) == name })
		switch {
		case i < 0:
			return wrong("has no index %s", name)
		case !sameKeys(about.GlobalSecondaryIndexes[i].KeySchema, indexKeys[name], "t"):
			return wrong("has an index %s with other keys than %s and t", name, indexKeys[name])
		case building(about.GlobalSecondaryIndexes[i]):
			return fmt.Errorf("table %s in %s: its index %s is being made: try again in some minutes", s.table, s.db.Region(), name)
		}
	}
	if s.o.Keep > 0 {
		var out *dynamodb.DescribeTimeToLiveOutput
		if err := s.call(ctx, "DescribeTimeToLive", func(ctx context.Context) (err error) {
			out, err = s.db.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: aws.String(s.table)})
			return err
		}); err != nil {
			return err
		}
		if d := out.TimeToLiveDescription; d == nil || aws.ToString(d.AttributeName) != TTLAttribute ||
			d.TimeToLiveStatus != types.TimeToLiveStatusEnabled && d.TimeToLiveStatus != types.TimeToLiveStatusEnabling {
			return wrong("doesn't expire items by the attribute %s", TTLAttribute)
		}
	}
	return s.checkVersion(ctx)
}

func sameKeys(have []types.KeySchemaElement, hash, sort string) bool {
	return slices.EqualFunc(have, keySchema(hash, sort), func(a, b types.KeySchemaElement) bool {
		return aws.ToString(a.AttributeName) == aws.ToString(b.AttributeName) && a.KeyType == b.KeyType
	})
}

var versionKey = key{"version", "version"}

// checkVersion refuses a table with items of a newer version. In a new table it
// leaves this one's, if it may write.
func (s *Store) checkVersion(ctx context.Context) error {
	found, err := s.get(ctx, []key{versionKey})
	if err != nil {
		return err
	}
	it, ok := found[versionKey]
	if !ok {
		it = versionKey.item()
		it["v"] = num(version)
		_, _, err := s.put(ctx, it, absent)
		if errors.Is(err, awsapi.ErrDenied) {
			return nil // a reader of an empty table
		}
		return err
	}
	if v := getNumber(it, "v"); v > version {
		return fmt.Errorf("table %s in %s has items of version %d, this program knows %d: %w: update it", s.table, s.db.Region(), v, version, store.ErrNewer)
	}
	return nil
}

// Delete removes a table with all that is in it.
func Delete(ctx context.Context, db *awsapi.DynamoDB, table string) error {
	return Open(db, table, Options{}).call(ctx, "DeleteTable", func(ctx context.Context) error {
		_, err := db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String(table)})
		return err
	})
}
