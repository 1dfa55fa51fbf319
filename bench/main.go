// Command bench measures iamtrack against its peers and limits, side by side in
// one run, and writes the figures as Markdown. The data is simulated (package
// simulate) and made on the spot; figures that compare are medians of pairs run
// in turn, so that a machine whose speed drifts does not favour one side.
//
//	go run ./bench -o docs/performance.md        everything; about an hour
//	go run ./bench -events 200000 -large 0       quick, printed
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

// end is the last moment of all simulated data, so that runs compare.
var end = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)

type bench struct {
	ctx    context.Context
	dir    string // scratch
	bin    string // the iamtrack program
	self   string // this program, for the peers
	pairs  int
	only   string
	out    io.Writer
	events int
	large  int
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "peer" {
		if err := peer(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench peer:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var (
		output = flag.String("o", "", "write the figures to this file (default: standard output)")
		events = flag.Int("events", 1_000_000, "simulated events of the import and of the first query run")
		large  = flag.Int("large", 10_000_000, "simulated events of the large run; 0 leaves it out")
		pairs  = flag.Int("pairs", 3, "how often each pair is run")
		only   = flag.String("only", "", "only this step: imports, bytes, memory, queries or interactive (of the first run), collection, capacity, functions, daily or large")
		dir    = flag.String("dir", "", "scratch folder, kept (default: a temporary one, removed)")
	)
	flag.Parse()
	b := &bench{ctx: ctx, dir: *dir, pairs: *pairs, only: *only, out: os.Stdout, events: *events, large: *large}
	if b.dir == "" {
		tmp, err := os.MkdirTemp("", "iamtrack-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp) //nolint:errcheck // scratch
		b.dir = tmp
	}
	var text strings.Builder
	if *output != "" {
		b.out = io.MultiWriter(os.Stdout, &text)
	}
	if err := b.build(); err != nil {
		return err
	}
	if err := b.all(); err != nil {
		return err
	}
	if *output != "" {
		return os.WriteFile(*output, []byte(text.String()), 0o644)
	}
	return nil
}

// build makes the program under test and finds this one, for the peers.
func (b *bench) build() error {
	var err error
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	b.bin = filepath.Join(b.dir, "iamtrack")
	cmd := exec.CommandContext(b.ctx, "go", "build", "-o", b.bin, "./cmd/iamtrack")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

func (b *bench) all() error {
	b.head()
	if b.only == "" || slices.Contains([]string{"imports", "bytes", "memory", "queries", "interactive"}, b.only) {
		small, err := b.world("events", b.events, 730)
		if err != nil {
			return err
		}
		for _, step := range []struct {
			name string
			run  func(world) error
		}{{"imports", b.imports}, {"bytes", b.bytesPerEvent}, {"memory", b.memory}, {"queries", b.queries}, {"interactive", b.interactive}} {
			if b.only != "" && b.only != step.name {
				continue
			}
			if err := step.run(small); err != nil {
				return err
			}
		}
	}
	if b.only == "" || b.only == "collection" {
		if err := b.collection(); err != nil {
			return err
		}
	}
	if b.only == "" || b.only == "functions" {
		if err := b.functions(); err != nil {
			return err
		}
	}
	if b.only == "" || b.only == "capacity" {
		if err := b.capacity(); err != nil {
			return err
		}
	}
	if b.only == "" || b.only == "daily" {
		if err := b.imported("daily", 365_000, 3650, b.interactive); err != nil {
			return err
		}
	}
	if b.large > 0 && (b.only == "" || b.only == "large") {
		return b.imported("large", b.large, 730, b.queries, b.interactive, b.memory)
	}
	return nil
}

// imported runs steps over a world that was imported once.
func (b *bench) imported(name string, events, days int, steps ...func(world) error) error {
	w, err := b.world(name, events, days)
	if err != nil {
		return err
	}
	if err := b.importOnce(w); err != nil {
		return err
	}
	for _, step := range steps {
		if err := step(w); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) printf(format string, args ...any) { fmt.Fprintf(b.out, format, args...) } //nolint:errcheck // a terminal or a builder

func (b *bench) head() {
	b.printf("# Performance\n\nWritten by `go run ./bench -o docs/performance.md` (`make bench`) on %s: %s, %d processors (%s), %s.\n",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), cpuModel(), memTotal())
	b.printf("Data is simulated and made by the command; a ratio is the median of %d pairs run in turn.\n", b.pairs)
}

// world is a simulated trail on disk, and the data folder it is imported into.
type world struct {
	name   string
	trail  string
	data   string
	events int
	days   int
	files  int
}

func (b *bench) world(name string, events, days int) (world, error) {
	w := world{name: name, trail: filepath.Join(b.dir, name+"-trail"), data: filepath.Join(b.dir, name+"-data"), events: events, days: days}
	sim, err := simulate.New(simulate.Config{Seed: 1, End: end, Days: days, Events: events})
	if err != nil {
		return w, err
	}
	if _, err := os.Stat(w.trail); err == nil {
		return w, nil // an earlier run in the same scratch folder made it
	}
	fmt.Fprintf(os.Stderr, "making %d simulated events over %d days …\n", events, days)
	sum, err := simulate.WriteTrail(b.ctx, sim, w.trail, simulate.TrailOptions{Compress: true})
	if err != nil {
		return w, err
	}
	w.files = sum.Files
	return w, nil
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

func memTotal() string {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return "memory unknown"
	}
	var kib int64
	if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err != nil {
		return "memory unknown"
	}
	return fmt.Sprintf("%.0f GiB of memory", float64(kib)/(1<<20))
}
