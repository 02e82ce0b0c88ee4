package ring

import (
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// user_data of an operation: what it is in the top byte, the socket's handle in the low 32 bits. Never a pointer.
const (
	opShift = 56

	opInput uint64 = iota << opShift
	opWrite
	opPause
	opSend        // a datagram; completes only when it failed
	opTrain       // several in one message; the same
	opCancelInput // a cancellation; completes only when it found nothing to cancel
	opCancelWrite
	opCancelPause
	opAlarm // of no socket
)

// entry returns a cleared submission entry, after an extra system call when the queue was full; nil if the kernel took nothing.
func (r *Ring) entry() *sys.SQE {
	e := r.u.Next()
	if e == nil {
		r.flush()
		e = r.u.Next()
	}
	return e
}

// arm submits the input operation of a socket: a multishot receive or accept, one read of a stream, or of the waker.
func (r *Ring) arm(h Handle, s *socket) bool {
	e := r.entry()
	if e == nil {
		return false
	}
	switch s.role {
	case roleDatagram:
		e.PrepOperation(sys.OpRecvmsg, s.fd, sys.Address(unsafe.Pointer(&r.fixed.receive)), 1, 0)
		e.SetIoprio(sys.RecvMultishot)
		e.SetFlags(sys.SQEBufferSelect)
		e.SetBufGroup(groupDatagrams)
	case roleListener:
		e.PrepOperation(sys.OpAccept, s.fd, 0, 0, 0)
		e.SetIoprio(sys.AcceptMultishot)
		e.SetOpFlags(sys.AcceptFlags)
	case roleStream:
		e.PrepOperation(sys.OpRecv, s.fd, 0, StreamBytesMax, 0)
		e.SetFlags(sys.SQEBufferSelect)
		e.SetBufGroup(groupStreams)
	case roleWaker:
		e.PrepOperation(sys.OpRead, s.fd, sys.Address(unsafe.Pointer(&r.fixed.counter)), 8, 0)
	}
	if s.file != noFile {
		e.SetFdIndex(s.file)
	}
	e.SetUserData(opInput | uint64(h))
	s.pending |= pendingInput
	return true
}

// write submits the rest of a stream's send. MSG_WAITALL lets the kernel retry short writes by itself.
func (r *Ring) write(h Handle, s *socket) bool {
	e := r.entry()
	if e == nil {
		return false
	}
	e.PrepOperation(sys.OpSend, s.fd, s.writeAddress, s.writeBytes, 0)
	e.SetOpFlags(sys.MessageWaitAll | sys.MessageNoSignal)
	e.SetUserData(opWrite | uint64(h))
	s.pending |= pendingWrite
	return true
}

// pause submits the timer after which the socket's input is armed again.
func (r *Ring) pause(h Handle, s *socket) bool {
	e := r.entry()
	if e == nil {
		return false
	}
	e.PrepOperation(sys.OpTimeout, -1, sys.Address(unsafe.Pointer(&r.fixed.pause)), 1, 0)
	e.SetUserData(opPause | uint64(h))
	s.pending |= pendingPause
	r.counts.AcceptPauses++
	return true
}

// setAlarm makes sure that the alarm will end a wait: it goes off RawWaitMax after it was set, whatever comes before. It reports
// false if there was no room to set it.
func (r *Ring) setAlarm() bool {
	if r.alarmed {
		return true
	}
	e := r.u.Next()
	if e == nil {
		return false
	}
	e.PrepOperation(sys.OpTimeout, -1, sys.Address(unsafe.Pointer(&r.fixed.alarm)), 1, 0)
	r.alarm++
	e.SetUserData(opAlarm | r.alarmData())
	r.alarmed = true
	return true
}

// alarmData tells the last alarm from one before, in the bits between operation and handle; it is no socket's.
func (r *Ring) alarmData() uint64 { return uint64(r.alarm) << 32 &^ (0xff << opShift) }

// cancel submits a cancellation for every pending operation of a socket. The operations then complete with ECANCELED; a
// cancellation itself completes only if it found nothing. Streams that close need none: shutdown ends their operations.
func (r *Ring) cancel(h Handle, s *socket) bool {
	if s.role == roleStream && s.closing && s.suspect == 0 {
		return true
	}
	for _, c := range [...]struct {
		bit          uint8
		target, self uint64
	}{{pendingInput, opInput, opCancelInput}, {pendingWrite, opWrite, opCancelWrite}, {pendingPause, opPause, opCancelPause}} {
		if s.pending&c.bit == 0 {
			continue
		}
		e := r.entry()
		if e == nil {
			return false
		}
		e.PrepOperation(sys.OpAsyncCancel, -1, c.target|uint64(h), 0, 0)
		e.SetFlags(sys.SQESkipSuccess)
		e.SetUserData(c.self | uint64(h))
	}
	return true
}

// addressOf is the address of a buffer for the kernel; 0 for an empty one.
func addressOf(buf []byte) uint64 {
	return sys.Address(unsafe.Pointer(unsafe.SliceData(buf)))
}
