package ring

import (
	"net/netip"
	"runtime"
	"syscall"
	"testing"

	"secure-dns-proxy/ring/sys"
)

// TestTrains: what can share a message does, and what the kernel refuses is not tried again. That all of it arrives is shown in enginetest.
func TestTrains(t *testing.T) {
	runtime.LockOSThread()
	r, err := Open(Config{CPU: -1, DatagramBuffers: 16, StreamBuffers: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	var handles [2]Handle
	for i := range handles {
		fd, err := sys.ConnectUDP(netip.MustParseAddrPort("127.0.0.1:9"), sys.SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if handles[i], err = r.AddDatagram(fd, uint32(i), false); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(h Handle, n, times int) {
		for range times {
			r.Reserve()
			r.Commit(h, n, nil)
		}
	}
	for _, c := range []struct {
		name   string
		commit func()
		want   int // messages
	}{
		{"one", func() { commit(handles[0], 40, 1) }, 1},
		{"full", func() { commit(handles[0], 40, segmentsMax) }, 1},
		{"over", func() { commit(handles[0], 40, segmentsMax+1) }, 2},
		{"over the slot", func() { commit(handles[0], 500, DatagramBytesMax/500+1) }, 2},
		{"lengths", func() { commit(handles[0], 40, 2); commit(handles[0], 41, 2); commit(handles[0], 40, 2) }, 2},
		{"lengths of one place", func() { commit(handles[0], 40, 2); commit(handles[0], 40+trainsMax, 2); commit(handles[0], 40, 2) }, 3},
		{"sockets", func() { commit(handles[0], 40, 2); commit(handles[1], 40, 2) }, 2},
		{"long", func() { commit(handles[0], segmentBytesMax+1, 2) }, 2},
		{"empty", func() { commit(handles[0], 0, 2) }, 2},
		{"what has left", func() { commit(handles[0], 40, 2); r.flush(); commit(handles[0], 40, 2) }, 1},
	} {
		c.commit()
		if r.send.used != c.want {
			t.Errorf("%s: %d messages, want %d", c.name, r.send.used, c.want)
		}
		r.flush()
	}
	r.events = r.events[:0]
	refusal := syscall.ECONNREFUSED
	r.complete(opTrain|uint64(handles[1]), -int32(refusal), 0)
	if len(r.events) != 1 || r.events[0].Kind != SendFailed || r.events[0].Errno != refusal || r.events[0].Tag != 1 || r.send.single {
		t.Errorf("after %v: %+v, trains off %t", refusal, r.events, r.send.single)
	}
	r.events = r.events[:0]
	refusal = syscall.EIO
	r.complete(opTrain|uint64(handles[0]), -int32(refusal), 0)
	if len(r.events) != 0 || !r.send.single {
		t.Errorf("after %v: %+v, trains off %t", refusal, r.events, r.send.single)
	}
	if commit(handles[0], 40, 3); r.send.used != 3 {
		t.Errorf("after %v: %d messages, want 3", refusal, r.send.used)
	}
}
