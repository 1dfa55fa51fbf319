package app_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/iamtrack/iamtrack/"

// allowed says which packages of this module a package may import. The arrows
// point one way: towards event. A package that isn't listed may not exist.
var allowed = map[string][]string{
	"internal/event":        {},
	"internal/fault":        {},
	"internal/coverage":     {}, // what was read: pure
	"internal/together":     {}, // calls that are shared
	"internal/awsapi":       {}, // all that talks to AWS
	"internal/digest":       {},
	"internal/cost":         {}, // of a stack, a month
	"internal/permission":   {},
	"internal/simulate":     {}, // shares nothing with what it tests
	"internal/filter":       {"internal/event"},
	"internal/rule":         {"internal/event"},
	"internal/lineage":      {"internal/event"},
	"internal/source":       {"internal/awsapi", "internal/event"},
	"internal/lake":         {"internal/event", "internal/fault", "internal/together"},
	"internal/lake/s3lake":  {"internal/awsapi", "internal/lake"},
	"internal/inbox":        {"internal/event", "internal/fault", "internal/lake"}, // what waits to be merged into the lake
	"internal/store":        {"internal/coverage", "internal/event", "internal/fault", "internal/lineage", "internal/rule", "internal/together"},
	"internal/store/dynamo": {"internal/awsapi", "internal/coverage", "internal/event", "internal/fault", "internal/lineage", "internal/rule", "internal/store"},
	"internal/query":        {"internal/event"},
	"internal/query/duckdb": {"internal/event", "internal/lake", "internal/query"},
	"internal/query/athena": {"internal/awsapi", "internal/event", "internal/query"},
	"internal/render":       {"internal/query"},
	"internal/story":        {"internal/event", "internal/lineage", "internal/query"},
	"internal/notify":       {"internal/fault", "internal/render", "internal/rule", "internal/store"},
	"internal/config":       {"internal/filter", "internal/rule"},
	"internal/collect":      {"internal/coverage", "internal/digest", "internal/event", "internal/fault", "internal/filter", "internal/inbox", "internal/lake", "internal/lineage", "internal/rule", "internal/source", "internal/store"},
	"internal/exchange":     {"internal/collect", "internal/coverage", "internal/event", "internal/fault", "internal/rule", "internal/store"}, // what is known in one place made known in another
	"internal/legacy":       {"internal/awsapi"},                                                                                              // the earlier tool's table
	"internal/lookup":       {"internal/awsapi", "internal/collect", "internal/coverage", "internal/fault", "internal/store"},
	"internal/app":          {"internal/awsapi", "internal/collect", "internal/config", "internal/coverage", "internal/digest", "internal/event", "internal/filter", "internal/inbox", "internal/lake", "internal/legacy", "internal/lineage", "internal/lookup", "internal/notify", "internal/rule", "internal/source", "internal/store", "internal/lake/s3lake", "internal/store/dynamo"},
	"internal/cli": {
		"deploy", "internal/app", "internal/awsapi", "internal/collect", "internal/config", "internal/cost", "internal/coverage", "internal/filter", "internal/stack", "internal/digest", "internal/event", "internal/exchange", "internal/function", "internal/lake", "internal/legacy", "internal/lineage", "internal/lookup", "internal/notify", "internal/permission", "internal/query", "internal/query/athena", "internal/query/duckdb",
		"internal/render", "internal/rule", "internal/simulate", "internal/simulate/server", "internal/source", "internal/store", "internal/story",
	},
	"internal/stack":    {"deploy", "internal/awsapi", "internal/config", "internal/cost"},                                                                                                         // the stack in AWS: made, changed, filled, deleted
	"internal/function": {"internal/app", "internal/awsapi", "internal/collect", "internal/config", "internal/coverage", "internal/event", "internal/lookup", "internal/notify", "internal/store"}, // what runs in AWS Lambda
	"deploy":            {},                                                                                                                                                                        // the stack's templates
	"cmd/bootstrap":     {"internal/function"},
	"cmd/iamtrack":      {"internal/cli"},
	"bench":             {"internal/query", "internal/query/duckdb", "internal/simulate", "internal/simulate/server", "internal/function/runtimetest"},
	// The simulated account on the wire.
	"internal/simulate/server": {"internal/simulate"},
	// The suites that implementations are held to.
	"internal/store/storetest":      {"internal/coverage", "internal/event", "internal/fault", "internal/lineage", "internal/rule", "internal/store"},
	"internal/function/runtimetest": {},
	"internal/awsapi/callstest":     {"internal/awsapi"}, // the calls that are made in AWS
	"internal/lake/laketest":        {"internal/event", "internal/fault", "internal/lake"},
	"internal/query/querytest":      {"internal/event", "internal/filter", "internal/lake", "internal/lineage", "internal/query", "internal/simulate", "internal/store"},
	"internal/peers":                {"internal/query"}, // real servers for integration tests
	// An Athena for tests.
	"internal/query/athena/athenatest": {"internal/query"},
}

// walls are libraries that only these packages may link, directly or not:
// the tracker in AWS will be a static program.
var walls = map[string][]string{
	"github.com/duckdb/": {"internal/query/duckdb", "internal/cli", "cmd/iamtrack", "bench"},
}

func TestImportsPointOneWay(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath    string
			Imports, Deps []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		name := strings.TrimPrefix(p.ImportPath, module)
		may, ok := allowed[name]
		if !ok {
			t.Errorf("package %s has no place in the map: add it here and in docs/architecture.md", name)
			continue
		}
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, module); ok && !slices.Contains(may, own) {
				t.Errorf("%s imports %s", name, own)
			}
		}
		for prefix, users := range walls {
			for _, d := range p.Deps {
				if strings.HasPrefix(d, prefix) && !slices.Contains(users, name) {
					t.Errorf("%s links %s", name, d)
					break
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("go list named only %d packages", seen)
	}
}
