//go:build integration

package peers

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// dynamoDBVersion is that of com.amazonaws:DynamoDBLocal, for Java 17 or later.
const dynamoDBVersion = "2.6.1"

// dynamoDBSum lists its files: SHA-256 and path on Maven Central. Made by `mvn
// dependency:copy-dependencies -DincludeScope=runtime` of com.amazonaws:DynamoDBLocal,
// without the native libraries of other systems.
//
//go:embed dynamodb.sum
var dynamoDBSum string

// DynamoDB starts DynamoDB Local with all it holds in memory, and returns its URL; it
// ends with the test. Any credentials are good; each access key id and region has
// tables of its own.
func DynamoDB(tb testing.TB) string {
	tb.Helper()
	dir, err := installDynamoDB(tb.Context())
	if err != nil {
		tb.Fatalf("install DynamoDB Local %s: %v", dynamoDBVersion, err)
	}
	work := tb.TempDir()
	return serve(tb, "DynamoDB Local", time.Minute, func(port string) *exec.Cmd {
		cmd := exec.Command("java", "-Xmx1g", "-XX:+UseSerialGC", //nolint:noctx // it ends with the test
			"-Dsqlite4java.library.path="+dir, "-cp", filepath.Join(dir, "*"),
			"com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-inMemory", "-port", port, "-disableTelemetry")
		cmd.Dir = work
		return cmd
	})
}

func installDynamoDB(ctx context.Context) (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("its native library is there for linux on amd64 only, this is %s on %s", runtime.GOOS, runtime.GOARCH)
	}
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("%w: install Java 17 or later", err)
	}
	return install(ctx, "dynamodb-local-"+dynamoDBVersion, dynamoDBSum, func(ctx context.Context, dir string) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(8)
		for line := range strings.Lines(dynamoDBSum) {
			field := strings.Fields(line)
			g.Go(func() error {
				data, err := download(ctx, mavenCentral+field[1], field[0])
				if err != nil {
					return err
				}
				return os.WriteFile(filepath.Join(dir, filepath.Base(field[1])), data, 0o600)
			})
		}
		return g.Wait()
	})
}

// Absent counts the reads that found nothing, which DynamoDB charges as one of the
// smallest size (Amazon DynamoDB Developer Guide, "DynamoDB read and write operations"),
// and DynamoDB Local doesn't count. It is a client of HTTP.
type Absent struct {
	client http.Client
	reads  atomic.Int64
}

// Units is how many read units they took, all consistent reads.
func (a *Absent) Units() float64 { return float64(a.reads.Load()) }

// Do sends a request.
func (a *Absent) Do(r *http.Request) (*http.Response, error) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var asked struct {
		RequestItems map[string]struct{ Keys []json.RawMessage }
	}
	if action == "BatchGetItem" {
		body, err := io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close(), json.Unmarshal(body, &asked)); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	resp, err := a.client.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var got struct {
		Count           *int
		Item            json.RawMessage
		Responses       map[string][]json.RawMessage
		UnprocessedKeys map[string]struct{ Keys []json.RawMessage }
	}
	switch action {
	case "GetItem", "Query", "BatchGetItem":
		if err := json.Unmarshal(body, &got); err != nil {
			return nil, err
		}
	}
	switch action {
	case "GetItem":
		if got.Item == nil {
			a.reads.Add(1)
		}
	case "Query":
		if got.Count != nil && *got.Count == 0 {
			a.reads.Add(1)
		}
	case "BatchGetItem":
		for table, t := range asked.RequestItems {
			a.reads.Add(int64(len(t.Keys) - len(got.Responses[table]) - len(got.UnprocessedKeys[table].Keys)))
		}
	}
	return resp, nil
}
