//go:build integration

package peers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// What the lake relies on, asked of the peer itself: were it to ignore a condition,
// every test over it would say nothing.
func TestS3HasConditionsAndRanges(t *testing.T) {
	ctx := t.Context()
	url := S3(t)
	for name, versions := range map[string]bool{"versions": true, "no-versions": false} {
		t.Run(name, func(t *testing.T) {
			S3Bucket(t, url, name, versions)
			hasConditionsAndRanges(ctx, t, s3Client(url), aws.String(name), versions)
		})
	}
}

func hasConditionsAndRanges(ctx context.Context, t *testing.T, c *s3.Client, bucket *string, versions bool) {
	key := aws.String("a/b")
	put := func(content, ifMatch, ifNone string) (string, error) {
		in := &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(content)}
		if ifMatch != "" {
			in.IfMatch = aws.String(ifMatch)
		}
		if ifNone != "" {
			in.IfNoneMatch = aws.String(ifNone)
		}
		out, err := c.PutObject(ctx, in)
		if err != nil {
			return "", err
		}
		return aws.ToString(out.ETag), nil
	}
	first, err := put("0123456789", "", "*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put("x", "", "*"); codeOf(err) != "PreconditionFailed" {
		t.Errorf("If-None-Match on an object that is there: %v", err)
	}
	if _, err := put("x", `"00000000000000000000000000000000"`, ""); codeOf(err) != "PreconditionFailed" {
		t.Errorf("If-Match with another ETag: %v", err)
	}
	second, err := put("abcdefghij", first, "")
	if err != nil || second == first {
		t.Fatalf("replace: %q, %v", second, err)
	}
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, Range: aws.String("bytes=2-4"), IfMatch: aws.String(second)})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(got.Body); string(b) != "cde" || err != nil {
		t.Errorf("range: %q, %v", b, err)
	}
	if _, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, Range: aws.String("bytes=2-4"), IfMatch: aws.String(first)}); codeOf(err) != "PreconditionFailed" {
		t.Errorf("a range of the version that is gone: %v", err)
	}
	if old, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: bucket}); err != nil || (len(old.Versions) == 2) != versions {
		t.Errorf("versions %v: %v, %v", versions, old, err)
	}
	complete := func(ifMatch string) (string, error) {
		up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
		if err != nil {
			return "", err
		}
		var parts []types.CompletedPart
		for n, part := range [][]byte{bytes.Repeat([]byte("x"), 5<<20), []byte("end")} {
			number := aws.Int32(int32(n + 1)) //nolint:gosec // two parts
			out, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: up.UploadId, PartNumber: number, Body: bytes.NewReader(part)})
			if err != nil {
				return "", err
			}
			parts = append(parts, types.CompletedPart{ETag: out.ETag, PartNumber: number})
		}
		out, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: bucket, Key: key, UploadId: up.UploadId, IfMatch: aws.String(ifMatch), MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.ETag), nil
	}
	if _, err := complete(first); codeOf(err) != "PreconditionFailed" {
		t.Errorf("an upload in parts over another version: %v", err)
	}
	if _, err := complete(second); err != nil {
		t.Errorf("an upload in parts: %v", err)
	}
}

// Each service that is asked of moto answers.
func TestMoto(t *testing.T) {
	url := Moto(t)
	for _, ask := range []struct{ service, target, body string }{
		{"sns", "", "Action=CreateTopic&Name=alerts&Version=2010-03-31"},
		{"sts", "", "Action=GetCallerIdentity&Version=2011-06-15"},
		{"sqs", "AmazonSQS.CreateQueue", `{"QueueName":"q"}`},
		{"ssm", "AmazonSSM.PutParameter", `{"Name":"/a","Value":"b","Type":"SecureString"}`},
		{"secretsmanager", "secretsmanager.CreateSecret", `{"Name":"a","SecretString":"b"}`},
		{"glue", "AWSGlue.CreateDatabase", `{"DatabaseInput":{"Name":"d"}}`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(ask.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+AccessKeyID+"/20260101/"+Region+"/"+ask.service+"/aws4_request, SignedHeaders=host, Signature=0")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if ask.target != "" {
			req.Header.Set("Content-Type", "application/x-amz-json-1.1")
			req.Header.Set("X-Amz-Target", ask.target)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK || err != nil {
			t.Errorf("%s: %s: %s %v", ask.service, resp.Status, body, err)
		}
		_ = resp.Body.Close()
	}
}

// A server that can't start fails with its own words.
func TestAServerThatCannotStart(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	began := time.Now()
	_, _, err := start(t.Context(), log, time.Minute, func(string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "sh", "-c", "echo no room left >&2; exit 3")
	})
	if !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "no room left") || time.Since(began) > 30*time.Second {
		t.Errorf("got %v", err)
	}
	_, _, err = start(t.Context(), log, 200*time.Millisecond, func(string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "sh", "-c", "echo thinking; exec sleep 60")
	})
	if err == nil || !strings.Contains(err.Error(), "thinking") {
		t.Errorf("got %v", err)
	}
}

// What was interrupted while it was being installed is installed anew; what is
// complete stays.
func TestInstall(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("go.mod", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	made := 0
	build := func(fail error) func(context.Context, string) error {
		return func(_ context.Context, dir string) error {
			made++
			return errors.Join(fail, os.WriteFile(filepath.Join(dir, "half"), nil, 0o600))
		}
	}
	if _, err := install(t.Context(), "x", "v1", build(errors.New("interrupted"))); err == nil {
		t.Error("no error")
	}
	for range 2 {
		if _, err := install(t.Context(), "x", "v1", build(nil)); err != nil || made != 2 {
			t.Errorf("made %d times, %v", made, err)
		}
	}
	if _, err := install(t.Context(), "x", "v2", build(nil)); err != nil || made != 3 {
		t.Errorf("made %d times, %v", made, err)
	}
}
