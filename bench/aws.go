package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

var writeUnits = regexp.MustCompile(`batches of (\d+) records: (\d+) events stored, (\d+) filtered: ([\d.]+) write units for each stored event, ([\d.]+) for each record`)

// capacity measures what events cost in DynamoDB, by a test that has the budget in it.
func (b *bench) capacity() error {
	const name = "TestWriteUnits"
	cmd := exec.CommandContext(b.ctx, "go", "test", "-count=1", "-v", "-timeout", "30m", "-tags", "integration", "-run", name, "./internal/store/dynamo")
	cmd.Env = append(os.Environ(), "IAMTRACK_TEST_EVENTS=100000")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	b.printf("\n## Write units in DynamoDB\n\n")
	if err := cmd.Run(); err != nil {
		if text := out.String(); !strings.Contains(text, "write units") { // the server could not be had
			b.printf("Not measured: %v.\n", err)
			return nil
		}
		return fmt.Errorf("measure write units: %w\n%s", err, out.String())
	}
	found := writeUnits.FindAllStringSubmatch(out.String(), -1)
	if len(found) == 0 {
		return fmt.Errorf("measure write units: %s printed no figures:\n%s", name, out.String())
	}
	b.printf("100,000 records of 90 simulated days through the pipeline into a table of DynamoDB Local, and all that it writes counted as DynamoDB counts it (`ReturnConsumedCapacity`): events, both indexes, manifests, what was seen, filtered rows, lineage, findings, leases. Stored were %s events, %s records were filtered. `IAMTRACK_TEST_EVENTS=100000 go test -tags integration -run %s -v ./internal/store/dynamo`. Budget: 3.5 for each stored event.\n\n", found[0][2], found[0][3], name)
	b.printf("| records in a batch | write units a stored event | write units a record |\n|---|---|---|\n")
	for _, f := range found {
		b.printf("| %s | %s | %s |\n", f[1], f[4], f[5])
	}
	b.printf("\nThe batch of one is an event as EventBridge delivers it to the realtime function, which has the bookkeeping of a batch for itself: the budget is that of the tracker, which brings most.\n")
	return nil
}
