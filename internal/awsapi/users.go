package awsapi

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
)

// DirectoryUser is a user of an identity store.
type DirectoryUser struct {
	StoreID string // d-…
	UserID  string
	Name    string // the name that the user signs in with
}

// IdentityCenterUsers lists the users of the identity stores of the instances in a
// region (sso:ListInstances, identitystore:ListUsers). Records of IAM Identity
// Center name its users by id only.
//
// Source: Identity Store API Reference, "ListUsers".
func (a *Account) IdentityCenterUsers(ctx context.Context, region string) ([]DirectoryUser, error) {
	var instances *ssoadmin.ListInstancesOutput
	if _, err := a.do(ctx, call{op: "look for IAM Identity Center", action: "sso:ListInstances", region: region}, func(ctx context.Context) (err error) {
		instances, err = ssoadmin.NewFromConfig(a.cfg, func(o *ssoadmin.Options) { o.Region = region }).ListInstances(ctx, &ssoadmin.ListInstancesInput{})
		return err
	}); err != nil {
		return nil, err
	}
	api := identitystore.NewFromConfig(a.cfg, func(o *identitystore.Options) { o.Region = region })
	var users []DirectoryUser
	for _, i := range instances.Instances {
		in := &identitystore.ListUsersInput{IdentityStoreId: i.IdentityStoreId}
		for {
			var out *identitystore.ListUsersOutput
			if _, err := a.do(ctx, call{op: "list the users of IAM Identity Center", action: "identitystore:ListUsers", region: region}, func(ctx context.Context) (err error) {
				out, err = api.ListUsers(ctx, in)
				return err
			}); err != nil {
				return nil, err
			}
			for _, u := range out.Users {
				if name := aws.ToString(u.UserName); name != "" {
					users = append(users, DirectoryUser{aws.ToString(i.IdentityStoreId), aws.ToString(u.UserId), name})
				}
			}
			if aws.ToString(out.NextToken) == "" {
				break
			}
			if in.NextToken != nil && *in.NextToken == *out.NextToken {
				return nil, fmt.Errorf("list the users of IAM Identity Center in %s: the same page came twice", region)
			}
			in.NextToken = out.NextToken
		}
	}
	return users, nil
}
