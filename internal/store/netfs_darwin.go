package store

import (
	"errors"
	"syscall"
)

// networkFS returns the name of the network file system that a folder lies on,
// "" when it lies on a local one.
func networkFS(folder string) (string, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(folder, &st); err != nil {
		return "", err
	}
	const local = 0x1000 // MNT_LOCAL of sys/mount.h
	if st.Flags&local != 0 {
		return "", nil
	}
	name := make([]byte, 0, len(st.Fstypename))
	for _, c := range st.Fstypename {
		if c == 0 {
			break
		}
		name = append(name, byte(c))
	}
	return string(name), nil
}

const noLockVFS = "unix-none"

func isReadOnlyFS(err error) bool { return errors.Is(err, syscall.EROFS) }
