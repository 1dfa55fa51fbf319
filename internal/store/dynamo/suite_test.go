//go:build integration

package dynamo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/awsapi/callstest"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/store/dynamo"
	"github.com/iamtrack/iamtrack/internal/store/storetest"
)

// connect returns the DynamoDB at a URL.
func connect(tb testing.TB, url string, change ...func(*awsapi.Config)) *awsapi.DynamoDB {
	tb.Helper()
	c := awsapi.Config{EndpointURL: url, Region: "eu-west-1", Alone: true, Keys: &awsapi.Keys{AccessKeyID: "AKIDTEST", SecretAccessKey: "test"}}
	for _, f := range change {
		f(&c)
	}
	s, err := awsapi.Open(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	return s.DynamoDB("")
}

var tables atomic.Int64

// table makes a new table, which goes with the test.
func table(tb testing.TB, db *awsapi.DynamoDB) string {
	tb.Helper()
	name := fmt.Sprintf("iamtrack-%d", tables.Add(1))
	if err := dynamo.Create(tb.Context(), db, name, dynamo.TableOptions{}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { deleteTable(tb, db, name) })
	return name
}

func opening(db *awsapi.DynamoDB) storetest.Open {
	return func(tb testing.TB, now func() time.Time) store.Store { return openTable(tb, db, table(tb, db), now) }
}

func openTable(tb testing.TB, db *awsapi.DynamoDB, name string, now func() time.Time) store.Store {
	s := dynamo.Open(db, name, dynamo.Options{Now: now})
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// rapidChecks bounds how many random cases are tried: each makes tables.
func rapidChecks(t *testing.T, n string) {
	t.Helper()
	old := flag.Lookup("rapid.checks").Value.String()
	if err := flag.Set("rapid.checks", n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set("rapid.checks", old) }) // it was that before
}

// The suite also finds what the store asks for: no more and no less than the list says.
func TestConformance(t *testing.T) {
	rapidChecks(t, "15")
	url := peers.DynamoDB(t)
	var calls callstest.Recorder
	admin := connect(t, url)
	db := connect(t, url, func(c *awsapi.Config) {
		record := calls.As(callstest.Store)
		c.Record = func(call awsapi.Call) {
			call.Resource = anyTable.ReplaceAllString(call.Resource, "table")
			record(call)
		}
	})
	t.Run("suite", func(t *testing.T) {
		storetest.Run(t, func(tb testing.TB, now func() time.Time) store.Store {
			return openTable(tb, db, table(tb, admin), now)
		})
	})
	// And what only who holds a lease does.
	s := openTable(t, db, table(t, admin), time.Now)
	lease, err := s.Acquire(t.Context(), "lake", "one", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DayExported(lease.(store.Guard).Guard(t.Context()), 0, store.LakeDay{Date: 5, Events: 1}); err != nil {
		t.Fatal(err)
	}
	calls.Check(t, callstest.Store)
}

var anyTable = regexp.MustCompile(`^arn:aws:dynamodb:eu-west-1:\*:table/iamtrack-\d+`)

// TestAgreesWithMem: each answer of the table is cut into pages of two items, where AWS
// cuts them at 1 MB (DynamoDB API Reference, "Query").
func TestAgreesWithMem(t *testing.T) {
	rapidChecks(t, "40")
	url := peers.DynamoDB(t)
	var further atomic.Int64
	db := connect(t, url, func(c *awsapi.Config) {
		c.HTTPClient = httpFunc(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Query") {
				var in map[string]any
				if err := errors.Join(json.NewDecoder(r.Body).Decode(&in), r.Body.Close()); err != nil {
					return nil, err
				}
				in["Limit"] = 2
				if in["ExclusiveStartKey"] != nil {
					further.Add(1)
				}
				body, err := json.Marshal(in)
				if err != nil {
					return nil, err
				}
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				r.Header.Del("Content-Length")
			}
			return http.DefaultTransport.RoundTrip(r)
		})
	})
	storetest.Agree(t, func(_ testing.TB, now func() time.Time) store.Store {
		s := store.OpenMem()
		s.Now = now
		return s
	}, opening(db))
	if further.Load() == 0 {
		t.Error("no answer had a second page")
	}
}

func deleteTable(tb testing.TB, db *awsapi.DynamoDB, name string) {
	tb.Helper()
	if err := dynamo.Delete(context.WithoutCancel(tb.Context()), db, name); err != nil {
		tb.Error(err)
	}
}
