//go:build integration

package function_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/function/runtimetest"
)

// figure is what one kind of invocation takes; `go run ./bench -only functions` reads
// them from this test's log.
type figure struct {
	What        string
	Memory      int // what the function has, MB
	Invocations int
	Records     int     // that came, or rows that were exported
	PerRecord   bool    // it takes what it takes for the records
	Seconds     float64 // by the clock, of all invocations, starts included
	CPU         float64 // seconds of processor time
	Peak        int64   // bytes of resident memory
}

// What functions of the template's sizes take: a first reading, the export of it, a
// run that finds nothing new in 128 MB, an export with nothing to do. The organization
// has IAMTRACK_TEST_EVENTS events.
func TestFigures(t *testing.T) {
	events := 10_000
	if text := os.Getenv("IAMTRACK_TEST_EVENTS"); text != "" {
		var err error
		if events, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	d := deploy(t, events)
	run := func(f figure, handler string, env []string, done func(map[string]any) bool) figure {
		t.Helper()
		fn := &runtimetest.Function{Program: d.bootstrap(), Env: append(d.env, env...), Handler: handler, Timeout: 5 * time.Minute, Memory: f.Memory}
		defer fn.Stop()
		for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); {
			r, err := fn.Invoke([]byte(`{}`))
			if err != nil || r.Failed != "" {
				t.Fatalf("%s: %v %s\n%s", f.What, err, r.Failed, r.Log)
			}
			var out map[string]any
			if err := json.Unmarshal(r.Payload, &out); err != nil {
				t.Fatalf("%s answers %s", f.What, r.Payload)
			}
			f.Invocations++
			records, _ := out["records"].(float64)
			f.Records += int(records)
			f.Seconds += r.Took.Seconds() + r.Asked.Seconds()
			f.CPU, f.Peak = r.Processor.Seconds(), r.Peak
			if done(out) {
				f.log(t)
				return f
			}
		}
		t.Fatalf("%s doesn't come to an end", f.What)
		return f
	}
	read := run(figure{What: "tracker, a first reading", Memory: 256, PerRecord: true}, function.Tracker, nil, func(out map[string]any) bool { return out["unfinished"] == false })
	run(figure{What: "exporter, all of it", Memory: 512, Records: read.Records, PerRecord: true}, function.Exporter, nil, func(out map[string]any) bool { return out["dirty_days"] == 0. })
	once := func(map[string]any) bool { return true }
	// At AWS's own rate.
	run(figure{What: "tracker, nothing new", Memory: 128}, function.Tracker, []string{"IAMTRACK_REQUEST_RATE=2"}, once)
	run(figure{What: "exporter, nothing new", Memory: 128}, function.Exporter, nil, once)
	run(figure{What: "notifier, nothing to send but what waits", Memory: 128}, function.Notifier, nil, once)
	run(figure{What: "notifier, nothing to send", Memory: 256}, function.Notifier, nil, once)

	// Events one by one, as EventBridge delivers them.
	f := figure{What: "realtime", Memory: 256, PerRecord: true}
	fn := &runtimetest.Function{Program: d.bootstrap(), Env: d.env, Handler: function.Realtime, Memory: f.Memory}
	defer fn.Stop()
	for i := range 200 {
		r, err := fn.Invoke(bridge(fmt.Sprintf("figure-%d", i), time.Now().UTC().Add(-time.Minute), ""))
		if err != nil || r.Failed != "" {
			t.Fatalf("%s: %v %s\n%s", f.What, err, r.Failed, r.Log)
		}
		f.Invocations, f.Records = f.Invocations+1, f.Records+1
		f.Seconds += r.Took.Seconds() + r.Asked.Seconds()
		f.CPU, f.Peak = r.Processor.Seconds(), r.Peak
	}
	f.log(t)
}

// log writes a figure to the test's log.
func (f figure) log(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("FIGURE %s", text)
	if f.Peak > int64(f.Memory)<<20 {
		t.Errorf("%s takes more memory than it has", f.What)
	}
}
