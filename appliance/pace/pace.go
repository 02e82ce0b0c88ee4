// Package pace is for work that takes seconds of CPU time beside workers that answer in microseconds: files that are read again while clients ask.
package pace

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

const (
	// burst is how long work may go on at a time. A thread of a worker's weight that shares its CPU keeps it for about 3 ms otherwise (base_slice_ns of the
	// kernel's scheduler), again and again: for as long as the work takes the worker has half of its CPU.
	burst = 250 * time.Microsecond
	// rests is how many times longer than it was busy work rests, so that a worker whose CPU it shares keeps three quarters even where Aside could not step back.
	// On the worker's own CPU at half load, loads of a million suffixes one after the other, p99.9 of hits is 4.1 and 3.3 ms (io_uring, recvmmsg) where it is 2.0 and
	// 3.0 without them and the echo's is 2.9; before threads stepped back 10.6 (the harness itself then took some of that CPU), with bursts and rests of a millisecond 11.9: make bench BENCH='-scenarios l'.
	rests = 3
	// restMost bounds one rest. Work whose burst took longer than that was kept from its CPU itself.
	restMost = 4 * time.Millisecond
	// chunk bytes are read at once: half a millisecond's work for the slowest parser, and much less for others.
	chunk = 4096
)

// Pace lets work rest for longer than it has been busy, so that it takes four times as long and nobody waits for it. The zero value is ready, for one
// goroutine; nil does not rest.
type Pace struct {
	since time.Time
	ctx   context.Context // nil: work goes on until it is done
}

// Until returns a pace whose readers fail with the context's error once it has ended.
func Until(ctx context.Context) *Pace { return &Pace{ctx: ctx} }

// Step is called between small pieces of work.
func (p *Pace) Step() {
	if p == nil {
		return
	}
	now := time.Now()
	if p.since.IsZero() {
		p.since = now
		return
	}
	if busy := now.Sub(p.since); busy >= burst {
		time.Sleep(min(rests*busy, restMost))
		p.since = time.Now()
	}
}

// errAgain says of a pipe, a socket or a directory that it is not what Open is for.
var errAgain = errors.New("not a file that can be read again")

// Open opens a file that is read now and again. It does not wait for whoever writes to a pipe.
func Open(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeDir) != 0 {
		return nil, &os.PathError{Op: "open", Path: path, Err: errAgain}
	}
	return os.Open(path)
}

// Reader returns a reader of r that lets whoever works on what it reads keep the pace; with a nil p, r itself.
func (p *Pace) Reader(r io.Reader) io.Reader {
	if p == nil {
		return r
	}
	return &reader{r, p}
}

type reader struct {
	in   io.Reader
	pace *Pace
}

// Read is an io.Reader's. It reads little at once.
func (r *reader) Read(b []byte) (int, error) {
	if r.pace.Step(); r.pace.ctx != nil && r.pace.ctx.Err() != nil {
		return 0, r.pace.ctx.Err()
	}
	return r.in.Read(b[:min(len(b), chunk)])
}
