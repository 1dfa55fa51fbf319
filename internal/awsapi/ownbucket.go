package awsapi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// ErrTaken is wrapped when a bucket's name belongs to somebody else's.
var ErrTaken = errors.New("the bucket's name is taken by another account")

// OwnBucket opens a bucket that must belong to the account, in the session's region:
// what is written to it by a name that anybody can guess must not land with somebody
// else. ErrNotFound: there is none of that name; ErrTaken: it is another account's.
// Permission: s3:ListBucket.
//
// Source: Amazon S3 User Guide, "Verifying bucket ownership with bucket owner
// condition".
func (s *Session) OwnBucket(ctx context.Context, name, account string) (*Bucket, error) {
	if !bucketName(name) {
		return nil, fmt.Errorf("open s3://%s: not a bucket's name", name)
	}
	b := &Bucket{s: s, name: name, region: s.base.Region, client: s.s3(s.base.Region), owner: account}
	c := call{op: "open s3://" + name, action: "s3:ListBucket", region: b.region, resource: bucketARN(b.region, name)}
	var out *s3.HeadBucketOutput
	_, err := s.own.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = b.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(name), ExpectedBucketOwner: aws.String(account)})
		return err
	})
	var e *Error
	switch {
	case err == nil:
		if r := aws.ToString(out.BucketRegion); r != "" && r != b.region {
			return nil, fmt.Errorf("open s3://%s: the bucket lies in %s, and the functions' code must lie in %s: name another bucket", name, r, b.region)
		}
		return b, nil
	case errors.As(err, &e) && e.Kind == Denied:
		// HEAD's answer has no words: the permission may be missing, too.
		return nil, fmt.Errorf("%w, or %s is not permitted on it", fmt.Errorf("open s3://%s: %w (account %s wants it)", name, ErrTaken, account), c.action)
	}
	return nil, err
}

// tlsOnly denies what isn't encrypted on its way.
//
// Source: Amazon S3 User Guide, "Security best practices", enforce encryption of data
// in transit.
const tlsOnly = `{"Version":"2012-10-17","Statement":[{"Sid":"OnlyTLS","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["%[1]s","%[1]s/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`

// MakeBucket makes a bucket in the session's region that only the account reaches, by
// TLS, or finishes one that an earlier run left half made. ErrTaken: the name is
// another account's. Permissions: s3:CreateBucket, s3:PutBucketPublicAccessBlock,
// s3:PutBucketPolicy.
func (s *Session) MakeBucket(ctx context.Context, name, account string) (*Bucket, error) {
	b := &Bucket{s: s, name: name, region: s.base.Region, client: s.s3(s.base.Region), owner: account}
	arn := bucketARN(b.region, name)
	create := &s3.CreateBucketInput{Bucket: aws.String(name)}
	if b.region != "us-east-1" { // which has no name for itself there (S3 API Reference, "CreateBucket")
		create.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(b.region)}
	}
	for _, step := range []struct {
		op, action string
		send       func(context.Context) error
	}{
		{"make the bucket " + name, "s3:CreateBucket", func(ctx context.Context) error {
			_, err := b.client.CreateBucket(ctx, create)
			return err
		}},
		{"block public access to the bucket " + name, "s3:PutBucketPublicAccessBlock", func(ctx context.Context) error {
			_, err := b.client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: aws.String(name), ExpectedBucketOwner: aws.String(account),
				PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
					BlockPublicAcls: aws.Bool(true), BlockPublicPolicy: aws.Bool(true), IgnorePublicAcls: aws.Bool(true), RestrictPublicBuckets: aws.Bool(true),
				}})
			return err
		}},
		{"permit only TLS to the bucket " + name, "s3:PutBucketPolicy", func(ctx context.Context) error {
			_, err := b.client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(name), ExpectedBucketOwner: aws.String(account), Policy: aws.String(fmt.Sprintf(tlsOnly, arn))})
			return err
		}},
	} {
		_, err := s.own.do(ctx, call{op: step.op, action: step.action, region: b.region, resource: arn}, step.send)
		switch codeOf(err) {
		case "BucketAlreadyOwnedByYou":
			continue
		case "BucketAlreadyExists":
			return nil, fmt.Errorf("%s: %w", step.op, ErrTaken)
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Empty deletes all that a bucket has, old versions too, and tells progress the number
// so far. A bucket that is gone is empty. Permissions: s3:ListBucketVersions,
// s3:DeleteObject, s3:DeleteObjectVersion.
//
// Source: Amazon S3 API Reference, "ListObjectVersions", "DeleteObjects".
func (b *Bucket) Empty(ctx context.Context, progress func(deleted int)) error {
	arn, n := bucketARN(b.region, b.name), 0
	ask := &s3.ListObjectVersionsInput{Bucket: aws.String(b.name)}
	for {
		var out *s3.ListObjectVersionsOutput
		_, err := b.s.own.do(ctx, call{op: "list s3://" + b.name, action: "s3:ListBucketVersions", region: b.region, resource: arn}, func(ctx context.Context) (err error) {
			out, err = b.client.ListObjectVersions(ctx, ask)
			return err
		})
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		var list []types.ObjectIdentifier
		for i := range out.Versions {
			list = append(list, types.ObjectIdentifier{Key: out.Versions[i].Key, VersionId: out.Versions[i].VersionId})
		}
		for i := range out.DeleteMarkers {
			list = append(list, types.ObjectIdentifier{Key: out.DeleteMarkers[i].Key, VersionId: out.DeleteMarkers[i].VersionId})
		}
		if len(list) > 0 {
			var done *s3.DeleteObjectsOutput
			_, err := b.s.own.do(ctx, call{op: "empty s3://" + b.name, action: "s3:DeleteObjectVersion", region: b.region, resource: arn + "/*"}, func(ctx context.Context) (err error) {
				done, err = b.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String(b.name), Delete: &types.Delete{Objects: list, Quiet: aws.Bool(true)}})
				return err
			})
			if err != nil {
				return err
			}
			if len(done.Errors) > 0 {
				f := done.Errors[0]
				return fmt.Errorf("empty s3://%s: %d of %d objects were not deleted, the first is %q: %s: %s (permissions: s3:DeleteObject, s3:DeleteObjectVersion)",
					b.name, len(done.Errors), len(list), aws.ToString(f.Key), aws.ToString(f.Code), aws.ToString(f.Message))
			}
			n += len(list)
			progress(n)
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		ask.KeyMarker, ask.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
	}
}

// URL is where CloudFormation finds an object of the bucket.
func (b *Bucket) URL(key string) string {
	if u := b.s.endpoint(); u != "" {
		return strings.TrimSuffix(u, "/") + "/" + b.name + "/" + key
	}
	domain := "amazonaws.com"
	if partitionOf(b.region) == "aws-cn" {
		domain = "amazonaws.com.cn"
	}
	return "https://" + b.name + ".s3." + b.region + "." + domain + "/" + key
}
