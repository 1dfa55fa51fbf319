package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPTY returns both ends of a pseudo-terminal.
func openPTY(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return keyboard, terminal
}

// screen is what a program has written, for waiting on.
type screen struct {
	mu    sync.Mutex
	grown *sync.Cond
	text  bytes.Buffer
	seen  int
	ended bool
}

func newScreen() *screen {
	s := &screen{}
	s.grown = sync.NewCond(&s.mu)
	return s
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.grown.Broadcast()
	return s.text.Write(p)
}

func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.grown.Broadcast()
}

// has reports whether text was written after what has was asked for before.
func (s *screen) has(text string) bool {
	i := strings.Index(s.text.String()[s.seen:], text)
	if i < 0 {
		return false
	}
	s.seen += i + len(text)
	return true
}

// wait waits until has, or the program's end.
func (s *screen) wait(t *testing.T, text string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.has(text) {
		if s.ended {
			t.Fatalf("the program ended without %q; after\n%s\nthere is %q", text, s.text.String()[:s.seen], s.text.String()[s.seen:])
		}
		s.grown.Wait()
	}
}

// Ctrl-C drops an unfinished statement or ends an answer, and the prompt goes
// on; Ctrl-D leaves.
func TestPromptInterrupted(t *testing.T) {
	keyboard, terminal := openPTY(t)
	dir := t.TempDir()
	env := func(stdin io.Reader, stdout, stderr io.Writer) *env {
		return &env{stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now, lookupEnv: func(string) (string, bool) { return "", false }}
	}
	var out bytes.Buffer
	if code := run(t.Context(), env(nil, &out, &out), []string{"--data-dir", dir, "import", "testdata/trail"}); code != 0 {
		t.Fatal(out.String())
	}
	shown := newScreen()
	done := make(chan int)
	go func() {
		code := run(context.Background(), env(terminal, shown, shown), []string{"--data-dir", dir, "sql"})
		shown.end()
		done <- code
	}()
	typing := func(text string) {
		t.Helper()
		if _, err := keyboard.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	shown.wait(t, "iamtrack> ")
	typing("SELECT 'dropped'\r")
	shown.wait(t, "...> ")
	typing(", 'this too'\x03")
	shown.wait(t, "^C\r\niamtrack> ")
	typing("SELECT 'kept' AS x;\r")
	shown.wait(t, "x\n────\nkept\n")
	shown.wait(t, "iamtrack> ")
	typing("half a line\x03")
	shown.wait(t, "^C\r\niamtrack> ")
	typing("\x03")
	shown.wait(t, "^C\r\nCtrl-D leaves\n")
	shown.wait(t, "iamtrack> ")

	// An answer under way: signals that come before it starts, or after its
	// end, are for this channel only.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGINT)
	defer signal.Stop(caught)
	typing("SELECT sum(hash(range)) FROM range(100000000000000);\r")
	for {
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		<-caught
		shown.mu.Lock()
		got := shown.has("iamtrack: interrupted\n")
		shown.mu.Unlock()
		if got {
			break
		}
	}
	shown.wait(t, "iamtrack> ")
	typing("SELECT 'still here' AS x;\r")
	shown.wait(t, "still here\n")
	shown.wait(t, "iamtrack> ")
	typing("\x04")
	if code := <-done; code != exitDone {
		t.Errorf("exit code %d", code)
	}
}
