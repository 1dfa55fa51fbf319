//go:build integration

package peers

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
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
