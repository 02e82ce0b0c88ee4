package sys

import (
	"errors"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// TestOlderKernels runs the queues with the flags that 6.1 knows and with fewer still: with an index array, without the
// task-run flag, and again with everything.
func TestOlderKernels(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the rings belong to this thread
	memory, err := Map(8)
	if err != nil {
		t.Fatal(err)
	}
	unknown := uint32(1 << 31) // what a kernel says EINVAL to
	for i, flags := range setupFlags {
		u, err := openUring(4, 8, []uint32{unknown, flags})
		if i == 0 && errors.Is(err, syscall.EINVAL) {
			t.Log("NO_SQARRAY is from 6.6")
			continue
		}
		if err != nil {
			t.Fatalf("flags %#x: %v", flags, err)
		}
		if u.Setup != flags {
			t.Errorf("flags %#x: kernel took %#x", flags, u.Setup)
		}
		fd, err := Eventfd()
		if err != nil {
			t.Fatal(err)
		}
		for round := range uint64(20) { // more than the entries: indices wrap
			e := u.Next()
			if e == nil {
				t.Fatal("queue full")
			}
			e.PrepOperation(OpRead, int32(fd), Address(unsafe.Pointer(&memory[0])), 8, 0)
			e.SetUserData(round)
			if errno := u.Poll(); errno != 0 || u.Ready() != 0 || u.Queued() != 0 {
				t.Fatalf("flags %#x: poll: %v, %d ready, %d queued", flags, errno, u.Ready(), u.Queued())
			}
			if errno := u.Wait(100*time.Microsecond, true); errno != syscall.ETIME && errno != syscall.EINTR {
				t.Errorf("flags %#x: waiting for nothing: %v, want ETIME", flags, errno)
			}
			SignalEventfd(fd)
			if !u.Stirring() {
				t.Errorf("flags %#x: work came and nothing stirs", flags)
			}
			for u.Ready() == 0 {
				if errno := u.Wait(time.Second, false); errno != 0 && errno != syscall.EINTR {
					t.Fatalf("flags %#x: wait: %v", flags, errno)
				}
			}
			if c := u.Take(); c.UserData() != round || c.Result() != 8 {
				t.Errorf("flags %#x: completion %d with %d, want %d with 8", flags, c.UserData(), c.Result(), round)
			}
			u.Release()
		}
		if i == len(setupFlags)-1 && !u.Stirring() {
			t.Error("a ring without the task-run flag must always stir")
		}
		for range 4 {
			u.Next()
		}
		if !u.Full() || u.Next() != nil {
			t.Error("four entries taken, not full")
		}
		if err := CloseFD(fd); err != nil {
			t.Error(err)
		}
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	}
	if u, err := openUring(4, 8, []uint32{unknown}); err == nil {
		t.Errorf("unknown flag taken: %#x", u.Setup)
	}
	if err := Unmap(memory); err != nil {
		t.Error(err)
	}
}

func TestOpcodes(t *testing.T) {
	runtime.LockOSThread()
	u, err := OpenUring(4, 8)
	if err != nil {
		t.Fatal(err)
	}
	supported, err := u.Opcodes()
	if err != nil || len(supported) <= int(OpRecv) || !supported[OpRecv] {
		t.Errorf("Opcodes() = %d opcodes, %v, want recv among them", len(supported), err)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
}
