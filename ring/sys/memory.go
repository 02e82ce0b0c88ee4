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
// pages and ask for them. Pages are not touched yet. Give the same slice back to Unmap.
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
	return unsafe.Slice((*byte)(base), length)[:bytes], nil
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
