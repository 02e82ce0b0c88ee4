package ring

import (
	"syscall"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// A send slot: header, then payload. Its stride is an odd number of cache lines, as for receive buffers.
const (
	sendHeaderBytes = 192
	sendStride      = sendHeaderBytes + DatagramBytesMax
	_               = uint(sendStride/cacheLine%2 - 1)
)

// sendHeader is what a datagram needs besides its payload. The name is next to the payload: the plain send touches only
// these two.
type sendHeader struct {
	message sys.Msghdr
	vector  sys.Iovec
	control [sys.ControlBytesMax]byte
	_       [8]byte
	name    [nameRoom]byte
}

var _ [sendHeaderBytes]byte = [unsafe.Sizeof(sendHeader{})]byte{}

// transmit is the arena of datagrams to send. MSG_DONTWAIT makes every send finish or fail inside the enter that submits it,
// so all slots are free again when that enter has returned, and with CQE_SKIP_SUCCESS only failures are heard of.
type transmit struct {
	first    unsafe.Pointer
	slots    int // and one more, for datagrams that will be dropped
	used     int
	reserved int // slot handed out by Reserve, or none

	trains [TrainsMax]train // at TrainOf
	batch  uint64           // since Open; ends when the kernel has taken anything: trains of others may have left
	single bool             // the kernel has refused a train
}

const noSlot = -1

func (t *transmit) init(memory []byte, slots int) {
	*t = transmit{first: unsafe.Pointer(unsafe.SliceData(memory)), slots: slots, reserved: noSlot, batch: 1}
	for i := range slots + 1 {
		h := t.header(i)
		h.vector.Base = sys.Address(unsafe.Add(unsafe.Pointer(h), sendHeaderBytes))
		h.message = sys.Msghdr{
			Name: sys.Address(unsafe.Pointer(&h.name)), Iov: sys.Address(unsafe.Pointer(&h.vector)), IovLen: 1,
			Control: sys.Address(unsafe.Pointer(&h.control)),
		}
	}
}

func (t *transmit) header(i int) *sendHeader {
	return (*sendHeader)(unsafe.Add(t.first, i*sendStride))
}

// Reserve returns the payload area of the next datagram to send, DatagramBytesMax bytes of undefined content. It is the
// caller's until Commit, the next Reserve or the next Turn. When all slots are used the queue is flushed by a system call.
func (r *Ring) Reserve() []byte {
	t := &r.send
	if t.used == t.slots || r.u.Full() {
		r.flush()
	}
	t.reserved = t.used // the spare slot if the kernel took nothing: Commit will drop it
	if r.u.Full() {
		t.reserved = t.slots
	}
	return unsafe.Slice((*byte)(unsafe.Add(t.first, t.reserved*sendStride+sendHeaderBytes)), DatagramBytesMax)
}

// Commit queues the first n bytes of the last Reserve as one datagram on h, to the given path, which is copied; nil on a
// connected socket. Datagrams of equal length to one peer that are queued in one turn may leave as one train, before others that were queued before them.
// With a local address in the path, and a socket with pktinfo, it leaves from that address. Without a Reserve before, or on a stale handle, nothing is sent.
func (r *Ring) Commit(h Handle, n int, to *Path) {
	t := &r.send
	i := t.reserved
	t.reserved = noSlot
	s := r.live(h)
	if i == noSlot || s == nil || s.role != roleDatagram {
		return
	}
	if uint(n) > DatagramBytesMax {
		panic("ring: Commit of more bytes than Reserve gave")
	}
	if i == t.slots {
		r.counts.SendsDropped++
		return
	}
	takes := TrainTakes(n, to)
	if takes && r.couple(h, s, i, n, to) {
		r.counts.DatagramsSent++
		return
	}
	e := r.u.Next()
	if e == nil {
		panic("ring: no submission entry left between Reserve and Commit")
	}
	t.used++
	r.counts.DatagramsSent++
	r.counts.MessagesSent++
	header := t.header(i)
	var name uint64
	var nameLen uint32
	if to != nil {
		name, nameLen = header.message.Name, uint32(to.NameLen)
		*(*[nameBytes6]byte)(header.name[:]) = to.Name
	}
	control := 0
	if to != nil {
		control = s.from(header, to)
	}
	if control == 0 {
		e.PrepOperation(sys.OpSend, s.fd, header.vector.Base, uint32(n), name)
		e.SetSpliceFdIn(int32(nameLen)) // addr_len shares these bits
	} else {
		header.vector.Len = uint64(n)
		header.message.NameLen = nameLen
		header.message.ControlLen = uint64(control)
		e.PrepOperation(sys.OpSendmsg, s.fd, sys.Address(unsafe.Pointer(&header.message)), 1, 0)
	}
	r.seal(e, h, s, opSend)
	if takes {
		t.lead(h, e, i, n, to)
	}
}

// from writes the control message with the local address that a datagram is to leave from, and returns its bytes; 0: the kernel chooses.
func (s *socket) from(header *sendHeader, to *Path) int {
	if !s.pktinfo || !to.HasLocal {
		return 0
	}
	return sys.PutLocalAddress(header.control[:], family(s), &to.Local, to.Ifindex)
}

// seal completes the submission entry of a datagram, or of a train, on s.
func (r *Ring) seal(e *sys.SQE, h Handle, s *socket, op uint64) {
	if s.file != noFile {
		e.SetFdIndex(s.file)
	}
	e.SetFlags(sys.SQESkipSuccess)
	e.SetOpFlags(sys.MessageDontWait | sys.MessageNoSignal)
	e.SetUserData(op | uint64(h))
}

func family(s *socket) int {
	if s.inet6 {
		return sys.FamilyInet6
	}
	return sys.FamilyInet
}

// flush submits everything queued. If the kernel takes nothing (no memory for requests) the entries stay queued for the
// next turn, and with them the send slots.
func (r *Ring) flush() {
	r.counts.Enters++
	r.submitted(r.u.Submit())
}

// submitted deals with the result of an enter: an error that is our own fault stops the process.
func (r *Ring) submitted(errno syscall.Errno) {
	switch errno {
	case 0, syscall.EINTR, syscall.ETIME: // nothing came
	case syscall.EAGAIN, syscall.EBUSY, syscall.ENOMEM: // no memory, or completions to take first: the next turn goes on
	case syscall.EBADR: // completions were lost; recoverLost notices by the counter
	default:
		panic("ring: io_uring_enter: " + errno.Error())
	}
	r.send.batch++ // a train that the kernel has not taken yet stays queued as it is
	if r.u.Queued() == 0 {
		r.send.used = 0
	}
}
