package sys

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugeBytes is the size of a transparent huge page on amd64 and on arm64 with 4 KiB pages.
const hugeBytes = 2 << 20

// Map returns bytes of zeroed, page-aligned, private memory outside the Go heap. The kernel may keep addresses into it, and
// the garbage collector never looks at it, so it must not hold Go pointers. Maps of 2 MiB and more are aligned for huge
// pages and ask for them. Pages are not touched yet; on a thread that was placed (PlaceThread) they will come from its node,
// whoever touches them. Give the same slice back to Unmap.
func Map(bytes int) ([]byte, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("map memory: %d bytes", bytes)
	}
	length := pageRound(bytes)
	extra := uintptr(0)
	if length >= hugeBytes {
		extra = hugeBytes
	}
	base, err := unix.MmapPtr(-1, 0, nil, length+extra, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", bytes, err)
	}
	if extra != 0 {
		head := -uintptr(base) & (hugeBytes - 1)
		if head != 0 {
			_ = unix.MunmapPtr(base, head)
		}
		if tail := extra - head; tail != 0 {
			_ = unix.MunmapPtr(unsafe.Add(base, head+length), tail)
		}
		base = unsafe.Add(base, head)
		// Advice only: without it the memory works the same on small pages.
		_ = unix.Madvise(unsafe.Slice((*byte)(base), length), unix.MADV_HUGEPAGE)
	}
	place(base, length)
	return unsafe.Slice((*byte)(base), length)[:bytes], nil
}

// PopulateStep is how much one call of Populate should be given at most where somebody waits: a huge page, which takes the kernel 0.1 to
// 1 ms to clear.
const PopulateStep = hugeBytes

// Populate has the kernel provide the pages of b, a part of memory from Map, as a write to each would, and changes nothing in them. Any
// thread may call it, also while another writes there. ENOSYS or EINVAL before Linux 5.14: then the first write to each page does it.
func Populate(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	page := uintptr(os.Getpagesize())
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b))) &^ (page - 1)
	end := (uintptr(unsafe.Pointer(unsafe.SliceData(b))) + uintptr(len(b)) + page - 1) &^ (page - 1)
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_POPULATE_WRITE); errno != 0 {
		return fmt.Errorf("populate %d bytes: %w", len(b), errno)
	}
	return nil
}

// Unmap gives memory from Map back. Nothing, kernel operations included, may refer to it any more.
func Unmap(b []byte) error {
	if cap(b) == 0 {
		return nil
	}
	if err := unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(b)), pageRound(cap(b))); err != nil {
		return fmt.Errorf("unmap %d bytes: %w", cap(b), err)
	}
	return nil
}

// Discard returns the whole pages inside b to the system; they read as zero afterwards. b is a part of memory from Map.
func Discard(b []byte) error {
	page := uintptr(os.Getpagesize())
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	skip := -start & (page - 1)
	if uintptr(len(b)) < skip+page {
		return nil
	}
	whole := (uintptr(len(b)) - skip) &^ (page - 1)
	if err := unix.Madvise(b[skip:skip+whole], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("discard %d bytes: %w", whole, err)
	}
	return nil
}

func pageRound(bytes int) uintptr {
	page := uintptr(os.Getpagesize())
	return (uintptr(bytes) + page - 1) &^ (page - 1)
}
