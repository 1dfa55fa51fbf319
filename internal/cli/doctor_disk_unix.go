//go:build linux || darwin

package cli

import "syscall"

// diskFree is how many bytes this user may still write where dir lies.
func diskFree(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	// The field's types differ between systems.
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:gosec,unconvert // no disk has 8 EiB
}
