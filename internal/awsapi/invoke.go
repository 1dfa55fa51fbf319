package awsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// invokeTimeout is a little more than a function may run.
//
// Source: AWS Lambda Developer Guide, "Lambda quotas", function timeout.
const invokeTimeout = 15*time.Minute + 30*time.Second

// FunctionError is the error that a Lambda function ended with.
type FunctionError struct {
	Function string
	Type     string // as the runtime names it; may be empty
	Message  string
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("the function %s failed: %s", e.Function, e.Message)
}

// Invoke runs a Lambda function in the session's region, waits for its end, and
// returns its result, JSON. That it failed is a *FunctionError. It isn't tried again
// when the connection breaks, as the function may run on. Permission:
// lambda:InvokeFunction.
//
// Source: AWS Lambda API Reference, "Invoke".
func (s *Session) Invoke(ctx context.Context, function string, payload []byte) (json.RawMessage, error) {
	var out *lambda.InvokeOutput
	c := call{op: "run the function", action: "lambda:InvokeFunction", region: s.base.Region, resource: function, limit: invokeTimeout}
	_, err := s.own.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = lambda.NewFromConfig(s.base, func(o *lambda.Options) { o.RetryMaxAttempts = 1 }).Invoke(ctx, &lambda.InvokeInput{
			FunctionName: aws.String(function), Payload: payload, InvocationType: types.InvocationTypeRequestResponse,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	if out.FunctionError == nil {
		return out.Payload, nil
	}
	e := &FunctionError{Function: function}
	var said struct{ ErrorType, ErrorMessage string }
	if json.Unmarshal(out.Payload, &said) == nil {
		e.Type, e.Message = said.ErrorType, said.ErrorMessage
	}
	if e.Message == "" {
		e.Message = *out.FunctionError
	}
	return nil, e
}
