package server

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

const s3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// s3Target splits a request into bucket and key, in path style
// (host/bucket/key) or virtual host style (bucket.s3.region.amazonaws.com/key, or
// bucket.host when host is no name of S3's: then the bucket is what precedes the
// first dot, if that is no address).
func s3Target(r *http.Request) (bucket, key string) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	host, _, _ := strings.Cut(r.Host, ":")
	if i := strings.Index(host, ".s3."); i > 0 {
		return host[:i], path
	}
	if first, rest, ok := strings.Cut(host, "."); ok && (rest == "localhost" || rest == strings.TrimPrefix(Endpoint, "http://")) {
		return first, path
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key
}

// s3Operation names a request: Amazon S3 API Reference.
func s3Operation(r *http.Request) string {
	_, key := s3Target(r)
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodHead && key == "":
		return "HeadBucket"
	case r.Method == http.MethodHead:
		return "HeadObject"
	case r.Method != http.MethodGet:
		return r.Method
	case key != "":
		return "GetObject"
	case query.Has("location"):
		return "GetBucketLocation"
	case query.Get("list-type") == "2":
		return "ListObjectsV2"
	}
	return "ListObjects"
}

// s3 answers S3, for the one bucket of trail files.
func (s *Server) s3(q *request) (reply, *apiError) {
	bucket, key := s3Target(q.http)
	if s.o.Bucket.Dir == "" || bucket != s.o.Bucket.Name {
		return reply{}, &apiError{http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist"}
	}
	switch q.operation {
	case "GetBucketLocation":
		// us-east-1 has no name here.
		return xmlReply(struct {
			XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
		}{})
	case "HeadBucket":
		return reply{header: map[string]string{"X-Amz-Bucket-Region": globalRegion}}, nil
	case "ListObjects", "ListObjectsV2":
		return s.listObjects(q)
	case "GetObject", "HeadObject":
		return s.getObject(q, key)
	}
	return reply{}, &apiError{http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource."}
}

type s3Object struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type s3Prefix struct{ Prefix string }

// listObjects answers ListObjects and ListObjectsV2.
func (s *Server) listObjects(q *request) (reply, *apiError) {
	in := q.http.URL.Query()
	v2 := q.operation == "ListObjectsV2"
	most := 1000
	if text := in.Get("max-keys"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return reply{}, bad("InvalidArgument", "Provided max-keys not an integer or within integer range")
		}
		most = min(most, n)
	}
	after := in.Get("marker")
	if v2 {
		after = in.Get("start-after")
		if token := in.Get("continuation-token"); token != "" {
			after = strings.TrimPrefix(token, "after:")
		}
	}
	prefix, delimiter := in.Get("prefix"), in.Get("delimiter")
	encode := func(text string) string { return text }
	if in.Get("encoding-type") == "url" {
		encode = func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "%2F", "/") }
	}
	keys, err := s.keys(prefix)
	if err != nil {
		return reply{}, &apiError{500, "InternalError", err.Error()}
	}
	out := struct {
		XMLName               xml.Name
		Name, Prefix          string
		Delimiter             string `xml:",omitempty"`
		Marker                string `xml:",omitempty"`
		NextMarker            string `xml:",omitempty"`
		StartAfter            string `xml:",omitempty"`
		ContinuationToken     string `xml:",omitempty"`
		NextContinuationToken string `xml:",omitempty"`
		EncodingType          string `xml:",omitempty"`
		KeyCount              int
		MaxKeys               int
		IsTruncated           bool
		Contents              []s3Object
		CommonPrefixes        []s3Prefix
	}{Name: s.o.Bucket.Name, Prefix: encode(prefix), Delimiter: encode(delimiter), MaxKeys: most, EncodingType: in.Get("encoding-type")}
	out.XMLName = xml.Name{Space: s3Namespace, Local: "ListBucketResult"}
	last, group := "", ""
	for _, k := range keys {
		name := k.name
		if delimiter != "" {
			if i := strings.Index(name[len(prefix):], delimiter); i >= 0 {
				name = name[:len(prefix)+i+len(delimiter)]
			}
		}
		if name <= after || name == group {
			continue
		}
		if out.KeyCount == most {
			out.IsTruncated = most > 0
			break
		}
		out.KeyCount++
		last = name
		if name != k.name {
			group = name
			out.CommonPrefixes = append(out.CommonPrefixes, s3Prefix{encode(name)})
			continue
		}
		info, err := os.Stat(k.path)
		if err != nil {
			return reply{}, &apiError{500, "InternalError", err.Error()}
		}
		out.Contents = append(out.Contents, s3Object{encode(name), stamp(k.name, info).Format("2006-01-02T15:04:05.000Z"), etag(info), info.Size(), "STANDARD"})
	}
	if out.IsTruncated {
		if v2 {
			out.NextContinuationToken = "after:" + last
		} else {
			out.NextMarker = encode(last)
		}
	}
	if v2 {
		out.StartAfter, out.ContinuationToken = encode(in.Get("start-after")), in.Get("continuation-token")
	} else {
		out.Marker = encode(after)
	}
	return xmlReply(out)
}

// stamp is when an object was delivered: the time in its name, or the file's.
func stamp(key string, info fs.FileInfo) time.Time {
	name := key[strings.LastIndexByte(key, '/')+1:]
	for part := range strings.SplitSeq(strings.TrimSuffix(name, ".json.gz"), "_") {
		for _, layout := range []string{"20060102T1504Z", "20060102T150405Z"} {
			if at, err := time.Parse(layout, part); err == nil {
				return at
			}
		}
	}
	return info.ModTime().UTC()
}

func etag(info fs.FileInfo) string {
	return fmt.Sprintf(`"%032x"`, uint64(info.Size())<<20^uint64(info.ModTime().UnixNano())) //nolint:gosec // any bits do
}

type s3Key struct{ name, path string }

// keys lists the objects below a prefix by name. The files that stand for
// metadata are no objects.
func (s *Server) keys(prefix string) ([]s3Key, error) {
	root := s.o.Bucket.Dir
	top := root
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		if !fs.ValidPath(prefix[:i]) {
			return nil, nil
		}
		top = filepath.Join(root, filepath.FromSlash(prefix[:i]))
	}
	var list []s3Key
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if name := filepath.ToSlash(rel); strings.HasPrefix(name, prefix) && !simulate.IsSidecar(name) {
			list = append(list, s3Key{name, path})
		}
		return nil
	})
	slices.SortFunc(list, func(a, b s3Key) int { return strings.Compare(a.name, b.name) })
	return list, err
}

// getObject answers GetObject and HeadObject.
func (s *Server) getObject(q *request, key string) (reply, *apiError) {
	missing := &apiError{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."}
	if !fs.ValidPath(key) || simulate.IsSidecar(key) {
		return reply{}, missing
	}
	path := filepath.Join(s.o.Bucket.Dir, filepath.FromSlash(key))
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return reply{}, missing
	}
	if s.Faults().KMSDenied && q.operation == "GetObject" {
		return reply{}, &apiError{http.StatusForbidden, "AccessDenied", "User: " + q.arn +
			" is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because no identity-based policy allows the kms:Decrypt action"}
	}
	body, err := os.ReadFile(path) //nolint:gosec // below the bucket's folder
	if err != nil {
		return reply{}, &apiError{500, "InternalError", err.Error()}
	}
	r := reply{kind: "application/json", body: body, header: map[string]string{
		"Etag": etag(info), "Last-Modified": stamp(key, info).Format(http.TimeFormat), "Accept-Ranges": "bytes",
		"X-Amz-Server-Side-Encryption": "aws:kms",
	}}
	if strings.HasSuffix(key, ".gz") {
		r.kind = "application/x-gzip"
	}
	if signature, err := os.ReadFile(path + simulate.SignatureSuffix); err == nil { //nolint:gosec // below the bucket's folder
		for k, v := range simulate.DigestMetadata(key, strings.TrimSpace(string(signature))) {
			r.header["x-amz-meta-"+k] = v
		}
	}
	return ranged(r, q.http.Header.Get("Range"))
}

// ranged cuts an answer to "bytes=A-B", "bytes=A-" or "bytes=-N".
func ranged(r reply, text string) (reply, *apiError) {
	text, ok := strings.CutPrefix(text, "bytes=")
	if !ok {
		return r, nil
	}
	unsatisfiable := &apiError{http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable"}
	first, last, _ := strings.Cut(text, "-")
	size := len(r.body)
	from, to := 0, size-1
	var err, err2 error
	switch {
	case first == "":
		to, err = strconv.Atoi(last)
		from, to = max(0, size-to), size-1
	default:
		from, err = strconv.Atoi(first)
		if last != "" {
			to, err2 = strconv.Atoi(last)
		}
	}
	if errors.Join(err, err2) != nil || from > to || from >= size {
		return reply{}, unsatisfiable
	}
	to = min(to, size-1)
	r.status = http.StatusPartialContent
	r.header["Content-Range"] = fmt.Sprintf("bytes %d-%d/%d", from, to, size)
	r.body = r.body[from : to+1]
	return r, nil
}
