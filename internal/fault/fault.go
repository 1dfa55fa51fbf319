// Package fault lets tests break the program at named points: return an error,
// return one after the step took effect ("applied but reported failed"), or kill
// the process. The product installs no hook, so a point costs one atomic load.
// Point names are "package.step.before" and "package.step.after"; an error at
// an "after" point is a step that was applied but reported as failed.
package fault

import "sync/atomic"

// Hook decides what happens at a point; nil means go on.
type Hook func(point string) error

var hook atomic.Pointer[Hook]

// Set installs h for the whole process, and returns a function that puts the
// earlier hook back. For tests only.
func Set(h Hook) (restore func()) {
	old := hook.Swap(&h)
	return func() { hook.Store(old) }
}

// At reports what the hook says of the named point; nil without a hook.
func At(point string) error {
	h := hook.Load()
	if h == nil {
		return nil
	}
	return (*h)(point)
}
