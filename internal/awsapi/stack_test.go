package awsapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

func TestStack(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r request) {
		q, _ := url.ParseQuery(r.Body)
		w.Header().Set("Content-Type", "text/xml")
		w.Header().Set("X-Amzn-RequestId", "1")
		refuse := func(status int, code, message string) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type><Code>` + code + `</Code><Message>` + message + `</Message></Error><RequestId>1</RequestId></ErrorResponse>`))
		}
		switch q.Get("StackName") {
		case "gone":
			refuse(400, "ValidationError", "Stack with id gone does not exist")
		case "odd":
			refuse(400, "ValidationError", "1 validation error detected")
		case "denied":
			refuse(403, "AccessDenied", "User: arn:aws:iam::111122223333:user/x is not authorized to perform: cloudformation:DescribeStacks on resource: arn:aws:cloudformation:us-east-1:111122223333:stack/denied/*")
		default:
			_, _ = w.Write([]byte(`<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>
<StackName>prod</StackName><StackId>arn:aws:cloudformation:us-east-1:111122223333:stack/prod/1</StackId><StackStatus>UPDATE_COMPLETE</StackStatus><CreationTime>2026-11-22T12:00:00Z</CreationTime>
<Parameters><member><ParameterKey>LogLevel</ParameterKey><ParameterValue>info</ParameterValue></member></Parameters>
<Outputs><member><OutputKey>Table</OutputKey><OutputValue>prod-events</OutputValue></member></Outputs>
<Tags><member><Key>team</Key><Value>sec</Value></member></Tags></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`))
		}
	})
	s := open(t, f)
	got, err := s.Stack(context.Background(), "prod")
	if err != nil || got.Name != "prod" || got.Status != "UPDATE_COMPLETE" || got.Outputs["Table"] != "prod-events" || got.Parameters["LogLevel"] != "info" || got.Tags["team"] != "sec" {
		t.Errorf("%+v, %v", got, err)
	}
	for name, want := range map[string]error{"gone": awsapi.ErrNotFound, "denied": awsapi.ErrDenied, "odd": nil} {
		_, err := s.Stack(context.Background(), name)
		if err == nil || want != nil && !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "look for the stack in us-east-1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
