package collect

import "testing"

// WithoutLineage leaves lineage out while a benchmark runs.
func WithoutLineage(b *testing.B) {
	withLineage = false
	b.Cleanup(func() { withLineage = true })
}
