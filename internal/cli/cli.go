// Package cli is the command line: one file per command, each with an options
// struct, a constructor that binds flags, and a function that does the work and
// knows nothing of flags.
//
// Standard output has answers only, so that it can be piped; notes, progress,
// timings and errors go to standard error, an error as "iamtrack: what went
// wrong" and, where there is something to do about it, a line "hint: …". All
// text that comes from events passes through package render.
//
// Exit codes: 0 done; 1 failed; 2 wrong usage (flags, arguments, settings); 3
// done in part, with what is missing on standard error. An answer without rows
// is an answer: 0. A data directory without data is a failure, in every format:
// a mistyped folder must not look as if nothing had happened.
//
// Nothing here is global: env carries the streams, the clock and the
// environment, so that tests run commands as often and as they like.
package cli

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/render"
)

// Exit codes of the program.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitInPart = 3
)

// Main runs the program with its arguments (without its name) and returns the
// exit code. An empty version is that of the module, as the Go tool recorded it. An interrupt ends what is under way in good order; a second one
// ends the process.
func Main(version string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, &env{
		stdin: stdin, stdout: stdout, stderr: stderr,
		now: time.Now, lookupEnv: os.LookupEnv, version: cmp.Or(version, moduleVersion()),
		program: programName(os.Args[0]),
	}, args)
}

// env is the world of one run of the program.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	lookupEnv      func(string) (string, bool)
	version        string
	// program is how this program is typed, in commands that are printed;
	// "" means iamtrack.
	program string
	// openAWS opens a way into AWS; nil: app.OpenAWS.
	openAWS func(context.Context, config.Config) (*awsapi.Session, error)
	// openParts opens what a stack is made of; nil: app.OpenStack.
	openParts func(context.Context, config.Config, *awsapi.Session, app.Parts, app.Options) (*app.App, error)

	// answers are what is typed to questions; nil: standard input, if it is a terminal.
	answers *bufio.Reader

	// Set before a command runs.
	config config.Config
	flags  globalFlags
	since  time.Time // zero: no bound
	until  time.Time // zero: no bound
	// onStack: the command that runs works on a stack, too.
	onStack bool
	// session is the way into AWS of the stack that is open.
	session *awsapi.Session
	// fresh says how current the lake is that is asked; nil before it is.
	fresh *app.Freshness
}

// run executes one command line.
func run(ctx context.Context, e *env, args []string) int {
	root := newRoot(e)
	root.SetArgs(args)
	root.SetIn(e.stdin)
	out := helpOutput{w: e.stdout}
	root.SetOut(&out)
	root.SetErr(e.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = out.err
	}
	if err != nil && ctx.Err() != nil {
		err = withHint(fmt.Errorf("interrupted: %w", context.Cause(ctx)), "what was finished is kept; the same command goes on from there")
	}
	return e.report(err)
}

// helpOutput is standard output for cobra, which doesn't tell when help could
// not be written.
type helpOutput struct {
	w   io.Writer
	err error // the first
}

func (h *helpOutput) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	if h.err == nil {
		h.err = err
	}
	return n, err
}

// report prints an error and returns the exit code that it stands for.
func (e *env) report(err error) int {
	if err == nil {
		return exitDone
	}
	message, hints, code := explain(err)
	for i, line := range strings.Split(strings.TrimRight(message, "\n"), "\n") {
		if i == 0 {
			line = "iamtrack: " + line
		} else {
			line = "  " + line
		}
		e.say(line)
	}
	for _, h := range hints {
		e.say("hint: " + h)
	}
	return code
}

// say prints a line on standard error. There is nothing to be done when that
// fails.
func (e *env) say(line string) { _, _ = fmt.Fprintln(e.stderr, render.Text(e.typed(line))) }

// note is what a person may want to know; --quiet and lower log levels hide it.
func (e *env) note(format string, args ...any) {
	if e.logs("info") {
		e.say(fmt.Sprintf(format, args...))
	}
}

// warn is what a person should know.
func (e *env) warn(format string, args ...any) {
	if e.logs("warning") {
		e.say("warning: " + fmt.Sprintf(format, args...))
	}
}

// fail names a part of the work that was not done, whatever is hidden else.
func (e *env) fail(format string, args ...any) { e.say("error: " + fmt.Sprintf(format, args...)) }

// debug is for finding faults of the program or its set-up.
func (e *env) debug(format string, args ...any) {
	if e.logs("debug") {
		e.say("debug: " + fmt.Sprintf(format, args...))
	}
}

func (e *env) logs(level string) bool {
	rank := map[string]int{"error": 0, "warning": 1, "info": 2, "debug": 3}
	set, ok := rank[e.config.LogLevel]
	if !ok {
		set = rank["info"] // before the settings are read
	}
	if e.flags.quiet {
		set = 0
	}
	return rank[level] <= set
}

// moduleVersion is what the Go tool recorded in the binary.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
