package doh

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// script is an HTTP/2 server that does what a test says, frame by frame; net/http's would do what is right.
type script struct {
	t        *testing.T
	listener net.Listener
	settings []http2.Setting                         // to send
	respond  func(f *http2.Framer, r request, n int) // n counts requests of all connections from 1

	mu     sync.Mutex
	wanted []http2.Setting // received
	seen   []request
	resets []http2.ErrCode
}

// request is one request as it came.
type request struct {
	stream uint32
	fields []hpack.HeaderField
	body   []byte
}

// play starts a script and returns an endpoint that leads to it.
func play(t *testing.T, respond func(*http2.Framer, request, int), settings ...http2.Setting) (*script, *transport.Endpoint, *lanetest.Health) {
	t.Helper()
	authority := lanetest.NewAuthority(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", authority.Server(lanetest.ServerName, time.Hour, "h2"))
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, listener: listener, settings: settings, respond: respond}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		group.Wait()
	})
	health := new(lanetest.Health)
	address := netip.MustParseAddrPort(listener.Addr().String())
	return s, lanetest.Endpoint(transport.HTTPS, address, authority.Client(lanetest.ServerName), health), health
}

// serve runs one connection until it ends.
func (s *script) serve(c net.Conn) {
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = f.WriteSettings(s.settings...)
	open := map[uint32]*request{}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			s.setting(f, frame)
		case *http2.MetaHeadersFrame:
			open[frame.StreamID] = &request{stream: frame.StreamID, fields: frame.Fields}
			s.end(f, open[frame.StreamID], frame.StreamEnded())
		case *http2.DataFrame:
			r := open[frame.StreamID]
			r.body = append(r.body, frame.Data()...)
			s.end(f, r, frame.StreamEnded())
		case *http2.RSTStreamFrame:
			s.mu.Lock()
			s.resets = append(s.resets, frame.ErrCode)
			s.mu.Unlock()
		}
	}
}

func (s *script) setting(f *http2.Framer, frame *http2.SettingsFrame) {
	if frame.IsAck() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = nil
	_ = frame.ForeachSetting(func(setting http2.Setting) error {
		s.wanted = append(s.wanted, setting)
		return nil
	})
	_ = f.WriteSettingsAck()
}

func (s *script) end(f *http2.Framer, r *request, ended bool) {
	if !ended {
		return
	}
	s.mu.Lock()
	s.seen = append(s.seen, *r)
	n := len(s.seen)
	s.mu.Unlock()
	s.respond(f, *r, n)
}

// answer gives r its good answer, with more fields in the header.
func answer(f *http2.Framer, r request, more ...hpack.HeaderField) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSizeLimit(0)
	for _, field := range append([]hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: mediaType}}, more...) {
		_ = encoder.WriteField(field)
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: r.stream, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = f.WriteData(r.stream, true, lanetest.Answer(r.body))
}

// TestRFC9113Section6_5_2: no server push, and a bound on what the server may send.
func TestRFC9113Section6_5_2(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, _ := play(t, func(f *http2.Framer, r request, _ int) { answer(f, r) })
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
		t.Fatalf("fault %v", r.Fault)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, want := range map[http2.SettingID]uint32{
		http2.SettingEnablePush: 0, http2.SettingInitialWindowSize: streamWindow,
		http2.SettingMaxHeaderListSize: headerBytesMax + 10*32, // net/http allows for ten fields' overhead (RFC 9113 §6.5.2)
	} {
		if i := slices.IndexFunc(s.wanted, func(x http2.Setting) bool { return x.ID == id }); i < 0 || s.wanted[i].Val != want {
			t.Errorf("settings %v, want %v = %d", s.wanted, id, want)
		}
	}
}

// TestRFC8484Section8_2: a request has what it must have, and nothing by which one client can be told from another (User-Agent, Referer,
// a cookie that the server set).
func TestRFC8484Section8_2(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, _ := play(t, func(f *http2.Framer, r request, _ int) {
		answer(f, r, hpack.HeaderField{Name: "set-cookie", Value: "id=1"}, hpack.HeaderField{Name: "etag", Value: `"1"`})
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range 3 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatalf("fault %v", r.Fault)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.seen {
		var names []string
		for _, f := range r.fields {
			names = append(names, f.Name)
		}
		slices.Sort(names)
		want := []string{":authority", ":method", ":path", ":scheme", "accept", "content-length", "content-type"}
		if !slices.Equal(names, want) {
			t.Errorf("header %v, want %v", names, want)
		}
	}
}

// TestRFC9113Section6_8: a query whose stream the server will not look at any more, as its GOAWAY says, is sent again on a new connection.
func TestRFC9113Section6_8(t *testing.T) {
	for _, code := range []http2.ErrCode{http2.ErrCodeNo, http2.ErrCodeEnhanceYourCalm} {
		t.Run(code.String(), func(t *testing.T) {
			lanetest.NoLeaks(t)
			_, e, health := play(t, func(f *http2.Framer, r request, n int) {
				if n == 1 {
					_ = f.WriteGoAway(0, code, nil)
					return
				}
				answer(f, r)
			})
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
				t.Errorf("fault %v, want an answer", r.Fault)
			}
			if got := w.Lane.Stats(); got.Dials != 2 || got.Retried != 1 || len(health.Downs()) != 0 {
				t.Errorf("stats %+v, down %v; want 2 dials, 1 retry, no report", got, health.Downs())
			}
		})
	}
}

// TestRFC9113Section8_7: a query on a refused stream is sent again on the same connection.
func TestRFC9113Section8_7(t *testing.T) {
	lanetest.NoLeaks(t)
	_, e, _ := play(t, func(f *http2.Framer, r request, n int) {
		if n == 1 {
			_ = f.WriteRSTStream(r.stream, http2.ErrCodeRefusedStream)
			return
		}
		answer(f, r)
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
		t.Errorf("fault %v, want an answer", r.Fault)
	}
	if got := w.Lane.Stats(); got.Dials != 1 || got.Retried != 1 {
		t.Errorf("stats %+v, want 1 dial, 1 retry", got)
	}
}

// TestRFC9113Section5_4_2: the stream of a query whose deadline passes, or that the worker gives up, is cancelled; the connection stays.
func TestRFC9113Section5_4_2(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, _ := play(t, func(f *http2.Framer, r request, n int) {
		if n > 1 {
			answer(f, r)
		}
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("example.", 200*time.Millisecond); r.Fault != transport.FaultTimeout {
		t.Errorf("fault %v, want a timeout", r.Fault)
	}
	lanetest.Eventually(t, "the stream is reset", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.resets) == 1 && s.resets[0] == http2.ErrCodeCancel
	})
	if r := w.Ask("again.example.", plenty); r.Fault != transport.FaultNone || w.Lane.Stats().Dials != 1 {
		t.Errorf("fault %v, %d dials; want an answer on the same connection", r.Fault, w.Lane.Stats().Dials)
	}
}

// TestRFC9113Section6_5_2Streams has queries wait for the one stream that the server allows; none is lost.
func TestRFC9113Section6_5_2Streams(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, _ := play(t, func(f *http2.Framer, r request, _ int) { answer(f, r) }, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	const queries = 50
	for i := range queries {
		w.Submit(lanetest.Name(i), plenty)
	}
	if got := lanetest.Tally(w.Receive(queries)); got[transport.FaultNone] != queries {
		t.Errorf("replies %v, want %d answers", got, queries)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) != queries {
		t.Errorf("%d requests, want %d", len(s.seen), queries)
	}
}

// TestRFC9113Section6_7 has a server that stops reading while nobody asks: pings find out, and the connection is replaced.
func TestRFC9113Section6_7(t *testing.T) {
	lanetest.NoLeaks(t)
	hold := make(chan struct{})
	_, e, _ := play(t, func(f *http2.Framer, r request, n int) {
		answer(f, r)
		if n == 1 {
			<-hold // this connection reads no more, so it acknowledges no ping
		}
	})
	t.Cleanup(func() { close(hold) })
	e.Prewarm = true // keeps the one connection, however long it idles
	e.IdleTimeout, e.DeadAfter = 200*time.Millisecond, 200*time.Millisecond
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
		t.Fatalf("fault %v", r.Fault)
	}
	lanetest.Eventually(t, "another connection", func() bool { return w.Lane.Stats().Dials >= 2 })
	lanetest.Eventually(t, "an answer on it", func() bool { return w.Ask("example.", plenty).Fault == transport.FaultNone })
}
