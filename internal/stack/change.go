package stack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// Request is what a stack is to become.
type Request struct {
	Stack awsapi.Stack // as Find has it
	// Template returns the template with the functions' program at a place in S3.
	Template func(bucket, key string) string
	Program  []byte // the functions', for the architecture of Values
	Values   []Value
	Tags     map[string]string
	// ArtifactsBucket is for code and templates; empty: the program's own.
	ArtifactsBucket string
	Now             time.Time
}

// Plan is a change that CloudFormation worked out and didn't make yet.
type Plan struct {
	awsapi.ChangeSet
	Name   string // of the stack
	Create bool
	// after is the last event before the change.
	after string
}

// Nothing reports whether nothing would change. A change of outputs alone has no
// resource in Changes, and is one.
func (p *Plan) Nothing() bool { return p.Status == "FAILED" } // other failures are errors

// Prepare puts code and template where CloudFormation finds them, and has it work out
// what would change. step says what is being done.
func Prepare(ctx context.Context, s *awsapi.Session, r Request, step func(string)) (*Plan, error) {
	caller, err := s.Own().Caller(ctx)
	if err != nil {
		return nil, err
	}
	bucket, err := openArtifacts(ctx, s, r.ArtifactsBucket, caller.AccountID)
	if err != nil {
		return nil, err
	}
	code, err := Zip(r.Program)
	if err != nil {
		return nil, fmt.Errorf("pack the functions' program: %w", err)
	}
	key := contentKey("iamtrack/code-", code, ".zip")
	template := []byte(r.Template(bucket.Name(), key))
	templateKey := contentKey("iamtrack/template-", template, ".yaml")
	for _, o := range []struct {
		key  string
		data []byte
	}{{key, code}, {templateKey, template}} {
		step(fmt.Sprintf("s3://%s/%s, %d KB", bucket.Name(), o.key, (len(o.data)+1023)/1024))
		if err := put(ctx, bucket, o.data, o.key); err != nil {
			return nil, err
		}
	}

	standing, _ := StandingOf(r.Stack)
	step("CloudFormation works out what changes")
	return plan(ctx, s, r.Stack, awsapi.ChangeSetInput{
		Create: standing == Absent, TemplateURL: bucket.URL(templateKey), Parameters: forCloudFormation(r.Values), Tags: r.Tags,
	}, r.Now)
}

// plan has CloudFormation work out a change.
func plan(ctx context.Context, s *awsapi.Session, st awsapi.Stack, in awsapi.ChangeSetInput, now time.Time) (*Plan, error) {
	p := &Plan{Name: st.Name, Create: in.Create}
	var err error
	if p.after, err = lastEvent(ctx, s, st.ID); err != nil {
		return nil, err
	}
	in.Stack, in.Name = st.Name, changeSetName(now)
	id, err := s.CreateChangeSet(ctx, in)
	if err != nil {
		return nil, err
	}
	for {
		if p.ChangeSet, err = s.ChangeSet(ctx, st.Name, id); err != nil {
			return nil, err
		}
		switch p.Status {
		case "CREATE_COMPLETE":
			return p, nil
		case "CREATE_PENDING", "CREATE_IN_PROGRESS":
			if err := wait(ctx, poll); err != nil {
				return nil, err
			}
		case "FAILED":
			return p, p.drop(ctx, s, id)
		default:
			return nil, fmt.Errorf("work out what changes in the stack %s: the change set is %s: %s", p.Name, p.Status, p.Reason)
		}
	}
}

// drop deletes a change set that CloudFormation gave up. That nothing changes is such
// a failure, and none.
func (p *Plan) drop(ctx context.Context, s *awsapi.Session, id string) error {
	nothing := strings.Contains(p.Reason, "didn't contain changes") || strings.Contains(p.Reason, "No updates are to be performed")
	reason := p.Reason
	err := s.DeleteChangeSet(ctx, p.Name, id)
	if !nothing {
		p.Reason = strings.TrimSuffix(reason, ".")
		text := fmt.Sprintf("work out what changes in the stack %s: %s", p.Name, p.Reason)
		if a := advise(awsapi.StackEvent{Reason: reason}); a != "" {
			text += ": " + a
		}
		return errors.Join(errors.New(text), err)
	}
	p.Changes = nil
	return err
}

// Cancel drops the change. A stack that isn't made yet, and has nothing in it, is
// deleted with it.
func (p *Plan) Cancel(ctx context.Context, s *awsapi.Session) error {
	if p.Create {
		return s.DeleteStack(ctx, p.StackID, "")
	}
	return s.DeleteChangeSet(ctx, p.Name, p.ID)
}

// Execute makes the change and follows it to its end; see Watch. When CloudFormation
// gave it up, the error wraps ErrChangeFailed and names the state; the failures say why.
func (p *Plan) Execute(ctx context.Context, s *awsapi.Session, see func(awsapi.StackEvent)) (Outcome, error) {
	if err := s.ExecuteChangeSet(ctx, p.Name, p.ID, token()); err != nil {
		return Outcome{}, err
	}
	// The state is the old one for a moment.
	for {
		set, err := s.ChangeSet(ctx, p.Name, p.ID)
		if errors.Is(err, awsapi.ErrNotFound) { // executed ones go
			break
		}
		if err != nil {
			return Outcome{}, err
		}
		if set.Execution != "EXECUTE_IN_PROGRESS" && set.Execution != "AVAILABLE" {
			break
		}
		st, err := s.Stack(ctx, p.StackID)
		if err != nil {
			return Outcome{}, err
		}
		if standing, _ := StandingOf(st); standing == Busy || standing == Ruined {
			break
		}
		if err := wait(ctx, poll); err != nil {
			return Outcome{}, err
		}
	}
	out, err := Watch(ctx, s, p.StackID, p.after, see)
	if err != nil {
		return out, err
	}
	switch out.Stack.Status {
	case "CREATE_COMPLETE", "UPDATE_COMPLETE":
		return out, nil
	}
	return out, fmt.Errorf("%w: the state of %s is %s", ErrChangeFailed, p.Name, out.Stack.Status)
}

func changeSetName(now time.Time) string {
	return "iamtrack-" + now.UTC().Format("20060102t150405") + "-" + token()[:6]
}

// token is a random name.
func token() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "t" + hex.EncodeToString(b[:])
}
