package awsapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Stat is one version of an object.
type Stat struct {
	Size     int64 // bytes, of the whole object
	ETag     string
	Version  string // empty where the bucket keeps no versions
	Modified time.Time
	Meta     map[string]string // user metadata, names in lower case
}

// Range asks for a part of an object.
type Range struct {
	From, To int64 // bytes, [From, To); To may lie beyond the end
	// Version and ETag, when set, are those of the object that is meant: another
	// one is ErrNotFound or ErrChanged.
	Version, ETag string
}

// Head tells of an object without its content. Permission: s3:GetObject.
func (b *Bucket) Head(ctx context.Context, key string) (Stat, error) {
	var out *s3.HeadObjectOutput
	_, err := b.s.own.do(ctx, b.reading(key), func(ctx context.Context) (err error) {
		out, err = b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(b.name), Key: aws.String(key), ExpectedBucketOwner: b.mustOwn()})
		return err
	})
	if err != nil {
		return Stat{}, err
	}
	return Stat{Size: aws.ToInt64(out.ContentLength), ETag: unquoted(out.ETag), Version: version(out.VersionId), Modified: aws.ToTime(out.LastModified).UTC(), Meta: lower(out.Metadata)}, nil
}

// Read reads a part of an object into memory. Permission: s3:GetObject, with a
// version s3:GetObjectVersion, and kms:Decrypt for the key of an encrypted one.
func (b *Bucket) Read(ctx context.Context, key string, r Range) ([]byte, Stat, error) {
	ask := &s3.GetObjectInput{Bucket: aws.String(b.name), Key: aws.String(key), Range: aws.String(fmt.Sprintf("bytes=%d-%d", r.From, r.To-1))}
	c := b.reading(key)
	if r.Version != "" {
		ask.VersionId = aws.String(r.Version)
		c.action = "s3:GetObjectVersion"
	}
	if r.ETag != "" {
		ask.IfMatch = aws.String(`"` + r.ETag + `"`)
	}
	var out *s3.GetObjectOutput
	var data []byte
	read := func(ctx context.Context) (err error) {
		if out, err = b.client.GetObject(ctx, ask); err != nil {
			return err
		}
		defer out.Body.Close() //nolint:errcheck // only read
		data, err = io.ReadAll(out.Body)
		return err
	}
	var err error
	for broken := 0; ; broken++ {
		if _, err = b.s.own.do(ctx, c, read); err == nil || broken == maxResumes || ctx.Err() != nil || KindOf(err) != Network {
			break
		}
		// The SDK asks again when there is no answer, not when one breaks off.
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(broken*broken) * 50 * time.Millisecond):
		}
	}
	if err != nil {
		if codeOf(err) == "InvalidRange" && r.From == 0 { // nothing is in it
			s, err := b.Head(ctx, key)
			return nil, s, err
		}
		return nil, Stat{}, err
	}
	s := Stat{Size: aws.ToInt64(out.ContentLength), ETag: unquoted(out.ETag), Version: version(out.VersionId), Modified: aws.ToTime(out.LastModified).UTC(), Meta: lower(out.Metadata)}
	if _, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/"); ok {
		if s.Size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, Stat{}, fmt.Errorf("%s s3://%s/%s: the range %q has no size", c.op, b.name, key, *out.ContentRange)
		}
	}
	return data, s, nil
}

// Condition is what must be so for an object to be written.
type Condition struct {
	// ETag is that of the object to be replaced; empty: there must be none.
	ETag string
}

func (c Condition) match() (ifMatch, ifNoneMatch *string) {
	if c.ETag == "" {
		return nil, aws.String("*")
	}
	return aws.String(`"` + c.ETag + `"`), nil
}

func (b *Bucket) writing(key string) call {
	return call{op: "write to S3", action: "s3:PutObject", resource: bucketARN(b.region, b.name) + "/" + key}
}

// Put writes an object, with metadata, if the condition holds, else it returns
// ErrChanged. Permission: s3:PutObject, and kms:GenerateDataKey for a bucket that is
// encrypted with a key of the account's own. After another error the object may or
// may not have been written.
//
// Source: Amazon S3 User Guide, "Adding preconditions to S3 operations with
// conditional requests".
func (b *Bucket) Put(ctx context.Context, key string, data []byte, meta map[string]string, only Condition) (Stat, error) {
	in := &s3.PutObjectInput{Bucket: aws.String(b.name), Key: aws.String(key), Metadata: meta, ExpectedBucketOwner: b.mustOwn()}
	in.IfMatch, in.IfNoneMatch = only.match()
	var out *s3.PutObjectOutput
	_, err := b.s.own.do(ctx, b.writing(key), func(ctx context.Context) (err error) {
		in.Body = bytes.NewReader(data)
		out, err = b.client.PutObject(ctx, in)
		return err
	})
	if err != nil {
		return Stat{}, err
	}
	return Stat{Size: int64(len(data)), ETag: unquoted(out.ETag), Version: version(out.VersionId), Meta: meta}, nil
}

// Delete removes an object; that there is none is no error. Permission:
// s3:DeleteObject.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	c := call{op: "delete from S3", action: "s3:DeleteObject", resource: bucketARN(b.region, b.name) + "/" + key}
	_, err := b.s.own.do(ctx, c, func(ctx context.Context) error {
		_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(b.name), Key: aws.String(key)})
		return err
	})
	return err
}

// Upload is an object that is written in parts.
type Upload struct {
	b     *Bucket
	key   string
	id    string
	parts []types.CompletedPart
	size  int64
}

// MinPart is the least size of a part, but for the last (Amazon S3 User Guide,
// "Amazon S3 multipart upload limits").
const MinPart = 5 << 20

// StartUpload begins to write an object in parts. Permission: s3:PutObject.
func (b *Bucket) StartUpload(ctx context.Context, key string, meta map[string]string) (*Upload, error) {
	u := &Upload{b: b, key: key}
	_, err := b.s.own.do(ctx, b.writing(key), func(ctx context.Context) error {
		out, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: aws.String(b.name), Key: aws.String(key), Metadata: meta, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
		if err == nil {
			u.id = aws.ToString(out.UploadId)
		}
		return err
	})
	return u, err
}

// Part writes the next part.
func (u *Upload) Part(ctx context.Context, data []byte) error {
	n := int32(len(u.parts) + 1) //nolint:gosec // S3 takes 10,000
	_, err := u.b.s.own.do(ctx, u.b.writing(u.key), func(ctx context.Context) error {
		out, err := u.b.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: aws.String(u.b.name), Key: aws.String(u.key), UploadId: aws.String(u.id), PartNumber: aws.Int32(n), Body: bytes.NewReader(data), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
		if err == nil {
			u.parts = append(u.parts, types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(n), ChecksumCRC32: out.ChecksumCRC32})
			u.size += int64(len(data))
		}
		return err
	})
	return err
}

// Complete makes the object visible, if the condition holds; see Bucket.Put.
func (u *Upload) Complete(ctx context.Context, only Condition) (Stat, error) {
	in := &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(u.b.name), Key: aws.String(u.key), UploadId: aws.String(u.id), MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts}}
	in.IfMatch, in.IfNoneMatch = only.match()
	var out *s3.CompleteMultipartUploadOutput
	_, err := u.b.s.own.do(ctx, u.b.writing(u.key), func(ctx context.Context) (err error) {
		out, err = u.b.client.CompleteMultipartUpload(ctx, in)
		return err
	})
	if err != nil {
		return Stat{}, err
	}
	return Stat{Size: u.size, ETag: unquoted(out.ETag), Version: version(out.VersionId)}, nil
}

// Abort gives the parts up; S3 keeps, and bills, them else. Permission:
// s3:AbortMultipartUpload.
func (u *Upload) Abort(ctx context.Context) error {
	c := u.b.writing(u.key)
	c.action = "s3:AbortMultipartUpload"
	_, err := u.b.s.own.do(ctx, c, func(ctx context.Context) error {
		_, err := u.b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String(u.b.name), Key: aws.String(u.key), UploadId: aws.String(u.id)})
		return err
	})
	return err
}

// mustOwn is the account that S3 must find to be the bucket's owner.
func (b *Bucket) mustOwn() *string {
	if b.owner == "" {
		return nil
	}
	return aws.String(b.owner)
}

func unquoted(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

// version is a version's id; S3 calls that of objects without one "null".
func version(id *string) string {
	if v := aws.ToString(id); v != "null" {
		return v
	}
	return ""
}

func lower(meta map[string]string) map[string]string {
	out := make(map[string]string, len(meta))
	for name, value := range meta {
		out[strings.ToLower(name)] = value
	}
	return out
}
