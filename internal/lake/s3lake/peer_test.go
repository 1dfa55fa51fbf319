//go:build integration

package s3lake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/laketest"
	"github.com/iamtrack/iamtrack/internal/lake/s3lake"
	"github.com/iamtrack/iamtrack/internal/peers"
)

// peerBuckets makes empty buckets of a real S3 server.
func peerBuckets(t *testing.T, versions bool) func(testing.TB) lake.Bucket {
	url, n := peers.S3(t), 0
	s, err := awsapi.Open(context.Background(), awsapi.Config{Alone: true, EndpointURL: url, Region: peers.Region,
		Keys: &awsapi.Keys{AccessKeyID: peers.AccessKeyID, SecretAccessKey: peers.SecretAccessKey}})
	if err != nil {
		t.Fatal(err)
	}
	return func(tb testing.TB) lake.Bucket {
		n++
		name := fmt.Sprintf("lake-%d", n)
		peers.S3Bucket(tb, url, name, versions)
		b, err := s.Bucket(context.Background(), name)
		if err != nil {
			tb.Fatal(err)
		}
		return s3lake.New(b, "lake/")
	}
}

// The suites over a bucket without versions: versitygw 1.8.0 takes the mark that a
// deletion leaves in one with versions for an object, which S3 doesn't (User Guide,
// "How to prevent object overwrites with conditional writes"); that is tested over
// fakeS3.
func TestBucketOnAPeer(t *testing.T) { laketest.Bucket(t, peerBuckets(t, false)) }

func TestLakeOnAPeer(t *testing.T) { laketest.Lake(t, peerBuckets(t, false)) }

func TestReplacedWhileReadOnAPeer(t *testing.T) {
	for _, versions := range []bool{true, false} {
		b := peerBuckets(t, versions)(t)
		old := laketest.Put(t, b, "large", large, "")
		r, err := b.Open(context.Background(), "large")
		if err != nil {
			t.Fatal(err)
		}
		laketest.Put(t, b, "large", []byte("another"), old.ETag)
		p := make([]byte, 100)
		_, err = r.ReadAt(p, int64(len(large))-100)
		switch {
		case versions && (err != nil || !bytes.Equal(p, large[len(large)-100:])):
			t.Errorf("with versions: %q, %v", p, err)
		case !versions && !errors.Is(err, lake.ErrChanged):
			t.Errorf("without versions: %v, want ErrChanged", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
