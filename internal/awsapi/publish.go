package awsapi

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
)

// Message is what Publish sends to an SNS topic.
type Message struct {
	TopicARN string
	Subject  string // for e-mail; at most 100 printable ASCII characters; may be empty
	Body     string // at most 256 KiB
	// Attributes are strings by which subscriptions filter, such as severity.
	Attributes map[string]string
	// ID makes a FIFO topic drop the same message within 5 minutes; others ignore it.
	ID string
}

// Publish sends a message with the session's own credentials, and returns the id
// that SNS gave it. Permission: sns:Publish. It waits at most 90 seconds, and
// has the SDK's retries; a message may arrive twice.
//
// Source: Amazon SNS API Reference, "Publish".
func (s *Session) Publish(ctx context.Context, m Message) (string, error) {
	arn := strings.Split(m.TopicARN, ":")
	if len(arn) != 6 || arn[0] != "arn" || arn[2] != "sns" || arn[3] == "" {
		return "", fmt.Errorf("publish to SNS: %q is no topic ARN: use arn:aws:sns:REGION:ACCOUNT:NAME", m.TopicARN)
	}
	in := &sns.PublishInput{TopicArn: aws.String(m.TopicARN), Message: aws.String(m.Body)}
	if m.Subject != "" {
		in.Subject = aws.String(m.Subject)
	}
	if len(m.Attributes) > 0 {
		in.MessageAttributes = make(map[string]types.MessageAttributeValue, len(m.Attributes))
		for name, value := range m.Attributes {
			in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
		}
	}
	if strings.HasSuffix(m.TopicARN, ".fifo") {
		in.MessageGroupId, in.MessageDeduplicationId = aws.String(sessionName), aws.String(m.ID)
	}
	var out *sns.PublishOutput
	_, err := s.own.do(ctx, call{op: "publish to SNS", action: "sns:Publish", region: arn[3], resource: m.TopicARN}, func(ctx context.Context) (err error) {
		out, err = sns.NewFromConfig(s.base, func(o *sns.Options) { o.Region = arn[3] }).Publish(ctx, in)
		return err
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.MessageId), nil
}
