package cli

import (
	"context"
	"errors"
	"sync"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// awsFlagNames are settings that commands which talk to AWS take as flags.
var awsFlagNames = []string{"profile", "endpoint-url", "regions", "accounts", "organization"}

// stackFlagNames are those that say which AWS a stack is in.
var stackFlagNames = []string{"aws-region", "profile", "endpoint-url"}

// awsFlags gives a command the flags of those settings that mean something to it.
func awsFlags(cmd *cobra.Command, names ...string) {
	f := cmd.Flags()
	for _, name := range names {
		switch name {
		case "profile":
			f.String(name, "", "profile of ~/.aws/config whose credentials are used (setting aws_profile)")
		case "aws-region":
			f.String(name, "", "AWS region of the stack (setting aws_region; default the profile's)")
		case "endpoint-url":
			f.String(name, "", "what is asked instead of AWS, such as iamtrack simulate (setting endpoint_url)")
		case "regions":
			f.StringSlice(name, nil, "regions to read from (setting regions; default all that are enabled)")
		case "accounts":
			f.String(name, "", "YAML file with the roles to assume in other accounts (setting accounts_file)")
		case "organization":
			f.Bool(name, false, "all accounts of the organization (setting organization)")
		}
	}
}

// aws returns a function that opens AWS when it is first needed.
func (e *env) aws(ctx context.Context) func() (*awsapi.Session, error) {
	return sync.OnceValues(func() (*awsapi.Session, error) {
		if e.openAWS != nil {
			return e.openAWS(ctx, e.config)
		}
		return app.OpenAWS(ctx, e.config, e.version, nil)
	})
}

// awsHint adds what helps with a failure that no credentials were found for.
func awsHint(err error) error {
	if errors.Is(err, awsapi.ErrNoCredentials) {
		return withHint(err, "`aws configure sso` or `aws configure` sets credentials up")
	}
	return err
}
