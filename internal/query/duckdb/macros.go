package duckdb

// Macros returns the SQL that defines the functions which DuckDB lacks and the
// packs use, for whoever runs a query of the packs on DuckDB without this engine
// (the benchmarks, a user's own DuckDB).
func Macros() string { return macros }
