package duckdb

/*
// The Go bindings leave this function of duckdb.h out. Without it a result is
// materialized outside DuckDB's memory limit before the first row is seen.
extern int duckdb_pending_prepared_streaming(void *prepared, void **pending);
*/
import "C"

import (
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// pendingStreaming begins a statement whose rows are fetched as they come. The
// pending result must be destroyed, whatever the state.
func pendingStreaming(stmt mapping.PreparedStatement, pending *mapping.PendingResult) mapping.State {
	var p unsafe.Pointer
	state := C.duckdb_pending_prepared_streaming(stmt.Ptr, &p)
	pending.Ptr = p
	return mapping.State(state)
}
