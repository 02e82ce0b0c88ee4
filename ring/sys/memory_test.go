package sys

import (
	"testing"
	"unsafe"
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
