package store

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// networkFS returns the name of the network file system that a folder lies on,
// "" when it lies on a local one.
func networkFS(folder string) (string, error) {
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(folder) + `\`)
	if err != nil {
		return "", err
	}
	if windows.GetDriveType(root) == windows.DRIVE_REMOTE {
		return "network drive", nil
	}
	return "", nil
}

const noLockVFS = "win32-none"

func isReadOnlyFS(err error) bool { return errors.Is(err, windows.ERROR_WRITE_PROTECT) }
