package awsapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Call is a request as IAM sees it: a permission that it needs.
type Call struct {
	Action string // such as cloudtrail:LookupEvents
	Region string
	// Resource is an ARN, with * for an account that isn't known, or a name; empty when
	// none is known.
	Resource string
}

// seen is what the last response to a request told besides its body.
type seen struct {
	serverTime   time.Time
	bucketRegion string
	foreign      bool // the answer has no mark of AWS
}

// sight holds what is seen of the requests whose context carries it.
type sight struct {
	mu sync.Mutex
	s  seen
}

func (s *sight) get() seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.s
}

type (
	seenKey     struct{}
	resourceKey struct{}
)

// watch returns a context whose requests leave what they see in the sight.
func watch(ctx context.Context, resource string) (context.Context, *sight) {
	s := &sight{}
	return about(context.WithValue(ctx, seenKey{}, s), resource), s
}

// about notes what a request is about, for Call.
func about(ctx context.Context, resource string) context.Context {
	return context.WithValue(ctx, resourceKey{}, resource)
}

// observe adds the middleware that tells record of each request that is about
// to be sent, and notes what its response tells, also that of a failure.
func observe(record func(Call)) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		look := middleware.DeserializeMiddlewareFunc("iamtrack/observe", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
			middleware.DeserializeOutput, middleware.Metadata, error,
		) {
			if record != nil {
				resource, _ := ctx.Value(resourceKey{}).(string)
				for _, c := range callsOf(awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx), awsmiddleware.GetRegion(ctx), resource,
					middleware.GetStackValue(ctx, inputKey{})) {
					record(c)
				}
			}
			out, meta, err := next.HandleDeserialize(ctx, in)
			s, _ := ctx.Value(seenKey{}).(*sight)
			resp, ok := out.RawResponse.(*smithyhttp.Response)
			// What isn't signed asks for credentials: the metadata of an instance come
			// as plain text, without a number.
			req, _ := in.Request.(*smithyhttp.Request)
			foreign := ok && req != nil && req.Header.Get("Authorization") != "" && isForeign(resp.Header)
			if foreign && err == nil && awsmiddleware.GetServiceID(ctx) != "S3" {
				// Nothing can be read as an empty page, which would say that nothing
				// happened. (S3's answers are of any type.)
				err = errForeign
			}
			if ok && s != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				if t, terr := smithyhttp.ParseTime(resp.Header.Get("Date")); terr == nil && resp.Header.Get("Age") == "" {
					s.s.serverTime = t.UTC()
				}
				s.s.foreign = foreign
				if r := resp.Header.Get("X-Amz-Bucket-Region"); r != "" {
					s.s.bucketRegion = r
				}
			}
			return out, meta, err
		})
		if record != nil {
			if err := remember(stack); err != nil {
				return err
			}
		}
		return stack.Deserialize.Add(look, middleware.After)
	}
}

var errForeign = errors.New("it has no mark of AWS's answers")

// isForeign tells an answer that AWS didn't give: its services number their
// answers, and none of them answers in plain text. Some servers that speak AWS's protocols leave the number out.
func isForeign(h http.Header) bool {
	for _, name := range []string{"X-Amzn-Requestid", "X-Amzn-Request-Id", "X-Amz-Request-Id", "X-Amz-Id-2"} {
		if h.Get(name) != "" {
			return false
		}
	}
	kind := h.Get("Content-Type")
	return !strings.Contains(kind, "json") && !strings.Contains(kind, "xml") && !strings.Contains(kind, "cbor") && !strings.Contains(kind, "octet-stream")
}

// prefixes are the services whose name in IAM isn't their id in lower case.
var prefixes = map[string]string{"SSO Admin": "sso", "SSO OIDC": "sso-oauth", "CloudWatch Logs": "logs", "EventBridge": "events"}

// actionOf is the permission that an operation needs (Service Authorization
// Reference). Some have other names than their operations.
func actionOf(service, operation string) string {
	switch service + "." + operation {
	case "S3.ListObjectsV2", "S3.HeadBucket":
		return "s3:ListBucket"
	case "S3.HeadObject":
		return "s3:GetObject"
	case "S3.PutPublicAccessBlock":
		return "s3:PutBucketPublicAccessBlock"
	case "S3.ListObjectVersions":
		return "s3:ListBucketVersions"
	case "S3.DeleteObjects": // with the versions' ids
		return "s3:DeleteObjectVersion"
	case "S3.CreateMultipartUpload", "S3.UploadPart", "S3.CompleteMultipartUpload":
		return "s3:PutObject"
	case "Lambda.Invoke":
		return "lambda:InvokeFunction"
	}
	prefix, ok := prefixes[service]
	if !ok {
		prefix = strings.ToLower(strings.ReplaceAll(service, " ", ""))
	}
	return prefix + ":" + operation
}

// once is the retryer of requests that the caller paces: only a signature that
// the server refuses because of the local clock is made again, with its time.
var once aws.RetryerV2 = skewOnly{retry.NewStandard()}

type skewOnly struct{ *retry.Standard }

func (skewOnly) MaxAttempts() int { return 2 }

func (skewOnly) IsErrorRetryable(err error) bool { return isSkew(err) }

func (skewOnly) GetRetryToken(context.Context, error) (func(error) error, error) {
	return func(error) error { return nil }, nil
}

func (skewOnly) RetryDelay(int, error) (time.Duration, error) { return 0, nil }
