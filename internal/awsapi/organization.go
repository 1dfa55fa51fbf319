package awsapi

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

// Organization lists the active accounts of the caller's organization, each to be
// reached by the role of that name in it (a path, such as "audit/reader", too);
// the caller's own account is reached directly. Suspended and closing accounts
// are left out: their roles can't be assumed. Permission:
// organizations:ListAccounts, in the management account or a delegated
// administrator's.
//
// Source: AWS Organizations API Reference, "ListAccounts".
func (s *Session) Organization(ctx context.Context, roleName string) ([]AccountSpec, error) {
	me, err := s.own.Caller(ctx)
	if err != nil {
		return nil, err
	}
	var list []AccountSpec
	// The service has one endpoint in each partition.
	client := organizations.NewFromConfig(s.base, func(o *organizations.Options) { o.Region = GlobalRegion(me.Partition) })
	ask := &organizations.ListAccountsInput{}
	for {
		var out *organizations.ListAccountsOutput
		_, err := s.own.do(ctx, call{op: "list the organization's accounts", action: "organizations:ListAccounts"}, func(ctx context.Context) (err error) {
			out, err = client.ListAccounts(ctx, ask)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range out.Accounts {
			acc := &out.Accounts[i]
			if !active(acc) {
				continue
			}
			spec := AccountSpec{AccountID: aws.ToString(acc.Id), Name: aws.ToString(acc.Name)}
			if spec.AccountID != me.AccountID {
				spec.RoleARN = fmt.Sprintf("arn:%s:iam::%s:role/%s", me.Partition, spec.AccountID, roleName)
			}
			list = append(list, spec)
		}
		if ask.NextToken = out.NextToken; aws.ToString(out.NextToken) == "" {
			return list, nil
		}
	}
}

// active goes by State; Status, which is to be retired (AWS Organizations API
// Reference, "Account"), is for servers that tell no State.
func active(a *types.Account) bool {
	if a.State != "" {
		return a.State == types.AccountStateActive
	}
	return a.Status == types.AccountStatusActive //nolint:staticcheck // see above
}
