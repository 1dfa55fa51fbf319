//go:build unix

package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/store/storetest"
)

// The test binary is its own second process: with helperEnv set it does one of
// the helpers' jobs instead of running tests.
const helperEnv = "IAMTRACK_STORE_TEST_HELPER"

func TestMain(m *testing.M) {
	job := os.Getenv(helperEnv)
	if job == "" {
		os.Exit(m.Run())
	}
	args := os.Args[1:]
	help := map[string]func([]string) error{"work": helpWork, "read": helpRead, "hold": helpHold}[job]
	if err := help(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// helper prepares a second process.
func helper(t *testing.T, job string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), helperEnv+"="+job)
	cmd.Stderr = os.Stderr
	return cmd
}

// helpWork does the work of some writers: PATH FROM TO [POINT N]. After each call
// that returned it prints "done WRITER CALL". At the N-th passing of the fault
// point it is killed, as by kill -9.
func helpWork(args []string) error {
	ctx := context.Background()
	from, err1 := strconv.Atoi(args[1])
	to, err2 := strconv.Atoi(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if len(args) > 3 {
		left, err := strconv.Atoi(args[4])
		if err != nil {
			return err
		}
		fault.Set(func(point string) error {
			if point == args[3] {
				if left--; left == 0 {
					return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGKILL), errors.New("not killed"))
				}
			}
			return nil
		})
	}
	s, err := store.OpenSQLite(ctx, args[0], store.SQLiteOptions{})
	if err != nil {
		return err
	}
	for w := from; w < to; w++ {
		for i, call := range storetest.Work(w) {
			if err := call(ctx, s); err != nil {
				return err
			}
			fmt.Printf("done %d %d\n", w, i)
		}
	}
	return s.Close()
}

// ideal is the state after the work of all writers.
func ideal(t *testing.T) storetest.State {
	t.Helper()
	s := store.OpenMem()
	for w := range storetest.Writers {
		if err := storetest.DoWork(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	return dump(t, s)
}

// Two processes that make the store and write at once, and a third that reads.
func TestProcessesWriteAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "iamtrack.db")
	half := storetest.Writers / 2
	var cmds []*exec.Cmd
	for _, span := range [][2]int{{0, half}, {half, storetest.Writers}} {
		cmd := helper(t, "work", path, strconv.Itoa(span[0]), strconv.Itoa(span[1]))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	s := openSQLite(t, path, store.SQLiteOptions{})
	for range 10 {
		dump(t, s)
	}
	for _, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	wantState(t, s, ideal(t))
}

// checkKilled opens what a killed process left: nothing that it said was done is
// missing, nothing is half there, and doing all again ends in the ideal state.
func checkKilled(t *testing.T, path string, done []string) {
	t.Helper()
	ctx := t.Context()
	least := store.OpenMem()
	for _, line := range done {
		var w, i int
		if _, err := fmt.Sscanf(line, "done %d %d", &w, &i); err != nil {
			t.Fatal(err)
		}
		if err := storetest.Work(w)[i](ctx, least); err != nil {
			t.Fatal(err)
		}
	}
	s := openSQLite(t, path, store.SQLiteOptions{})
	checkIntegrity(t, path)
	got := dump(t, s)
	has := map[store.ConflictRef]bool{} // contents, as events or conflicts
	for _, e := range append(got.Events, got.Conflicts...) {
		has[store.ConflictRef{Key: e.Key(), Hash: uint64(e.RecordHash)}] = true
	}
	want := dump(t, least)
	for _, e := range append(want.Events, want.Conflicts...) {
		if !has[store.ConflictRef{Key: e.Key(), Hash: uint64(e.RecordHash)}] {
			t.Errorf("event %s in content %x was stored and is lost", e.EventID, e.RecordHash)
		}
	}
	alerts := map[string]bool{}
	for _, a := range got.Alerts {
		alerts[a.ID] = true
	}
	for _, a := range want.Alerts {
		if !alerts[a.ID] {
			t.Errorf("alert %s was stored and is lost", a.ID)
		}
	}
	for _, l := range want.Streams {
		for _, c := range l.Covered(coverage.Span{To: 1 << 40}) {
			if i := slices.IndexFunc(got.Streams, func(k *coverage.Ledger) bool { return k.Stream == l.Stream }); i < 0 || got.Streams[i].Level(c.Span) < c.Level {
				t.Errorf("%v was %v in %v and is lost", c.Span, c.Level, l.Stream)
			}
		}
	}
	for w := range storetest.Writers {
		if err := storetest.DoWork(ctx, s, w); err != nil {
			t.Fatal(err)
		}
	}
	wantState(t, s, ideal(t))
}

func checkIntegrity(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read
	var check string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		t.Fatalf("integrity: %s, error %v", check, err)
	}
}

func TestKilledAtFaultPoints(t *testing.T) {
	for _, point := range []string{"store.put.before", "store.put.after", "store.record.before", "store.record.after",
		"store.updatestream.before", "store.updatestream.after"} {
		for _, n := range []int{1, 5} {
			t.Run(fmt.Sprint(point, " ", n), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "iamtrack.db")
				cmd := helper(t, "work", path, "0", strconv.Itoa(storetest.Writers), point, strconv.Itoa(n))
				out, err := cmd.Output()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("the helper was not killed: %v", err)
				}
				checkKilled(t, path, strings.Split(strings.TrimSpace(string(out)), "\n")[:strings.Count(string(out), "\n")])
			})
		}
	}
}

// Killed from outside, wherever it happens to be, after some of its calls.
func TestKilledAnywhere(t *testing.T) {
	for _, after := range []int{0, 1, 2, 3, 5, 8, 13, 21, 34} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "iamtrack.db")
			cmd := helper(t, "work", path, "0", strconv.Itoa(storetest.Writers))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var done []string
			lines := bufio.NewScanner(out)
			for len(done) < after && lines.Scan() {
				done = append(done, lines.Text())
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			for lines.Scan() { // what it said before it died
				done = append(done, lines.Text())
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("the helper came to its end")
			}
			checkKilled(t, path, done)
		})
	}
}

// umask is the process's: no other test may run beside.
func TestPermissions(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "iamtrack.db")
	s := openSQLite(t, path, store.SQLiteOptions{})
	if err := storetest.DoWork(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	check := func(want map[string]fs.FileMode) {
		t.Helper()
		for name, mode := range want {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != mode {
				t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), mode)
			}
		}
	}
	check(map[string]fs.FileMode{filepath.Dir(dir): 0o700, dir: 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600})

	// A file that others could read is closed to them; the user's folder is his.
	loose := filepath.Join(t.TempDir(), "iamtrack.db")
	filled(t, loose)
	if err := errors.Join(os.Chmod(loose, 0o644), os.Chmod(filepath.Dir(loose), 0o755)); err != nil {
		t.Fatal(err)
	}
	s = openSQLite(t, loose, store.SQLiteOptions{})
	if err := s.SetMeta(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	check(map[string]fs.FileMode{loose: 0o600, loose + "-wal": 0o600, loose + "-shm": 0o600, filepath.Dir(loose): 0o755})
}

// helpRead reads a store that it may not write: PATH. It prints how many events
// and alerts there are.
func helpRead(args []string) error {
	ctx := context.Background()
	path := args[0]
	if s, err := store.OpenSQLite(ctx, path, store.SQLiteOptions{}); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), path) {
		if err == nil {
			err = s.Close()
		}
		return fmt.Errorf("opened for writing: %w", err)
	}
	s, err := store.OpenSQLite(ctx, path, store.SQLiteOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	// Readers at once, so that there are several connections.
	for range 2 {
		errs := make(chan error, 4)
		for range cap(errs) {
			go func() {
				_, err := storetest.Dump(ctx, s)
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				return err
			}
		}
	}
	st, err := storetest.Dump(ctx, s)
	if err != nil {
		return err
	}
	if err := s.Put(ctx, []event.Event{{EventID: "a"}}, nil); !errors.Is(err, store.ErrReadOnly) {
		return fmt.Errorf("a write: %w", err)
	}
	fmt.Printf("%d events, %d alerts, %d conflicts", len(st.Events), len(st.Alerts), len(st.Conflicts))
	return s.Close()
}

// A folder that can't be written, as the copy of a store on a read-only disk:
// closed in order, or with the log of a writer that was killed.
func TestReadOnlyFolder(t *testing.T) {
	for _, c := range []struct {
		name     string
		suffixes []string // files that the copy has
		mode     fs.FileMode
	}{
		{"closed in order", []string{""}, 0o400},
		{"closed in order, only the folder is read-only", []string{""}, 0o600},
		{"with a log left behind", []string{"", "-wal"}, 0o400},
		{"with a log left behind, only the folder is read-only", []string{"", "-wal"}, 0o600},
		{"with a log and its index", []string{"", "-wal", "-shm"}, 0o400},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := filepath.Join(t.TempDir(), "iamtrack.db")
			s := openSQLite(t, from, store.SQLiteOptions{})
			if err := storetest.DoWork(t.Context(), s, 0); err != nil {
				t.Fatal(err)
			}
			st := dump(t, s)
			if len(c.suffixes) == 1 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "iamtrack.db")
			files := map[string]string{os.Args[0]: filepath.Join(dir, "helper")}
			for _, suffix := range c.suffixes {
				files[from+suffix] = path + suffix
			}
			cmd := helper(t, "read", path)
			for from, to := range files {
				copyFile(t, from, to, c.mode)
			}
			if os.Geteuid() == 0 {
				// Permissions don't bind root: nobody reads instead.
				const nobody = 65534
				for _, to := range files {
					if err := os.Chown(to, nobody, nobody); err != nil {
						t.Skip("can't become another user:", err)
					}
				}
				if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chown(dir, nobody, nobody)); err != nil {
					t.Fatal(err)
				}
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			}
			// The test's own binary lies where only its user may look.
			cmd.Path = filepath.Join(dir, "helper")
			if err := errors.Join(os.Chmod(cmd.Path, 0o500), os.Chmod(dir, 0o500)); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(dir, 0o700) //nolint:errcheck // so that it can be removed
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%d events, %d alerts, %d conflicts", len(st.Events), len(st.Alerts), len(st.Conflicts)); string(out) != want {
				t.Fatalf("read %s, want %s", out, want)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != len(files) {
				t.Fatalf("the folder holds %v now, error %v", left, err)
			}
		})
	}
}

func copyFile(t *testing.T, from, to string, mode fs.FileMode) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

// helpHold takes the lease "lake" of the store PATH, says so, and holds it until
// it's killed or its input ends.
func helpHold(args []string) error {
	ctx := context.Background()
	s, err := store.OpenSQLite(ctx, args[0], store.SQLiteOptions{})
	if err != nil {
		return err
	}
	if _, err := s.Acquire(ctx, "lake", "the helper", time.Hour); err != nil {
		return err
	}
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, s.Close())
}

// A lease outlives its holder by no time, if the holder is known to be dead.
func TestLeaseOfAKilledProcess(t *testing.T) {
	for _, c := range []struct {
		name, change string // made to the lease's row after the holder was killed
		held         bool
	}{
		{"on this machine", "", false},
		{"on another host", "UPDATE leases SET host = host || '2'", true},
		{"on a host without a name", "UPDATE leases SET host = ''", true},
		{"in another container", "UPDATE leases SET pid_space = pid_space || '2'", true},
		{"its id is in use again", "UPDATE leases SET pid = " + strconv.Itoa(os.Getpid()), true},
		{"its id names a group", "UPDATE leases SET pid = 0", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			path := filepath.Join(t.TempDir(), "iamtrack.db")
			s := openSQLite(t, path, store.SQLiteOptions{})
			cmd := helper(t, "hold", path)
			in, err1 := cmd.StdinPipe()
			out, err2 := cmd.StdoutPipe()
			if err := errors.Join(err1, err2, cmd.Start()); err != nil {
				t.Fatal(err)
			}
			defer in.Close() //nolint:errcheck // the helper is gone
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
				t.Fatalf("the helper says %q, error %v", line, err)
			}
			var held *store.HeldError
			if _, err := s.Acquire(ctx, "lake", "me", time.Hour); !errors.As(err, &held) || held.Holder != "the helper" {
				t.Fatalf("while the holder runs: %v", err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("the helper came to its end")
			}
			if c.change != "" {
				db, err := sql.Open("sqlite3", path)
				if err != nil {
					t.Fatal(err)
				}
				_, err = db.ExecContext(ctx, c.change)
				if err := errors.Join(err, db.Close()); err != nil {
					t.Fatal(err)
				}
			}
			l, err := s.Acquire(ctx, "lake", "me", time.Hour)
			if c.held {
				if !errors.As(err, &held) {
					t.Fatalf("got %v, want a lease that is held", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Renew(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Acquire(ctx, "lake", "another", time.Hour); !errors.As(err, &held) || held.Holder != "me" {
				t.Fatalf("taken over, and taken again: %v", err)
			}
		})
	}
}
