package main

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/iamtrack/iamtrack/internal/function/runtimetest"
)

// functions measures the program that AWS Lambda runs: its size, what a start takes,
// and what invocations take over real servers.
func (b *bench) functions() error {
	b.printf("\n## Functions in AWS Lambda\n\nThe static program (`CGO_ENABLED=0 go build -trimpath -tags lambda.norpc -ldflags '-s -w' ./cmd/bootstrap`):\n\n| for | size, MB | in a zip file, MB |\n|---|---|---|\n")
	for _, arch := range []string{"arm64", "amd64"} {
		bin, err := b.bootstrap(arch)
		if err != nil {
			return err
		}
		size, zipped, err := sizes(bin)
		if err != nil {
			return err
		}
		b.printf("| linux/%s | %.1f | %.1f |\n", arch, float64(size)/1e6, float64(zipped)/1e6)
	}
	if err := b.starts(); err != nil {
		return err
	}
	return b.invocations()
}

// bootstrap builds the functions' program.
func (b *bench) bootstrap(arch string) (string, error) {
	bin := filepath.Join(b.dir, "bootstrap-"+arch)
	cmd := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", bin, "./cmd/bootstrap")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	cmd.Stderr = os.Stderr
	return bin, cmd.Run()
}

// sizes are those of a file, and of it in a zip file.
func sizes(path string) (plain, zipped int64, err error) {
	in, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer in.Close() //nolint:errcheck // only read
	var count counter
	z := zip.NewWriter(&count)
	w, err := z.Create("bootstrap")
	if err != nil {
		return 0, 0, err
	}
	if plain, err = io.Copy(w, in); err != nil {
		return 0, 0, err
	}
	return plain, int64(count), z.Close()
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// starts measures from the start of the process to its first request for an
// invocation: nothing is opened before.
func (b *bench) starts() error {
	bin, err := b.bootstrap("amd64")
	if err != nil {
		return err
	}
	const times, share = 30, 15
	cpu, _, err := startTimes(times, bin)
	if err != nil {
		return err
	}
	b.printf("\nFrom the start of the process to the first request to the runtime interface, %d starts: %.1f ms of processor time (median; %.1f to %.1f; budget 15).\n",
		times, ms(cpu[times/2]), ms(cpu[0]), ms(cpu[times-1]))
	procs, remove, err := processorShare(share)
	if err != nil {
		b.printf("A share of a processor could not be had: %v.\n", err)
		return nil
	}
	defer remove()
	// The shell joins the group and becomes the program.
	_, wall, err := startTimes(times, "/bin/sh", "-c", `echo $$ >"$0" && exec "$1"`, procs, bin)
	if err != nil {
		return err
	}
	b.printf("With %d %% of a processor, which is about what 256 MB are given: %.0f ms by the clock (median; %.0f to %.0f).\n",
		share, ms(wall[times/2]), ms(wall[0]), ms(wall[times-1]))
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// startTimes starts a program so many times; both lists are in order.
func startTimes(times int, program string, args ...string) (cpu, wall []time.Duration, err error) {
	for range times {
		f := runtimetest.Function{Program: program, Args: args, Handler: "tracker", Env: []string{"AWS_REGION=us-east-1", "IAMTRACK_STACK=bench"}}
		r, err := f.Invoke([]byte(`{}`)) // which fails: there is no table
		f.Stop()
		if err != nil {
			return nil, nil, err
		}
		cpu, wall = append(cpu, r.Start), append(wall, r.Asked)
	}
	slices.Sort(cpu)
	slices.Sort(wall)
	return cpu, wall, nil
}

// processorShare makes a cgroup that has so many percent of one processor (Linux,
// version 1 or 2), and returns the file by which to join it.
func processorShare(percent int) (procs string, remove func(), err error) {
	const period = 20_000 // µs
	quota := strconv.Itoa(period * percent / 100)
	for _, v := range []struct {
		root  string
		files [][2]string
	}{
		{"/sys/fs/cgroup/cpu", [][2]string{{"cpu.cfs_period_us", strconv.Itoa(period)}, {"cpu.cfs_quota_us", quota}}},
		{"/sys/fs/cgroup", [][2]string{{"cpu.max", quota + " " + strconv.Itoa(period)}}},
	} {
		dir := filepath.Join(v.root, "iamtrack-bench-"+strconv.Itoa(os.Getpid()))
		if err = os.Mkdir(dir, 0o755); err != nil {
			continue
		}
		for _, f := range v.files {
			if err = os.WriteFile(filepath.Join(dir, f[0]), []byte(f[1]), 0o644); err != nil {
				break
			}
		}
		if err == nil {
			return filepath.Join(dir, "cgroup.procs"), func() { _ = os.Remove(dir) }, nil
		}
		_ = os.Remove(dir)
	}
	return "", nil, err
}

// wholeProcessor is for how much memory, in MB, a function has one processor; for less it
// has that share of one (AWS Lambda Developer Guide, "Configure Lambda function memory").
const wholeProcessor = 1769

var figureLine = regexp.MustCompile(`FIGURE (\{.*\})`)

// invocations runs the test that measures them over DynamoDB Local and an S3 server.
func (b *bench) invocations() error {
	const name = "TestFigures"
	cmd := exec.CommandContext(b.ctx, "go", "test", "-tags", "integration", "-count=1", "-timeout", "30m", "-v", "-run", "^"+name+"$", "./internal/function")
	cmd.Env = append(os.Environ(), "IAMTRACK_TEST_EVENTS=30000")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	b.printf("\nInvocations over DynamoDB Local, versitygw and a simulated organization on the same machine, starts included (`go test -tags integration -run %s ./internal/function`); GB-seconds are those of the memory that the function has, for as long as it ran, or for as long as its processor time takes with the share of a processor that AWS Lambda gives for that memory (a whole one for 1,769 MB), whichever is more.\n\n| run | has, MB | peak, MB | records | seconds | of processor time | GB-seconds | for a million records |\n|---|---|---|---|---|---|---|---|\n", name)
	found := figureLine.FindAllStringSubmatch(string(out), -1)
	if len(found) == 0 {
		return fmt.Errorf("%s says nothing: %s", name, out)
	}
	for _, m := range found {
		var f struct {
			What         string
			Memory       int
			Records      int
			PerRecord    bool
			Seconds, CPU float64
			Peak         int64
		}
		if err := json.Unmarshal([]byte(m[1]), &f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		gbs, million := max(f.Seconds*float64(f.Memory), f.CPU*wholeProcessor)/1024, ""
		if f.PerRecord {
			million = fmt.Sprintf("%.0f", gbs/float64(f.Records)*1e6)
		}
		b.printf("| %s | %d | %d | %d | %.1f | %.2f | %.2f | %s |\n", f.What, f.Memory, f.Peak>>20, f.Records, f.Seconds, f.CPU, gbs, million)
	}
	return nil
}
