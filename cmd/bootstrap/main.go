// Command bootstrap is what AWS Lambda starts: the functions of package function.
package main

import "github.com/iamtrack/iamtrack/internal/function"

// version is set by the build.
var version = "dev"

func main() { function.Main(version) }
