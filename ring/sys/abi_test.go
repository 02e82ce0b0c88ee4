package sys

import (
	"encoding/binary"
	"testing"
	"unsafe"
)

// TestEntryLayout checks where the setters of iouring-go's types store: its fields are unexported, so the compiler cannot.
// Offsets are those of struct io_uring_sqe and struct io_uring_cqe.
func TestEntryLayout(t *testing.T) {
	var e SQE
	e.PrepOperation(0x11, 0x22222222, 0x3333333333333333, 0x44444444, 0x5555555555555555)
	e.SetFlags(0x66)
	e.SetIoprio(0x7777)
	e.SetOpFlags(0x88888888)
	e.SetUserData(0x9999999999999999)
	e.SetBufGroup(0xaaaa)
	e.SetSpliceFdIn(0x3bbbbbbb)
	raw := (*[64]byte)(unsafe.Pointer(&e))
	fields := []struct {
		name   string
		offset int
		bytes  int
		want   uint64
	}{
		{"opcode", 0, 1, 0x11},
		{"flags", 1, 1, 0x66},
		{"ioprio", 2, 2, 0x7777},
		{"fd", 4, 4, 0x22222222},
		{"off", 8, 8, 0x5555555555555555},
		{"addr", 16, 8, 0x3333333333333333},
		{"len", 24, 4, 0x44444444},
		{"op_flags", 28, 4, 0x88888888},
		{"user_data", 32, 8, 0x9999999999999999},
		{"buf_group", 40, 2, 0xaaaa},
		{"file_index", 44, 4, 0x3bbbbbbb},
		{"addr3", 48, 8, 0},
		{"pad2", 56, 8, 0},
	}
	for _, f := range fields {
		var padded [8]byte
		copy(padded[:], raw[f.offset:f.offset+f.bytes])
		if got := binary.LittleEndian.Uint64(padded[:]); got != f.want {
			t.Errorf("%s at %d = %#x, want %#x", f.name, f.offset, got, f.want)
		}
	}
	e.SetFdIndex(5)
	if raw[1] != 0x66|SQEFixedFile || raw[4] != 5 {
		t.Errorf("SetFdIndex: flags %#x, fd %d, want the fixed-file bit and 5", raw[1], raw[4])
	}
	if e.Reset(); *raw != [64]byte{} {
		t.Errorf("Reset left %x", raw)
	}

	var c CQE
	words := (*[2]uint64)(unsafe.Pointer(&c))
	minus := int32(-105)
	words[0], words[1] = 0x0123456789abcdef, uint64(uint32(minus))|0x10002<<32
	if c.UserData() != 0x0123456789abcdef || c.Result() != -105 || c.Flags() != 0x10002 {
		t.Errorf("completion = %#x, %d, %#x", c.UserData(), c.Result(), c.Flags())
	}
}
