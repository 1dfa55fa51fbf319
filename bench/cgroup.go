package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// cgroup limits the memory of the processes run in it; Linux, version 1 or 2.
type cgroup struct {
	dir   string
	procs string
}

func newCgroup(limit int64) (*cgroup, error) {
	name := "iamtrack-bench-" + strconv.Itoa(os.Getpid())
	for _, v := range []struct{ root, file string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max"},
	} {
		dir := filepath.Join(v.root, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, v.file), []byte(strconv.FormatInt(limit, 10)), 0o644); err != nil {
			_ = os.Remove(dir)
			continue
		}
		return &cgroup{dir: dir, procs: filepath.Join(dir, "cgroup.procs")}, nil
	}
	return nil, errors.New("no memory cgroup can be made here (it takes Linux and root)")
}

func (g *cgroup) remove() { _ = os.Remove(g.dir) }

// run runs a command in the group and returns its peak of resident memory, in
// bytes. A small process in between joins the group and starts the command: a
// process counts the memory of the one that it was forked from.
func (g *cgroup) run(ctx context.Context, self, bin string, args []string) (int64, error) {
	cmd := exec.CommandContext(ctx, self, append([]string{"peer", "limited", g.procs, bin}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		text := stderr.String()
		return 0, fmt.Errorf("%w: %s", err, text[max(0, len(text)-500):])
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

// limited is the small process: it joins the group, runs the command with its
// output thrown away, and prints the command's peak of resident memory in bytes.
func limited(procs string, command []string) error {
	if err := os.WriteFile(procs, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("no resource usage on this system")
	}
	fmt.Println(usage.Maxrss << 10)
	return nil
}
