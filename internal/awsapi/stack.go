package awsapi

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
)

// Stack is a CloudFormation stack.
type Stack struct {
	Name, ID string
	// Status is CloudFormation's, such as UPDATE_COMPLETE, Reason why it is so.
	Status, Reason string
	Parameters     map[string]string
	Outputs        map[string]string
	Tags           map[string]string
}

// Stack tells of a stack by name, in the session's region; ErrNotFound when there is
// none. Permission: cloudformation:DescribeStacks.
//
// Source: AWS CloudFormation API Reference, "DescribeStacks".
func (s *Session) Stack(ctx context.Context, name string) (Stack, error) {
	var out *cloudformation.DescribeStacksOutput
	c := call{op: "look for the stack", action: "cloudformation:DescribeStacks", region: s.base.Region, resource: name}
	_, err := s.own.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = cloudformation.NewFromConfig(s.base).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
		return err
	})
	if err == nil && len(out.Stacks) == 0 || missingStack(err) {
		return Stack{}, s.noStack(c)
	}
	if err != nil {
		return Stack{}, err
	}
	found := &out.Stacks[0]
	st := Stack{
		Name: aws.ToString(found.StackName), ID: aws.ToString(found.StackId), Status: string(found.StackStatus), Reason: aws.ToString(found.StackStatusReason),
		Parameters: map[string]string{}, Outputs: map[string]string{}, Tags: map[string]string{},
	}
	for _, p := range found.Parameters {
		st.Parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	for _, o := range found.Outputs {
		st.Outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	for _, t := range found.Tags {
		st.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return st, nil
}
