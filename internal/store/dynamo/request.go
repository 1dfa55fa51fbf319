package dynamo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// Limits of one request (DynamoDB Developer Guide, "Quotas").
const (
	mostGets     = 100
	mostWrites   = 25
	mostTogether = 100 // of a transaction
)

// atOnce is how many requests of a call are under way at a time.
const atOnce = 16

// patience is how long a request is repeated that the table has no capacity for,
// when its context has no deadline.
const patience = 2 * time.Minute

// item is a row of the table.
type item = map[string]types.AttributeValue

// key is the primary key of an item.
type key struct{ pk, sk string }

func (k key) item() item { return item{"pk": str(k.pk), "sk": str(k.sk)} }

func keyOf(it item) key { return key{getString(it, "pk"), getString(it, "sk")} }

// call sends a request until the table has the capacity for it, and no transaction of
// others is under way on the same items, which the SDK takes for an error.
func (s *Store) call(ctx context.Context, action string, send func(context.Context) error) error {
	limit := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		limit = d
	}
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := s.db.Do(ctx, ops[action], "dynamodb:"+action, s.table, send)
		if err == nil {
			return nil
		}
		kind := awsapi.KindOf(err)
		if kind != awsapi.Throttled && !conflicting(err) || time.Now().Add(wait).After(limit) {
			if kind == awsapi.Throttled || kind == awsapi.Other {
				err = fmt.Errorf("dynamodb:%s on table %s: %w", action, s.table, err)
			}
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// conflicting tells a request that met somebody else's transaction.
//
// Source: Amazon DynamoDB Developer Guide, "Amazon DynamoDB Transactions: How it works",
// "Transactional conflict handling".
func conflicting(err error) bool {
	var e *awsapi.Error
	return errors.As(err, &e) && (e.Code == "TransactionConflictException" || e.Code == "TransactionInProgressException")
}

// ops say what an action does, for people.
var ops = map[string]string{
	"BatchGetItem": "read the store", "Query": "read the store", "PutItem": "write to the store", "UpdateItem": "write to the store",
	"DeleteItem": "delete from the store", "BatchWriteItem": "write to the store", "TransactWriteItems": "write to the store",
	"DeleteTable": "delete the store's table", "CreateTable": "create the store's table", "DescribeTable": "look at the store's table", "UpdateTimeToLive": "set the expiry of the store's table",
	"DescribeTimeToLive": "look at the expiry of the store's table",
}

// pause waits for half to one and a half of d.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// parallel calls f for 0 to n-1, some at a time, until one fails.
func parallel(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	if n == 1 {
		return f(ctx, 0)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return f(ctx, i)
		})
	}
	return g.Wait()
}

func (s *Store) capacity() types.ReturnConsumedCapacity {
	if s.o.Consumed == nil {
		return types.ReturnConsumedCapacityNone
	}
	return types.ReturnConsumedCapacityIndexes
}

func (s *Store) consumed(action string, write bool, list ...types.ConsumedCapacity) {
	if s.o.Consumed == nil {
		return
	}
	c := Capacity{Action: action}
	for i := range list {
		if write {
			c.Write += aws.ToFloat64(list[i].CapacityUnits)
		} else {
			c.Read += aws.ToFloat64(list[i].CapacityUnits)
		}
	}
	s.o.Consumed(c)
}

func one(c *types.ConsumedCapacity) []types.ConsumedCapacity {
	if c == nil {
		return nil
	}
	return []types.ConsumedCapacity{*c}
}

// get reads items by key; what isn't there has no entry. attributes, when given, are
// all that is read.
func (s *Store) get(ctx context.Context, keys []key, attributes ...string) (map[key]item, error) {
	distinct := make(map[key]bool, len(keys))
	list := make([]item, 0, len(keys))
	for _, k := range keys {
		if !distinct[k] {
			distinct[k] = true
			list = append(list, k.item())
		}
	}
	found := make(map[key]item, len(list))
	var mu sync.Mutex
	err := parallel(ctx, (len(list)+mostGets-1)/mostGets, func(ctx context.Context, i int) error {
		wanted := list[i*mostGets : min(len(list), (i+1)*mostGets)]
		return s.getSome(ctx, wanted, attributes, func(it item) {
			mu.Lock()
			defer mu.Unlock()
			found[keyOf(it)] = it
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// getSome reads at most mostGets items.
func (s *Store) getSome(ctx context.Context, wanted []item, attributes []string, take func(item)) error {
	ask := types.KeysAndAttributes{Keys: wanted, ConsistentRead: aws.Bool(true)}
	if len(attributes) > 0 {
		ask.ProjectionExpression = aws.String("pk, sk, " + strings.Join(attributes, ", "))
	}
	for wait := 20 * time.Millisecond; len(ask.Keys) > 0; wait = min(2*wait, 5*time.Second) {
		var out *dynamodb.BatchGetItemOutput
		err := s.call(ctx, "BatchGetItem", func(ctx context.Context) (err error) {
			out, err = s.db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
				RequestItems: map[string]types.KeysAndAttributes{s.table: ask}, ReturnConsumedCapacity: s.capacity(),
			})
			return err
		})
		if err != nil {
			return err
		}
		s.consumed("BatchGetItem", false, out.ConsumedCapacity...)
		for _, it := range out.Responses[s.table] {
			take(it)
		}
		ask.Keys = out.UnprocessedKeys[s.table].Keys
		if len(ask.Keys) > 0 && len(out.Responses[s.table]) == 0 {
			if err := pause(ctx, wait); err != nil {
				return err
			}
		}
	}
	return nil
}

// condition is an expression with the values that it names.
type condition struct {
	text   string
	values item
}

// absent holds for a key that has no item.
var absent = condition{text: "attribute_not_exists(pk)"}

// between asks for a part of a partition, in the order of the sort key.
type between struct {
	prefix   string // of sort keys
	from, to string // inclusive; both empty: all
	filter   string // of what is read, which costs all the same
}

// query yields the items of a partition; it reads to the end, page after page.
func (s *Store) query(ctx context.Context, pk string, b between) iter.Seq2[item, error] {
	in := &dynamodb.QueryInput{
		TableName: aws.String(s.table), ConsistentRead: aws.Bool(true), ReturnConsumedCapacity: s.capacity(),
		KeyConditionExpression: aws.String("pk = :pk"), ExpressionAttributeValues: item{":pk": str(pk)},
	}
	switch {
	case b.prefix != "":
		in.KeyConditionExpression = aws.String("pk = :pk AND begins_with(sk, :sk)")
		in.ExpressionAttributeValues[":sk"] = str(b.prefix)
	case b.from != "" || b.to != "":
		in.KeyConditionExpression = aws.String("pk = :pk AND sk BETWEEN :from AND :to")
		in.ExpressionAttributeValues[":from"], in.ExpressionAttributeValues[":to"] = str(b.from), str(b.to)
	}
	if b.filter != "" {
		in.FilterExpression = aws.String(b.filter)
	}
	return s.pages(ctx, in)
}

// pages yields the items of a query.
func (s *Store) pages(ctx context.Context, in *dynamodb.QueryInput) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		in := *in // it may be read again from the start
		for {
			var out *dynamodb.QueryOutput
			err := s.call(ctx, "Query", func(ctx context.Context) (err error) {
				out, err = s.db.Query(ctx, &in)
				return err
			})
			if err != nil {
				yield(nil, err)
				return
			}
			s.consumed("Query", false, one(out.ConsumedCapacity)...)
			for _, it := range out.Items {
				if !yield(it, nil) {
					return
				}
			}
			if len(out.LastEvaluatedKey) == 0 {
				return
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}

// countItems counts the items of a partition.
func (s *Store) countItems(ctx context.Context, pk string) (n int64, err error) {
	in := &dynamodb.QueryInput{
		TableName: aws.String(s.table), ConsistentRead: aws.Bool(true), ReturnConsumedCapacity: s.capacity(), Select: types.SelectCount,
		KeyConditionExpression: aws.String("pk = :pk"), ExpressionAttributeValues: item{":pk": str(pk)},
	}
	for {
		var out *dynamodb.QueryOutput
		err := s.call(ctx, "Query", func(ctx context.Context) (err error) {
			out, err = s.db.Query(ctx, in)
			return err
		})
		if err != nil {
			return 0, err
		}
		s.consumed("Query", false, one(out.ConsumedCapacity)...)
		n += int64(out.Count)
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 {
			return n, nil
		}
	}
}

// all gathers what a query yields.
func all(seq iter.Seq2[item, error]) (list []item, err error) {
	for it, err := range seq {
		if err != nil {
			return nil, err
		}
		list = append(list, it)
	}
	return list, nil
}

// put writes an item if the condition holds; a condition without text always does.
// old is what is there when it doesn't.
func (s *Store) put(ctx context.Context, it item, c condition) (done bool, old item, err error) {
	in := &dynamodb.PutItemInput{TableName: aws.String(s.table), Item: it, ReturnConsumedCapacity: s.capacity()}
	if c.text != "" {
		in.ConditionExpression = aws.String(c.text)
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
		if len(c.values) > 0 {
			in.ExpressionAttributeValues = c.values
		}
	}
	var out *dynamodb.PutItemOutput
	err = s.call(ctx, "PutItem", func(ctx context.Context) (err error) {
		done, old = true, nil
		out, err = s.db.PutItem(ctx, in)
		return unless(err, &done, &old)
	})
	if err != nil || !done {
		return false, old, err
	}
	s.consumed("PutItem", true, one(out.ConsumedCapacity)...)
	return true, nil, nil
}

// unless takes a condition that doesn't hold for an answer.
func unless(err error, done *bool, old *item) error {
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		*done, *old = false, failed.Item
		return nil
	}
	return err
}

// update changes an item, which is made if need be, if the condition holds. now is
// the item afterwards, or what is there when the condition doesn't hold.
func (s *Store) update(ctx context.Context, k key, expression string, values item, c condition) (done bool, now item, err error) {
	in := &dynamodb.UpdateItemInput{
		TableName: aws.String(s.table), Key: k.item(), UpdateExpression: aws.String(expression),
		ReturnValues: types.ReturnValueAllNew, ReturnConsumedCapacity: s.capacity(),
	}
	if c.text != "" {
		in.ConditionExpression = aws.String(c.text)
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	if len(values)+len(c.values) > 0 {
		in.ExpressionAttributeValues = item{}
		for _, m := range []item{values, c.values} {
			for name, v := range m {
				in.ExpressionAttributeValues[name] = v
			}
		}
	}
	var out *dynamodb.UpdateItemOutput
	err = s.call(ctx, "UpdateItem", func(ctx context.Context) (err error) {
		done, now = true, nil
		out, err = s.db.UpdateItem(ctx, in)
		return unless(err, &done, &now)
	})
	if err != nil || !done {
		return false, now, err
	}
	s.consumed("UpdateItem", true, one(out.ConsumedCapacity)...)
	return true, out.Attributes, nil
}

// remove deletes an item if the condition holds; deleting what isn't there succeeds
// when the condition permits it.
func (s *Store) remove(ctx context.Context, k key, c condition) (done bool, err error) {
	in := &dynamodb.DeleteItemInput{TableName: aws.String(s.table), Key: k.item(), ReturnConsumedCapacity: s.capacity()}
	if c.text != "" {
		in.ConditionExpression = aws.String(c.text)
		if len(c.values) > 0 {
			in.ExpressionAttributeValues = c.values
		}
	}
	var out *dynamodb.DeleteItemOutput
	err = s.call(ctx, "DeleteItem", func(ctx context.Context) (err error) {
		var old item
		done = true
		out, err = s.db.DeleteItem(ctx, in)
		return unless(err, &done, &old)
	})
	if err != nil || !done {
		return false, err
	}
	s.consumed("DeleteItem", true, one(out.ConsumedCapacity)...)
	return true, nil
}

// writeAll puts and deletes without condition; some of it may be done when it
// fails. No key may come twice.
func (s *Store) writeAll(ctx context.Context, puts []item, deletes []key) error {
	requests := make([]types.WriteRequest, 0, len(puts)+len(deletes))
	for _, it := range puts {
		requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}})
	}
	for _, k := range deletes {
		requests = append(requests, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: k.item()}})
	}
	return parallel(ctx, (len(requests)+mostWrites-1)/mostWrites, func(ctx context.Context, i int) error {
		rest := requests[i*mostWrites : min(len(requests), (i+1)*mostWrites)]
		for wait := 20 * time.Millisecond; len(rest) > 0; wait = min(2*wait, 5*time.Second) {
			var out *dynamodb.BatchWriteItemOutput
			err := s.call(ctx, "BatchWriteItem", func(ctx context.Context) (err error) {
				out, err = s.db.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
					RequestItems: map[string][]types.WriteRequest{s.table: rest}, ReturnConsumedCapacity: s.capacity(),
				})
				return err
			})
			if err != nil {
				return err
			}
			s.consumed("BatchWriteItem", true, out.ConsumedCapacity...)
			if rest = out.UnprocessedItems[s.table]; len(rest) > 0 {
				if err := pause(ctx, wait); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// transact writes all or nothing; failed are the indexes of writes whose condition
// doesn't hold.
func (s *Store) transact(ctx context.Context, writes []types.TransactWriteItem) (failed []int, err error) {
	in := &dynamodb.TransactWriteItemsInput{TransactItems: writes, ReturnConsumedCapacity: s.capacity(), ClientRequestToken: aws.String(randomID() + randomID())}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		var out *dynamodb.TransactWriteItemsOutput
		again := false
		err := s.call(ctx, "TransactWriteItems", func(ctx context.Context) (err error) {
			failed, again = nil, false
			out, err = s.db.TransactWriteItems(ctx, in)
			var cancelled *types.TransactionCanceledException
			if !errors.As(err, &cancelled) {
				return err
			}
			for i := range cancelled.CancellationReasons {
				switch aws.ToString(cancelled.CancellationReasons[i].Code) {
				case "ConditionalCheckFailed":
					failed = append(failed, i)
				case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
					again = true
				}
			}
			if again || len(failed) > 0 {
				return nil
			}
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case again:
			if err := pause(ctx, wait); err != nil {
				return nil, err
			}
			in.ClientRequestToken = aws.String(randomID() + randomID())
			continue
		case len(failed) == 0:
			s.consumed("TransactWriteItems", true, out.ConsumedCapacity...)
		}
		return failed, nil
	}
}

// putting and updating are writes of a transaction.
func (s *Store) putting(it item, c condition) types.TransactWriteItem {
	p := &types.Put{TableName: aws.String(s.table), Item: it}
	if c.text != "" {
		p.ConditionExpression = aws.String(c.text)
		p.ExpressionAttributeValues = c.values
	}
	return types.TransactWriteItem{Put: p}
}

func (s *Store) updating(k key, expression string, values item, c condition) types.TransactWriteItem {
	u := &types.Update{TableName: aws.String(s.table), Key: k.item(), UpdateExpression: aws.String(expression), ExpressionAttributeValues: item{}}
	for _, m := range []item{values, c.values} {
		for name, v := range m {
			u.ExpressionAttributeValues[name] = v
		}
	}
	if len(u.ExpressionAttributeValues) == 0 {
		u.ExpressionAttributeValues = nil
	}
	if c.text != "" {
		u.ConditionExpression = aws.String(c.text)
	}
	return types.TransactWriteItem{Update: u}
}

// conflicted is the error of a write that others overtook again and again.
func (s *Store) conflicted(what string) error {
	return fmt.Errorf("%s in table %s: others write to the same rows all the time: try again", what, s.table)
}
