// Package ring moves datagrams and byte streams for one worker: one engine per locked OS thread, one system call per turn.
// It knows nothing of DNS.
//
// Ring is the io_uring engine; package ring/mmsg is the same on epoll and recvmmsg/sendmmsg. This package also holds what
// both share: Event, Path, Handle, Waker, Config, Counters and the limits.
//
// A turn:
//
//	work on events ──> Reserve/Commit, Send, Recv, Close (only queue) ──> Turn: recycle buffers, submit, wait, reap ──> events
//
// Threads: an engine belongs to the OS thread that opened it; only Waker.Wake is safe from elsewhere.
//
// Bytes: Event.Data and Event.Path belong to the engine and are valid until the next Turn. Reserve's slice is the caller's
// until Commit or the next Reserve. A buffer given to Send is the kernel's until StreamSent or StreamClosed, and must be
// memory from sys.Map. The kernel never sees a pointer into the Go heap.
//
// Limits are in limits.go, each with what happens when it is reached.
package ring
