package awsapi

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// StackParameter is a value for a parameter of a stack's template.
type StackParameter struct {
	Name, Value string
	// Keep: the value stays what the stack has; Value means nothing then.
	Keep bool
}

// ChangeSetInput says what a stack is to become.
type ChangeSetInput struct {
	Stack, Name string
	// Create: there is no such stack yet, or only one in review.
	Create bool
	// TemplateURL is where the template lies, in S3; empty: it stays.
	TemplateURL string
	Parameters  []StackParameter
	Tags        map[string]string
}

// ChangeSet is what would change in a stack.
type ChangeSet struct {
	ID, StackID string
	// Status is CloudFormation's, such as CREATE_COMPLETE; Execution says whether it
	// can be executed, such as AVAILABLE.
	Status, Execution, Reason string
	Changes                   []ResourceChange
}

// ResourceChange is one resource that a change set changes.
type ResourceChange struct {
	Action     string `json:"action"`      // Add, Modify, Remove, Import, Dynamic
	Resource   string `json:"resource"`    // in the template
	PhysicalID string `json:"physical_id"` // empty before it is made
	Type       string `json:"type"`        // such as AWS::DynamoDB::Table
	// Replacement is True, False or Conditional for a Modify: the resource is made
	// anew, and its content is lost unless the template retains it.
	Replacement string   `json:"replacement"`
	Scope       []string `json:"scope"` // what is modified: Properties, Metadata, Tags …
}

// StackEvent is something that happened to a stack or a resource of it.
type StackEvent struct {
	ID         string
	At         time.Time
	Resource   string // in the template; the stack's own name for the stack itself
	PhysicalID string
	Type       string
	Status     string // such as CREATE_FAILED
	Reason     string
	// Token is that of the request that it happened for; empty when none was given.
	Token string
}

// StackResource is a resource of a stack.
type StackResource struct{ Resource, PhysicalID, Type, Status, Reason string }

// stackCall sends a request of CloudFormation that is about a stack.
func (s *Session) stackCall(ctx context.Context, op, operation, stack string, f func(context.Context, *cloudformation.Client) error) error {
	c := call{op: op, action: "cloudformation:" + operation, region: s.base.Region, resource: stack}
	_, err := s.own.do(ctx, c, func(ctx context.Context) error { return f(ctx, cloudformation.NewFromConfig(s.base)) })
	if err != nil && missingStack(err) {
		return s.noStack(c)
	}
	return err
}

// missingStack recognizes how CloudFormation says that there is no such stack.
func missingStack(err error) bool {
	return codeOf(err) == "ValidationError" && strings.Contains(err.Error(), "does not exist")
}

func (s *Session) noStack(c call) error {
	return &Error{Kind: NotFound, Op: c.op, Action: c.action, Region: c.region, Resource: c.resource, err: ErrNotFound,
		hint: "name another with --stack, another region with --aws-region or AWS_REGION, or other credentials with --profile"}
}

// CreateChangeSet asks CloudFormation to work out what would change, and returns the
// change set's id; nothing is changed by it. With Create the stack is there afterwards,
// in review. Permission: cloudformation:CreateChangeSet, and s3:GetObject for the
// template. A change set of that name that is there already is no error.
//
// Source: AWS CloudFormation API Reference, "CreateChangeSet".
func (s *Session) CreateChangeSet(ctx context.Context, in ChangeSetInput) (id string, err error) {
	ask := &cloudformation.CreateChangeSetInput{
		StackName: aws.String(in.Stack), ChangeSetName: aws.String(in.Name), ChangeSetType: types.ChangeSetTypeUpdate,
		Capabilities: []types.Capability{types.CapabilityCapabilityIam, types.CapabilityCapabilityAutoExpand},
	}
	if in.TemplateURL == "" {
		ask.UsePreviousTemplate = aws.Bool(true)
	} else {
		ask.TemplateURL = aws.String(in.TemplateURL)
	}
	if in.Create {
		ask.ChangeSetType = types.ChangeSetTypeCreate
	}
	for _, p := range in.Parameters {
		to := types.Parameter{ParameterKey: aws.String(p.Name)}
		if p.Keep {
			to.UsePreviousValue = aws.Bool(true)
		} else {
			to.ParameterValue = aws.String(p.Value)
		}
		ask.Parameters = append(ask.Parameters, to)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Tags)) {
		ask.Tags = append(ask.Tags, types.Tag{Key: aws.String(name), Value: aws.String(in.Tags[name])})
	}
	err = s.stackCall(ctx, "work out what changes in the stack", "CreateChangeSet", in.Stack, func(ctx context.Context, c *cloudformation.Client) error {
		out, err := c.CreateChangeSet(ctx, ask)
		if err == nil {
			id = aws.ToString(out.Id)
		}
		return err
	})
	if codeOf(err) == "AlreadyExistsException" { // the answer to an earlier try was lost
		return in.Name, nil
	}
	return id, err
}

// ChangeSet tells of a change set by id, or by name with its stack. Permission:
// cloudformation:DescribeChangeSet.
//
// Source: AWS CloudFormation API Reference, "DescribeChangeSet".
func (s *Session) ChangeSet(ctx context.Context, stack, id string) (set ChangeSet, err error) {
	ask := &cloudformation.DescribeChangeSetInput{ChangeSetName: aws.String(id), StackName: aws.String(stack)}
	for {
		var out *cloudformation.DescribeChangeSetOutput
		err := s.stackCall(ctx, "ask what changes in the stack", "DescribeChangeSet", stack, func(ctx context.Context, c *cloudformation.Client) (err error) {
			out, err = c.DescribeChangeSet(ctx, ask)
			return err
		})
		if err != nil {
			return ChangeSet{}, err
		}
		set.ID, set.StackID, set.Status, set.Execution, set.Reason = aws.ToString(out.ChangeSetId), aws.ToString(out.StackId), string(out.Status), string(out.ExecutionStatus), aws.ToString(out.StatusReason)
		for _, change := range out.Changes {
			r := change.ResourceChange
			if r == nil {
				continue
			}
			c := ResourceChange{Action: string(r.Action), Resource: aws.ToString(r.LogicalResourceId), PhysicalID: aws.ToString(r.PhysicalResourceId),
				Type: aws.ToString(r.ResourceType), Replacement: string(r.Replacement)}
			for _, part := range r.Scope {
				c.Scope = append(c.Scope, string(part))
			}
			set.Changes = append(set.Changes, c)
		}
		if ask.NextToken = out.NextToken; aws.ToString(ask.NextToken) == "" {
			return set, nil
		}
	}
}

// ExecuteChangeSet begins to change the stack. token marks the events of it; the same
// token again starts nothing twice. Permission: cloudformation:ExecuteChangeSet, and
// those for all that is made.
//
// Source: AWS CloudFormation API Reference, "ExecuteChangeSet".
func (s *Session) ExecuteChangeSet(ctx context.Context, stack, id, token string) error {
	return s.stackCall(ctx, "change the stack", "ExecuteChangeSet", stack, func(ctx context.Context, c *cloudformation.Client) error {
		_, err := c.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{ChangeSetName: aws.String(id), StackName: aws.String(stack), ClientRequestToken: aws.String(token)})
		return err
	})
}

// DeleteChangeSet drops a change set that wasn't executed. Permission:
// cloudformation:DeleteChangeSet.
func (s *Session) DeleteChangeSet(ctx context.Context, stack, id string) error {
	return s.stackCall(ctx, "drop the change set", "DeleteChangeSet", stack, func(ctx context.Context, c *cloudformation.Client) error {
		_, err := c.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{ChangeSetName: aws.String(id), StackName: aws.String(stack)})
		return err
	})
}

// StackEvents returns what happened to a stack after an event, oldest first; with an
// empty id all that CloudFormation knows. A stack that is gone is asked for by its id.
// Permission: cloudformation:DescribeStackEvents.
//
// Source: AWS CloudFormation API Reference, "DescribeStackEvents" (newest first).
func (s *Session) StackEvents(ctx context.Context, stack, after string) ([]StackEvent, error) {
	var events []StackEvent
	ask := &cloudformation.DescribeStackEventsInput{StackName: aws.String(stack)}
	for {
		var out *cloudformation.DescribeStackEventsOutput
		err := s.stackCall(ctx, "read what happens to the stack", "DescribeStackEvents", stack, func(ctx context.Context, c *cloudformation.Client) (err error) {
			out, err = c.DescribeStackEvents(ctx, ask)
			return err
		})
		if err != nil {
			return nil, err
		}
		found := false
		for i := range out.StackEvents {
			e := &out.StackEvents[i]
			if found = after != "" && aws.ToString(e.EventId) == after; found {
				break
			}
			events = append(events, StackEvent{
				ID: aws.ToString(e.EventId), At: aws.ToTime(e.Timestamp).UTC(), Resource: aws.ToString(e.LogicalResourceId), PhysicalID: aws.ToString(e.PhysicalResourceId),
				Type: aws.ToString(e.ResourceType), Status: string(e.ResourceStatus), Reason: aws.ToString(e.ResourceStatusReason), Token: aws.ToString(e.ClientRequestToken),
			})
		}
		if ask.NextToken = out.NextToken; found || aws.ToString(ask.NextToken) == "" {
			slices.Reverse(events)
			return events, nil
		}
	}
}

// StackResources lists the resources of a stack; of one that is gone, by its id, too.
// Permission: cloudformation:ListStackResources.
//
// Source: AWS CloudFormation API Reference, "ListStackResources".
func (s *Session) StackResources(ctx context.Context, stack string) (list []StackResource, err error) {
	ask := &cloudformation.ListStackResourcesInput{StackName: aws.String(stack)}
	for {
		var out *cloudformation.ListStackResourcesOutput
		err := s.stackCall(ctx, "list what the stack is made of", "ListStackResources", stack, func(ctx context.Context, c *cloudformation.Client) (err error) {
			out, err = c.ListStackResources(ctx, ask)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range out.StackResourceSummaries {
			r := &out.StackResourceSummaries[i]
			list = append(list, StackResource{aws.ToString(r.LogicalResourceId), aws.ToString(r.PhysicalResourceId), aws.ToString(r.ResourceType), string(r.ResourceStatus), aws.ToString(r.ResourceStatusReason)})
		}
		if ask.NextToken = out.NextToken; aws.ToString(ask.NextToken) == "" {
			return list, nil
		}
	}
}

// DeletedStack returns the id of the stack of that name that was deleted last, which
// CloudFormation knows for 90 days; ErrNotFound when it knows none. Permission:
// cloudformation:ListStacks.
//
// Source: AWS CloudFormation API Reference, "ListStacks".
func (s *Session) DeletedStack(ctx context.Context, name string) (id string, err error) {
	ask := &cloudformation.ListStacksInput{StackStatusFilter: []types.StackStatus{types.StackStatusDeleteComplete}}
	var last time.Time
	for {
		var out *cloudformation.ListStacksOutput
		err := s.stackCall(ctx, "look for the stack among deleted ones", "ListStacks", name, func(ctx context.Context, c *cloudformation.Client) (err error) {
			out, err = c.ListStacks(ctx, ask)
			return err
		})
		if err != nil {
			return "", err
		}
		for i := range out.StackSummaries {
			st := &out.StackSummaries[i]
			if aws.ToString(st.StackName) == name && st.StackStatus == types.StackStatusDeleteComplete && (id == "" || aws.ToTime(st.DeletionTime).After(last)) {
				id, last = aws.ToString(st.StackId), aws.ToTime(st.DeletionTime)
			}
		}
		if ask.NextToken = out.NextToken; aws.ToString(ask.NextToken) == "" {
			break
		}
	}
	if id == "" {
		return "", s.noStack(call{op: "look for the stack among deleted ones", action: "cloudformation:ListStacks", region: s.base.Region, resource: name})
	}
	return id, nil
}

// DeleteStack begins to delete a stack; that there is none is no error. Permission:
// cloudformation:DeleteStack, and those for all that is deleted.
//
// Source: AWS CloudFormation API Reference, "DeleteStack".
func (s *Session) DeleteStack(ctx context.Context, stack, token string) error {
	err := s.stackCall(ctx, "delete the stack", "DeleteStack", stack, func(ctx context.Context, c *cloudformation.Client) error {
		ask := &cloudformation.DeleteStackInput{StackName: aws.String(stack)}
		if token != "" {
			ask.ClientRequestToken = aws.String(token)
		}
		_, err := c.DeleteStack(ctx, ask)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
