package awsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Table is a table of DynamoDB that is read as a whole.
type Table struct {
	db   *DynamoDB
	name string
}

// Table returns a table of the session's region. It asks nobody.
func (s *Session) Table(name string) *Table { return &Table{db: s.DynamoDB(""), name: name} }

// TableInfo is what DynamoDB tells of a table.
type TableInfo struct {
	Name      string
	AccountID string   // of the table's ARN
	Keys      []string // attributes of the primary key
	// Items and Bytes are about six hours old.
	Items, Bytes int64
}

// Describe asks about the table. Permission: dynamodb:DescribeTable.
func (t *Table) Describe(ctx context.Context) (TableInfo, error) {
	var out *dynamodb.DescribeTableOutput
	err := t.db.Do(ctx, "look at the table", "dynamodb:DescribeTable", t.name, func(ctx context.Context) (err error) {
		out, err = t.db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(t.name)})
		return err
	})
	var none *types.ResourceNotFoundException
	if errors.As(err, &none) {
		return TableInfo{}, fmt.Errorf("there is no table %s in %s: %w", t.name, t.db.Region(), err)
	}
	if err != nil {
		return TableInfo{}, err
	}
	about := out.Table
	info := TableInfo{Name: aws.ToString(about.TableName), Items: aws.ToInt64(about.ItemCount), Bytes: aws.ToInt64(about.TableSizeBytes)}
	if parts := strings.Split(aws.ToString(about.TableArn), ":"); len(parts) > 4 {
		info.AccountID = parts[4]
	}
	for _, k := range about.KeySchema {
		info.Keys = append(info.Keys, aws.ToString(k.AttributeName))
	}
	return info, nil
}

// TablePage is a part of a table.
type TablePage struct {
	Items []map[string]string // text of each attribute; see Table.Scan
	// Next is where to go on, in a form of its own; empty at the end.
	Next string
	// Units is how many read units it took.
	Units float64
}

// Scan reads a page, from the beginning or where an earlier one ended. Strings and
// numbers are their text, binary values are left out like nulls, all others are JSON.
// While the table has no capacity for it, it waits. Permission: dynamodb:Scan.
func (t *Table) Scan(ctx context.Context, from string) (TablePage, error) {
	in := &dynamodb.ScanInput{TableName: aws.String(t.name), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal}
	if from != "" {
		var key map[string]string
		if err := json.Unmarshal([]byte(from), &key); err != nil {
			return TablePage{}, fmt.Errorf("go on with table %s from %q: %w", t.name, from, err)
		}
		in.ExclusiveStartKey = map[string]types.AttributeValue{}
		for name, v := range key {
			in.ExclusiveStartKey[name] = &types.AttributeValueMemberS{Value: v}
		}
	}
	var out *dynamodb.ScanOutput
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := t.db.Do(ctx, "read the table", "dynamodb:Scan", t.name, func(ctx context.Context) (err error) {
			out, err = t.db.Client.Scan(ctx, in)
			return err
		})
		if err == nil {
			break
		}
		if !errors.Is(err, ErrThrottled) {
			return TablePage{}, err
		}
		select {
		case <-ctx.Done():
			return TablePage{}, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
	p := TablePage{}
	if out.ConsumedCapacity != nil {
		p.Units = aws.ToFloat64(out.ConsumedCapacity.CapacityUnits)
	}
	for _, it := range out.Items {
		p.Items = append(p.Items, textsOf(it))
	}
	if len(out.LastEvaluatedKey) == 0 {
		return p, nil
	}
	next := map[string]string{}
	for name, v := range out.LastEvaluatedKey {
		s, ok := v.(*types.AttributeValueMemberS)
		if !ok {
			return TablePage{}, fmt.Errorf("the key %s of table %s is no string", name, t.name)
		}
		next[name] = s.Value
	}
	text, err := json.Marshal(next)
	p.Next = string(text)
	return p, err
}

func textsOf(it map[string]types.AttributeValue) map[string]string {
	out := make(map[string]string, len(it))
	for name, v := range it {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			out[name] = v.Value
		case *types.AttributeValueMemberN:
			out[name] = v.Value
		case *types.AttributeValueMemberBOOL, *types.AttributeValueMemberM, *types.AttributeValueMemberL:
			if text, err := json.Marshal(plain(v)); err == nil { // it has strings and numbers only
				out[name] = string(text)
			}
		}
	}
	return out
}

// plain is a value as JSON has it; nil for what JSON hasn't.
func plain(v types.AttributeValue) any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return json.Number(v.Value)
	case *types.AttributeValueMemberBOOL:
		return v.Value
	case *types.AttributeValueMemberL:
		list := make([]any, len(v.Value))
		for i, x := range v.Value {
			list[i] = plain(x)
		}
		return list
	case *types.AttributeValueMemberM:
		m := make(map[string]any, len(v.Value))
		for k, x := range v.Value {
			m[k] = plain(x)
		}
		return m
	}
	return nil
}
