//go:build integration

package peers

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// versitygwMod and versitygwSum pin versitygw and all that it is made of.
//
//go:embed versitygw.mod
var versitygwMod string

//go:embed versitygw.sum
var versitygwSum string

// What every server here takes, or doesn't check.
const (
	AccessKeyID     = "AKIDTEST"
	SecretAccessKey = "test-secret"
	Region          = "us-east-1"
)

// S3 builds versitygw (once, into .tools/) and starts it over an empty folder: an S3
// with conditional writes and ranges. It returns its URL, which takes AccessKeyID and
// SecretAccessKey in Region, and has no bucket yet; it ends with the test. The test fails
// when that can't be done.
func S3(tb testing.TB) string {
	tb.Helper()
	dir, err := install(tb.Context(), "versitygw", versitygwMod+versitygwSum, func(ctx context.Context, dir string) error {
		root, err := moduleRoot()
		if err != nil {
			return err
		}
		return command(ctx, root, []string{"GOBIN=" + dir, "CGO_ENABLED=0", "GOWORK=off"},
			"go", "install", "-mod=readonly", "-modfile="+filepath.Join("internal", "peers", "versitygw.mod"), "tool")
	})
	if err != nil {
		tb.Fatalf("install versitygw: %v", err)
	}
	objects := tb.TempDir()
	return serve(tb, "versitygw", time.Minute, func(port string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(dir, "versitygw"), "--port", "127.0.0.1:"+port, "posix", objects) //nolint:noctx // it ends with the test
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKeyID, "ROOT_SECRET_KEY="+SecretAccessKey, "VGW_REGION="+Region)
		return cmd
	})
}
