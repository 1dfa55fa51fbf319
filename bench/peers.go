package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	_ "github.com/duckdb/duckdb-go/v2" // the peer
	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fastjson"
	"golang.org/x/sync/errgroup"
)

// peer runs one of the things that iamtrack is compared with, as a process of
// its own: "duckdb TRAIL OUT" (one Parquet file), "duckdb-days TRAIL OUT" (a file
// a day, as the lake has them), or "parse TRAIL".
func peer(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "duckdb":
		return duckJSON(args[1], args[2], "")
	case len(args) == 3 && args[0] == "duckdb-days":
		return duckJSON(args[1], args[2], ", PARTITION_BY (event_date)")
	case len(args) > 2 && args[0] == "limited":
		return limited(args[1], args[2:])
	case len(args) == 2 && args[0] == "parse":
		return gunzipParse(args[1])
	}
	return errors.New("usage: bench peer duckdb|duckdb-days TRAIL OUT | bench peer parse TRAIL")
}

// recordType is the shape that DuckDB is told, so that it need not sniff: every
// field of a record, since iamtrack keeps all of them, the open parts as JSON.
const recordType = `STRUCT(eventVersion VARCHAR, userIdentity STRUCT(type VARCHAR, principalId VARCHAR, arn VARCHAR, accountId VARCHAR, accessKeyId VARCHAR, userName VARCHAR, invokedBy VARCHAR, sessionContext JSON, onBehalfOf JSON, inScopeOf JSON, credentialId VARCHAR, identityProvider VARCHAR), eventTime TIMESTAMP, eventSource VARCHAR, eventName VARCHAR, awsRegion VARCHAR, sourceIPAddress VARCHAR, userAgent VARCHAR, errorCode VARCHAR, errorMessage VARCHAR, requestParameters JSON, responseElements JSON, additionalEventData JSON, resources JSON, requestID VARCHAR, eventID VARCHAR, readOnly BOOLEAN, eventType VARCHAR, recipientAccountId VARCHAR, managementEvent BOOLEAN, eventCategory VARCHAR, sharedEventID VARCHAR, apiVersion VARCHAR, vpcEndpointId VARCHAR, vpcEndpointAccountId VARCHAR, tlsDetails JSON, serviceEventDetails JSON, sessionCredentialFromConsole VARCHAR, edgeDeviceDetails JSON, addendum JSON, eventContext JSON)[]`

// duckJSON reads the trail with read_json and writes Parquet, zstd, as one
// would who has only DuckDB.
func duckJSON(trail, out, partition string) error {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // in memory
	_, err = db.ExecContext(context.Background(), fmt.Sprintf(`
		SET threads=%d; SET preserve_insertion_order=false;
		COPY (SELECT unnest(r, recursive := false), CAST(r.eventTime AS DATE) AS event_date FROM (
			SELECT unnest(Records) AS r FROM read_json('%s/**/*.json.gz', columns={Records: '%s'}, maximum_object_size=4194304)))
		TO '%s' (FORMAT parquet, COMPRESSION zstd%s)`, runtime.NumCPU(), trail, recordType, out, partition))
	return err
}

// gunzipParse unpacks and parses every file on all processors, and does nothing
// with the result: the floor under any importer.
func gunzipParse(trail string) error {
	var paths []string
	err := filepath.WalkDir(trail, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".json.gz") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	var (
		g    errgroup.Group
		next atomic.Int64
		n    atomic.Int64
	)
	for range runtime.NumCPU() {
		g.Go(func() error {
			var (
				parser fastjson.Parser
				z      gzip.Reader
			)
			for {
				i := int(next.Add(1)) - 1
				if i >= len(paths) {
					return nil
				}
				text, err := unpack(&z, paths[i])
				if err != nil {
					return err
				}
				v, err := parser.ParseBytes(text)
				if err != nil {
					return err
				}
				n.Add(int64(len(v.GetArray("Records"))))
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Println(n.Load())
	return nil
}

func unpack(z *gzip.Reader, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	if err := z.Reset(f); err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
