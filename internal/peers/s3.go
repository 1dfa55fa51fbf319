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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
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
	objects, versions := tb.TempDir(), tb.TempDir()
	return serve(tb, "versitygw", time.Minute, func(port string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(dir, "versitygw"), "--port", "127.0.0.1:"+port, "--quiet", "posix", "--versioning-dir", versions, objects) //nolint:noctx // it ends with the test
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKeyID, "ROOT_SECRET_KEY="+SecretAccessKey, "VGW_REGION="+Region)
		return cmd
	})
}

// S3Bucket makes a bucket at the URL that S3 returned; it may keep versions.
func S3Bucket(tb testing.TB, url, name string, versions bool) {
	tb.Helper()
	c := s3Client(url)
	if _, err := c.CreateBucket(tb.Context(), &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		tb.Fatalf("make the bucket %s: %v", name, err)
	}
	if !versions {
		return
	}
	_, err := c.PutBucketVersioning(tb.Context(), &s3.PutBucketVersioningInput{
		Bucket: aws.String(name), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		tb.Fatalf("let the bucket %s keep versions: %v", name, err)
	}
}

func s3Client(url string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(url), Region: Region, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(AccessKeyID, SecretAccessKey, ""),
	})
}
