package store

import "os"

// owner says who holds a lease in terms that another process can check: a
// process id, and where that id means something.
type owner struct {
	pid   int64
	host  string // "" when it, or space, is unknown
	space string // of process ids on host; "" where there is but one
}

// thisProcess is the owner of the leases that this process takes.
func thisProcess() owner {
	o := owner{pid: int64(os.Getpid())}
	host, err := os.Hostname()
	if space, known := pidSpace(); known && err == nil {
		o.host, o.space = host, space
	}
	return o
}

// gone reports whether the owner is certain to run no more: it lived where this
// process does, and has ended. In doubt it is taken to run.
func (o owner) gone() bool {
	here := thisProcess()
	return here.host != "" && o.host == here.host && o.space == here.space && processGone(o.pid)
}
