package store

import (
	"os"
	"strings"
)

// pidSpace names the process ids that this process can see. Containers that
// share the host's name, and their volume with it, have ids of their own; and
// two machines of one name have not the same boot. known is false when that
// can't be told.
func pidSpace() (space string, known bool) {
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", false
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", false
	}
	return space + " " + strings.TrimSpace(string(boot)), true
}
