package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// deletesData is the template's parameter that says whether the data goes with the
// stack.
const deletesData = "DeleteData"

// keepers are the types of the resources that stay when a stack is deleted, unless its
// parameter DeleteData says otherwise (a test compares with the template), and the
// commands that delete them afterwards.
var keepers = map[string][]string{
	"AWS::DynamoDB::Table": {"aws dynamodb delete-table --table-name NAME"},
	"AWS::S3::Bucket":      {"aws s3 rm s3://NAME --recursive", "aws s3api delete-bucket --bucket NAME"},
	"AWS::SQS::Queue":      {"aws sqs delete-queue --queue-url NAME"},
}

// Kept is what stays of a stack that is deleted.
type Kept struct {
	Type string `json:"type"`
	Name string `json:"name"` // the physical id: a table's or bucket's name, a queue's URL
	// Commands delete it.
	Commands []string `json:"commands"`
}

// Keeps lists what a stack's deletion leaves, or, of one that is deleted, asked by its
// id, left.
func Keeps(ctx context.Context, s *awsapi.Session, st awsapi.Stack) ([]Kept, error) {
	if st.Parameters[deletesData] == "true" {
		return nil, nil
	}
	resources, err := s.StackResources(ctx, st.ID)
	if err != nil {
		return nil, err
	}
	var list []Kept
	for _, r := range resources {
		commands, ok := keepers[r.Type]
		if !ok || r.PhysicalID == "" || r.Status == "DELETE_COMPLETE" {
			continue
		}
		k := Kept{Type: r.Type, Name: r.PhysicalID}
		for _, c := range commands {
			k.Commands = append(k.Commands, strings.ReplaceAll(c, "NAME", r.PhysicalID)+" --region "+s.Region())
		}
		list = append(list, k)
	}
	return list, nil
}

// DeleteOptions say how a stack is deleted.
type DeleteOptions struct {
	// Data: table, bucket and what is in them go, too.
	Data bool
	Now  time.Time
	// Step says what is being done; See is told the events.
	Step func(string)
	See  func(awsapi.StackEvent)
}

// deletions is how often a deletion is tried that fails because a function that was
// still at work wrote into the bucket.
const deletions = 3

// Delete deletes a stack and follows that to its end. Data isn't deleted unless that is
// asked for; see DeleteOptions.
func Delete(ctx context.Context, s *awsapi.Session, st awsapi.Stack, o DeleteOptions) (Outcome, error) {
	standing, _ := StandingOf(st)
	if o.Data && standing == Ready && st.Parameters[deletesData] != "true" {
		// The template's deletion policies are the parameter's.
		o.Step("the stack is told that its data goes with it")
		if out, err := letDataGo(ctx, s, st, o); err != nil {
			return out, err
		}
	}
	buckets, err := dataBuckets(ctx, s, st, o)
	if err != nil {
		return Outcome{}, err
	}
	for try := 1; ; try++ {
		for _, name := range buckets {
			if err := empty(ctx, s, name, o.Step); err != nil {
				return Outcome{}, err
			}
		}
		out, err := remove(ctx, s, st, o.See)
		if err != nil || out.Stack.Status == "DELETE_COMPLETE" {
			return out, err
		}
		full := slices.ContainsFunc(out.Failures, func(f Failure) bool { return f.Type == "AWS::S3::Bucket" })
		if try == deletions || len(buckets) == 0 || !full {
			return out, fmt.Errorf("%w: the state of %s is %s", ErrChangeFailed, st.Name, out.Stack.Status)
		}
		o.Step("the bucket got more objects meanwhile: once more")
	}
}

// dataBuckets are the buckets that are to be emptied first: CloudFormation deletes only
// empty ones.
func dataBuckets(ctx context.Context, s *awsapi.Session, st awsapi.Stack, o DeleteOptions) ([]string, error) {
	if !o.Data {
		return nil, nil
	}
	resources, err := s.StackResources(ctx, st.ID)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range resources {
		if r.Type == "AWS::S3::Bucket" && r.PhysicalID != "" && r.Status != "DELETE_COMPLETE" && r.Status != "DELETE_SKIPPED" {
			names = append(names, r.PhysicalID)
		}
	}
	return names, nil
}

func letDataGo(ctx context.Context, s *awsapi.Session, st awsapi.Stack, o DeleteOptions) (Outcome, error) {
	in := awsapi.ChangeSetInput{Tags: st.Tags, Parameters: []awsapi.StackParameter{{Name: deletesData, Value: "true"}}}
	for name := range st.Parameters {
		if name != deletesData {
			in.Parameters = append(in.Parameters, awsapi.StackParameter{Name: name, Keep: true})
		}
	}
	p, err := plan(ctx, s, st, in, o.Now)
	if err != nil || p.Nothing() {
		return Outcome{}, err
	}
	return p.Execute(ctx, s, o.See)
}

func empty(ctx context.Context, s *awsapi.Session, name string, step func(string)) error {
	b, err := s.Bucket(ctx, name)
	if errors.Is(err, awsapi.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	said := time.Now()
	return b.Empty(ctx, func(n int) {
		if now := time.Now(); now.Sub(said) > 5*time.Second {
			said = now
			step(fmt.Sprintf("s3://%s: %d objects deleted", name, n))
		}
	})
}

// remove has CloudFormation delete a stack, and follows that.
func remove(ctx context.Context, s *awsapi.Session, st awsapi.Stack, see func(awsapi.StackEvent)) (Outcome, error) {
	after, err := lastEvent(ctx, s, st.ID)
	if err != nil {
		return Outcome{}, err
	}
	if err := s.DeleteStack(ctx, st.ID, token()); err != nil {
		return Outcome{}, err
	}
	// The state is the old one for a moment, and may be that of an earlier deletion.
	for range 20 {
		now, err := lastEvent(ctx, s, st.ID)
		if err != nil {
			return Outcome{}, err
		}
		if now != after {
			break
		}
		if err := wait(ctx, poll); err != nil {
			return Outcome{}, err
		}
	}
	return Watch(ctx, s, st.ID, after, see)
}
