package collect_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/inbox"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/laketest"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/store"
)

// exportEnv, a folder or the URL of an S3 server, makes the test binary an exporter
// with the store in exportEnv_STORE. Into exportEnv_RESULT goes how many days it wrote,
// and its peak of memory.
const exportEnv = "IAMTRACK_TEST_EXPORT"

// bucketAt opens the lake at a URL; integration tests set it.
var bucketAt func(ctx context.Context, url string) (lake.Bucket, error)

func bucketIn(ctx context.Context, where string) (lake.Bucket, error) {
	if strings.Contains(where, "://") {
		return bucketAt(ctx, where)
	}
	return lake.OpenDisk(where, false)
}

// TestExporterChild is the exporter; by itself it does nothing.
func TestExporterChild(t *testing.T) {
	where := os.Getenv(exportEnv)
	if where == "" {
		return
	}
	ctx := context.Background()
	if group := os.Getenv(exportEnv + "_CGROUP"); group != "" {
		if err := os.WriteFile(group, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := bucketIn(ctx, where)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenSQLite(ctx, os.Getenv(exportEnv+"_STORE"), store.SQLiteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := pipelineOver(t, rowless{s}, b)
	p.Inbox = inbox.New(b)
	p.Holder = collect.NewHolder("exporter") // that it was killed can be told
	res, err := p.Export(ctx, collect.ExportOptions{})
	if err != nil || len(res.Unreadable) > 0 {
		t.Fatal(res, err)
	}
	if err := os.WriteFile(os.Getenv(exportEnv+"_RESULT"), fmt.Appendln(nil, res.Written, peakMemory(t)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// peakMemory is this process's peak of resident memory, in bytes. (What a parent is
// told of a child counts the parent's own, from before the child's program began.)
func peakMemory(t *testing.T) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no peak of memory is known")
	return 0
}

// exporter is a lake, and who exports its inbox in processes of their own.
type exporter struct {
	where, db, group string
	bucket           lake.Bucket
}

func (e exporter) command(t *testing.T) (cmd *exec.Cmd, result string) {
	t.Helper()
	result = filepath.Join(t.TempDir(), "result")
	cmd = exec.Command(os.Args[0], "-test.run=^TestExporterChild$")
	cmd.Env = append(os.Environ(), exportEnv+"="+e.where, exportEnv+"_STORE="+e.db, exportEnv+"_RESULT="+result, exportEnv+"_CGROUP="+e.group,
		"GOMEMLIMIT=307MiB") // what a function of 512 MB gives itself
	return cmd, result
}

// run exports, and fails the test if that takes more memory than a function has.
func (e exporter) run(t *testing.T, what string) (written int) {
	t.Helper()
	cmd, result := e.command(t)
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", what, err, out)
	}
	took := time.Since(begun)
	text, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	var peak int64
	if _, err := fmt.Sscan(string(text), &written, &peak); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %.1f s, peak of resident memory %d MB", what, took.Seconds(), peak>>20)
	if peak > 512<<20 {
		t.Errorf("%s: that is too much", what)
	}
	return written
}

// killed exports and is killed in it, after a while.
func (e exporter) killed(t *testing.T, after time.Duration) {
	t.Helper()
	cmd, _ := e.command(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after) // when to kill, nothing that must have happened
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed, or done before
}

// check exports a day of n events, which exporters that are killed begin: all of them
// are in the lake then, once. Run again it writes nothing, and a late event changes one
// day.
func (e exporter) check(t *testing.T, n int, inOrder bool, kills ...time.Duration) {
	t.Helper()
	ctx := context.Background()
	sum := e.fill(t, n, inOrder)
	for _, after := range kills {
		e.killed(t, after)
	}
	if written := e.run(t, fmt.Sprintf("%d events in %d objects", n, (n+perObject-1)/perObject)); written > 1 {
		t.Errorf("%d days written", written)
	}
	days, err := lake.New(e.bucket, lake.Options{}).Days(ctx)
	if err != nil || len(days) != 1 || days[0].Events != int64(n) {
		t.Fatalf("%+v, %v", days, err)
	}
	t.Logf("the day's file: %d MB", days[0].Bytes>>20)
	if got := e.sum(t); got != sum {
		t.Error("other events are in the lake")
	}
	before := listed(t, e.bucket, "")
	if slices.ContainsFunc(before, func(o lake.Object) bool { return strings.HasPrefix(o.Key, "inbox") }) {
		t.Error("something is left in the inbox")
	}
	if written := e.run(t, "again"); written != 0 || !slices.Equal(before, listed(t, e.bucket, "")) {
		t.Errorf("run again: %d days written", written)
	}
	late := laketest.Traffic(1<<40, laketest.Day, 1)
	if err := inbox.New(e.bucket).Put(ctx, laketest.Day, late, nil); err != nil {
		t.Fatal(err)
	}
	if written := e.run(t, "a late event"); written != 1 {
		t.Errorf("a late event: %d days written", written)
	}
	if got := e.sum(t); got != sum+digestOf(&late[0]) {
		t.Error("a late event: other events are in the lake")
	}
}

// digestOf is a number for an event's key; those of many are added up.
func digestOf(e *event.Event) uint64 {
	s := sha256.Sum256([]byte(e.AccountID + " " + e.EventID))
	return binary.BigEndian.Uint64(s[:8])
}

// sum adds up what is in the lake.
func (e exporter) sum(t *testing.T) (sum uint64) {
	t.Helper()
	for ev, err := range lake.New(e.bucket, lake.Options{}).Events(context.Background(), laketest.Day) {
		if err != nil {
			t.Fatal(err)
		}
		sum += digestOf(&ev)
	}
	return sum
}

const perObject = 1000

// fill puts n events of one day into the inbox, a thousand at a time, as the tracker
// does, and their lineage into a store. It returns the sum of their keys' digests.
func (e exporter) fill(t *testing.T, n int, inOrder bool) (sum uint64) {
	t.Helper()
	ctx := context.Background()
	s, err := store.OpenSQLite(ctx, e.db, store.SQLiteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// The store has nothing that an older program didn't observe.
	if _, err := pipelineOver(t, s, e.bucket).Export(ctx, collect.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	in := inbox.New(e.bucket)
	var g errgroup.Group
	g.SetLimit(8)
	batches := (n + perObject - 1) / perObject
	for i := range batches {
		rows := laketest.Traffic(uint64(i), laketest.Day, min(perObject, n-i*perObject)) //nolint:gosec // counts
		if inOrder {
			span := int64(24*time.Hour/time.Millisecond) / int64(batches)
			start := laketest.Day.Time().UnixMilli() + int64(i)*span
			for j := range rows {
				rows[j].EventTime = start + rows[j].EventTime%span
			}
			slices.SortFunc(rows, func(x, y event.Event) int { return x.Compare(&y) })
		}
		for j := range rows {
			sum += digestOf(&rows[j])
		}
		if i < 20 { // all of their access keys
			o := lineage.NewObserver()
			for j := range rows {
				o.Observe(&rows[j], false)
			}
			if err := s.RecordLineage(ctx, o.Batch()); err != nil {
				t.Fatal(err)
			}
		}
		g.Go(func() error {
			if err := in.Put(ctx, laketest.Day, rows, nil); err != nil {
				return fmt.Errorf("batch %d: %w", i, err)
			}
			return nil
		})
	}
	if err := errors.Join(g.Wait(), s.Close()); err != nil {
		t.Fatal(err)
	}
	return sum
}

// A day of some events, as TestExportOfAMillionEvents has it, in a folder.
func TestExportOfManyEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds, and the race detector takes memory")
	}
	dir := filepath.Join(t.TempDir(), "lake")
	b, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	e := exporter{where: dir, db: filepath.Join(t.TempDir(), "iamtrack.db"), bucket: b}
	var kills []time.Duration
	for range 4 {
		kills = append(kills, 50*time.Millisecond+rand.N(600*time.Millisecond))
	}
	e.check(t, 40_000, false, kills...)
}
