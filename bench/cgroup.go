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
// bytes. The shell joins the group before it becomes the command.
func (g *cgroup) run(ctx context.Context, bin string, args []string) (int64, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", `echo $$ >"$0" && exec "$@"`, g.procs, bin}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		text := stderr.String()
		return 0, fmt.Errorf("%w: %s", err, text[max(0, len(text)-500):])
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, errors.New("no resource usage on this system")
	}
	return usage.Maxrss << 10, nil
}
