package awsapi

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
)

// PublicKey is a key that CloudTrail signs digest files with.
type PublicKey struct {
	Fingerprint string // as digest files name it
	DER         []byte // PKCS #1
	From, Until time.Time
}

// PublicKeys lists the keys that CloudTrail signed a region's digest files with
// in that time. Permission: cloudtrail:ListPublicKeys.
//
// Source: AWS CloudTrail API Reference, "ListPublicKeys".
func (a *Account) PublicKeys(ctx context.Context, region string, start, end time.Time) ([]PublicKey, error) {
	var keys []PublicKey
	ask := &cloudtrail.ListPublicKeysInput{StartTime: aws.Time(start.UTC()), EndTime: aws.Time(end.UTC())}
	for {
		var out *cloudtrail.ListPublicKeysOutput
		_, err := a.do(ctx, call{op: "fetch the public keys of digests", action: "cloudtrail:ListPublicKeys", region: region}, func(ctx context.Context) (err error) {
			out, err = cloudtrail.NewFromConfig(a.cfg, func(o *cloudtrail.Options) { o.Region = region }).ListPublicKeys(ctx, ask)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range out.PublicKeyList {
			k := &out.PublicKeyList[i]
			keys = append(keys, PublicKey{
				Fingerprint: aws.ToString(k.Fingerprint), DER: k.Value,
				From: aws.ToTime(k.ValidityStartTime).UTC(), Until: aws.ToTime(k.ValidityEndTime).UTC(),
			})
		}
		if ask.NextToken = out.NextToken; aws.ToString(out.NextToken) == "" {
			return keys, nil
		}
	}
}
