package awsapi

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

// LogLine is one line of a log group of CloudWatch.
type LogLine struct {
	ID     string
	At     time.Time
	Stream string
	Text   string // as it was written: nothing is escaped
}

// LogLines returns a page of the lines of a log group, from a time on, in order, and
// the token of the next page, empty at the end. pattern is a filter of CloudWatch's;
// empty: every line. A page may be empty and not the last. Permission:
// logs:FilterLogEvents.
//
// Source: Amazon CloudWatch Logs API Reference, "FilterLogEvents".
func (s *Session) LogLines(ctx context.Context, group, pattern string, since time.Time, token string) ([]LogLine, string, error) {
	ask := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(group), StartTime: aws.Int64(since.UnixMilli())}
	if pattern != "" {
		ask.FilterPattern = aws.String(pattern)
	}
	if token != "" {
		ask.NextToken = aws.String(token)
	}
	var out *cloudwatchlogs.FilterLogEventsOutput
	c := call{op: "read the log", action: "logs:FilterLogEvents", region: s.base.Region, resource: group}
	if _, err := s.own.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = cloudwatchlogs.NewFromConfig(s.base).FilterLogEvents(ctx, ask)
		return err
	}); err != nil {
		return nil, "", err
	}
	lines := make([]LogLine, 0, len(out.Events))
	for i := range out.Events {
		e := &out.Events[i]
		lines = append(lines, LogLine{ID: aws.ToString(e.EventId), At: time.UnixMilli(aws.ToInt64(e.Timestamp)).UTC(), Stream: aws.ToString(e.LogStreamName), Text: aws.ToString(e.Message)})
	}
	return lines, aws.ToString(out.NextToken), nil
}

// Alarm is a CloudWatch alarm.
type Alarm struct {
	Name, Description string
	State             string // OK, ALARM or INSUFFICIENT_DATA
	Reason            string
	Since             time.Time // when the state changed last
}

// Alarms lists the alarms whose names begin with a prefix. Permission:
// cloudwatch:DescribeAlarms.
//
// Source: Amazon CloudWatch API Reference, "DescribeAlarms".
func (s *Session) Alarms(ctx context.Context, prefix string) (list []Alarm, err error) {
	ask := &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: aws.String(prefix), AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm}}
	for {
		var out *cloudwatch.DescribeAlarmsOutput
		c := call{op: "look at the alarms", action: "cloudwatch:DescribeAlarms", region: s.base.Region, resource: prefix + "*"}
		if _, err := s.own.do(ctx, c, func(ctx context.Context) (err error) {
			out, err = cloudwatch.NewFromConfig(s.base).DescribeAlarms(ctx, ask)
			return err
		}); err != nil {
			return nil, err
		}
		for i := range out.MetricAlarms {
			a := &out.MetricAlarms[i]
			list = append(list, Alarm{aws.ToString(a.AlarmName), aws.ToString(a.AlarmDescription), string(a.StateValue), aws.ToString(a.StateReason), aws.ToTime(a.StateUpdatedTimestamp).UTC()})
		}
		if ask.NextToken = out.NextToken; aws.ToString(ask.NextToken) == "" {
			return list, nil
		}
	}
}
