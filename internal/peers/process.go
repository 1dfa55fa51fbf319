//go:build integration

package peers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// install returns a folder below .tools/ that build has filled, once for each name and
// content of what describes it. Test programs of several packages may ask at once.
func install(ctx context.Context, name, description string, build func(ctx context.Context, dir string) error) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(description))
	dir := filepath.Join(root, ".tools", name+"-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	unlock, err := lockedfile.MutexAt(dir + ".lock").Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	complete := filepath.Join(dir, "complete") // written last: without it, somebody was interrupted
	if _, err := os.Stat(complete); err == nil {
		return dir, nil
	}
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
		return "", err
	}
	if err := build(ctx, dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(complete, nil, 0o600)
}

// command runs a program to its end; its error has what it printed last.
func command(ctx context.Context, dir string, env []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w:\n%s", program, err, out[max(0, len(out)-4000):])
	}
	return nil
}

// errEnded is wrapped when a server ended before it answered.
var errEnded = errors.New("it ended")

// serve starts a server's program on a free port and waits until its URL answers, with
// any status; it is killed when the test ends. The test fails with the server's log
// when it doesn't start.
func serve(tb testing.TB, name string, limit time.Duration, program func(port string) *exec.Cmd) string {
	tb.Helper()
	for attempt := 1; ; attempt++ {
		url, stop, err := start(tb.Context(), filepath.Join(tb.TempDir(), "server.log"), limit, program)
		if err == nil {
			tb.Cleanup(stop)
			return url
		}
		// Somebody may have taken the port since it was found to be free.
		if attempt == 3 || !errors.Is(err, errEnded) {
			tb.Fatalf("start %s: %v", name, err)
		}
	}
}

func start(ctx context.Context, logName string, limit time.Duration, program func(port string) *exec.Cmd) (string, func(), error) {
	port, err := freePort(ctx)
	if err != nil {
		return "", nil, err
	}
	log, err := os.Create(logName)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = log.Close() }() // the server has its own
	cmd := program(port)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also when the test is killed
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	ended, gone := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- cmd.Wait()
		close(gone)
	}()
	stop := func() {
		_ = cmd.Process.Kill() // it has nothing to save
		<-gone
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second} // no proxy
	url := "http://127.0.0.1:" + port
	for over := time.After(limit); ; {
		select {
		case err := <-ended:
			return "", nil, fmt.Errorf("%w (%w):\n%s", errEnded, err, tail(logName))
		case <-over:
			stop()
			return "", nil, fmt.Errorf("no answer within %v:\n%s", limit, tail(logName))
		case <-time.After(50 * time.Millisecond):
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			stop()
			return "", nil, err
		}
		if resp, err := client.Do(req); err == nil {
			return url, stop, resp.Body.Close()
		}
	}
}

// moduleRoot is the folder of go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod in this folder or one above it")
		}
		dir = parent
	}
}

// freePort is one that nobody listens on.
func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// tail is the end of a log.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4000):])
}
