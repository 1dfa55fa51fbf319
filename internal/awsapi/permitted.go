package awsapi

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// Permitted asks IAM whether the policies of the caller permit an action on a
// resource, without doing it. Resource policies are not looked at, so that "no"
// may be too strict across accounts. Permission: iam:SimulatePrincipalPolicy. The
// policies of a root user can't be asked for, nor those of a role whose path a
// session doesn't tell; that is an error, and proves nothing.
//
// Source: IAM API Reference, "SimulatePrincipalPolicy".
func (a *Account) Permitted(ctx context.Context, action, resource string) (bool, error) {
	who, err := a.Caller(ctx)
	if err != nil {
		return false, err
	}
	ask := &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: aws.String(principalOf(who.ARN)), ActionNames: []string{action}, ResourceArns: []string{resource},
	}
	var out *iam.SimulatePrincipalPolicyOutput
	_, err = a.do(ctx, call{op: "ask whether " + action + " is permitted", action: "iam:SimulatePrincipalPolicy", resource: principalOf(who.ARN)},
		func(ctx context.Context) (err error) {
			out, err = iam.NewFromConfig(a.cfg, func(o *iam.Options) { o.Region = who.GlobalRegion() }).SimulatePrincipalPolicy(ctx, ask)
			return err
		})
	if err != nil {
		return false, err
	}
	if len(out.EvaluationResults) == 0 {
		return false, fmt.Errorf("ask whether %s is permitted: the answer is empty", action)
	}
	for i := range out.EvaluationResults {
		if out.EvaluationResults[i].EvalDecision != types.PolicyEvaluationDecisionTypeAllowed {
			return false, nil
		}
	}
	return true, nil
}

// principalOf is the IAM user or role of a caller: a session is its role's.
func principalOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[2] != "sts" {
		return arn
	}
	session := strings.Split(parts[5], "/") // assumed-role/ROLE/SESSION
	if len(session) < 2 || session[0] != "assumed-role" {
		return arn
	}
	return fmt.Sprintf("arn:%s:iam::%s:role/%s", parts[1], parts[4], session[1])
}
