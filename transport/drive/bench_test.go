package drive

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// serverMark in the environment makes the test binary the server of the benchmarks: another process, so that its CPU time is not counted.
const serverMark = "LANE_BENCHMARK_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverMark) != "" {
		m.Run() // TestBenchmarkServer, and nothing else
		return
	}
	os.Exit(m.Run())
}

// TestBenchmarkServer answers over TLS and QUIC until its standard input ends; its standard output names the ports. It does nothing but in the
// benchmarks' own server process.
func TestBenchmarkServer(t *testing.T) {
	if os.Getenv(serverMark) == "" {
		return
	}
	authority := lanetest.NewAuthority(t)
	stream, err := tls.Listen("tcp", "127.0.0.1:0", authority.Server(lanetest.ServerName, time.Hour, "dot"))
	if err != nil {
		t.Fatal(err)
	}
	datagram, err := quic.ListenAddr("127.0.0.1:0", authority.Server(lanetest.ServerName, time.Hour, "doq"), &quic.Config{MaxIncomingStreams: 1000})
	if err != nil {
		t.Fatal(err)
	}
	go accept(stream.Accept, func(c net.Conn) { answerAll(c, c) })
	go accept(func() (*quic.Conn, error) { return datagram.Accept(context.Background()) }, func(c *quic.Conn) {
		accept(func() (*quic.Stream, error) { return c.AcceptStream(context.Background()) }, func(s *quic.Stream) {
			answerAll(s, s)
			s.Close()
		})
	})
	fmt.Println(stream.Addr(), datagram.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// accept serves what next brings until it fails.
func accept[C any](next func() (C, error), serve func(C)) {
	for c, err := next(); err == nil; c, err = next() {
		go serve(c)
	}
}

// answerAll answers every query of a stream with one A record.
func answerAll(from io.Reader, to io.Writer) {
	in := bufio.NewReaderSize(from, 512)
	var prefix [2]byte
	out := make([]byte, 0, 4096)
	for {
		if _, err := io.ReadFull(in, prefix[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(prefix[:]))
		if _, err := io.ReadFull(in, query); err != nil {
			return
		}
		query[2], query[7] = query[2]|0x80, 1
		out = binary.BigEndian.AppendUint16(out, uint16(len(query)+16))
		out = append(append(out, query...), 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 1)
		if in.Buffered() == 0 || len(out) > 3500 {
			if _, err := to.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

// BenchmarkExchange measures the CPU time of this process for each exchange, with 64 and 512 outstanding on one connection.
func BenchmarkExchange(b *testing.B) {
	server := exec.Command(os.Args[0], "-test.run=^TestBenchmarkServer$")
	server.Env = append(os.Environ(), serverMark+"=1")
	stop, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	told, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { stop.Close(); _ = server.Wait() }()
	var ports [2]string
	if _, err := fmt.Fscan(told, &ports[0], &ports[1]); err != nil {
		b.Fatal(err)
	}
	for i, scheme := range []transport.Scheme{transport.TLS, transport.QUIC} {
		for _, outstanding := range []int{64, 512} {
			b.Run(fmt.Sprintf("%s-%d", scheme, outstanding), func(b *testing.B) {
				exchange(b, lanetest.Endpoint(scheme, netip.MustParseAddrPort(ports[i]), &tls.Config{InsecureSkipVerify: true}, nil), outstanding)
			})
		}
	}
}

func exchange(b *testing.B, e *transport.Endpoint, outstanding int) {
	run, err := driver(e.Scheme)
	if err != nil {
		b.Fatal(err)
	}
	w := lanetest.Open(b, e, run, transport.LaneLimits{})
	if r := w.Ask("first.example.", time.Minute); r.Fault != transport.FaultNone {
		b.Fatalf("first query: %v", r.Fault)
	}
	query := lanetest.Query("name.example.")
	before := cpu(b)
	b.ResetTimer()
	sent, failed := 0, 0
	for received := 0; received < b.N; {
		for sent < b.N && sent-received < outstanding && w.Lane.Submit(uint32(sent), 0, transport.Now()+time.Minute, query) {
			sent++
		}
		w.Lane.Flush()
		w.Await()
		for r, ok := w.Lane.Receive(); ok; r, ok = w.Lane.Receive() {
			received++
			if r.Fault != transport.FaultNone {
				failed++
			}
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/1000, "cpu-us/op")
	if failed > 0 {
		b.Errorf("%d of %d failed", failed, b.N)
	}
}

// cpu returns the CPU time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
