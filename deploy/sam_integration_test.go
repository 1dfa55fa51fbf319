//go:build integration

package deploy_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/peers"
)

// The stack is also made, and changed, by AWS SAM's own command, given as in
// docs/template.md after `make lambda`. The program is another one, which is built
// sooner; where it comes from and goes is what is looked at.
func TestSAMDeploy(t *testing.T) {
	page, err := os.ReadFile("../docs/template.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile("(?m)^make lambda\nsam (deploy .*)$").FindSubmatch(page)
	if said == nil {
		t.Fatal("docs/template.md doesn't say how the stack is made with SAM")
	}
	args := strings.Fields(string(said[1]))

	root := t.TempDir()
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Makefile":              string(makefile),
		"go.mod":                "module example.com/program\n\ngo 1.25\n",
		"cmd/bootstrap/main.go": "package main\n\nvar version string\n\nfunc main() { println(version) }\n",
		"deploy/template.yaml":  deploy.Template,
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(env []string, program string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir, cmd.Env = root, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run(append(os.Environ(), "GOFLAGS="), "make", "lambda", "VERSION=1")

	url := strings.Replace(peers.Moto(t), "127.0.0.1", "localhost", 1) // so moto knows a template's URL as one of S3
	sam, env := peers.SAM(t, url)
	run(env, sam, append(args, "--parameter-overrides", "AlertsEmailAddress=security@example.com", "TrackerMemorySize=1024")...)
	e := connect(t, url)
	outputs := map[string]string{}
	for _, o := range e.about(cftypes.StackStatusCreateComplete).Outputs {
		outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	if outputs[deploy.OutputVersion] == "" || e.describe(outputs["Table"]).TableName == nil {
		t.Errorf("outputs %v", outputs)
	}

	built, err := os.ReadFile(filepath.Join(root, "dist", "lambda", "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	made := tracker(t, url, outputs)
	if made.Handler != "tracker" || made.MemorySize != 1024 {
		t.Errorf("the tracker: %+v", made)
	}
	if got := e.uploaded(made.CodeSha256); !bytes.Equal(got, built) {
		t.Errorf("the tracker's program has %d bytes, and isn't the one of %d that was built", len(got), len(built))
	}

	// Another parameter changes; those that were given before, and aren't now, stay.
	run(env, sam, append(args, "--parameter-overrides", "MaxWorkers=7")...)
	have := map[string]string{}
	for _, p := range e.about(cftypes.StackStatusUpdateComplete).Parameters {
		have[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	if have["MaxWorkers"] != "7" || have["TrackerMemorySize"] != "1024" || have["AlertsEmailAddress"] != "security@example.com" {
		t.Errorf("parameters after a change: %v", have)
	}
	if got := tracker(t, url, outputs); fmt.Sprint(got.Environment.Variables["IAMTRACK_MAX_WORKERS"]) != "7" || got.MemorySize != 1024 {
		t.Errorf("the tracker after a change: %+v", got)
	}
}

// configuration is what Lambda says of a function.
type configuration struct {
	Handler, CodeSha256 string
	MemorySize          int
	Environment         struct{ Variables map[string]any }
}

// tracker asks of the tracker without the SDK: moto gives numbers as numbers, which AWS
// and its SDK don't.
func tracker(t *testing.T, url string, outputs map[string]string) (c configuration) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/2015-03-31/functions/"+outputs["TrackerFunction"]+"/configuration", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+peers.AccessKeyID+"/20260101/"+peers.Region+"/lambda/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if err := json.NewDecoder(resp.Body).Decode(&c); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d: %v", resp.StatusCode, err)
	}
	return c
}

// uploaded is the program, which must be executable, of the zip file with this SHA-256 in
// SAM's bucket; nil if there is none.
func (e *emulated) uploaded(sha string) []byte {
	e.t.Helper()
	buckets, err := e.s3.ListBuckets(e.t.Context(), &s3.ListBucketsInput{})
	if err != nil {
		e.t.Fatal(err)
	}
	for _, b := range buckets.Buckets {
		objects, err := e.s3.ListObjectsV2(e.t.Context(), &s3.ListObjectsV2Input{Bucket: b.Name})
		if err != nil {
			e.t.Fatal(err)
		}
		for _, o := range objects.Contents {
			got, err := e.s3.GetObject(e.t.Context(), &s3.GetObjectInput{Bucket: b.Name, Key: o.Key})
			if err != nil {
				e.t.Fatal(err)
			}
			data, err := io.ReadAll(got.Body)
			if err != nil {
				e.t.Fatal(err)
			}
			if sum := sha256.Sum256(data); base64.StdEncoding.EncodeToString(sum[:]) != sha {
				continue
			}
			z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				e.t.Fatal(err)
			}
			f, err := z.Open("bootstrap")
			if err != nil {
				e.t.Fatal(err)
			}
			if i, err := f.Stat(); err != nil || i.Mode().Perm()&0o111 != 0o111 {
				e.t.Errorf("bootstrap: %v %v, want it executable", i.Mode(), err)
			}
			program, err := io.ReadAll(f)
			if err != nil {
				e.t.Fatal(err)
			}
			return program
		}
	}
	return nil
}
