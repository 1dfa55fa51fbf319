//go:build integration

package peers

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/query"
)

// serveGlue is a Glue Data Catalog with one database, as far as an engine that reads
// asks it, and returns its URL. It has no partitions: the tables compute them.
func serveGlue(tb testing.TB, database string, tables []query.Table) string {
	tb.Helper()
	all := make([]map[string]any, len(tables))
	for i, t := range tables {
		var err error
		if all[i], err = glueTable(t, database); err != nil {
			tb.Fatal(err)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name, DatabaseName string }
		_ = json.NewDecoder(r.Body).Decode(&in) // what isn't said is empty
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		var out any
		known := true
		switch _, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "AWSGlue."); op {
		case "GetDatabases":
			out = map[string]any{"DatabaseList": []any{map[string]any{"Name": database}}}
		case "GetDatabase":
			out, known = map[string]any{"Database": map[string]any{"Name": database}}, in.Name == database
		case "GetTables":
			out, known = map[string]any{"TableList": all}, in.DatabaseName == database
		case "GetTable":
			known = false
			for _, t := range all {
				if in.DatabaseName == database && in.Name == t["Name"] {
					out, known = map[string]any{"Table": t}, true
				}
			}
		case "GetColumnStatisticsForTable":
			out = map[string]any{"ColumnStatisticsList": []any{}, "Errors": []any{}}
		case "GetColumnStatisticsForPartition":
			out = map[string]any{"ColumnStatisticsList": []any{}, "Errors": []any{}}
		case "GetPartitions", "BatchGetPartition":
			out = map[string]any{"Partitions": []any{}}
		default:
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]string{"__type": "InvalidInputException", "Message": "the tests' Glue has no " + op}
		}
		if !known {
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]string{"__type": "EntityNotFoundException", "Message": "Entity Not Found"}
		}
		if err := json.NewEncoder(w).Encode(out); err != nil {
			tb.Errorf("answer as Glue: %v", err)
		}
	}))
	tb.Cleanup(s.Close)
	return s.URL
}

// glueTable is a Table of Glue: its TableInput, and what Glue itself adds.
func glueTable(t query.Table, database string) (map[string]any, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	var table map[string]any
	if err := json.Unmarshal(text, &table); err != nil {
		return nil, err
	}
	table["DatabaseName"], table["CatalogId"], table["Retention"] = database, "000000000000", 0
	if storage, ok := table["StorageDescriptor"].(map[string]any); ok {
		storage["NumberOfBuckets"], storage["Compressed"], storage["StoredAsSubDirectories"] = 0, false, false
		storage["BucketColumns"], storage["SortColumns"] = []any{}, []any{}
	}
	return table, nil
}
