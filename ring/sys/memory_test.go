package sys

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestMap(t *testing.T) {
	for _, bytes := range []int{1, 4096, 4097, hugeBytes, 3*hugeBytes + 5} {
		b, err := Map(bytes)
		if err != nil {
			t.Fatal(err)
		}
		align := uintptr(4096)
		if bytes >= hugeBytes {
			align = hugeBytes
		}
		if at := uintptr(unsafe.Pointer(&b[0])); len(b) != bytes || at%align != 0 {
			t.Errorf("Map(%d) gave %d bytes at %#x, want alignment %#x", bytes, len(b), at, align)
		}
		for i := range b {
			if b[i] != 0 {
				t.Fatalf("Map(%d): byte %d is %d", bytes, i, b[i])
			}
			b[i] = 1
		}
		if err := Unmap(b); err != nil {
			t.Error(err)
		}
	}
	if b, err := Map(0); err == nil {
		t.Errorf("Map(0) gave %d bytes", len(b))
	}
	if err := Unmap(nil); err != nil {
		t.Errorf("Unmap(nil) = %v", err)
	}
}

func TestDiscardZeroesWholePages(t *testing.T) {
	b, err := Map(4 * 4096)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = 1
	}
	if err := Discard(b[100 : 3*4096+100]); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		want := byte(1)
		if i >= 4096 && i < 3*4096 {
			want = 0
		}
		if b[i] != want {
			t.Fatalf("byte %d is %d, want %d", i, b[i], want)
		}
	}
	if err := Discard(b[1:100]); err != nil || b[1] != 1 {
		t.Errorf("Discard of less than a page: %v, byte %d", err, b[1])
	}
	if err := Unmap(b); err != nil {
		t.Error(err)
	}
}

// resident counts the pages of b that have memory.
func resident(t *testing.T, b []byte) int {
	t.Helper()
	vec := make([]byte, (len(b)+4095)/4096)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&vec[0]))); errno != 0 {
		t.Fatal(errno)
	}
	n := 0
	for _, v := range vec {
		n += int(v & 1)
	}
	return n
}

func TestPopulateProvidesPagesAndChangesNothing(t *testing.T) {
	b, err := Map(64 * 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer Unmap(b)
	b[10*4096] = 7
	if n := resident(t, b); n != 1 {
		t.Fatalf("%d pages resident before, want 1", n)
	}
	if err := Populate(b[8*4096+1 : 24*4096-1]); err != nil {
		t.Fatal(err)
	}
	if n := resident(t, b); n != 16 || b[10*4096] != 7 {
		t.Errorf("%d pages resident, byte %d; want 16 and 7", n, b[10*4096])
	}
	if err := Populate(nil); err != nil {
		t.Errorf("Populate(nil) = %v", err)
	}
}
