package lake

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/iamtrack/iamtrack/internal/event"
)

// A value that isn't there is NULL to every reader, whatever its neighbours are:
// all runs of NULLs and values over a batch and its ends.
func TestNulls(t *testing.T) {
	for _, pattern := range []string{"0100", "1011", "0110", "00110", "001100", "0001110000", "10", "01", "1", "0", "010101010", "0011001100110011"} {
		for _, shift := range []int{0, 1, 31, 61, 62, 63} {
			t.Run(fmt.Sprint(pattern, shift), func(t *testing.T) {
				bits := bytes.Repeat([]byte("0"), shift)
				for range 3 {
					bits = append(bits, pattern...)
				}
				var file bytes.Buffer
				w := eventTable.write(&file, "test")
				for i, b := range bits {
					e := event.Event{EventID: fmt.Sprintf("%03d", i), Category: "iam", Outcome: "ok"}
					if b == '1' {
						yes := true
						e.UserName, e.ErrorMessage, e.MFA = "ann", "denied", &yes
					}
					if err := w.add(&e); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.close(); err != nil {
					t.Fatal(err)
				}
				f, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
				if err != nil {
					t.Fatal(err)
				}
				for i, column := range eventTable.fields {
					if column.name != "user_name" && column.name != "error_message" && column.name != "mfa" {
						continue
					}
					if got := nulls(t, f, i); got != string(bits) {
						t.Errorf("column %s: got %s, want %s", column.name, got, bits)
					}
				}
			})
		}
	}
}

// nulls reads a column's values as 0 for NULL and 1 for any other.
func nulls(t *testing.T, f *parquet.File, column int) string {
	t.Helper()
	var out []byte
	for _, group := range f.RowGroups() {
		pages := group.ColumnChunks()[column].Pages()
		defer pages.Close() //nolint:errcheck // only read from
		for {
			page, err := pages.ReadPage()
			if err == io.EOF { //nolint:errorlint // as the library documents it
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			values := make([]parquet.Value, page.NumValues())
			n, err := page.Values().ReadValues(values)
			if err != nil && err != io.EOF { //nolint:errorlint // as the library documents it
				t.Fatal(err)
			}
			for _, v := range values[:n] {
				if v.IsNull() {
					out = append(out, '0')
				} else {
					out = append(out, '1')
				}
			}
		}
	}
	return string(out)
}
