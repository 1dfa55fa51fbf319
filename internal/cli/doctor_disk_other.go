//go:build !linux && !darwin && !windows

package cli

import "errors"

// diskFree can't tell here.
func diskFree(string) (int64, error) { return 0, errors.ErrUnsupported }
