//go:build unix

package store

import (
	"errors"
	"syscall"
)

// processGone reports whether there is no process of that id on this machine. An
// id that has been given to another process since counts as being there, and so
// does one that can't be asked about.
func processGone(pid int64) bool {
	if pid <= 0 || int64(int(pid)) != pid {
		return false // names a group of processes, or nothing
	}
	return errors.Is(syscall.Kill(int(pid), 0), syscall.ESRCH)
}
