//go:build !linux && !darwin && !windows

package store

// networkFS can't tell here.
func networkFS(string) (string, error) { return "", nil }

const noLockVFS = "unix-none"

func isReadOnlyFS(error) bool { return false }
