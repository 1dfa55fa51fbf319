//go:build integration

package collect_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/s3lake"
	"github.com/iamtrack/iamtrack/internal/peers"
)

func init() {
	bucketAt = func(ctx context.Context, url string) (lake.Bucket, error) {
		s, err := awsapi.Open(ctx, awsapi.Config{Alone: true, EndpointURL: url, Region: peers.Region,
			Keys: &awsapi.Keys{AccessKeyID: peers.AccessKeyID, SecretAccessKey: peers.SecretAccessKey}})
		if err != nil {
			return nil, err
		}
		b, err := s.Bucket(ctx, "lake")
		if err != nil {
			return nil, err
		}
		return s3lake.New(b, ""), nil
	}
}

// memoryGroup is a cgroup of 512 MB, as a file to join it by; empty where none can be
// made.
func memoryGroup(t *testing.T) string {
	for _, v := range [][2]string{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		dir := filepath.Join(v[0], "iamtrack-test-"+strconv.Itoa(os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if os.WriteFile(filepath.Join(dir, v[1]), []byte("536870912"), 0o600) == nil {
			return filepath.Join(dir, "cgroup.procs")
		}
	}
	return ""
}

// A day of a million events (IAMTRACK_TEST_EVENTS) is exported within 512 MB, by a
// process of its own, from a real S3 server, whatever way the events came.
func TestExportOfAMillionEvents(t *testing.T) {
	n := 200_000
	if text := os.Getenv("IAMTRACK_TEST_EVENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	group := memoryGroup(t)
	if group == "" {
		t.Log("no memory cgroup can be made here: only the peak of resident memory is looked at")
	}
	for name, inOrder := range map[string]bool{"batches in order of time": true, "batches over the whole day": false} {
		t.Run(name, func(t *testing.T) {
			url := peers.S3(t)
			peers.S3Bucket(t, url, "lake", false)
			b, err := bucketAt(context.Background(), url)
			if err != nil {
				t.Fatal(err)
			}
			e := exporter{where: url, db: filepath.Join(t.TempDir(), "iamtrack.db"), group: group, bucket: b}
			whole := time.Duration(n) * 20 * time.Microsecond // what it takes, or more
			e.check(t, n, inOrder, whole/9, whole/3, whole/2)
		})
	}
}
