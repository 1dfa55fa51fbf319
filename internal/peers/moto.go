//go:build integration

package peers

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
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

// samScript transforms a template as AWS does.
//
//go:embed moto/sam.py
var samScript string

// samRequirements pins AWS SAM's command, with checksums.
//
//go:embed sam/requirements.txt
var samRequirements string

// motoServer is moto's server with faults mended; samScript stands before it.
//
//go:embed moto/server.py
var motoServer string

// python installs what a list of requirements names (once, into .tools/; Python 3.10 or
// later) and returns the folder that has the environment venv.
func python(tb testing.TB, name, requirements string) string {
	tb.Helper()
	dir, err := install(tb.Context(), name, requirements, func(ctx context.Context, dir string) error {
		if err := command(ctx, dir, nil, "python3", "-m", "venv", "venv"); err != nil {
			return fmt.Errorf("make a Python environment (install Python 3.10 or later and python3-venv): %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, "requirements.txt"), []byte(requirements), 0o600); err != nil {
			return err
		}
		// The list is complete: pip has nothing to resolve.
		return command(ctx, dir, nil, filepath.Join(dir, "venv", "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", "requirements.txt")
	})
	if err != nil {
		tb.Fatalf("install %s: %v", name, err)
	}
	return dir
}

// Moto starts moto's server with nothing in it: CloudFormation and much of what that
// makes, SNS, SQS, SSM, Secrets Manager, Glue and STS as AWS has them. It returns its
// URL, which takes any credentials; it ends with the test. The test fails when that
// can't be done.
func Moto(tb testing.TB) string {
	tb.Helper()
	dir := python(tb, "moto", motoRequirements)
	return serve(tb, "moto", time.Minute, func(port string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(dir, "venv", "bin", "python"), "-c", samScript+motoServer, "-H", "127.0.0.1", "-p", port) //nolint:noctx // it ends with the test
		cmd.Dir, cmd.Env = tb.TempDir(), append(os.Environ(), "AWS_REGION="+Region)
		return cmd
	})
}

// Transformed is a template of AWS SAM as CloudFormation makes a stack of it with these
// parameters: by AWS's own translator, which validates it.
func Transformed(tb testing.TB, template string, parameters map[string]string) string {
	tb.Helper()
	dir, given := python(tb, "moto", motoRequirements), filepath.Join(tb.TempDir(), "template.yaml")
	if err := os.WriteFile(given, []byte(template), 0o600); err != nil {
		tb.Fatal(err)
	}
	in, err := json.Marshal(parameters)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), filepath.Join(dir, "venv", "bin", "python"), "-c", samScript+"transform_file()", given)
	cmd.Env = append(os.Environ(), "AWS_REGION="+Region, "AWS_EC2_METADATA_DISABLED=true")
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
	if err := cmd.Run(); err != nil {
		tb.Fatalf("transform the template: %v\n%s", err, said.Bytes())
	}
	return out.String()
}

// Linted is what cfn-lint says of a template: all of its checks, also those that only
// inform; nothing when there is nothing to say.
func Linted(tb testing.TB, template string) string {
	tb.Helper()
	dir, given := python(tb, "moto", motoRequirements), filepath.Join(tb.TempDir(), "template.yaml")
	if err := os.WriteFile(given, []byte(template), 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), filepath.Join(dir, "venv", "bin", "cfn-lint"), "--include-checks", "I",
		"--regions", "us-east-1", "eu-central-1", "ap-southeast-2", "us-gov-west-1", "cn-north-1", "--template", given)
	out, err := cmd.CombinedOutput()
	if err == nil || len(out) > 0 {
		return string(out)
	}
	tb.Fatalf("cfn-lint: %v", err)
	return ""
}

// SAM returns AWS SAM's command, as a path, and the environment in which it talks to
// AWS at an endpoint, which must be a name (localhost) and no number.
func SAM(tb testing.TB, endpoint string) (string, []string) {
	tb.Helper()
	dir, home := python(tb, "sam", samRequirements), tb.TempDir()
	config := filepath.Join(home, "config")
	if err := os.WriteFile(config, []byte("[default]\ns3 =\n  addressing_style = path\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(dir, "venv", "bin", "sam"), append(os.Environ(), "HOME="+home, "AWS_CONFIG_FILE="+config, "AWS_ENDPOINT_URL="+endpoint,
		"AWS_DEFAULT_REGION="+Region, "AWS_REGION="+Region, "AWS_ACCESS_KEY_ID="+AccessKeyID, "AWS_SECRET_ACCESS_KEY="+SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED=true", "SAM_CLI_TELEMETRY=0", "SAM_CLI_POLL_DELAY=1")
}
