//go:build integration

package dynamo_test

import (
	"context"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
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
	return func(tb testing.TB, now func() time.Time) store.Store {
		s := dynamo.Open(db, table(tb, db), dynamo.Options{Now: now})
		tb.Cleanup(func() {
			if err := s.Close(); err != nil {
				tb.Error(err)
			}
		})
		return s
	}
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

func TestConformance(t *testing.T) {
	rapidChecks(t, "15")
	storetest.Run(t, opening(connect(t, peers.DynamoDB(t))))
}

func TestAgreesWithMem(t *testing.T) {
	rapidChecks(t, "40")
	storetest.Agree(t, func(_ testing.TB, now func() time.Time) store.Store {
		s := store.OpenMem()
		s.Now = now
		return s
	}, opening(connect(t, peers.DynamoDB(t))))
}

func deleteTable(tb testing.TB, db *awsapi.DynamoDB, name string) {
	tb.Helper()
	if err := dynamo.Delete(context.WithoutCancel(tb.Context()), db, name); err != nil {
		tb.Error(err)
	}
}
