package worker

import (
	"fmt"
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/mmsg"
	"secure-dns-proxy/ring/probe"
)

// Engine is the socket engine of one worker: batches of events in, batches of sends out, one call per turn. *ring.Ring (io_uring) and
// *mmsg.Engine (epoll, recvmmsg, sendmmsg) implement it; the meaning of each method is written at ring.Ring.
type Engine interface {
	AddDatagram(fd int, tag uint32, pktinfo bool) (ring.Handle, error)
	AddListener(fd int, tag uint32) (ring.Handle, error)
	SetTag(h ring.Handle, tag uint32)
	Recv(h ring.Handle)
	Send(h ring.Handle, buf []byte)
	Close(h ring.Handle)
	Reserve() []byte
	Commit(h ring.Handle, n int, to *ring.Path)
	Turn(wait time.Duration) []ring.Event
	Waker() *ring.Waker
	Counters() *ring.Counters
	Name() string
	Shutdown() error
}

// Names of the engines, as in the configuration key `backend`.
const (
	BackendAuto  = "auto"
	BackendUring = "uring"
	BackendMmsg  = "mmsg"
)

// chooseEngine turns the configured backend into the engine to open, once for all workers. reason says why auto did not take
// io_uring; it is "" when the first choice is used. A backend that was asked for by name and cannot run is an error.
func chooseEngine(backend string) (name, reason string, err error) {
	switch backend {
	case BackendMmsg:
		return BackendMmsg, "", nil
	case BackendAuto, BackendUring, "":
	default:
		return "", "", fmt.Errorf("unknown backend %q: auto, uring or mmsg", backend)
	}
	report := probe.Probe()
	if report.Usable {
		return BackendUring, "", nil
	}
	if backend == BackendUring {
		return "", "", fmt.Errorf("backend uring: %s", report.Reason)
	}
	return BackendMmsg, report.Reason, nil
}

// openEngine opens the named engine on the calling thread, which must be locked and be the one that uses it.
func openEngine(name string, cfg ring.Config) (Engine, error) {
	if name == BackendMmsg {
		return mmsg.Open(cfg)
	}
	return ring.Open(cfg)
}
