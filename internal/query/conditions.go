package query

// What other packages make their own SQL from. It is read by the engines like
// that of this package: one dialect, no value that isn't rendered here.

// Conditions returns what must all hold of an event that the filter lets through;
// none for an empty filter. Columns and Limit don't matter. The error names the
// value that can't be.
func (f EventFilter) Conditions() ([]string, error) { return f.where() }

// Literal returns a string literal; text that SQL can't hold is an error.
func Literal(s string) (string, error) { return literal(s) }
