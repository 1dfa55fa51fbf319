package dynamo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/event"
)

// ByPrincipal yields the events of a principal (see Principal) from since, newest
// first, as far as the table keeps them; times are in ms since 1970, until is not in.
// An event that was put within the last second or so may be missing: indexes follow
// the table.
func (s *Store) ByPrincipal(ctx context.Context, principal string, since, until int64) iter.Seq2[event.Event, error] {
	return s.byIndex(ctx, principalIndex, principal, since, until)
}

// ByName yields the events of a name, such as CreateUser, like ByPrincipal.
func (s *Store) ByName(ctx context.Context, name string, since, until int64) iter.Seq2[event.Event, error] {
	return s.byIndex(ctx, nameIndex, name, since, until)
}

// pointer is what an index tells of an event.
type pointer struct {
	key key
	ms  int64
}

func (s *Store) byIndex(ctx context.Context, index, value string, since, until int64) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		err := s.read(ctx, func(ctx context.Context) error {
			if until <= since || !isPlain(value) {
				return nil
			}
			days, err := s.days(ctx)
			if err != nil {
				return err
			}
			var part []pointer
			flush := func() error {
				keys := make([]key, len(part))
				for i, p := range part {
					keys[i] = p.key
				}
				found, err := s.get(ctx, keys)
				if err != nil {
					return err
				}
				for _, p := range part {
					it := found[p.key]
					// The index may tell of a content that has lost since, or of a day that
					// is gone.
					if it == nil || getNumber(it, "t") != p.ms || days[event.DateOf(p.ms)].epoch != getString(it, "g") {
						continue
					}
					e, err := s.eventOf(ctx, it)
					if err != nil {
						return err
					}
					if !yield(e, nil) {
						return errStop
					}
				}
				part = part[:0]
				return nil
			}
			for p, err := range s.newest(ctx, index, value, since, until) {
				if err != nil {
					return err
				}
				if part = append(part, p); len(part) == mostGets {
					if err := flush(); err != nil {
						return err
					}
				}
			}
			return flush()
		})
		if err != nil && err != errStop { //nolint:errorlint // it is never wrapped
			yield(event.Event{}, err)
		}
	}
}

// newest merges the shards of an index by time.
func (s *Store) newest(ctx context.Context, index, value string, since, until int64) iter.Seq2[pointer, error] {
	return func(yield func(pointer, error) bool) {
		type shard struct {
			next func() (item, error, bool)
			head item
		}
		var open []shard
		for i := range shards {
			next, stop := iter.Pull2(s.pages(ctx, &dynamodb.QueryInput{
				TableName: aws.String(s.table), IndexName: aws.String(index), ScanIndexForward: aws.Bool(false), ReturnConsumedCapacity: s.capacity(),
				KeyConditionExpression:    aws.String(indexKeys[index] + " = :v AND t BETWEEN :since AND :until"),
				ExpressionAttributeValues: item{":v": str(join(strconv.Itoa(i), value)), ":since": num(since), ":until": num(until - 1)},
			}))
			defer stop()
			open = append(open, shard{next: next})
		}
		advance := func(i int) error {
			it, err, ok := open[i].next()
			if err != nil {
				return s.explainIndex(index, err)
			}
			if open[i].head = it; !ok {
				open[i].head = nil
			}
			return nil
		}
		for i := range open {
			if err := advance(i); err != nil {
				yield(pointer{}, err)
				return
			}
		}
		for {
			newest := -1
			for i := range open {
				if open[i].head != nil && (newest < 0 || getNumber(open[i].head, "t") > getNumber(open[newest].head, "t")) {
					newest = i
				}
			}
			if newest < 0 {
				return
			}
			it := open[newest].head
			if !yield(pointer{keyOf(it), getNumber(it, "t")}, nil) {
				return
			}
			if err := advance(newest); err != nil {
				yield(pointer{}, err)
				return
			}
		}
	}
}

// explainIndex says what to do about a table without an index.
func (s *Store) explainIndex(index string, err error) error {
	var e *awsapi.Error
	if errors.As(err, &e) && e.Code == "ValidationException" {
		return fmt.Errorf("table %s in %s has no index %s, or it is being made: update the stack that it belongs to: %w", s.table, s.db.Region(), index, err)
	}
	return err
}
