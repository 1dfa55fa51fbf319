package athena

// What Athena charges. Prices differ a little by region; this one is that of most,
// of us-east-1 among them, as of 2026-11-22.
//
// Source: Amazon Athena pricing, "SQL queries per query": per TB scanned, rounded up
// to the nearest megabyte, at least 10 MB a query; none for statements that read no
// data and for those that fail.
const (
	usdPerTB   = 5.00
	bytesPerTB = 1 << 40
	bytesPerMB = 1 << 20
	minMB      = 10
)

// cost is what a query that read so many bytes costs, in US dollars.
func cost(statement string, scanned int64) float64 {
	if statement != "" && statement != selecting {
		return 0
	}
	mb := max(minMB, (scanned+bytesPerMB-1)/bytesPerMB)
	return float64(mb) * bytesPerMB * usdPerTB / bytesPerTB
}

// selecting is Athena's type of statements that read data.
const selecting = "DML"
