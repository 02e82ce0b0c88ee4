package ring

import (
	"syscall"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// received makes an event of one completion of a multishot recvmsg. The buffer's layout is fixed by the lengths that were
// submitted: RecvmsgOut, name, control, payload.
func (r *Ring) received(h Handle, s *socket, result int32, flags uint32) {
	if result < 0 {
		r.receiveFailed(h, s, syscall.Errno(-result))
		return
	}
	if flags&sys.CQEBuffer == 0 || result < payloadAt {
		r.counts.Unexpected++
		r.returnBuffer(r.datagrams, flags)
		return
	}
	id := uint16(flags >> sys.CQEBufferShift)
	p := r.datagrams.Taken(id)
	if s.closing {
		r.datagrams.Add(id)
		return
	}
	s.errors = 0
	r.counts.Datagrams++
	r.heldDatagrams = append(r.heldDatagrams, id)
	out := (*sys.RecvmsgOut)(p)
	n := int(result) - payloadAt
	if n == 0 {
		r.counts.Empty++
	}
	truncated := out.Flags&sys.MessageTruncated != 0
	if truncated {
		r.counts.Truncated++
	}
	path := &r.paths[len(r.events)]
	path.Name = *(*[nameBytes6]byte)(unsafe.Add(p, sys.RecvmsgOutBytes))
	path.NameLen = uint8(min(out.NameLen, nameBytes6))
	path.HasLocal, path.Ifindex = false, 0
	if s.pktinfo {
		control := unsafe.Slice((*byte)(unsafe.Add(p, sys.RecvmsgOutBytes+nameRoom)), controlRoom)
		path.Ifindex, path.HasLocal = sys.LocalAddress(control[:min(out.ControlLen, controlRoom)], &path.Local)
	}
	r.report(Event{
		Kind: Datagram, Truncated: truncated, Handle: h, Tag: s.tag, Path: path,
		Data: unsafe.Slice((*byte)(unsafe.Add(p, payloadAt)), n),
	})
}

func (r *Ring) receiveFailed(h Handle, s *socket, errno syscall.Errno) {
	if errno == syscall.ENOBUFS { // expected under load: the last buffer was taken
		r.counts.BuffersExhausted++
		return
	}
	if s.closing || again(errno) {
		return
	}
	if !PeerCaused(errno) {
		s.errors++
		if s.errors >= ErrorsInRowMax {
			s.errors = 0
			r.rest(h, s)
		}
	}
	r.report(Event{Kind: DatagramError, Handle: h, Tag: s.tag, Errno: errno})
}

// returnBuffer gives the buffer of a completion that makes no event straight back.
func (r *Ring) returnBuffer(b *sys.BufferRing, flags uint32) {
	if flags&sys.CQEBuffer != 0 {
		id := uint16(flags >> sys.CQEBufferShift)
		b.Taken(id)
		b.Add(id)
	}
}
