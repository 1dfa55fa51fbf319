// Command iamtrack tells who did what in your AWS accounts, from CloudTrail.
package main

import (
	"os"

	"github.com/iamtrack/iamtrack/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
