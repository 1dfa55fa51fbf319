// Command iamtrack tells who did what in your AWS accounts, from CloudTrail.
package main

import (
	"os"

	"github.com/iamtrack/iamtrack/internal/cli"
)

// version is set by the build; without it, that of the module counts.
var version string

func main() {
	os.Exit(cli.Main(version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
