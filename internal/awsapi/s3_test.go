package awsapi_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// A download that breaks off is taken up where it was.
func TestGetGoesOnAfterABrokenConnection(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	var gets atomic.Int32
	f := newFake(t, func(http.ResponseWriter, request) {})
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e1"`)
		if r.Method == http.MethodHead {
			return
		}
		gets.Add(1)
		from := 0
		if rg := r.Header.Get("Range"); rg != "" {
			from, _ = strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(rg, "bytes="), "-"))
			if r.Header.Get("If-Match") != `"e1"` {
				t.Errorf("the rest is asked for without If-Match: %v", r.Header)
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		end := min(len(content), from+400_000)
		_, _ = w.Write(content[from:end])
		if end < len(content) {
			panic(http.ErrAbortHandler)
		}
	})
	b, err := open(t, f).Bucket(t.Context(), "trail-bucket")
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Get(t.Context(), "a key")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes of %d, %v", len(got), len(content), err)
	}
	if n := gets.Load(); n != 3 {
		t.Errorf("%d requests", n)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestS3ErrorsNamePermissionAndPlace(t *testing.T) {
	answer := func(status int, code, message string) *fake {
		f := newFake(t, func(http.ResponseWriter, request) {})
		f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amz-Bucket-Region", "eu-west-3")
			w.WriteHeader(status)
			if r.Method != http.MethodHead {
				_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
			}
		})
		return f
	}
	for name, c := range map[string]struct {
		status        int
		code, message string
		want          error
		list, get     string
	}{
		"denied": {403, "AccessDenied", "Access Denied", awsapi.ErrDenied, "s3:ListBucket on arn:aws:s3:::trail-bucket:", "s3:GetObject on arn:aws:s3:::trail-bucket/key"},
		"key": {403, "AccessDenied", "User: arn:aws:iam::111122223333:user/u is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-west-3:111122223333:key/k because no resource-based policy allows the kms:Decrypt action",
			awsapi.ErrDenied, "kms:Decrypt", "kms:Decrypt on arn:aws:kms:eu-west-3:111122223333:key/k: permit it in the key's policy"},
		"gone": {404, "NoSuchKey", "gone", awsapi.ErrNotFound, "not found", "not found: arn:aws:s3:::trail-bucket/key"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := open(t, answer(c.status, c.code, c.message)).Bucket(t.Context(), "trail-bucket")
			if err != nil {
				t.Fatal(err)
			}
			if b.Region() != "eu-west-3" {
				t.Errorf("region %s", b.Region())
			}
			_, lerr := b.List(t.Context(), awsapi.ListInput{Prefix: "AWSLogs/"})
			_, gerr := b.Get(t.Context(), "key")
			if !errors.Is(lerr, c.want) || !strings.Contains(lerr.Error(), c.list) {
				t.Errorf("list: %v", lerr)
			}
			if !errors.Is(gerr, c.want) || !strings.Contains(gerr.Error(), c.get) {
				t.Errorf("get: %v", gerr)
			}
		})
	}
	if _, err := open(t, answer(200, "", "")).Bucket(t.Context(), "../x"); err == nil {
		t.Error("a name that is a path is accepted")
	}
}
