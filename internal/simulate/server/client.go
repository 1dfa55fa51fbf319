package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"syscall"
)

// Endpoint is a base URL for clients that use Server.Client; no such host is
// asked for.
const Endpoint = "http://aws.simulated.invalid"

// Client returns an HTTP client whose requests, to whatever address, are answered
// by the server without a network. Nothing outside of a testing/synctest bubble
// takes part, so inside of one time passes as soon as all that is left is waiting.
func (s *Server) Client() *http.Client { return &http.Client{Transport: transport{s}} }

type transport struct{ s *Server }

// RoundTrip answers a request in a goroutine of its own, which ends with the
// request's context.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	type result struct {
		out *recorder
		err error
	}
	done := make(chan result, 1)
	go func() {
		out := &recorder{header: http.Header{}}
		var err error
		defer func() {
			if v := recover(); v != nil {
				if e, ok := v.(error); !ok || !errors.Is(e, http.ErrAbortHandler) {
					panic(v)
				}
				err = &net.OpError{Op: "read", Net: "tcp", Err: fmt.Errorf("read: %w", syscall.ECONNRESET)}
			}
			_ = in.Body.Close()
			done <- result{out, err}
		}()
		t.s.ServeHTTP(out, in)
	}()
	select {
	case res := <-done:
		if res.err != nil {
			return nil, res.err
		}
		return res.out.response(r), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

func (r *recorder) response(to *http.Request) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)), StatusCode: r.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, Body: io.NopCloser(&r.body), ContentLength: int64(r.body.Len()), Request: to,
	}
}
