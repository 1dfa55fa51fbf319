package awsapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/ec2query"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Of EC2's 700 operations one is needed, and the SDK's package of them takes minutes
// and gigabytes to compile. So this one request is put together here, of the parts
// that the SDK's own clients are made of: endpoint, retries, clock, signature, errors.

// ec2Region is a region as EC2 describes it (EC2 API Reference, "Region").
type ec2Region struct {
	Name   string `xml:"regionName"`
	Status string `xml:"optInStatus"`
}

const (
	ec2ID      = "EC2"
	ec2Version = "2016-11-15"
	// mostOfRegions bounds the answer, in bytes: one region takes some 200.
	mostOfRegions = 1 << 20
)

// describeRegions asks EC2 for the regions that are enabled (EC2 API Reference,
// "DescribeRegions").
func describeRegions(ctx context.Context, cfg aws.Config) ([]ec2Region, error) {
	const operation = "DescribeRegions"
	endpoint, err := ec2Endpoint(ctx, cfg)
	if err != nil {
		return nil, err
	}
	ctx = middleware.ClearStackValues(ctx)
	ctx = awsmiddleware.SetServiceID(ctx, ec2ID)
	ctx = awsmiddleware.SetOperationName(ctx, operation)
	ctx = awsmiddleware.SetRegion(ctx, cfg.Region)
	stack := middleware.NewStack(operation, smithyhttp.NewStackRequest)
	form := url.Values{"Action": {operation}, "Version": {ec2Version}}.Encode()
	retryer := aws.Retryer(retry.NewStandard())
	if cfg.Retryer != nil {
		retryer = cfg.Retryer()
	}
	if cfg.RetryMaxAttempts > 0 {
		retryer = retry.AddWithMaxAttempts(retryer, cfg.RetryMaxAttempts)
	}
	add := []func(*middleware.Stack) error{
		func(s *middleware.Stack) error { return s.Serialize.Add(posts(endpoint, form), middleware.After) },
		awsmiddleware.AddClientRequestIDMiddleware,
		awsmiddleware.AddRequestUserAgentMiddleware,
		func(s *middleware.Stack) error {
			return s.Finalize.Add(retry.NewAttemptMiddleware(retryer, smithyhttp.RequestCloner), middleware.After)
		},
		func(s *middleware.Stack) error { return s.Finalize.Add(signs(cfg, form), middleware.After) },
		func(s *middleware.Stack) error { return s.Deserialize.Add(readsRegions, middleware.After) },
		awsmiddleware.AddRecordResponseTiming,
		awsmiddleware.AddRequestIDRetrieverMiddleware,
		awshttp.AddResponseErrorMiddleware,
	}
	if cfg.AppID != "" {
		add = append(add, awsmiddleware.AddSDKAgentKey(awsmiddleware.ApplicationIdentifier, cfg.AppID))
	}
	for _, f := range append(add, cfg.APIOptions...) {
		if err := f(stack); err != nil {
			return nil, err
		}
	}
	result, _, err := middleware.DecorateHandler(smithyhttp.NewClientHandlerWithOptions(cfg.HTTPClient), stack).Handle(ctx, nil)
	if err != nil {
		return nil, &smithy.OperationError{ServiceID: ec2ID, OperationName: operation, Err: err}
	}
	return result.([]ec2Region), nil
}

// ec2Endpoint is where EC2 is asked, as the SDK's clients find it: as configured for
// EC2, as configured for all services, or where AWS has it. Its name is then that of
// CloudTrail in the same region but for the first part, in each partition, with FIPS
// and dual-stack too (AWS General Reference, "Amazon EC2 endpoints and quotas").
func ec2Endpoint(ctx context.Context, cfg aws.Config) (string, error) {
	sources := cfg.ConfigSources
	if os.Getenv("AWS_ENDPOINT_URL") != "" && os.Getenv("AWS_ENDPOINT_URL_EC2") == "" {
		sources = nil // the environment goes before what a profile says of one service
	}
	for _, source := range sources {
		if ignores, ok := source.(interface {
			GetIgnoreConfiguredEndpoints(context.Context) (bool, bool, error)
		}); ok {
			if ignore, found, err := ignores.GetIgnoreConfiguredEndpoints(ctx); err == nil && found && ignore {
				break
			}
		}
		if names, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		}); ok {
			if endpoint, found, err := names.GetServiceBaseEndpoint(ctx, ec2ID); err == nil && found {
				return endpoint, nil
			}
		}
	}
	if endpoint := aws.ToString(cfg.BaseEndpoint); endpoint != "" {
		return endpoint, nil
	}
	o := cloudtrail.NewFromConfig(cfg).Options()
	found, err := o.EndpointResolverV2.ResolveEndpoint(ctx, cloudtrail.EndpointParameters{
		Region:       aws.String(cfg.Region),
		UseFIPS:      aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack: aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
	})
	if err != nil {
		return "", err
	}
	return strings.Replace(found.URI.String(), "//cloudtrail", "//ec2", 1), nil
}

// posts makes a request of a form.
func posts(endpoint, form string) middleware.SerializeMiddleware {
	return middleware.SerializeMiddlewareFunc("OperationSerializer", func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (
		out middleware.SerializeOutput, meta middleware.Metadata, err error,
	) {
		req, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return out, meta, fmt.Errorf("a request of type %T", in.Request)
		}
		if req.URL, err = url.Parse(endpoint); err != nil {
			return out, meta, err
		}
		if req.URL.Path == "" {
			req.URL.Path = "/"
		}
		req.Method = http.MethodPost
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		if in.Request, err = req.SetStream(strings.NewReader(form)); err != nil {
			return out, meta, err
		}
		return next.HandleSerialize(ctx, in)
	})
}

// signs signs each attempt, by the server's clock when an earlier one told that the
// local one is wrong (AWS IAM User Guide, "AWS Signature Version 4").
func signs(cfg aws.Config, body string) middleware.FinalizeMiddleware {
	hash := sha256.Sum256([]byte(body))
	var skew time.Duration
	return middleware.FinalizeMiddlewareFunc("Signing", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
		out middleware.FinalizeOutput, meta middleware.Metadata, err error,
	) {
		req, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return out, meta, fmt.Errorf("a request of type %T", in.Request)
		}
		keys, err := cfg.Credentials.Retrieve(ctx)
		if err != nil {
			return out, meta, &v4.SigningError{Err: fmt.Errorf("failed to retrieve credentials: %w", err)}
		}
		err = v4.NewSigner().SignHTTP(ctx, keys, req.Request, hex.EncodeToString(hash[:]), "ec2", cfg.Region, time.Now().Add(skew))
		if err != nil {
			return out, meta, &v4.SigningError{Err: err}
		}
		out, meta, err = next.HandleFinalize(ctx, in)
		if s, ok := awsmiddleware.GetAttemptSkew(meta); ok {
			skew = s
		}
		return out, meta, err
	})
}

// readsRegions reads the answer.
var readsRegions = middleware.DeserializeMiddlewareFunc("OperationDeserializer", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, meta, err := next.HandleDeserialize(ctx, in)
	if err != nil {
		return out, meta, err
	}
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok {
		return out, meta, &smithy.DeserializationError{Err: fmt.Errorf("an answer of type %T", out.RawResponse)}
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	body := io.LimitReader(resp.Body, mostOfRegions)
	if resp.StatusCode < 200 || resp.StatusCode >= 300 {
		e, err := ec2query.GetErrorResponseComponents(body)
		if err != nil {
			return out, meta, err
		}
		awsmiddleware.SetRequestIDMetadata(&meta, e.RequestID)
		if e.Code == "" {
			e.Code, e.Message = "UnknownError", "UnknownError"
		}
		return out, meta, &smithy.GenericAPIError{Code: e.Code, Message: e.Message}
	}
	var answer struct {
		Regions []ec2Region `xml:"regionInfo>item"`
	}
	if err := xml.NewDecoder(body).Decode(&answer); err != nil {
		return out, meta, &smithy.DeserializationError{Err: fmt.Errorf("failed to decode response body, %w", err)}
	}
	out.Result = answer.Regions
	return out, meta, nil
})
