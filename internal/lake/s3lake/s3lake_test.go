package s3lake_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/laketest"
	"github.com/iamtrack/iamtrack/internal/lake/s3lake"
)

// The AWS settings of whoever runs the tests are not theirs.
func TestMain(m *testing.M) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

func openAt(t testing.TB, url, name, prefix string) *s3lake.Bucket {
	t.Helper()
	s, err := awsapi.Open(context.Background(), awsapi.Config{Alone: true, EndpointURL: url, Region: "us-east-1",
		Keys: &awsapi.Keys{AccessKeyID: "AKIDTEST", SecretAccessKey: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bucket(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s3lake.New(b, prefix)
}

func TestBucket(t *testing.T) {
	for name, versions := range map[string]bool{"versions": true, "no versions": false} {
		t.Run(name, func(t *testing.T) {
			laketest.Bucket(t, func(tb testing.TB) lake.Bucket {
				return openAt(tb, newFakeS3(tb, versions).URL, "lake-bucket", "lake/")
			})
		})
	}
}

func TestLake(t *testing.T) {
	if testing.Short() {
		t.Skip("the lake is the same over any bucket")
	}
	laketest.Lake(t, func(tb testing.TB) lake.Bucket { return openAt(tb, newFakeS3(tb, true).URL, "lake-bucket", "") })
}

// large is more than one block and one part.
var large = bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)

// What is opened stays readable while it is replaced, if versions are kept; if they
// aren't, a large object that is replaced says so.
func TestReplacedWhileRead(t *testing.T) {
	for _, versions := range []bool{true, false} {
		f := newFakeS3(t, versions)
		b := openAt(t, f.URL, "lake-bucket", "")
		old := laketest.Put(t, b, "large", large, "")
		r, err := b.Open(context.Background(), "large")
		if err != nil {
			t.Fatal(err)
		}
		laketest.Put(t, b, "large", []byte("another"), old.ETag)
		p := make([]byte, 100)
		_, err = r.ReadAt(p, int64(len(large))-100)
		switch {
		case versions && (err != nil || !bytes.Equal(p, large[len(large)-100:])):
			t.Errorf("with versions: %q, %v", p, err)
		case !versions && !errors.Is(err, lake.ErrChanged):
			t.Errorf("without versions: %v, want ErrChanged", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if len(f.uploads) > 0 {
			t.Errorf("%d uploads are left", len(f.uploads))
		}
	}
}

// A write that took effect although its answer was lost is no conflict with itself;
// one that didn't is tried again.
func TestLostAnswers(t *testing.T) {
	for _, data := range [][]byte{[]byte("small"), large} {
		for _, after := range []bool{false, true} {
			f := newFakeS3(t, true)
			b := openAt(t, f.URL, "lake-bucket", "")
			first := laketest.Put(t, b, "a", []byte("first"), "")
			var broken atomic.Int32
			f.setFault(func(_ http.ResponseWriter, r *http.Request, done bool) bool {
				if r.Method != http.MethodPut && r.Method != http.MethodPost || done != after || broken.Add(1) != 1 && !(r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && broken.Add(1) < 6) {
					return false
				}
				panic(http.ErrAbortHandler) // the connection breaks
			})
			o := laketest.Put(t, b, "a", data, first.ETag)
			f.setFault(nil)
			got, now := laketest.Get(t, b, "a")
			if !bytes.Equal(got, data) || now.ETag != o.ETag {
				t.Errorf("%d bytes, lost after: %v: %d bytes are there, ETag %s, want %s", len(data), after, len(got), now.ETag, o.ETag)
			}
			if broken.Load() == 0 {
				t.Error("nothing broke")
			}
		}
	}
}

// The answer to a read that breaks off is asked for again.
func TestBrokenReads(t *testing.T) {
	f := newFakeS3(t, true)
	b := openAt(t, f.URL, "lake-bucket", "")
	laketest.Put(t, b, "a", large, "")
	var n atomic.Int32
	f.setFault(func(w http.ResponseWriter, r *http.Request, done bool) bool {
		if r.Method != http.MethodGet || done || n.Add(1)%2 == 0 {
			return false
		}
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write([]byte("half"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	if got, _ := laketest.Get(t, b, "a"); !bytes.Equal(got, large) {
		t.Errorf("%d bytes came", len(got))
	}
}

// What S3 refuses is said in words that name the action and the object.
func TestRefusals(t *testing.T) {
	f := newFakeS3(t, true)
	b := openAt(t, f.URL, "lake-bucket", "")
	ctx := context.Background()
	laketest.Put(t, b, "a", []byte("x"), "")
	refuse := func(status int, code string) {
		f.setFault(func(w http.ResponseWriter, _ *http.Request, done bool) bool {
			if !done {
				s3Error(w, status, code)
			}
			return !done
		})
	}
	write := func() error {
		w, err := b.Create(ctx, "b")
		if err != nil {
			return err
		}
		_, err = w.Commit("")
		return err
	}
	read := func() error { _, err := b.Open(ctx, "a"); return err }
	list := func() error { _, err := b.List(ctx, ""); return err }
	remove := func() error { return b.Delete(ctx, "a") }
	for _, c := range []struct {
		status int
		code   string
		do     func() error
		want   string
	}{
		{403, "AccessDenied", write, "s3:PutObject on arn:aws:s3:::lake-bucket/b"},
		{403, "AccessDenied", read, "s3:GetObject on arn:aws:s3:::lake-bucket/a"},
		{403, "AccessDenied", list, "s3:ListBucket on arn:aws:s3:::lake-bucket"},
		{403, "AccessDenied", remove, "s3:DeleteObject on arn:aws:s3:::lake-bucket/a"},
		{404, "NoSuchBucket", write, "not found"},
		{404, "NoSuchBucket", read, "not found"},
		{404, "NoSuchBucket", list, "not found: arn:aws:s3:::lake-bucket"},
		{404, "NoSuchBucket", remove, "not found"},
		{400, "ExpiredToken", read, "credentials expired"},
		{400, "ExpiredToken", write, "credentials expired"},
		{400, "ExpiredToken", list, "credentials expired"},
		{400, "ExpiredToken", remove, "credentials expired"},
	} {
		refuse(c.status, c.code)
		err := c.do()
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, lake.ErrNotFound) {
			t.Errorf("%s: %v, want %q", c.code, err, c.want)
		}
	}
	// Too many requests pass by themselves.
	var n atomic.Int32
	f.setFault(func(w http.ResponseWriter, _ *http.Request, done bool) bool {
		if done || n.Add(1) > 2 {
			return false
		}
		s3Error(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	})
	if err := read(); err != nil {
		t.Errorf("slow down: %v", err)
	}
}

// A bucket of another region is asked there; one that turns out to be elsewhere
// afterwards is an error that says so.
func TestAnotherRegion(t *testing.T) {
	f := newFakeS3(t, true)
	lies := "eu-west-1"
	f.setFault(func(w http.ResponseWriter, r *http.Request, done bool) bool {
		if done || strings.Contains(r.Header.Get("Authorization"), "/"+lies+"/s3/") {
			return false
		}
		w.Header().Set("X-Amz-Bucket-Region", lies)
		s3Error(w, http.StatusMovedPermanently, "PermanentRedirect")
		return true
	})
	b := openAt(t, f.URL, "lake-bucket", "")
	laketest.Put(t, b, "a", large, "")
	if got, _ := laketest.Get(t, b, "a"); !bytes.Equal(got, large) {
		t.Errorf("%d bytes came", len(got))
	}
	f.mu.Lock()
	lies = "ap-south-1"
	f.mu.Unlock()
	for what, do := range map[string]func() error{
		"read": func() error { _, err := b.Open(context.Background(), "a"); return err },
		"list": func() error { _, err := b.List(context.Background(), ""); return err },
		"write": func() error {
			w, err := b.Create(context.Background(), "b")
			if err != nil {
				return err
			}
			_, err = w.Commit("")
			return err
		},
	} {
		if err := do(); err == nil || errors.Is(err, lake.ErrNotFound) || !strings.Contains(err.Error(), "ap-south-1") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
