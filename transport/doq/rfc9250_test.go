package doq

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// The client's side of RFC 9250, section by section.
//
//	4.1    ALPN "doq"                                        TestRFC9250Section4_1
//	4.1.1  port 853 unless told otherwise, never 53           appliance/config: TestQUICPorts
//	4.2    one query a stream, the next one; FIN              TestRFC9250Section4_2, and every query that a server of these tests reads
//	4.2.1  message id 0 both ways                             the same; TestRFC9250Section4_3_3/id_not_0
//	4.3    what each error code does                          TestRFC9250Section4_3
//	4.3.1  cancelling: STOP_SENDING, DOQ_REQUEST_CANCELLED    TestRFC9250Section4_3_1
//	4.3.2  a reset stream is that query's trouble only        TestRFC9250Section4_3_2
//	4.3.3  protocol errors close the connection               TestRFC9250Section4_3_3
//	4.3.4  unknown codes are DOQ_UNSPECIFIED_ERROR            TestRFC9250Section4_3
//	4.4    closing: before the idle time, with DOQ_NO_ERROR   TestRFC9250Section4_4; the server's close: TestServerCloses
//	4.5    0-RTT: off unless asked for, QUERY and NOTIFY only,
//	       what was rejected is sent again                    TestRFC9250Section4_5, TestRFC9250Section4_5Rejected, ...Opcodes
//	4.6    messages up to 65535 bytes                         TestRFC9250Section4_6
//	5.1    the server is authenticated                        TestNoServer
//	5.3    address validation: Retry, NEW_TOKEN               TestRFC9250Section5_3
//	5.4    padding is the query builder's (RFC 8467): the worker pads messages, QUIC adds none
//	5.5.1  one connection for all queries                     TestAnswers
//	5.5.2  edns-tcp-keepalive is an error                     TestRFC9250Section4_3_3/keepalive; not sent: worker, TestPaddingAndKeepalive
//	5.5.3  sessions are resumed                               TestRFC9250Section5_5_3
//	5.6    queries in parallel, answers in any order          TestRFC9250Section5_6
//	5.8    flow control: no answer waits for another's        TestRFC9250Section5_8
//
// Not seen by a client over quic-go 0.65: a STOP_SENDING that comes after our FIN (4.3.3); it is ignored then, and treated as a protocol error
// before. Streams that the server opens (4.3.3) are refused by the transport, which closes with STREAM_LIMIT_ERROR.

func TestRFC9250Section4_1(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, _ := start(t, nil, honest)
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
		t.Fatal(r.Fault)
	}
	if got := s.last().ConnectionState().TLS.NegotiatedProtocol; got != "doq" {
		t.Errorf("application protocol %q, want doq", got)
	}
	// The server may open nothing (§4.2): neither kind of stream.
	if _, err := s.last().OpenStream(); !isLimit(err) {
		t.Errorf("a bidirectional stream of the server: %v, want the limit", err)
	}
	if _, err := s.last().OpenUniStream(); !isLimit(err) {
		t.Errorf("a unidirectional stream of the server: %v, want the limit", err)
	}
}

func TestRFC9250Section4_2(t *testing.T) {
	lanetest.NoLeaks(t)
	var mu sync.Mutex
	ids := map[quic.StreamID]bool{}
	_, e, _ := start(t, nil, func(x *served) {
		mu.Lock()
		ids[x.stream.StreamID()] = true
		mu.Unlock()
		honest(x)
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	const queries = 50
	for i := range queries {
		w.Submit(lanetest.Name(i), plenty)
	}
	w.Receive(queries)
	mu.Lock()
	defer mu.Unlock()
	for i := range queries {
		if !ids[quic.StreamID(4*i)] {
			t.Errorf("client-initiated bidirectional stream %d was left out", 4*i)
		}
	}
	if len(ids) != queries {
		t.Errorf("%d streams for %d queries", len(ids), queries)
	}
}

func TestRFC9250Section4_3(t *testing.T) {
	const codeInternalError, codeUnspecifiedError, codeReserved, codeUnknown = 0x1, 0x5, 0xd098ea5e, 0x12345
	for _, test := range []struct {
		name    string
		code    uint64
		onQuery transport.Fault // the stream is reset with it
		onAll   transport.Fault // the connection is closed with it
		down    bool            // and that is the server's fault
	}{
		{"DOQ_NO_ERROR", codeNoError, transport.FaultProtocol, transport.FaultNone, false},
		{"DOQ_INTERNAL_ERROR", codeInternalError, transport.FaultProtocol, transport.FaultClosed, true},
		{"DOQ_PROTOCOL_ERROR", codeProtocolError, transport.FaultProtocol, transport.FaultClosed, true},
		{"DOQ_REQUEST_CANCELLED", codeRequestCancelled, transport.FaultProtocol, transport.FaultClosed, true},
		{"DOQ_EXCESSIVE_LOAD", codeExcessiveLoad, transport.FaultFull, transport.FaultClosed, true},
		{"DOQ_UNSPECIFIED_ERROR", codeUnspecifiedError, transport.FaultProtocol, transport.FaultClosed, true},
		{"DOQ_ERROR_RESERVED", codeReserved, transport.FaultProtocol, transport.FaultClosed, true},
		{"unknown", codeUnknown, transport.FaultProtocol, transport.FaultClosed, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			var queries atomic.Int32
			_, e, health := start(t, nil, func(x *served) {
				switch queries.Add(1) {
				case 1:
					x.stream.CancelWrite(quic.StreamErrorCode(test.code))
				case 2:
					honest(x)
				case 3:
					_ = x.conn.CloseWithError(quic.ApplicationErrorCode(test.code), "")
				default:
					honest(x)
				}
			})
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			if r := w.Ask("reset.example.", plenty); r.Fault != test.onQuery {
				t.Errorf("stream reset: fault %v, want %v", r.Fault, test.onQuery)
			}
			if r := w.Ask("after.example.", plenty); r.Fault != transport.FaultNone || w.Lane.Stats().Dials != 1 {
				t.Errorf("after it: fault %v, %d dials; want an answer on the same connection", r.Fault, w.Lane.Stats().Dials)
			}
			if r := w.Ask("closed.example.", plenty); r.Fault != test.onAll {
				t.Errorf("connection closed: fault %v, want %v", r.Fault, test.onAll)
			}
			if test.down {
				lanetest.Eventually(t, "down", func() bool { return len(health.Downs()) == 1 })
			}
			lanetest.Eventually(t, "an answer over another connection", func() bool { return w.Ask("again.example.", plenty).Fault == transport.FaultNone })
			if !test.down && len(health.Downs()) != 0 {
				t.Errorf("down: %v", health.Downs())
			}
		})
	}
}

// A query that is late, or not wanted any more, is cancelled with the code that the section asks for, and only it.
func TestRFC9250Section4_3_1(t *testing.T) {
	for _, test := range []struct {
		name    string
		timeout time.Duration
		give    func(w *lanetest.Worker)
	}{
		{"deadline", 100 * time.Millisecond, func(*lanetest.Worker) {}},
		{"cancelled", time.Hour, func(w *lanetest.Worker) { w.Cancel("mute.example.", false) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			asked, codes := make(chan struct{}, 1), make(chan quic.StreamErrorCode, 1)
			_, e, _ := start(t, nil, func(x *served) {
				if x.query[13] != 'm' {
					honest(x)
					return
				}
				asked <- struct{}{}
				<-x.stream.Context().Done()
				var stopped *quic.StreamError
				if _, err := x.stream.Write([]byte{0}); errors.As(err, &stopped) && stopped.Remote {
					codes <- stopped.ErrorCode
				} else {
					t.Errorf("write after the cancellation: %v", err)
					codes <- 0
				}
			})
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			w.Submit("mute.example.", test.timeout)
			<-asked
			test.give(w)
			if r := w.Receive(1)[0]; r.Fault != transport.FaultTimeout {
				t.Errorf("fault %v, want timeout", r.Fault)
			}
			if code := <-codes; code != codeRequestCancelled {
				t.Errorf("STOP_SENDING with code %#x, want DOQ_REQUEST_CANCELLED", code)
			}
			if r := w.Ask("next.example.", plenty); r.Fault != transport.FaultNone || w.Lane.Stats().Dials != 1 {
				t.Errorf("next query: %v, %d dials; want an answer on the same connection", r.Fault, w.Lane.Stats().Dials)
			}
		})
	}
}

// One query in four has its stream reset while the others wait for their answers: those get them.
func TestRFC9250Section4_3_2(t *testing.T) {
	lanetest.NoLeaks(t)
	const queries = 40
	var arrived sync.WaitGroup
	arrived.Add(queries)
	_, e, health := start(t, nil, func(x *served) {
		arrived.Done()
		arrived.Wait()
		if x.number%4 == 0 {
			x.stream.CancelWrite(0x1)
			return
		}
		honest(x)
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range queries {
		w.Submit(lanetest.Name(i), plenty)
	}
	got := lanetest.Tally(w.Receive(queries))
	if got[transport.FaultProtocol] != queries/4 || got[transport.FaultNone] != queries-queries/4 || len(health.Downs()) != 0 {
		t.Errorf("replies %v, downs %v; want every fourth to fail, nothing else", got, health.Downs())
	}
}

func TestRFC9250Section4_4(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(e *transport.Endpoint)
	}{
		{"our own idle time", func(e *transport.Endpoint) { e.IdleTimeout = 50 * time.Millisecond }},
		// Without keep-alives QUIC's idle timer runs down: the connection is closed well before that, and never used near its end.
		{"before QUIC's idle time", func(e *transport.Endpoint) { e.QUIC.KeepAlive, e.QUIC.MaxIdle = -1, 4*time.Second }},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			s, e, health := start(t, nil, honest)
			test.set(e)
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
				t.Fatal(r.Fault)
			}
			<-s.last().Context().Done()
			var closed *quic.ApplicationError
			if err := context.Cause(s.last().Context()); !errors.As(err, &closed) || !closed.Remote || closed.ErrorCode != codeNoError {
				t.Errorf("closed with %v, want DOQ_NO_ERROR from the client", err)
			}
			if r := w.Ask("again.example.", plenty); r.Fault != transport.FaultNone || len(health.Downs()) != 0 {
				t.Errorf("afterwards: %v, downs %v", r.Fault, health.Downs())
			}
		})
	}
}

// padded returns the honest answer to query with a TXT record that makes it exactly size bytes long.
func padded(t testing.TB, query []byte, size int) []byte {
	t.Helper()
	msg := lanetest.Answer(query)
	data := size - len(msg) - 12
	if data < 2 {
		t.Fatalf("no room for padding in %d bytes", size)
	}
	msg[7]++ // ANCOUNT
	msg = append(msg, 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 1, byte(data>>8), byte(data))
	for data > 0 {
		n := min(data-1, 255)
		if data-1-n == 0 || data-1-n > 1 || n < 255 {
			msg = append(append(msg, byte(n)), make([]byte, n)...)
		} else {
			n--
			msg = append(append(msg, byte(n)), make([]byte, n)...)
		}
		data -= 1 + n
	}
	return msg
}

func TestRFC9250Section4_6(t *testing.T) {
	lanetest.NoLeaks(t)
	sizes := []int{100, 512, 4093, 4094, 4095, 4096, 16384, 65534, transport.MessageBytesMax}
	_, e, _ := start(t, nil, func(x *served) { x.answer(padded(t, x.query, sizes[x.number])) })
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for _, size := range sizes {
		r := w.Ask("example.", plenty)
		if r.Fault != transport.FaultNone || len(r.Msg.Answer) != 2 {
			t.Fatalf("%d bytes: fault %v, %v", size, r.Fault, r.Msg)
		}
	}
	if got, want := w.Lane.Stats().BytesReceived, uint64(2*len(sizes)+100+512+4093+4094+4095+4096+16384+65534+65535); got != want {
		t.Errorf("%d bytes received, want %d", got, want)
	}
}

// A server that validates addresses asks for a Retry once; with the token that it gives the next connection is let in at once.
func TestRFC9250Section5_3(t *testing.T) {
	lanetest.NoLeaks(t)
	authority := lanetest.NewAuthority(t)
	var verified []bool
	var mu sync.Mutex
	var asked atomic.Int32
	over := &quic.Transport{VerifySourceAddress: func(net.Addr) bool { asked.Add(1); return true }}
	limits := &quic.Config{GetConfigForClient: func(info *quic.ClientInfo) (*quic.Config, error) {
		mu.Lock()
		verified = append(verified, info.AddrVerified)
		mu.Unlock()
		return nil, nil
	}}
	s := serveOver(t, "127.0.0.1:0", over, authority.Server(lanetest.ServerName, time.Hour, "doq"), limits, honest)
	e := lanetest.Endpoint(transport.QUIC, s.addr, authority.Client(lanetest.ServerName), nil)
	e.IdleTimeout = 50 * time.Millisecond
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	var first int32 // the first handshake takes more than one packet, each of which may be answered with a Retry
	for i := range 3 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatalf("connection %d: %v", i, r.Fault)
		}
		if i == 0 {
			first = asked.Load()
		}
		lanetest.Eventually(t, "the idle connection closed", func() bool { return w.Lane.Stats().Open == 0 })
	}
	mu.Lock()
	defer mu.Unlock()
	if first == 0 || asked.Load() != first || !slices.Equal(verified, []bool{true, true, true}) {
		t.Errorf("%d packets had to be validated for the first connection, %d later; verified %v", first, asked.Load()-first, verified)
	}
}

func TestRFC9250Section5_5_3(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, _ := start(t, nil, honest)
	e.IdleTimeout = 50 * time.Millisecond
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range 3 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatal(r.Fault)
		}
		if resumed := s.last().ConnectionState().TLS.DidResume; resumed != (i > 0) {
			t.Errorf("connection %d resumed: %t", i, resumed)
		}
		lanetest.Eventually(t, "the idle connection closed", func() bool { return w.Lane.Stats().Open == 0 })
	}
}

// The server answers in the reverse order, and one query never: no answer is held back.
func TestRFC9250Section5_6(t *testing.T) {
	lanetest.NoLeaks(t)
	const queries = 40
	order := make([]chan struct{}, queries+1)
	for i := range order {
		order[i] = make(chan struct{})
	}
	close(order[queries])
	_, e, _ := start(t, nil, func(x *served) {
		<-order[x.number+1]
		if x.number == queries/2 {
			close(order[x.number])
			<-x.stream.Context().Done()
			return
		}
		honest(x)
		close(order[x.number])
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range queries {
		w.Submit(lanetest.Name(i), time.Hour)
	}
	if got := lanetest.Tally(w.Receive(queries - 1)); got[transport.FaultNone] != queries-1 {
		t.Errorf("replies %v, want answers only", got)
	}
}

// Servers begin the longest answers on as many streams as they may, and finish none but one: it comes through, although nobody reads the
// others, with the smallest windows that can be set.
func TestRFC9250Section5_8(t *testing.T) {
	lanetest.NoLeaks(t)
	const streams = 20
	var begun sync.WaitGroup
	begun.Add(streams - 1)
	_, e, _ := start(t, nil, func(x *served) {
		if x.query[13] == 'l' { // last
			begun.Wait()
			x.answer(padded(t, x.query, transport.MessageBytesMax))
			return
		}
		msg := padded(t, x.query, transport.MessageBytesMax)
		_, _ = x.stream.Write(binary.BigEndian.AppendUint16(nil, uint16(len(msg))))
		if _, err := io.Copy(x.stream, bytes.NewReader(msg[:len(msg)-1])); err != nil {
			t.Errorf("stream %d took only a part: %v", x.number, err)
		}
		begun.Done()
		<-x.stream.Context().Done()
	})
	e.QUIC = transport.QUICSettings{Streams: streams, StreamWindow: transport.QUICStreamWindowMin}
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range streams - 1 {
		w.Submit(lanetest.Name(i), time.Hour)
	}
	w.Submit("last.example.", time.Hour)
	if r := w.Receive(1)[0]; r.Fault != transport.FaultNone || r.Name != "last.example." {
		t.Errorf("%s: %v, want the answer of last.example.", r.Name, r.Fault)
	}
}
