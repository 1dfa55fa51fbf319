package awsapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/account"
	accounttypes "github.com/aws/aws-sdk-go-v2/service/account/types"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
	"golang.org/x/sync/errgroup"
)

// Regions lists the regions that are enabled in the account, sorted: those of the
// configuration when it names any, else as EC2 tells (ec2:DescribeRegions), else
// as Account Management tells (account:ListRegions). When both refuse, the error
// says which permissions are missing and that the setting regions would do.
//
// Source: EC2 API Reference, "DescribeRegions"; Account Management API
// Reference, "ListRegions".
func (a *Account) Regions(ctx context.Context) ([]string, error) {
	if len(a.spec.Regions) > 0 {
		return slices.Sorted(slices.Values(a.spec.Regions)), nil
	}
	names, err := a.ec2Regions(ctx)
	if err == nil || ctx.Err() != nil {
		return names, err
	}
	names, err2 := a.accountRegions(ctx)
	if err2 == nil || ctx.Err() != nil {
		return names, err2
	}
	return nil, fmt.Errorf("find the enabled regions: give one of the permissions ec2:DescribeRegions and account:ListRegions, or name the regions (setting regions): %w; %w", err, err2)
}

// AllRegions reports whether Regions lists all enabled regions, and not those that
// the configuration names.
func (a *Account) AllRegions() bool { return len(a.spec.Regions) == 0 }

func (a *Account) ec2Regions(ctx context.Context) ([]string, error) {
	var regions []ec2Region
	_, err := a.do(ctx, call{op: "list the enabled regions", action: "ec2:DescribeRegions", region: a.cfg.Region}, func(ctx context.Context) (err error) {
		regions, err = describeRegions(ctx, a.cfg)
		return err
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range regions {
		if r.Name != "" && r.Status != "not-opted-in" {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		// No account is without one: to take it for an answer would be to read nothing.
		return nil, errors.New("ec2:DescribeRegions lists no region that is enabled")
	}
	slices.Sort(names)
	return names, nil
}

func (a *Account) accountRegions(ctx context.Context) ([]string, error) {
	var names []string
	ask := &account.ListRegionsInput{RegionOptStatusContains: []accounttypes.RegionOptStatus{
		accounttypes.RegionOptStatusEnabled, accounttypes.RegionOptStatusEnabledByDefault,
	}}
	for {
		var out *account.ListRegionsOutput
		_, err := a.do(ctx, call{op: "list the enabled regions", action: "account:ListRegions", region: a.cfg.Region}, func(ctx context.Context) (err error) {
			out, err = account.NewFromConfig(a.cfg).ListRegions(ctx, ask)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range out.Regions {
			names = append(names, aws.ToString(out.Regions[i].RegionName))
		}
		if ask.NextToken = out.NextToken; aws.ToString(out.NextToken) == "" {
			if len(names) == 0 {
				return nil, errors.New("account:ListRegions lists no region that is enabled")
			}
			slices.Sort(names)
			return names, nil
		}
	}
}

// IdentityCenterRegions tells in which of the regions the account has, or can
// see, an instance of IAM Identity Center, by asking each
// (sso:ListInstances); regions without the service count as none. What was
// found is returned even with an error, which joins those of the regions that
// could not be asked.
//
// Source: IAM Identity Center API Reference, "ListInstances".
func (a *Account) IdentityCenterRegions(ctx context.Context, regions []string) ([]string, error) {
	var (
		mu    sync.Mutex
		found []string
		errs  []error
		g     errgroup.Group
	)
	g.SetLimit(16)
	for _, region := range regions {
		g.Go(func() error {
			var out *ssoadmin.ListInstancesOutput
			_, err := a.do(ctx, call{op: "look for IAM Identity Center", action: "sso:ListInstances", region: region}, func(ctx context.Context) (err error) {
				out, err = ssoadmin.NewFromConfig(a.cfg, func(o *ssoadmin.Options) { o.Region = region }).ListInstances(ctx, &ssoadmin.ListInstancesInput{})
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			var dns *net.DNSError
			switch {
			case errors.As(err, &dns) && dns.IsNotFound && a.served.Load():
				// The service has no name there, while names of others are found.
			case err != nil:
				errs = append(errs, err)
			case len(out.Instances) > 0:
				found = append(found, region)
			}
			return nil
		})
	}
	_ = g.Wait() // errors are gathered above
	slices.Sort(found)
	return found, errors.Join(errs...)
}
