//go:build integration

package peers

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// motoRequirements pins moto and all that it needs, with checksums.
//
//go:embed moto/requirements.txt
var motoRequirements string

// Moto installs moto's server (once, into .tools/; Python 3.10 or later) and starts it
// with nothing in it: SNS, SQS, SSM, Secrets Manager, Glue and STS as AWS has them. It
// returns its URL, which takes any credentials; it ends with the test. The test fails
// when that can't be done.
func Moto(tb testing.TB) string {
	tb.Helper()
	dir, err := install(tb.Context(), "moto", motoRequirements, func(ctx context.Context, dir string) error {
		if err := command(ctx, dir, nil, "python3", "-m", "venv", "venv"); err != nil {
			return fmt.Errorf("make a Python environment (install Python 3.10 or later and python3-venv): %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, "requirements.txt"), []byte(motoRequirements), 0o600); err != nil {
			return err
		}
		return command(ctx, dir, nil, filepath.Join(dir, "venv", "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:", "-r", "requirements.txt")
	})
	if err != nil {
		tb.Fatalf("install moto: %v", err)
	}
	return serve(tb, "moto", time.Minute, func(port string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(dir, "venv", "bin", "python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", port) //nolint:noctx // it ends with the test
		cmd.Dir = tb.TempDir()
		return cmd
	})
}
