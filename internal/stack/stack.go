// Package stack makes, changes, fills, watches and deletes the stack of CloudFormation
// that iamtrack runs as in AWS. It needs none of the tools of AWS SAM: it packs the
// functions' program itself, puts it and the template into a bucket, has CloudFormation
// work out what would change, and follows what happens.
//
// Everything may be interrupted and called again: it goes on with what it finds. The
// state of it all is AWS's, nothing is kept elsewhere.
package stack

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// DefaultName is the stack's name, unless somebody says otherwise; the earlier tool's,
// too.
const DefaultName = "iam-activity-tracker"

// poll is how often a stack that changes is asked for its events.
var poll = 3 * time.Second

// Standing is what can be done with a stack, by its state.
type Standing int

// Standings of a stack.
const (
	Absent  Standing = iota // it can be made
	Ready                   // it can be changed
	Busy                    // something is under way
	Ruined                  // its making or its deletion failed: it can only be deleted
	Blocked                 // a person must decide
)

// StandingOf says what can be done with a stack in a state of CloudFormation, and,
// where that isn't plain, why in a sentence.
//
// Source: AWS CloudFormation User Guide, "Stack status codes".
func StandingOf(st awsapi.Stack) (Standing, string) {
	because := ""
	if st.Reason != "" {
		because = " (" + strings.TrimSuffix(st.Reason, ".") + ")"
	}
	switch s := st.Status; s {
	case "", "DELETE_COMPLETE", "REVIEW_IN_PROGRESS":
		return Absent, ""
	case "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE":
		return Ready, ""
	case "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED":
		return Ruined, "its first making failed, and it can only be deleted: its state is " + s + because
	case "DELETE_FAILED":
		return Ruined, "its deletion failed, and must be repeated: its state is " + s + because
	case "UPDATE_ROLLBACK_FAILED":
		return Blocked, "a change failed, and so did taking it back: its state is " + s + because +
			"; mend what the reason names, then `aws cloudformation continue-update-rollback --stack-name " + st.Name + "`"
	case "UPDATE_FAILED":
		return Blocked, "a change failed and was left half done: its state is " + s + because +
			"; take it back with `aws cloudformation rollback-stack --stack-name " + st.Name + "`"
	case "IMPORT_ROLLBACK_FAILED":
		return Blocked, "an import of resources failed, and so did taking it back: its state is " + s + because + "; mend what the reason names in the console of CloudFormation"
	default:
		if strings.HasSuffix(s, "_IN_PROGRESS") {
			return Busy, "something is under way: its state is " + s
		}
		return Blocked, "its state is " + s + because + ", which this program doesn't know"
	}
}

// Find looks for a stack; one that isn't there has the standing Absent and no id.
func Find(ctx context.Context, s *awsapi.Session, name string) (awsapi.Stack, error) {
	st, err := s.Stack(ctx, name)
	if errors.Is(err, awsapi.ErrNotFound) {
		return awsapi.Stack{Name: name}, nil
	}
	return st, err
}

// Foreign says that a stack isn't one of iamtrack's, or is of a newer version than
// this program knows; nil for one that it may change. A stack that was never made says
// nothing.
func Foreign(st awsapi.Stack) error {
	standing, _ := StandingOf(st)
	if standing != Ready {
		return nil
	}
	version, ok := st.Outputs[deploy.OutputVersion]
	if !ok {
		return fmt.Errorf("the stack %s has no output %s: it isn't one of iamtrack's; name another with --stack", st.Name, deploy.OutputVersion)
	}
	n, err := strconv.Atoi(version)
	if err != nil {
		return fmt.Errorf("the stack %s: its output %s is %q, and no number", st.Name, deploy.OutputVersion, version)
	}
	if n > deploy.Version {
		return fmt.Errorf("the stack %s is of template version %d, and this program knows versions up to %d: use a newer iamtrack", st.Name, n, deploy.Version)
	}
	return nil
}

// A Failure is a resource that could not be made, changed or deleted, and what to do.
type Failure struct {
	awsapi.StackEvent
	Advice string // may be empty
}

func (f Failure) String() string {
	text := f.Resource + " (" + f.Type + "): " + strings.TrimSpace(f.Reason)
	if f.Advice != "" {
		text = strings.TrimSuffix(text, ".") + ": " + f.Advice
	}
	return text
}

// failed recognizes an event that tells why something failed, not only that something
// else did.
func failed(e awsapi.StackEvent) bool {
	if !strings.HasSuffix(e.Status, "_FAILED") || e.Reason == "" {
		return false
	}
	for _, consequence := range []string{"Resource creation cancelled", "Resource update cancelled", "The following resource(s) failed to", "Resource deletion cancelled"} {
		if strings.HasPrefix(e.Reason, consequence) {
			return false
		}
	}
	return true
}

// advise says what to do about the reason of a failure.
func advise(e awsapi.StackEvent) string {
	reason := strings.ToLower(e.Reason)
	has := func(texts ...string) bool {
		for _, t := range texts {
			if strings.Contains(reason, t) {
				return true
			}
		}
		return false
	}
	switch {
	case has("not authorized to perform", "access denied", "accessdenied", "unauthorizedoperation"):
		return "permit it to the caller; `iamtrack permissions aws deploy` prints what is needed"
	case e.Type == "AWS::S3::Bucket" && has("already exists", "already owned"):
		return "the name is taken: choose another with --parameter BucketName=NAME, or leave it out and AWS makes one"
	case e.Type == "AWS::S3::Bucket" && has("not empty"):
		return "the bucket still has objects: `iamtrack aws destroy --delete-data` empties it"
	case has("already exists", "alreadyexists", "resourceinuse", "already in use"):
		return "something of that name is there, perhaps kept of an earlier stack: delete it, or deploy under another name with --stack"
	case has("limitexceeded", "limit exceeded", "quota", "maximum number"):
		return "a quota of the account is used up: delete what is no longer needed, or ask for more in the console of Service Quotas"
	case has("kms", "customer master key", "encryption key"):
		return "the key of the parameter KmsKeyArn must be enabled, lie in the same region, and its policy must permit its use"
	case has("throttl", "rate exceeded"):
		return "AWS was too busy: the same command goes on"
	case has("unreservedconcurrentexecution"):
		return "the account has too few concurrent executions of Lambda: ask for more in the console of Service Quotas"
	}
	return ""
}

// ErrChangeFailed is wrapped when CloudFormation gave a change up.
var ErrChangeFailed = errors.New("the stack could not be changed")

// Outcome is how a change of a stack ended.
type Outcome struct {
	// Stack is what it is now; when it was deleted, its Status says so.
	Stack    awsapi.Stack
	Failures []Failure
}

// Watch follows a stack, by its id, until nothing is under way any more, and tells see
// each event after the one of the id after (empty: all). Failures are those events that
// tell why something failed.
func Watch(ctx context.Context, s *awsapi.Session, id, after string, see func(awsapi.StackEvent)) (Outcome, error) {
	var out Outcome
	for {
		// The state first: events that come after it are read with the next look.
		st, err := s.Stack(ctx, id)
		if errors.Is(err, awsapi.ErrNotFound) {
			st, err = awsapi.Stack{ID: id, Status: "DELETE_COMPLETE"}, nil
		}
		if err != nil {
			return out, err
		}
		events, err := s.StackEvents(ctx, id, after)
		if err != nil && !errors.Is(err, awsapi.ErrNotFound) {
			return out, err
		}
		for _, e := range events {
			after = e.ID
			if failed(e) {
				out.Failures = append(out.Failures, Failure{e, advise(e)})
			}
			see(e)
		}
		out.Stack = st
		if standing, _ := StandingOf(st); standing != Busy {
			return out, nil
		}
		if err := wait(ctx, poll); err != nil {
			return out, err
		}
	}
}

// lastEvent is the id of the newest event of a stack; empty when there is none.
func lastEvent(ctx context.Context, s *awsapi.Session, id string) (string, error) {
	if id == "" {
		return "", nil
	}
	events, err := s.StackEvents(ctx, id, "")
	if err != nil && !errors.Is(err, awsapi.ErrNotFound) {
		return "", err
	}
	if len(events) == 0 {
		return "", nil
	}
	return events[len(events)-1].ID, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
