package sys

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// BufferRing is a ring of provided buffers: the kernel takes them in order when a receive has data, the engine adds them
// back. Buffer i lies at i*stride in its memory.
type BufferRing struct {
	ring    []byte
	entries []bufEntry
	tail    uint16
	mask    uint16
	group   uint16
	bytes   uint32 // usable bytes of a buffer
	stride  uint32
	base    uint64
	memory  unsafe.Pointer
	free    []bool // free[i]: buffer i was added and no completion has named it since
	u       *Uring
}

// OpenBufferRing registers n buffers (a power of two, at most 32768) of the given size in memory from Map, which must be
// n*stride bytes, and makes all of them available.
func (u *Uring) OpenBufferRing(group uint16, memory []byte, n int, bytes, stride uint32) (*BufferRing, error) {
	ring, err := Map(n * int(unsafe.Sizeof(bufEntry{})))
	if err != nil {
		return nil, err
	}
	first := unsafe.Pointer(unsafe.SliceData(ring))
	r := bufRegister{address: Address(first), entries: uint32(n), group: group}
	if _, errno := u.register(registerPbufRing, unsafe.Pointer(&r), 1); errno != 0 {
		_ = Unmap(ring)
		return nil, fmt.Errorf("io_uring_register PBUF_RING: %w", errno)
	}
	start := unsafe.Pointer(unsafe.SliceData(memory))
	b := &BufferRing{
		ring: ring, entries: unsafe.Slice((*bufEntry)(first), n), mask: uint16(n - 1), group: group,
		bytes: bytes, stride: stride, base: Address(start), memory: start, free: make([]bool, n), u: u,
	}
	for i := range n {
		b.Add(uint16(i))
	}
	b.Publish()
	return b, nil
}

// Close unregisters the ring. No operation may use its group any more.
func (b *BufferRing) Close() error {
	r := bufRegister{group: b.group}
	if _, errno := b.u.register(unregisterPbufRing, unsafe.Pointer(&r), 1); errno != 0 {
		return fmt.Errorf("io_uring_register unregister PBUF_RING: %w", errno)
	}
	return Unmap(b.ring)
}

// Add queues buffer id for the kernel, visible after Publish.
func (b *BufferRing) Add(id uint16) {
	e := &b.entries[b.tail&b.mask]
	e.address = b.base + uint64(id)*uint64(b.stride) // never a whole-struct store: in entry 0 the last field is the tail
	e.bytes = b.bytes
	e.id = id
	b.free[id] = true
	b.tail++
}

// Publish makes the added buffers visible. Go has no 16-bit atomic store, so the tail is stored together with its
// neighbour, the id of entry 0: one 32-bit release store on a little-endian machine.
func (b *BufferRing) Publish() {
	word := (*uint32)(unsafe.Pointer(&b.entries[0].id))
	atomic.StoreUint32(word, uint32(b.tail)<<16|uint32(b.entries[0].id))
}

// Taken notes that the kernel has handed out buffer id and returns its memory.
func (b *BufferRing) Taken(id uint16) unsafe.Pointer {
	b.free[id] = false
	return unsafe.Add(b.memory, uintptr(id)*uintptr(b.stride))
}

// Reclaim takes back the buffers whose completions were lost: added once, no longer in the kernel's ring, named by no
// completion. Every completion must have been taken before. It returns how many it added back; they are not published.
// ENOSYS on kernels before 6.8, which cannot tell.
func (b *BufferRing) Reclaim() (int, syscall.Errno) {
	status := bufStatus{group: uint32(b.group)}
	if _, errno := b.u.register(registerPbufStatus, unsafe.Pointer(&status), 1); errno != 0 {
		return 0, errno
	}
	lost := make([]bool, len(b.free))
	copy(lost, b.free)
	for i := uint16(status.head); i != b.tail; i++ {
		lost[b.entries[i&b.mask].id] = false
	}
	n := 0
	for id, is := range lost {
		if is {
			b.Add(uint16(id))
			n++
		}
	}
	return n, 0
}
