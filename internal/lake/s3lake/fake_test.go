package s3lake_test

import (
	"bytes"
	"cmp"
	"crypto/md5" //nolint:gosec // S3's ETags
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 is one bucket, as far as a lake asks: listings by page, ranges, versions,
// conditional writes, multipart uploads (Amazon S3 API Reference).
type fakeS3 struct {
	*httptest.Server
	name     string
	versions bool // are kept
	page     int  // keys of a listing

	mu      sync.Mutex
	objects map[string][]s3Version // the latest last
	uploads map[string]*s3Upload
	n       int
	// fault may answer instead; done says that the request has been carried out.
	fault func(w http.ResponseWriter, r *http.Request, done bool) bool
}

type s3Version struct {
	id, etag string
	data     []byte
	meta     http.Header
	gone     bool
	at       time.Time
}

type s3Upload struct {
	key   string
	meta  http.Header
	parts map[int][]byte
}

func newFakeS3(t testing.TB, versions bool) *fakeS3 {
	f := &fakeS3{name: "lake-bucket", versions: versions, page: 7, objects: map[string][]s3Version{}, uploads: map[string]*s3Upload{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeS3) setFault(fault func(w http.ResponseWriter, r *http.Request, done bool) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func s3Error(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>as the test wants it</Message></Error>`, code)
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("X-Amz-Request-Id", "1")
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"+f.name), "/")
	if f.fault != nil && f.fault(w, r, false) {
		return
	}
	if !strings.HasPrefix(r.URL.Path, "/"+f.name) {
		s3Error(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	rec := httptest.NewRecorder()
	f.serve(rec, r, key, body)
	if f.fault != nil && f.fault(w, r, true) {
		return
	}
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (f *fakeS3) serve(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	q := r.URL.Query()
	w.Header().Set("X-Amz-Bucket-Region", regionOf(r))
	switch {
	case key == "" && r.Method == http.MethodHead:
	case key == "" && r.Method == http.MethodGet:
		f.list(w, q.Get("prefix"), q.Get("continuation-token"))
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		f.get(w, r, key)
	case r.Method == http.MethodPost && q.Has("uploads"):
		f.n++
		id := fmt.Sprintf("upload-%d", f.n)
		f.uploads[id] = &s3Upload{key: key, meta: r.Header.Clone(), parts: map[int][]byte{}}
		_, _ = fmt.Fprintf(w, `<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>`, id)
	case q.Has("uploadId"):
		f.upload(w, r, q.Get("uploadId"), q.Get("partNumber"), key, body)
	case r.Method == http.MethodPut:
		f.put(w, r, key, unchunked(r, body), r.Header.Clone())
	case r.Method == http.MethodDelete:
		if v := f.objects[key]; len(v) > 0 && !v[len(v)-1].gone {
			f.objects[key] = append(v, s3Version{gone: true})
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		s3Error(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

// unchunked takes the SDK's framing of a streamed body away.
func unchunked(r *http.Request, body []byte) []byte {
	if !strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") {
		return body
	}
	var out []byte
	for {
		head, rest, ok := bytes.Cut(body, []byte("\r\n"))
		size, _, _ := strings.Cut(string(head), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if !ok || err != nil || n == 0 {
			return out
		}
		out = append(out, rest[:n]...)
		body = rest[n+2:]
	}
}

func (f *fakeS3) latest(key string) (s3Version, bool) {
	v := f.objects[key]
	if len(v) == 0 || v[len(v)-1].gone {
		return s3Version{}, false
	}
	return v[len(v)-1], true
}

func (f *fakeS3) get(w http.ResponseWriter, r *http.Request, key string) {
	v, ok := f.latest(key)
	if id := r.URL.Query().Get("versionId"); id != "" {
		i := slices.IndexFunc(f.objects[key], func(v s3Version) bool { return v.id == id })
		if i < 0 {
			s3Error(w, http.StatusNotFound, "NoSuchVersion")
			return
		}
		v, ok = f.objects[key][i], true
	}
	switch {
	case !ok:
		s3Error(w, http.StatusNotFound, "NoSuchKey")
		return
	case r.Header.Get("If-Match") != "" && r.Header.Get("If-Match") != `"`+v.etag+`"`:
		s3Error(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	for name, values := range v.meta {
		if strings.HasPrefix(strings.ToLower(name), "x-amz-meta-") {
			w.Header()[name] = values
		}
	}
	w.Header().Set("ETag", `"`+v.etag+`"`)
	w.Header().Set("Last-Modified", v.at.UTC().Format(http.TimeFormat))
	if f.versions {
		w.Header().Set("x-amz-version-id", v.id)
	}
	data, status := v.data, http.StatusOK
	if span := r.Header.Get("Range"); span != "" {
		var from, to int
		if _, err := fmt.Sscanf(span, "bytes=%d-%d", &from, &to); err != nil || from >= len(data) {
			s3Error(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		to = min(to, len(data)-1)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(data)))
		data, status = data[from:to+1], http.StatusPartialContent
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_, _ = w.Write(data)
	}
}

func (f *fakeS3) put(w http.ResponseWriter, r *http.Request, key string, data []byte, meta http.Header) bool {
	now, there := f.latest(key)
	switch match := r.Header.Get("If-Match"); {
	case match != "" && !there:
		s3Error(w, http.StatusNotFound, "NoSuchKey")
		return false
	case match != "" && match != `"`+now.etag+`"`, r.Header.Get("If-None-Match") == "*" && there:
		s3Error(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return false
	}
	sum := md5.Sum(data) //nolint:gosec // S3's ETags
	f.n++
	v := s3Version{id: fmt.Sprintf("v%d", f.n), etag: hex.EncodeToString(sum[:]), data: data, meta: meta, at: time.Now()}
	if !f.versions {
		f.objects[key] = nil
	}
	f.objects[key] = append(f.objects[key], v)
	w.Header().Set("ETag", `"`+v.etag+`"`)
	return true
}

func (f *fakeS3) upload(w http.ResponseWriter, r *http.Request, id, number, key string, body []byte) {
	u := f.uploads[id]
	if u == nil || u.key != key {
		s3Error(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	switch r.Method {
	case http.MethodPut:
		n, err := strconv.Atoi(number)
		if err != nil {
			s3Error(w, http.StatusBadRequest, "InvalidArgument")
			return
		}
		u.parts[n] = unchunked(r, body)
		w.Header().Set("ETag", fmt.Sprintf(`"part-%d"`, n))
	case http.MethodDelete:
		delete(f.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPost:
		var all []byte
		for i, n := range slices.Sorted(maps.Keys(u.parts)) {
			if i < len(u.parts)-1 && len(u.parts[n]) < 5<<20 {
				s3Error(w, http.StatusBadRequest, "EntityTooSmall")
				return
			}
			all = append(all, u.parts[n]...)
		}
		if f.put(w, r, key, all, u.meta) {
			delete(f.uploads, id)
			_, _ = fmt.Fprintf(w, `<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>`, w.Header().Get("ETag"))
		}
	}
}

func (f *fakeS3) list(w http.ResponseWriter, prefix, token string) {
	type content struct {
		Key, ETag, LastModified string
		Size                    int
	}
	var out struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []content
	}
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		v, ok := f.latest(key)
		if !ok || !strings.HasPrefix(key, prefix) || cmp.Compare(key, token) <= 0 {
			continue
		}
		if len(out.Contents) == f.page {
			out.IsTruncated, out.NextContinuationToken = true, out.Contents[f.page-1].Key
			break
		}
		out.Contents = append(out.Contents, content{key, `"` + v.etag + `"`, v.at.UTC().Format(time.RFC3339), len(v.data)})
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(out)
}

// regionOf is the region that a request is signed for: the bucket lies there.
func regionOf(r *http.Request) string {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if parts := strings.Split(scope, "/"); len(parts) > 2 {
		return parts[2]
	}
	return "us-east-1"
}
