package worker

import (
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport"
)

func TestSteeringIsChosen(t *testing.T) {
	for _, tt := range []struct {
		name         string
		cfg          Config
		mode, reason string
	}{
		{"all receive", Config{Workers: 2, CPUs: []int{2, 3}, Receivers: []int{0, 2, 3}}, SteeringCPU, ""},
		{"auto by name", Config{Workers: 2, CPUs: []int{2, 3}, Receivers: []int{3, 2}, Steering: SteeringAuto}, SteeringCPU, ""},
		{"one does not", Config{Workers: 2, CPUs: []int{2, 3}, Receivers: []int{0, 1, 2}}, SteeringHash, "CPU 3"},
		{"unknown", Config{Workers: 2, CPUs: []int{2, 3}}, SteeringHash, "not known"},
		{"not pinned", Config{Workers: 2, Receivers: []int{0}}, SteeringHash, "not pinned"},
		{"one worker", Config{Workers: 1, CPUs: []int{0}, Receivers: []int{0}}, SteeringHash, "one worker"},
		{"hash", Config{Workers: 2, CPUs: []int{2, 3}, Receivers: []int{2, 3}, Steering: SteeringHash}, SteeringHash, ""},
		{"cpu", Config{Workers: 2, CPUs: []int{2, 3}, Steering: SteeringCPU}, SteeringCPU, ""},
	} {
		mode, reason := tt.cfg.chooseSteering()
		if mode != tt.mode || !strings.Contains(reason, tt.reason) || (reason == "") != (tt.reason == "") {
			t.Errorf("%s: %q because %q, want %q because of %q", tt.name, mode, reason, tt.mode, tt.reason)
		}
	}
	for _, bad := range []Config{
		{Workers: 2, Steering: "sideways"},
		{Workers: 2, Steering: SteeringCPU},
		{Workers: 2, Steering: SteeringCPU, CPUs: []int{1, 1}},
	} {
		if bad.validateSteering() == nil {
			t.Errorf("accepted: %+v", bad)
		}
	}
}

// askFrom sends n queries from the given CPU and waits for each answer; from as many ports, or all from one.
func askFrom(t *testing.T, cpu int, addr netip.AddrPort, n int, oneFlow bool) {
	t.Helper()
	msg := pack(t, query(1, "a.example.", dns.TypeTXT))
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		failed <- func() error {
			if err := sys.PinThread(cpu); err != nil {
				return err
			}
			var c net.Conn
			for range n {
				var err error
				if c == nil || !oneFlow {
					if c != nil {
						c.Close()
					}
					if c, err = net.Dial("udp", addr.String()); err != nil {
						return err
					}
				}
				if _, err = c.Write(msg); err != nil {
					return err
				}
				if _, err = c.Read(make([]byte, 1500)); err != nil {
					return err
				}
			}
			return c.Close()
		}()
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// TestQueriesGoToTheWorkerOfTheirCPU: on loopback the CPU that sends is the one that receives. The workers' CPUs are not in order, so that
// neither the hash nor the number of the CPU could do this.
func TestQueriesGoToTheWorkerOfTheirCPU(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		cfg := testConfig(t, backend)
		cfg.CPUs, cfg.Steering = []int{1, 0}, SteeringCPU
		g, addrs := serve(t, cfg, testSnapshot(z.endpoint(transport.UDP)), "127.0.0.1:0", "[::1]:0")
		if mode, reason := g.Steering(); mode != SteeringCPU || reason != "" {
			t.Errorf("steering %q, reason %q", mode, reason)
		}
		const flows = 30
		want := [2]uint64{}
		for _, addr := range addrs {
			for cpu := range 2 {
				askFrom(t, cpu, addr, flows, false)
				want[1-cpu] += flows
				eventually(t, "queries of CPU 0 at worker 1, of CPU 1 at worker 0", func() bool {
					r := g.Workers()
					return r[0].CPU == 1 && r[0].QueriesUDP == want[0] && r[1].CPU == 0 && r[1].QueriesUDP == want[1]
				})
			}
		}
	})
}

// TestOneFlowIsSkew: steered by hash, all that one client port sends goes to one worker, and the figures show it; many ports spread.
func TestOneFlowIsSkew(t *testing.T) {
	z := newZone(t)
	g, addrs := serve(t, testConfig(t, BackendAuto), testSnapshot(z.endpoint(transport.UDP)))
	if mode, reason := g.Steering(); mode != SteeringHash || reason == "" {
		t.Errorf("steering %q, reason %q", mode, reason)
	}
	queries := func(n uint64) []WorkerReport {
		var r []WorkerReport
		eventually(t, "all queries in the figures", func() bool {
			r = g.Workers()
			return r[0].QueriesUDP+r[1].QueriesUDP == n
		})
		return r
	}
	none := queries(0)
	if s := Skew(none, none); s != 0 {
		t.Errorf("no queries: skew %v, want 0", s)
	}
	askFrom(t, 0, addrs[0], 50, true)
	one := queries(50)
	if s := Skew(none, one); s != 2 {
		t.Errorf("one flow: skew %v, want 2 (%+v)", s, one)
	}
	askFrom(t, 0, addrs[0], 200, false)
	many := queries(250)
	if s := Skew(one, many); s < 1 || s > 1.6 {
		t.Errorf("200 flows: skew %v, want near 1 (%+v)", s, many)
	}
}
