package function_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Each start of a function initialises all that is linked in, on a fraction of a
// processor. What that takes is told by what it allocates, which is the same each time:
// past 4 MB the garbage collector starts, too. The clients of some services allocate
// a megabyte at once, from the release on that reads and writes by schema
// (`GODEBUG=inittrace=1` lists who takes how much).
func TestStartInitialisesLittle(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// init PACKAGE @0.1 ms, 0.01 ms clock, 123 bytes, 4 allocs
	sum, packages := 0, 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] != "init" {
			continue
		}
		n, err := strconv.Atoi(f[7])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		sum, packages = sum+n, packages+1
		if n > 512<<10 {
			t.Errorf("%s alone allocates %d KB", f[1], n>>10)
		}
	}
	t.Logf("%d packages, %d KB", packages, sum>>10)
	if packages < 100 || sum > 4<<20 {
		t.Errorf("%d packages allocate %d KB", packages, sum>>10)
	}
}
