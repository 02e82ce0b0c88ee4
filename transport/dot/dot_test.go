package dot

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

const plenty = 15 * time.Second // a query's deadline where it is not the point

// overBoth runs a test over TCP and over TLS.
func overBoth(t *testing.T, test func(t *testing.T, cfg, client *tls.Config)) {
	t.Run("tcp", func(t *testing.T) { test(t, nil, nil) })
	t.Run("tls", func(t *testing.T) {
		authority := lanetest.NewAuthority(t)
		test(t, authority.Server(lanetest.ServerName, time.Hour, "dot"), authority.Client(lanetest.ServerName))
	})
}

func TestAnswersFromRealServer(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &library{listener: listener}
		if cfg != nil {
			s.listener = tls.NewListener(listener, cfg)
		}
		s.start(t)
		scheme := transport.TCP
		if client != nil {
			scheme = transport.TLS
		}
		health := new(lanetest.Health)
		w := lanetest.Open(t, lanetest.Endpoint(scheme, listener.Addr().(*net.TCPAddr).AddrPort(), client, health), Run, transport.LaneLimits{})
		for i := range 20 {
			r := w.Ask(lanetest.Name(i), plenty)
			if r.Fault != transport.FaultNone || len(r.Msg.Answer) != 1 {
				t.Fatalf("query %d: fault %v, message %v", i, r.Fault, r.Msg)
			}
		}
		if got := w.Lane.Stats(); got.Dials != 1 || got.Open != 1 || got.Answered != 20 {
			t.Errorf("after 20 queries: %+v, want one dial, one connection, 20 answers", got)
		}
		if health.Ups() == 0 || len(health.Downs()) != 0 {
			t.Errorf("health: up %d times, down %v; want up, never down", health.Ups(), health.Downs())
		}
	})
}

// library runs miekg/dns on a listener.
type library struct{ listener net.Listener }

func (s *library) start(t *testing.T) {
	started := make(chan struct{})
	server := &dns.Server{
		Listener:          s.listener,
		Handler:           dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(lanetest.Reply(q)) }),
		NotifyStartedFunc: func() { close(started) },
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ActivateAndServe()
	}()
	<-started
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-done
	})
}

// TestCloseInFlight has the server hang up on queries instead of answering the first time: the lane sends them once more.
func TestCloseInFlight(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		const queries = 50
		for _, test := range []struct {
			name   string
			closes int // connections that are closed without an answer
			want   transport.Fault
		}{{"once", 1, transport.FaultNone}, {"twice", 2, transport.FaultClosed}} {
			var first sync.Mutex
			closes := test.closes
			s := serve(t, cfg, func(s *server, conn net.Conn) {
				first.Lock()
				hangUp := closes > 0
				closes--
				first.Unlock()
				if !hangUp {
					honest(s, conn)
					return
				}
				for range queries {
					if readFrame(conn) == nil {
						return
					}
				}
			})
			w := lanetest.Open(t, s.endpoint(client, nil), Run, transport.LaneLimits{})
			for i := range queries {
				w.Submit(lanetest.Name(i), plenty)
			}
			if got := lanetest.Tally(w.Receive(queries)); got[test.want] != queries {
				t.Errorf("%s: replies %v, want %d × %v", test.name, got, queries, test.want)
			}
			if got := w.Lane.Stats().Retried; got != queries {
				t.Errorf("%s: %d queries sent again, want %d", test.name, got, queries)
			}
			w.Close()
		}
	})
}

// TestLateAnswer has an answer come after its query's deadline while another query is outstanding: nobody gets it.
func TestLateAnswer(t *testing.T) {
	lanetest.NoLeaks(t)
	s := serve(t, nil, func(_ *server, conn net.Conn) {
		early := readFrame(conn)
		late := readFrame(conn)
		if late == nil {
			return
		}
		_, _ = conn.Write(frame(lanetest.Answer(early), lanetest.Answer(late)))
		silent(nil, conn)
	})
	w := lanetest.Open(t, s.endpoint(nil, nil), Run, transport.LaneLimits{})
	if r := w.Ask("early.example.", 50*time.Millisecond); r.Fault != transport.FaultTimeout {
		t.Fatalf("first query: fault %v, want timeout", r.Fault)
	}
	if r := w.Ask("late.example.", plenty); r.Fault != transport.FaultNone {
		t.Fatalf("second query: fault %v, want its answer", r.Fault)
	}
	if got := w.Lane.Stats().Unmatched; got != 1 {
		t.Errorf("%d unmatched answers, want the late one", got)
	}
}

// TestAnswersThatDoNotFit has the server answer wrongly first; only a right answer reaches the worker.
func TestAnswersThatDoNotFit(t *testing.T) {
	flip := func(at int, bit byte) func([]byte) []byte {
		return func(answer []byte) []byte {
			answer[at] ^= bit
			return answer
		}
	}
	for _, test := range []struct {
		name                  string
		spoil                 func(answer []byte) []byte
		follow                bool // the right answer follows
		want                  transport.Fault
		unmatched, mismatched uint64
	}{
		{"right", func(a []byte) []byte { return a }, false, transport.FaultNone, 0, 0},
		{"twice", func(a []byte) []byte { return a }, true, transport.FaultNone, 1, 0},
		{"other case", flip(13, 0x20), false, transport.FaultNone, 0, 0},
		{"wrong id", flip(0, 0xff), true, transport.FaultNone, 1, 0},
		{"wrong name", flip(13, 0x01), false, transport.FaultProtocol, 0, 1},
		{"wrong type", flip(12+len("\x07example\x00")+1, 0x01), false, transport.FaultProtocol, 0, 1},
		{"wrong class", flip(12+len("\x07example\x00")+3, 0x02), false, transport.FaultProtocol, 0, 1},
		{"a query", flip(2, 0x80), false, transport.FaultProtocol, 0, 1},
		{"other opcode", flip(2, 0x10), false, transport.FaultProtocol, 0, 1},
		{"no question", func(a []byte) []byte { return append(a[:4:4], make([]byte, 8)...) }, false, transport.FaultProtocol, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
				lanetest.NoLeaks(t)
				s := serve(t, cfg, func(_ *server, conn net.Conn) {
					for query := readFrame(conn); query != nil; query = readFrame(conn) {
						answers := [][]byte{test.spoil(lanetest.Answer(query))}
						if test.follow {
							answers = append(answers, lanetest.Answer(query))
						}
						if _, err := conn.Write(frame(answers...)); err != nil {
							return
						}
					}
				})
				w := lanetest.Open(t, s.endpoint(client, nil), Run, transport.LaneLimits{})
				if r := w.Ask("example.", plenty); r.Fault != test.want {
					t.Errorf("fault %v, want %v", r.Fault, test.want)
				}
				lanetest.Eventually(t, "counters", func() bool {
					got := w.Lane.Stats()
					return got.Unmatched == test.unmatched && got.Mismatched == test.mismatched
				})
			})
		})
	}
}

// TestFraming has answers cut and joined in every way a stream may, and in ways it may not.
func TestFraming(t *testing.T) {
	inPieces := func(conn net.Conn, b []byte, pieces int) {
		for i := range pieces {
			_, _ = conn.Write(b[i*len(b)/pieces : (i+1)*len(b)/pieces])
			time.Sleep(2 * time.Millisecond) // so that they are segments of their own
		}
	}
	for _, test := range []struct {
		name   string
		answer func(conn net.Conn, first, second []byte)
		want   transport.Fault
	}{
		{"two answers in one record", func(c net.Conn, a, b []byte) { inPieces(c, frame(a, b), 1) }, transport.FaultNone},
		{"one answer in five records", func(c net.Conn, a, b []byte) { inPieces(c, frame(a), 5); inPieces(c, frame(b), 5) }, transport.FaultNone},
		{"two answers in five records", func(c net.Conn, a, b []byte) { inPieces(c, frame(a, b), 5) }, transport.FaultNone},
		{"byte by byte", func(c net.Conn, a, b []byte) { f := frame(a, b); inPieces(c, f, len(f)) }, transport.FaultNone},
		{"largest message", func(c net.Conn, a, b []byte) {
			inPieces(c, frame(padded(a, transport.MessageBytesMax), padded(b, transport.MessageBytesMax)), 3)
		}, transport.FaultNone},
		{"over the read buffer", func(c net.Conn, a, b []byte) { inPieces(c, frame(padded(a, readBytes-1), b), 2) }, transport.FaultNone},
		{"zero-length frame", func(c net.Conn, a, b []byte) { inPieces(c, append([]byte{0, 0}, frame(a, b)...), 1) }, transport.FaultProtocol},
		{"frame of 11 bytes", func(c net.Conn, a, b []byte) { inPieces(c, frame(a[:11], b), 1) }, transport.FaultProtocol},
		{"half a frame, then closed", func(c net.Conn, a, _ []byte) { inPieces(c, frame(a)[:20], 1) }, transport.FaultClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
				lanetest.NoLeaks(t)
				s := serve(t, cfg, func(_ *server, conn net.Conn) {
					first, second := readFrame(conn), readFrame(conn)
					if second == nil {
						return
					}
					test.answer(conn, lanetest.Answer(first), lanetest.Answer(second))
					if test.want != transport.FaultClosed {
						silent(nil, conn)
					}
				})
				w := lanetest.Open(t, s.endpoint(client, nil), Run, transport.LaneLimits{})
				w.Submit("first.example.", plenty)
				w.Submit("second.example.", plenty)
				if got := lanetest.Tally(w.Receive(2)); got[test.want] != 2 {
					t.Errorf("replies %v, want 2 × %v", got, test.want)
				}
			})
		})
	}
}

// padded adds a TXT-like record to answer until it has size bytes.
func padded(answer []byte, size int) []byte {
	n := size - len(answer) - 11 // root name 1, type 2, class 2, TTL 4, length 2
	answer = append(answer, 0, 0, byte(dns.TypeNULL), 0, dns.ClassINET, 0, 0, 0, 60)
	answer = binary.BigEndian.AppendUint16(answer, uint16(n))
	answer = append(answer, make([]byte, n)...)
	binary.BigEndian.PutUint16(answer[6:], 2)
	return answer
}
