// Package runtimetest runs a program as AWS Lambda runs a function: it speaks the
// runtime interface (AWS Lambda Developer Guide, "Using the Lambda runtime API"),
// hands over one invocation at a time, ends an instance whose time is up, and starts
// another one then.
package runtimetest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Function is a deployed function with at most one instance. Its methods are not
// for concurrent use; two functions with the same program run side by side.
type Function struct {
	// Program is the bootstrap to start, Args what it is started with.
	Program string
	Args    []string
	// Env is all of its environment, but for what Lambda adds.
	Env []string
	// Handler is the function's handler (_HANDLER).
	Handler string
	// Timeout is the function's time limit; 0: a minute.
	Timeout time.Duration
	// Memory is what the function is told to have, in MB; 0: 512. Nobody holds it to that.
	Memory int

	instance *instance
	n        int
}

// Result is how an invocation ended.
type Result struct {
	// Payload is the function's answer; nil when it failed.
	Payload json.RawMessage
	// Failed is the function's error message; empty when it did not fail.
	Failed string
	// Cold tells that an instance was started for it.
	Cold bool
	// Log is what the instance wrote since the invocation before.
	Log string
	// Took is the time of the invocation, without that of the start.
	Took time.Duration
	// Start is what the instance's start took in processor time, up to its asking
	// for the first invocation; 0 unless Cold.
	Start time.Duration
	// Asked is how long the start took by the clock.
	Asked time.Duration
	// Processor is the processor time of the instance since its start.
	Processor time.Duration
	// Peak is the instance's peak of resident memory in bytes, since its start.
	Peak int64
}

type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	answer   chan answer
}

type answer struct {
	payload []byte
	failed  string
}

// instance is a running program.
type instance struct {
	f       *Function
	cmd     *exec.Cmd
	server  *http.Server
	next    chan *invocation
	asked   chan struct{} // closed when the program asks for its first invocation
	once    sync.Once
	exited  chan struct{}
	log     buffer
	initErr string

	mu      sync.Mutex
	current *invocation
}

// Invoke runs the function with a payload. The error is for what is no fault of the
// function: a program that can't be started.
func (f *Function) Invoke(payload []byte) (Result, error) {
	timeout := f.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	var r Result
	begun := time.Now()
	if f.instance == nil {
		r.Cold = true
		if err := f.start(); err != nil {
			return r, err
		}
	}
	i := f.instance
	select {
	case <-i.asked:
	case <-i.exited:
	case <-time.After(10 * time.Second): // Lambda's limit of the init phase
		f.Stop()
	}
	if r.Cold {
		r.Start, r.Asked = i.processorTime(), time.Since(begun)
	}
	f.n++
	inv := &invocation{id: fmt.Sprintf("invocation-%d", f.n), payload: payload, deadline: time.Now().Add(timeout), answer: make(chan answer, 1)}
	started := time.Now()
	var a answer
	select {
	case i.next <- inv:
		select {
		case a = <-inv.answer:
		case <-i.exited:
			a.failed = "Runtime exited"
		case <-time.After(time.Until(inv.deadline)):
			a.failed = fmt.Sprintf("Task timed out after %s", timeout)
			f.Stop()
		}
	case <-i.exited:
		a.failed = "Runtime exited before it asked for an invocation"
	}
	r.Took, r.Payload, r.Failed = time.Since(started), a.payload, a.failed
	r.Peak, r.Processor = i.peak(), i.processorTime()
	r.Log = i.log.take()
	i.mu.Lock()
	if i.initErr != "" {
		r.Failed = i.initErr
	}
	i.mu.Unlock()
	select {
	case <-i.exited:
		f.Stop()
	default:
	}
	return r, nil
}

// Stop ends the instance, as Lambda does now and then, with no warning.
func (f *Function) Stop() {
	if i := f.instance; i != nil {
		_ = i.cmd.Process.Kill()
		<-i.exited
		_ = i.server.Close()
		f.instance = nil
	}
}

// Kill ends the program after a while, whatever it is doing then.
func (f *Function) Kill(after time.Duration) (cancel func()) {
	t := time.AfterFunc(after, func() {
		if i := f.instance; i != nil {
			_ = i.cmd.Process.Kill()
		}
	})
	return func() { t.Stop() }
}

func (f *Function) start() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	i := &instance{f: f, next: make(chan *invocation), asked: make(chan struct{}), exited: make(chan struct{})}
	mux := http.NewServeMux()
	const api = "/2018-06-01/runtime/"
	mux.HandleFunc("GET "+api+"invocation/next", i.serveNext)
	mux.HandleFunc("POST "+api+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		i.answered(w, r.PathValue("id"), answer{payload: body})
	})
	mux.HandleFunc("POST "+api+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		i.answered(w, r.PathValue("id"), answer{failed: message(r.Body)})
	})
	mux.HandleFunc("POST "+api+"init/error", func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.initErr = message(r.Body)
		i.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	i.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = i.server.Serve(l) }()
	i.cmd = exec.Command(f.Program, f.Args...) //nolint:gosec // the test's own program
	i.cmd.Env = append(append([]string{}, f.Env...), "AWS_LAMBDA_RUNTIME_API="+l.Addr().String(), "_HANDLER="+f.Handler,
		"AWS_LAMBDA_FUNCTION_NAME="+f.Handler, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(cmp.Or(f.Memory, 512)),
		"LAMBDA_TASK_ROOT=/var/task", "AWS_EXECUTION_ENV=AWS_Lambda_provided.al2023")
	i.cmd.Stdout, i.cmd.Stderr = &i.log, &i.log
	if err := i.cmd.Start(); err != nil {
		_ = i.server.Close()
		return fmt.Errorf("start %s: %w", f.Program, err)
	}
	go func() {
		_ = i.cmd.Wait()
		close(i.exited)
	}()
	f.instance = i
	return nil
}

func (i *instance) serveNext(w http.ResponseWriter, r *http.Request) {
	i.once.Do(func() { close(i.asked) })
	select {
	case inv := <-i.next:
		i.mu.Lock()
		i.current = inv
		i.mu.Unlock()
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:111122223333:function:"+i.f.Handler)
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0")
		h.Set("Content-Type", "application/json")
		_, _ = w.Write(inv.payload)
	case <-r.Context().Done():
	case <-i.exited:
	}
}

func (i *instance) answered(w http.ResponseWriter, id string, a answer) {
	i.mu.Lock()
	inv := i.current
	i.mu.Unlock()
	if inv == nil || inv.id != id {
		http.Error(w, `{"errorMessage":"no such invocation","errorType":"InvalidRequestID"}`, http.StatusBadRequest)
		return
	}
	select {
	case inv.answer <- a:
	default: // answered twice
	}
	w.WriteHeader(http.StatusAccepted)
}

// message is the error message of a report of the runtime.
func message(body io.Reader) string {
	text, _ := io.ReadAll(body)
	var e struct {
		ErrorMessage string `json:"errorMessage"`
	}
	if json.Unmarshal(text, &e) != nil || e.ErrorMessage == "" {
		return string(text)
	}
	return e.ErrorMessage
}

// processorTime is what the program has used, of both kinds; 0 where /proc isn't.
func (i *instance) processorTime() time.Duration {
	var sum time.Duration
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", i.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for _, task := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", i.cmd.Process.Pid, task.Name()))
		if err != nil {
			continue
		}
		ns, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		sum += time.Duration(n)
	}
	return sum
}

// peak is the largest resident set of the program; 0 where /proc isn't.
func (i *instance) peak() int64 {
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.cmd.Process.Pid)); err == nil {
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				return n << 10
			}
		}
	}
	if s := i.cmd.ProcessState; s != nil {
		if u, ok := s.SysUsage().(*syscall.Rusage); ok {
			return u.Maxrss << 10
		}
	}
	return 0
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.String()
	b.b.Reset()
	return s
}
