package dot

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// recordCounter counts the TLS records of application data that are read from a TCP connection (RFC 8446 §5.1).
type recordCounter struct {
	net.Conn
	records *atomic.Int64
	header  []byte // of the record under way, up to 5 bytes
	left    int    // bytes of it still to come
}

const applicationData = 23

func (c *recordCounter) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for data := b[:n]; len(data) > 0; {
		if c.left == 0 {
			take := min(5-len(c.header), len(data))
			c.header, data = append(c.header, data[:take]...), data[take:]
			if len(c.header) == 5 {
				c.left = int(binary.BigEndian.Uint16(c.header[3:]))
				if c.header[0] == applicationData {
					c.records.Add(1)
				}
				c.header = c.header[:0]
			}
			continue
		}
		take := min(c.left, len(data))
		c.left, data = c.left-take, data[take:]
	}
	return n, err
}

// TestBurstLeavesInFewRecords: what a worker submits in one turn leaves in records of 16 KiB, whether the connection is there or is being
// opened, and what comes while one is written leaves together in the next.
func TestBurstLeavesInFewRecords(t *testing.T) {
	lanetest.NoLeaks(t)
	authority := lanetest.NewAuthority(t)
	cfg := authority.Server(lanetest.ServerName, time.Hour, "dot")
	var records atomic.Int64
	s := serve(t, nil, func(s *server, conn net.Conn) {
		secure := tls.Server(&recordCounter{Conn: conn, records: &records}, cfg)
		if secure.Handshake() == nil {
			records.Store(0) // RFC 8446 §5: the client's Finished looks like data
		}
		honest(s, secure)
	})
	w := lanetest.Open(t, s.endpoint(authority.Client(lanetest.ServerName), nil), Run, transport.LaneLimits{})
	const queries = 1000
	bytes := int64(0)
	for i, name := range []string{"while connecting", "while connected"} {
		names := lanetest.Names(queries)
		sent := w.Lane.Stats().BytesSent
		w.Burst(names, plenty)
		if got := lanetest.Tally(w.Receive(queries)); got[transport.FaultNone] != queries {
			t.Fatalf("%s: replies %v", name, got)
		}
		bytes = int64(w.Lane.Stats().BytesSent - sent)
		// Full records, one that is not, and one for what the driver had taken when the writer came by.
		if got, most := records.Swap(0), bytes/batchBytesMax+3; got > most {
			t.Errorf("%s: %d queries (%d bytes) in %d records, want at most %d", name, queries, bytes, got, most)
		} else {
			t.Logf("burst %d, %s: %d queries (%d bytes) in %d records", i, name, queries, bytes, got)
		}
	}
}

// TestTLS13SessionIsResumed: every connection after the first, whoever ended the one before, without a full handshake.
func TestTLS13SessionIsResumed(t *testing.T) {
	for _, test := range []struct {
		name    string
		closes  int // the server, after so many queries
		queries int // we
	}{{"server closes", 2, 0}, {"we replace", 1 << 30, 3}} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			authority := lanetest.NewAuthority(t)
			cfg := authority.Server(lanetest.ServerName, time.Hour, "dot")
			cfg.MinVersion = tls.VersionTLS13
			var full, resumed atomic.Int64
			s := serve(t, cfg, func(s *server, conn net.Conn) {
				secure := conn.(*tls.Conn)
				if secure.Handshake() != nil {
					return
				}
				if secure.ConnectionState().DidResume {
					resumed.Add(1)
				} else {
					full.Add(1)
				}
				closingAfter(test.closes)(s, conn)
			})
			e := s.endpoint(authority.Client(lanetest.ServerName), nil)
			e.MaxQueries = test.queries
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			load(t, w, 1, func() bool { return resumed.Load() >= 5 })
			lanetest.Eventually(t, "the figure", func() bool { return w.Lane.Stats().Resumed >= 5 })
			if got := full.Load(); got != 1 {
				t.Errorf("%d full handshakes, want 1", got)
			}
		})
	}
}
