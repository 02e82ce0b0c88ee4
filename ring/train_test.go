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
	commitTo := func(h Handle, n, times int, to *Path) {
		for range times {
			r.Reserve()
			r.Commit(h, n, to)
		}
	}
	commit := func(h Handle, n, times int) { commitTo(h, n, times, nil) }
	fd, err := sys.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), sys.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := r.AddDatagram(fd, 2, true)
	if err != nil {
		t.Fatal(err)
	}
	path := func(addr, local string) *Path {
		p := new(Path)
		p.SetAddr(netip.MustParseAddrPort(addr))
		if local != "" {
			p.HasLocal, p.Local = true, netip.MustParseAddr(local).As16()
		}
		return p
	}
	a, b := path("127.0.0.1:5001", ""), path("127.0.0.1:5002", "")
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
		{"lengths of one place", func() { commit(handles[0], 40, 2); commit(handles[0], 40+TrainsMax, 2); commit(handles[0], 40, 2) }, 3},
		{"sockets", func() { commit(handles[0], 40, 2); commit(handles[1], 40, 2) }, 2},
		{"sockets in turns", func() {
			for range 3 {
				commit(handles[0], 40, 1)
				commit(handles[1], 40, 1)
			}
		}, 2},
		{"long", func() { commit(handles[0], segmentBytesMax+1, 2) }, 2},
		{"empty", func() { commit(handles[0], 0, 2) }, 2},
		{"a client", func() { commitTo(listener, 40, segmentsMax, a) }, 1},
		{"two clients in turns", func() { commitTo(listener, 40, 1, a); commitTo(listener, 40, 1, b); commitTo(listener, 40, 2, a) }, 2},
		{"two clients of one place", func() {
			commitTo(listener, 40, 2, a)
			commitTo(listener, 40, 2, path("127.0.0.1:5065", "")) // 64 more
			commitTo(listener, 40, 2, a)
		}, 3},
		{"addresses", func() { commitTo(listener, 40, 2, a); commitTo(listener, 40, 2, path("127.1.0.1:5001", "")) }, 2},
		{"addresses of ours", func() {
			for _, local := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.2"} {
				commitTo(listener, 40, 1, path("127.0.0.1:5001", local))
			}
		}, 2},
		{"a client with a name and a connected socket", func() { commit(handles[0], 40, 2); commitTo(listener, 40, 2, a) }, 2},
		{"port 0", func() { commitTo(listener, 40, 2, path("127.0.0.1:0", "")) }, 2},
		{"long, to a client", func() { commitTo(listener, segmentBytesMax+1, 2, a) }, 2},
		{"what has left", func() { commit(handles[0], 40, 2); r.flush(); commit(handles[0], 40, 2) }, 1},
	} {
		before := r.counts.MessagesSent
		c.commit()
		if n := r.counts.MessagesSent - before; r.send.used != c.want || n != uint64(c.want) && c.name != "what has left" {
			t.Errorf("%s: %d messages, counted %d, want %d", c.name, r.send.used, n, c.want)
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
	refusal = syscall.EINVAL
	r.complete(opTrain|uint64(listener), -int32(refusal), 0)
	if len(r.events) != 1 || r.send.single {
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
