package collect_test

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/store"
)

// childEnv, the data directory, and childEnv_TRAIL make the test binary an importer.
const childEnv = "IAMTRACK_TEST_IMPORT"

func TestMain(m *testing.M) {
	if trail := os.Getenv(childEnv + "_TRAIL"); trail != "" {
		os.Exit(child(os.Getenv(childEnv), trail))
	}
	flag.Parse()
	if testing.Short() {
		// The flag is rapid's own; it exists.
		_ = flag.Set("rapid.checks", "15")
	}
	os.Exit(m.Run())
}

func child(data, trail string) int {
	p, closeStore, err := onDisk(data)
	if err == nil {
		// Little memory, so that an import has many steps to be killed in.
		_, err = p.Import(context.Background(), collect.ImportOptions{Paths: []string{trail}, MemoryBytes: 400_000})
		if err == nil {
			_, err = p.Export(context.Background(), collect.ExportOptions{Wait: true})
		}
		err = errors.Join(err, closeStore())
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n") //nolint:errcheck // the parent sees the exit code
		return 1
	}
	return 0
}

func onDisk(data string) (*collect.Pipeline, func() error, error) {
	s, err := store.OpenSQLite(context.Background(), filepath.Join(data, "iamtrack.db"), store.SQLiteOptions{})
	if err != nil {
		return nil, nil, err
	}
	b, err := lake.OpenDisk(filepath.Join(data, "lake"), false)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	p := pipelineOver(panicking{}, s, b)
	p.Holder = collect.NewHolder("import")
	return p, s.Close, nil
}

// panicking is the testing.TB of a process that has none.
type panicking struct{ testing.TB }

func (panicking) Helper()           {}
func (panicking) Name() string      { return "child" }
func (panicking) Fatal(args ...any) { panic(args) }

// An import that is killed at random, again and again, and at last left alone,
// ends where one that was never killed does.
func TestKilledAtRandom(t *testing.T) {
	dir := t.TempDir()
	world, err := simulate.New(simulate.Config{Seed: 3, Days: 20, Events: 3000, End: now})
	if err != nil {
		t.Fatal(err)
	}
	trail := filepath.Join(dir, "trail")
	if _, err := simulate.WriteTrail(context.Background(), world, trail, simulate.TrailOptions{Compress: true}); err != nil {
		t.Fatal(err)
	}
	clean := filepath.Join(dir, "clean")
	start := time.Now()
	if code := child(clean, trail); code != 0 {
		t.Fatal("the import that nobody kills failed")
	}
	whole := time.Since(start)
	want := diskState(t, clean)
	if len(want.Events) < 300 || len(want.Alerts) == 0 {
		t.Fatalf("%d events, %d alerts", len(want.Events), len(want.Alerts))
	}
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range rounds {
		data := filepath.Join(dir, "killed", string(rune('a'+round)))
		kills := 0
		for range 8 {
			cmd := exec.Command(os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), childEnv+"="+data, childEnv+"_TRAIL="+trail)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rng.Int64N(int64(whole)))) // when to kill, nothing that must have happened
			if cmd.Process.Kill() == nil {
				kills++
			}
			_ = cmd.Wait() // killed
		}
		if code := child(data, trail); code != 0 {
			t.Fatalf("round %d: the last run failed", round)
		}
		if diff := cmp.Diff(want, diskState(t, data)); diff != "" {
			t.Errorf("round %d, after %d kills: another state (-want +got):\n%s", round, kills, diff)
		}
	}
}

func diskState(t *testing.T, data string) state {
	t.Helper()
	p, closeStore, err := onDisk(data)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore() //nolint:errcheck // read only
	return stateOf(t, p)
}
