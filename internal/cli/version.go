package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersionCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the program's version",
		Example: "  iamtrack version --format json",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return runVersion(e) },
	}
}

// versionInfo is what `version --format json` prints.
type versionInfo struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func runVersion(e *env) error {
	v := versionInfo{e.version, runtime.Version(), runtime.GOOS, runtime.GOARCH}
	return e.object(v, func() string {
		return fmt.Sprintf("iamtrack %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
	})
}
