package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"secure-dns-proxy/appliance/e2e/rig"
)

const (
	// capacity is how many questions a second the upstream of a flood can answer.
	capacity = 600
	// newRate is what the light client of new names asks a second, knownRate what the one of cached names does, tcpRate what one over TCP does.
	newRate, knownRate, tcpRate = 100, 300, 20
	// calmTime, takeEffect and underFlood are the parts of a run.
	calmTime, takeEffect, underFlood = 1200 * time.Millisecond, 3500 * time.Millisecond, 2 * time.Second
	// floodAttempts are made: other work on the machine takes the upstream's CPU away for longer than there is room for what comes meanwhile.
	floodAttempts = 3
	// floodMemory is what may be added to a proxy's memory by a flood: what its tables and its cache, fixed in size, had not touched before.
	floodMemory = 96 << 20
)

// flooded is a server under a flood: this proxy or a dnsdist.
type flooded struct {
	*rig.Process
	addr netip.AddrPort
}

// anyone is a random address below 127.0.0.0/8 that no light client has.
func anyone() netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(16 + rand.UintN(200)), byte(rand.UintN(256)), byte(1 + rand.UintN(254))})
}

// randomName is a name that nobody has asked for.
func randomName(zone string) string { return fmt.Sprintf("r%08x.%s", rand.Uint32(), zone) }

// floodRow is what comes, and what is set against it.
type floodRow struct {
	name     string
	protects string // what does, in this proxy
	capacity int
	settings []string // of this proxy
	dnsdist  string   // more of its configuration
	cookie   bool     // the light client of new names has one
	tcp      bool     // there is a light client over TCP
	start    func(t *testing.T, server netip.AddrPort) (stop func())
}

// spoofed is a flood over UDP.
func spoofed(perSecond int, next func(n int) (string, netip.Addr)) func(*testing.T, netip.AddrPort) func() {
	return func(t *testing.T, server netip.AddrPort) func() {
		f := rig.StartSpoofed(t, server, perSecond, next)
		return func() { f.Stop() }
	}
}

var floods = []floodRow{
	{
		// Shedding by zone ([admission] shed_misses): the zone asks for more than its fair share of what the upstream can do, whoever asks.
		name: "random subdomains, 5x capacity", protects: "shed_misses, by zone", capacity: capacity,
		start: spoofed(5*capacity, func(int) (string, netip.Addr) { return randomName("victim.example."), anyone() }),
	},
	{
		// The same, about as long as what looks for it looks: the next pulse is cut short within the interval.
		name: "random subdomains in pulses, 10x capacity for 100 ms of 200", protects: "shed_misses, by zone", capacity: capacity,
		start: func(t *testing.T, server netip.AddrPort) func() {
			f := rig.StartPulses(t, server, 10*capacity, 100*time.Millisecond, 100*time.Millisecond, func(int) (string, netip.Addr) {
				return randomName("victim.example."), anyone()
			})
			return func() { f.Stop() }
		},
	},
	{
		// The bucket of the address ([limits]); were it more than the worker can receive, the filter in the kernel ([admission]) as well (TestFlood).
		name: "one heavy source", protects: "limits of the /32", capacity: capacity,
		settings: []string{`limits = {ipv4_32_rate = 1000, slip = 0}`},
		dnsdist:  `addAction(MaxQPSIPRule(1000, 32, 64), DropAction())`,
		start: spoofed(20_000, func(n int) (string, netip.Addr) {
			return fmt.Sprintf("known%d.bulk.example.", n%100), netip.AddrFrom4([4]byte{127, 9, 9, 9})
		}),
	},
	{
		// Neither sources nor zones stand out: who has not proven where it is gets TC, and the light client comes over TCP.
		name: "spoofed, any zone, no cookies", protects: "shed_misses, the unproven; shed = truncate", capacity: capacity,
		settings: []string{`admission.shed = "truncate"`, `edns.cookies = false`},
		dnsdist:  fmt.Sprintf(`addAction(AndRule({NotRule(TCPRule(true)), NotRule(MaxQPSRule(%d))}), TCAction())`, capacity),
		start:    spoofed(5*capacity, func(int) (string, netip.Addr) { return randomName(randomName("example.")), anyone() }),
	},
	{
		// The same; the light client has a cookie, and is not doubted. dnsdist knows none.
		name: "spoofed, any zone, cookies", protects: "shed_misses, the unproven", capacity: capacity, cookie: true,
		start: spoofed(5*capacity, func(int) (string, netip.Addr) { return randomName(randomName("example.")), anyone() }),
	},
	{
		// Caps in all and for one address; and quiet connections are closed as new ones come.
		name: "TCP connections", protects: "tcp.max_connections_per_client; quiet ones make room", capacity: capacity, tcp: true,
		settings: []string{`tcp.max_connections = 2048`, `tcp.max_connections_per_client = 64`},
		dnsdist:  "setMaxTCPConnectionsPerClient(64)\nsetMaxTCPQueuedConnections(2048)",
		start:    connections,
	},
	{
		// The zone's share of the questions, once its upstream has no room; what is cached stays, for negative answers that nobody asks for again go first.
		name: "NXDOMAIN", protects: "shed_misses, by zone; the cache's order", capacity: 3 * capacity,
		start: spoofed(8*capacity, func(int) (string, netip.Addr) {
			return randomName("zone.example."), netip.AddrFrom4([4]byte{127, 8, 8, byte(1 + rand.UintN(50))})
		}),
	},
}

// connections opens TCP connections from many addresses and leaves them open; half of them have sent half a query.
func connections(t *testing.T, server netip.AddrPort) func() {
	stop := make(chan struct{})
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			var open []net.Conn
			defer func() {
				for _, c := range open {
					c.Close()
				}
			}()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				source := netip.AddrFrom4([4]byte{127, 7, byte(worker), byte(1 + n%32)})
				dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), Timeout: time.Second}
				c, err := dialer.Dial("tcp", server.String())
				if err != nil {
					continue
				}
				if n%2 == 0 {
					_, _ = c.Write([]byte{0, 40, 1, 2, 3})
				}
				if open = append(open, c); len(open) > 400 {
					open[0].Close()
					open = open[1:]
				}
			}
		})
	}
	return func() {
		close(stop)
		all.Wait()
	}
}

// suffered is what a light client saw.
type suffered struct {
	lost        float64 // share without a good answer
	calm, under time.Duration
	kept        float64 // good answers for each query, of what it was when calm
}

func sufferedOf(tallies map[string]*rig.Tally) suffered {
	calm, under := tallies["calm"], tallies["flood"]
	good := func(t *rig.Tally) float64 { return 1 - float64(t.Failed())/float64(max(t.Sent, 1)) }
	return suffered{1 - good(under), calm.Percentile(99), under.Percentile(99), good(under) / max(good(calm), 0.01)}
}

// outcomeOfFlood is a row's half of the table.
type outcomeOfFlood struct {
	fresh, known, tcp suffered
	memory            int64 // bytes more than before
}

func (o outcomeOfFlood) text(f *floodRow) string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	s := fmt.Sprintf("new names lost %6.2f %%, p99 %5.1f -> %6.1f ms; hits kept %.3f, p99 %5.1f -> %6.1f ms; memory +%.1f MiB",
		100*o.fresh.lost, ms(o.fresh.calm), ms(o.fresh.under), o.known.kept, ms(o.known.calm), ms(o.known.under), float64(o.memory)/(1<<20))
	if f.tcp {
		s += fmt.Sprintf("; over TCP lost %.2f %%, p99 %.1f -> %.1f ms", 100*o.tcp.lost, ms(o.tcp.calm), ms(o.tcp.under))
	}
	return s
}

// good tells whether the light clients did not suffer. Times count only where they are a multiple of the calm ones that no noise makes.
func (o outcomeOfFlood) good(f *floodRow) bool {
	slow := func(s suffered) bool { return s.under > 20*s.calm+500*time.Millisecond }
	return o.fresh.lost < 0.01 && o.known.kept >= 0.9 && !slow(o.fresh) && !slow(o.known) && (!f.tcp || o.tcp.lost < 0.01 && !slow(o.tcp)) && o.memory < floodMemory
}

// run floods a server beside light clients.
func (f *floodRow) run(t *testing.T, server flooded) outcomeOfFlood {
	known := rig.StartSteadyAt(t, server.addr, rig.Pace{PerSecond: knownRate, Names: 100, Source: netip.MustParseAddr("127.0.1.1")}, "warm")
	fresh := rig.StartSteadyAt(t, server.addr, rig.Pace{PerSecond: newRate, Source: netip.MustParseAddr("127.0.1.2")}, "warm")
	if f.cookie {
		if cookie := rig.Dig(t, server.addr, "-b", "127.0.1.2", "+cookie="+clientCookie, "a.bulk.example").Cookie; len(cookie) > len(clientCookie) {
			fresh.Cookie(cookie)
		}
	}
	clients := []*rig.Steady{known, fresh}
	if f.tcp {
		clients = append(clients, rig.StartSteadyAt(t, server.addr, rig.Pace{PerSecond: tcpRate, Names: 100, Source: netip.MustParseAddr("127.0.1.3"), TCP: true}, "warm"))
	}
	phase := func(name string, length time.Duration) {
		for _, c := range clients {
			c.Phase(name)
		}
		time.Sleep(length)
	}
	phase("warm", 400*time.Millisecond)
	phase("calm", calmTime)
	before := server.RSS(t)
	stop := f.start(t, server.addr)
	phase("begin", takeEffect)
	phase("flood", underFlood)
	memory := server.RSS(t) - before
	phase("after", 0)
	stop()
	o := outcomeOfFlood{memory: memory, known: sufferedOf(known.Stop(time.Second)), fresh: sufferedOf(fresh.Stop(time.Second))}
	if f.tcp {
		o.tcp = sufferedOf(clients[2].Stop(time.Second))
	}
	return o
}

// startProxy starts this proxy before an upstream that can do so much.
func (f *floodRow) startProxy(t *testing.T) flooded {
	upstream := rig.NewSluggish(t, f.capacity)
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + upstream.Addr.String(), Settings: []string{`max_outstanding = 150`}}},
		Settings:  append([]string{floodBuffer}, f.settings...),
	}, nil)
	return flooded{proxy.Process, proxy.Addr}
}

// startDnsdist starts a dnsdist before one, tuned and protected as its manual advises (advanced/tuning, guides/dynblocks).
func (f *floodRow) startDnsdist(t *testing.T) flooded {
	d := rig.StartDnsdist(t, `setUDPMultipleMessagesVectorSize(64)
setUDPSocketBufferSizes(8388608, 8388608)
setMaxTCPClientThreads(1)
getPool(""):setCache(newPacketCache(100000))
local blocks = dynBlockRulesGroup()
blocks:setQueryRate(1000, 5, "query rate", 60)
blocks:setRCodeRate(DNSRCode.NXDOMAIN, 100, 5, "NXDOMAIN rate", 60)
blocks:setSuffixMatchRule(5, "random subdomains", 60, DNSAction.Drop, function(node, own, children)
  return node.depth == 2 and children.nxdomains > 500
end)
function maintenance() blocks:apply() end
`+f.dnsdist, rig.NewSluggish(t, f.capacity).Addr.String())
	return flooded{d.Process, d.Addr}
}

// Floods of every kind, each beside light clients of cached names and of new ones: they lose next to nothing. A real dnsdist is under the same at the
// same time, to compare.
func TestFloods(t *testing.T) {
	var table strings.Builder
	for i := range floods {
		f := &floods[i]
		var ours, theirs outcomeOfFlood
		t.Run(f.name, func(t *testing.T) {
			t.Run("proxy", func(t *testing.T) {
				t.Parallel()
				for range floodAttempts {
					if ours = f.run(t, f.startProxy(t)); ours.good(f) {
						return
					}
					t.Logf("they suffered: %s", ours.text(f))
				}
				t.Error("in every attempt")
			})
			t.Run("dnsdist", func(t *testing.T) {
				t.Parallel()
				theirs = f.run(t, f.startDnsdist(t))
			})
		})
		fmt.Fprintf(&table, "%s (%s)\n  proxy    %s\n  dnsdist  %s\n", f.name, f.protects, ours.text(f), theirs.text(f))
	}
	t.Logf("light clients, calm -> under flood:\n%s", table.String())
}
