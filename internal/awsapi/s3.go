package awsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Object is an S3 object as a listing tells of it.
type Object struct {
	Key      string
	Size     int64 // bytes
	ETag     string
	Modified time.Time
	// Archived: it lies in a class from which it must be restored before it can
	// be read (Glacier Flexible Retrieval, Deep Archive).
	Archived bool
}

// ListInput asks for a page of a bucket's keys, in their order.
type ListInput struct {
	Prefix    string
	After     string // keys up to this one are left out
	Delimiter string // what is alike up to it, after the prefix, is one of Prefixes
	Token     string // continues the page that gave it
	Max       int    // 0: 1000
}

// Listing is a page of keys.
type Listing struct {
	Objects  []Object
	Prefixes []string
	Token    string // of the next page; empty at the end
}

// Bucket is an S3 bucket, in the region where it lies.
type Bucket struct {
	s      *Session
	name   string
	region string
	client *s3.Client
	owner  string // the account that it must belong to; empty: any
}

// Bucket finds a bucket's region, which any answer about it tells, even a
// refusal. Permission: s3:ListBucket, but only List needs it.
func (s *Session) Bucket(ctx context.Context, name string) (*Bucket, error) {
	if !bucketName(name) {
		return nil, fmt.Errorf("open s3://%s: not a bucket's name", name)
	}
	region := s.base.Region
	client := s.s3(region)
	var out *s3.HeadBucketOutput
	observed, saw := watch(ctx, bucketARN(region, name))
	limited, cancel := context.WithTimeoutCause(observed, callTimeout, tooLong(callTimeout))
	out, err := client.HeadBucket(limited, &s3.HeadBucketInput{Bucket: aws.String(name)})
	cancel()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("open s3://%s: %w", name, context.Cause(ctx))
	}
	told := saw.get().bucketRegion
	if err == nil && told == "" {
		told = aws.ToString(out.BucketRegion)
	}
	if err != nil && told == "" {
		// Some S3 servers tell no region, and HEAD's answer has no words.
		e := s.own.explain(call{op: "open s3://" + name, action: "s3:ListBucket", resource: bucketARN(region, name)}, err, saw.get())
		if e.Kind != Denied {
			return nil, e
		}
	}
	if told != "" && told != region {
		region, client = told, s.s3(told)
	}
	return &Bucket{s: s, name: name, region: region, client: client}, nil
}

// s3 is a client with the SDK's retries, more patient than by default: an import
// makes many requests.
func (s *Session) s3(region string) *s3.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.buckets[region]
	if c == nil {
		c = s3.NewFromConfig(s.base, func(o *s3.Options) {
			o.Region = region
			// S3 servers other than AWS's know buckets by path only.
			o.UsePathStyle = o.BaseEndpoint != nil && !strings.Contains(*o.BaseEndpoint, ".amazonaws.com")
			o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = 6, 20*time.Second })
			o.DisableLogOutputChecksumValidationSkipped = true
		})
		s.buckets[region] = c
	}
	return c
}

// Name is the bucket's name, Region where it lies.
func (b *Bucket) Name() string   { return b.name }
func (b *Bucket) Region() string { return b.region } //nolint:revive // see Name

// List returns a page of keys. Permission: s3:ListBucket.
func (b *Bucket) List(ctx context.Context, in ListInput) (Listing, error) {
	ask := &s3.ListObjectsV2Input{Bucket: aws.String(b.name)}
	for _, f := range []struct {
		to    **string
		value string
	}{{&ask.Prefix, in.Prefix}, {&ask.StartAfter, in.After}, {&ask.Delimiter, in.Delimiter}, {&ask.ContinuationToken, in.Token}} {
		if f.value != "" {
			*f.to = aws.String(f.value)
		}
	}
	if in.Max > 0 {
		ask.MaxKeys = aws.Int32(int32(min(in.Max, 1000))) //nolint:gosec // bounded
	}
	var out *s3.ListObjectsV2Output
	_, err := b.s.own.do(ctx, call{op: "list s3://" + b.name + "/" + in.Prefix, action: "s3:ListBucket", resource: bucketARN(b.region, b.name)},
		func(ctx context.Context) (err error) {
			out, err = b.client.ListObjectsV2(ctx, ask)
			return err
		})
	if err != nil {
		return Listing{}, err
	}
	l := Listing{Objects: make([]Object, 0, len(out.Contents))}
	for i := range out.Contents {
		o := &out.Contents[i]
		class := string(o.StorageClass)
		l.Objects = append(l.Objects, Object{
			Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), ETag: strings.Trim(aws.ToString(o.ETag), `"`), Modified: aws.ToTime(o.LastModified).UTC(),
			Archived: class == "GLACIER" || class == "DEEP_ARCHIVE",
		})
	}
	for _, p := range out.CommonPrefixes {
		l.Prefixes = append(l.Prefixes, aws.ToString(p.Prefix))
	}
	if aws.ToBool(out.IsTruncated) {
		l.Token = aws.ToString(out.NextContinuationToken)
	}
	return l, nil
}

// Get opens an object; its errors don't repeat which. A connection that breaks while its content is read is
// taken up again where it was, as long as the object stays the same. Permission:
// s3:GetObject, and kms:Decrypt for the key of an encrypted one.
func (b *Bucket) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r := &objectReader{ctx: ctx, b: b, key: key}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}

// Metadata returns an object's user metadata, names in lower case. Permission:
// s3:GetObject.
func (b *Bucket) Metadata(ctx context.Context, key string) (map[string]string, error) {
	var out *s3.HeadObjectOutput
	_, err := b.s.own.do(ctx, b.reading(key), func(ctx context.Context) (err error) {
		out, err = b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(b.name), Key: aws.String(key)})
		return err
	})
	if err != nil {
		return nil, err
	}
	meta := make(map[string]string, len(out.Metadata))
	for name, value := range out.Metadata {
		meta[strings.ToLower(name)] = value
	}
	return meta, nil
}

func (b *Bucket) reading(key string) call {
	return call{op: "fetch from S3", action: "s3:GetObject", resource: bucketARN(b.region, b.name) + "/" + key}
}

// maxResumes is how often in a row a broken download is taken up again without
// a byte in between.
const maxResumes = 5

// objectReader reads an object over as many connections as it takes.
type objectReader struct {
	ctx    context.Context
	b      *Bucket
	key    string
	body   io.ReadCloser
	etag   string
	at     int64 // bytes read
	size   int64
	broken int // in a row
}

func (r *objectReader) open() error {
	ask := &s3.GetObjectInput{Bucket: aws.String(r.b.name), Key: aws.String(r.key)}
	if r.etag != "" {
		ask.IfMatch = aws.String(r.etag)
	}
	if r.at > 0 {
		ask.Range = aws.String(fmt.Sprintf("bytes=%d-", r.at))
	}
	var out *s3.GetObjectOutput
	// No time limit on the body: it is read as fast as its reader goes.
	observed, saw := watch(r.ctx, r.b.reading(r.key).resource)
	out, err := r.b.client.GetObject(observed, ask)
	if r.ctx.Err() != nil {
		return fmt.Errorf("%s: %w", r.b.reading(r.key).op, context.Cause(r.ctx))
	}
	if err != nil {
		return r.b.s.own.explain(r.b.reading(r.key), err, saw.get())
	}
	r.b.s.own.served.Store(true)
	r.body, r.etag = out.Body, aws.ToString(out.ETag)
	if r.at == 0 {
		r.size = aws.ToInt64(out.ContentLength)
	}
	return nil
}

func (r *objectReader) Read(p []byte) (int, error) {
	for {
		n, err := r.body.Read(p)
		r.at += int64(n)
		if n > 0 {
			r.broken = 0
			if err != nil && !errors.Is(err, io.EOF) {
				err = nil // the next Read meets it again
			}
			return n, err
		}
		if err == nil || errors.Is(err, io.EOF) && r.at >= r.size {
			return n, err
		}
		if r.ctx.Err() != nil {
			return 0, context.Cause(r.ctx)
		}
		if r.broken++; r.broken > maxResumes {
			return 0, fmt.Errorf("the connection breaks again and again at byte %d of %d: %w", r.at, r.size, errors.Join(ErrNetwork, err))
		}
		_ = r.body.Close() // it is broken
		select {
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		case <-time.After(time.Duration(r.broken*r.broken) * 50 * time.Millisecond):
		}
		if oerr := r.open(); oerr != nil {
			return 0, oerr
		}
	}
}

func (r *objectReader) Close() error { return r.body.Close() }

// bucketARN names a bucket as policies do.
func bucketARN(region, name string) string { return "arn:" + partitionOf(region) + ":s3:::" + name }

// bucketName tells what can't be part of a URL's path or host otherwise (S3 User
// Guide, "Bucket naming rules").
func bucketName(name string) bool {
	if len(name) < 3 || len(name) > 255 {
		return false
	}
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_') {
			return false
		}
	}
	return !strings.Contains(name, "..")
}
