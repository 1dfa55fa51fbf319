package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// collection measures collecting: which share of the permitted request rate is
// made use of, in the virtual time of the collector's own tests, and, over a
// loopback connection, requests and memory for a history of many events.
func (b *bench) collection() error {
	b.printf("\n## Collection\n\n")
	if err := b.rateShare(); err != nil {
		return err
	}
	return b.collectMany()
}

var rateLine = regexp.MustCompile(`(\d+) requests in (\S+): (\d+\.\d+) a second`)

// rateShare runs the test that holds the rate, and reports what it measured.
func (b *bench) rateShare() error {
	const name = "TestRateAndRequests"
	out, err := exec.CommandContext(b.ctx, "go", "test", "-count=1", "-v", "-run", name, "./internal/lookup").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	found := rateLine.FindAllStringSubmatch(string(out), -1)
	if len(found) != 2 {
		return fmt.Errorf("%s says %d rates, not two: %s", name, len(found), out)
	}
	b.printf("Share of the permitted rate (2 requests a second in each account and region) after the first minute, in which a run goes slowly to leave room for others; `go test -v -run %s ./internal/lookup`, in virtual time. Budget: 95 %%.\n\n| latency of an answer | requests | time | requests a second | share |\n|---|---|---|---|---|\n", name)
	for i, latency := range []string{"0.2 s", "4 s"} {
		var rate float64
		if _, err := fmt.Sscan(found[i][3], &rate); err != nil {
			return err
		}
		b.printf("| %s | %s | %s | %.3f | %.1f %% |\n", latency, found[i][1], found[i][2], rate, 50*rate)
	}
	return nil
}

// collectMany collects a history within a memory cgroup. Of the simulated events about
// half are of sources that are collected: more than a million by default.
func (b *bench) collectMany() error {
	w, err := simulate.New(simulate.Config{Seed: 1, End: time.Now().UTC().Truncate(time.Hour), Days: 89, Events: b.events * 11 / 5, Noise: 0.5})
	if err != nil {
		return err
	}
	const rate = 1000
	srv, err := server.New(server.Options{World: w, Rate: rate})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	hs := &http.Server{Handler: srv, ReadHeaderTimeout: time.Minute}
	go func() { _ = hs.Serve(l) }() // ends with Close
	defer hs.Close()                //nolint:errcheck // scratch
	data := filepath.Join(b.dir, "collect-data")
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": "http://" + l.Addr().String(), "AWS_ACCESS_KEY_ID": w.Accounts()[0], "AWS_SECRET_ACCESS_KEY": "none",
		"AWS_REGION": "us-east-1", "AWS_PROFILE": "", "AWS_CA_BUNDLE": "", "IAMTRACK_REQUEST_RATE": fmt.Sprint(rate),
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	group, err := newCgroup(memoryLimit)
	if err != nil {
		b.printf("\nMemory was not measured: %v.\n", err)
		return nil
	}
	defer group.remove()
	begun := time.Now()
	peak, err := group.run(b.ctx, b.self, b.bin, []string{"--data-dir", data, "--format", "json", "--quiet", "collect", "--organization"})
	if err != nil {
		return fmt.Errorf("collect within %d MB: %w", memoryLimit>>20, err)
	}
	took := time.Since(begun)
	out, err := exec.CommandContext(b.ctx, b.bin, "--data-dir", data, "--format", "json", "status").Output()
	if err != nil {
		return err
	}
	var status struct {
		Events, Filtered int64
		Streams          []struct{ Requests, Events int64 }
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	var requests, events int64
	for _, s := range status.Streams {
		requests += s.Requests
		events += s.Events
	}
	if events == 0 {
		return errors.New("collect: nothing came")
	}
	b.printf("\nA first reading of %d accounts over a loopback connection, from a simulated organization that permits %d requests a second, in a memory cgroup of 512 MB: %d events of %d streams by %d requests (%.3f of a request for each 50 events; budget 1.05 and a few for each stream), %d stored and %d filtered, in %.0f s; peak of resident memory %d MB.\n",
		len(w.Accounts()), rate, events, len(status.Streams), requests, 50*float64(requests)/float64(events), status.Events, status.Filtered, took.Seconds(), peak>>20)
	return os.RemoveAll(data)
}
