package ddr

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// stage is a plain resolver that says what it is told to, an encrypted one, and the owner of a seeker.
type stage struct {
	t         *testing.T
	cfg       Config
	designate atomic.Pointer[string] // SVCB records, separated by newlines; empty: none
	asked     atomic.Int64           // for SVCB, at the plain resolver
	down      atomic.Bool            // what the owner says of the designated one
	refuse    atomic.Bool            // what the owner says to a change
	secure    uint16                 // port of the encrypted one
	trusted   *lanetest.Authority

	mu   sync.Mutex
	used []string // "tls://..., verified", "plain"
	log  bytes.Buffer
}

func (s *stage) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *stage) logged(part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.log.String(), part)
}

func (s *stage) uses() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.used, "; ")
}

func newStage(t *testing.T, records string) *stage {
	t.Helper()
	lanetest.NoLeaks(t)
	s := &stage{t: t, trusted: lanetest.NewAuthority(t)}
	s.say(records)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", s.trusted.Server(lanetest.ServerName, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s.secure = listener.Addr().(*net.TCPAddr).AddrPort().Port()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []*dns.Server{{Listener: listener}, {PacketConn: packets}} {
		d.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) { s.answer(w, query, d.PacketConn != nil) })
		started := make(chan struct{})
		d.NotifyStartedFunc = func() { close(started) }
		go func() { _ = d.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = d.Shutdown() })
	}
	s.cfg = Config{
		Plain:   lanetest.Endpoint(transport.UDP, packets.LocalAddr().(*net.UDPAddr).AddrPort(), nil, nil),
		Address: loopback, Timeout: 10 * time.Second, MinTTL: 20 * time.Millisecond, FailureRetry: 20 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(s, nil)), Build: s.build, Use: s.use,
		Down: func(*transport.Endpoint) bool { return s.down.Load() },
	}
	return s
}

// say sets what the plain resolver designates; PORT stands for the port of the encrypted one.
func (s *stage) say(records string) { s.designate.Store(&records) }

func (s *stage) answer(w dns.ResponseWriter, query *dns.Msg, plain bool) {
	reply := new(dns.Msg).SetReply(query)
	switch q := query.Question[0]; {
	case q.Qtype == dns.TypeSVCB && plain:
		s.asked.Add(1)
		for line := range strings.Lines(strings.ReplaceAll(*s.designate.Load(), "PORT", fmt.Sprint(s.secure))) {
			rr, err := dns.NewRR(line)
			if err != nil {
				s.t.Error(err)
			}
			reply.Answer = append(reply.Answer, rr)
		}
		if len(reply.Answer) == 0 {
			soa, _ := dns.NewRR("resolver.arpa. 0 IN SOA a. b. 1 2 3 4 0")
			reply.Ns = []dns.RR{soa}
		}
	case q.Qtype == dns.TypeA && plain:
		rr, _ := dns.NewRR(q.Name + " 60 IN A 127.0.0.1")
		reply.Answer = []dns.RR{rr}
	}
	_ = w.WriteMsg(reply)
}

func (s *stage) build(d *Designation, verify bool) (*transport.Endpoint, error) {
	if d.Scheme != "tls" {
		return nil, errors.New("not on this stage")
	}
	client := s.trusted.Client(d.Target)
	client.InsecureSkipVerify = !verify
	e := lanetest.Endpoint(transport.TLS, netip.AddrPortFrom(d.Addrs[0], d.Port), client, nil)
	return e, nil
}

func (s *stage) use(_ context.Context, u *Upgrade) error {
	if s.refuse.Load() {
		return errors.New("not now")
	}
	text := "plain"
	if u != nil {
		text = fmt.Sprintf("%s at %v, verified %v", u.Target, u.Addrs, u.Verified)
	}
	s.mu.Lock()
	s.used = append(s.used, text)
	s.mu.Unlock()
	return nil
}

// rounds waits until the plain resolver was asked n times more.
func (s *stage) rounds(n int64) {
	s.t.Helper()
	from := s.asked.Load()
	lanetest.Eventually(s.t, "more questions", func() bool { return s.asked.Load() >= from+n })
}

const (
	good     = `_dns.resolver.arpa. 0 IN SVCB 1 dns.example. alpn="dot" port="PORT" ipv4hint="127.0.0.1"`
	hintless = `_dns.resolver.arpa. 0 IN SVCB 1 dns.example. alpn="dot" port="PORT"`
	wrong    = `_dns.resolver.arpa. 0 IN SVCB 1 other.example. alpn="dot" port="PORT" ipv4hint="127.0.0.1"`
	astray   = `_dns.resolver.arpa. 0 IN SVCB 1 other.example. alpn="dot" port="PORT" ipv4hint="127.0.0.2"`
)

func TestSeek(t *testing.T) {
	for _, test := range []struct {
		name, records string
		opportunistic bool
		address       netip.Addr // of the plain resolver, as the seeker is told
		want          string
		state         State
		logged        string
	}{
		{"verified", good, false, loopback, "dns.example at [127.0.0.1], verified true", Upgraded, "designated resolver from now on"},
		{"RFC 9462 §4.1: the target is looked up where it was named", hintless, false, loopback, "dns.example at [127.0.0.1], verified true", Upgraded, ""},
		{"§4.2: a certificate that is not valid is not used", wrong, false, loopback, "", Unverified, "not other.example"},
		{"the next one is", wrong + "\n" + good, false, loopback, "dns.example at [127.0.0.1], verified true", Upgraded, ""},
		{"§4.3: on a private network, if allowed", wrong, true, loopback, "other.example at [127.0.0.1], verified false", Upgraded, "verified=false"},
		{"§4.3: not on another network", wrong, true, netip.MustParseAddr("192.0.2.1"), "", Unverified, ""},
		{"§4.3: not at another address", astray, true, loopback, "", Unverified, ""},
		{"none", "", false, loopback, "", Absent, "it designates no resolver"},
		{"none that can be used", `_dns.resolver.arpa. 0 IN SVCB 1 dns.example. alpn="smtp"`, false, loopback, "", Unverified, "smtp"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, test.records)
			s.cfg.Opportunistic, s.cfg.Address = test.opportunistic, test.address
			seeker := Seek(s.cfg, nil)
			defer seeker.Close()
			s.rounds(4)
			if s.uses() != test.want || seeker.State() != test.state {
				t.Errorf("used %q, %v, want %q, %v", s.uses(), seeker.State(), test.want, test.state)
			}
			if test.logged != "" && s.logged(test.logged) != 1 {
				t.Errorf("logged %q %d times in four rounds, want once:\n%s", test.logged, s.logged(test.logged), s.log.String())
			}
		})
	}
}

// TestUpgradeLater: a resolver that learns of a designated one is asked again.
func TestUpgradeLater(t *testing.T) {
	s := newStage(t, "")
	seeker := Seek(s.cfg, nil)
	defer seeker.Close()
	s.rounds(2)
	s.refuse.Store(true)
	s.say(good)
	lanetest.Eventually(t, "the owner refuses", func() bool { return s.logged("not now") > 1 }) // and is asked again
	s.refuse.Store(false)
	lanetest.Eventually(t, "an upgrade", func() bool { return seeker.State() == Upgraded })
}

// TestLoss: without downgrade an upgrade stays whatever is heard; with it, it stays until it is down as well.
func TestLoss(t *testing.T) {
	const upgraded = "dns.example at [127.0.0.1], verified true"
	for _, downgrade := range []bool{false, true} {
		t.Run(fmt.Sprint(downgrade), func(t *testing.T) {
			s := newStage(t, good)
			s.cfg.Downgrade, s.cfg.Opportunistic = downgrade, true
			seeker := Seek(s.cfg, nil)
			defer seeker.Close()
			lanetest.Eventually(t, "an upgrade", func() bool { return seeker.State() == Upgraded })
			for _, records := range []string{"", wrong} { // the second would do, opportunistically, for somebody who has nothing better
				s.say(records)
				s.rounds(3)
				if s.uses() != upgraded || seeker.State() != Upgraded {
					t.Errorf("after %q: used %q, %v", records, s.uses(), seeker.State())
				}
			}
			if n := s.logged("stays in use"); n != 1 {
				t.Errorf("said %d times that it is not confirmed, want once:\n%s", n, s.log.String())
			}
			s.say("")
			s.rounds(2)
			s.down.Store(true)
			s.rounds(3)
			want, state := upgraded, Upgraded
			if downgrade {
				want, state = upgraded+"; plain", Absent
			}
			if s.uses() != want || seeker.State() != state || s.logged("no longer encrypted") != map[bool]int{true: 1}[downgrade] {
				t.Errorf("when it is down: used %q, %v, want %q, %v\n%s", s.uses(), seeker.State(), want, state, s.log.String())
			}
			s.down.Store(false)
			s.say(good)
			if !downgrade {
				lanetest.Eventually(t, "confirmed", func() bool { return s.logged("confirmed again") == 1 })
				return
			}
			lanetest.Eventually(t, "upgraded again", func() bool { return s.uses() == want+"; "+upgraded })
		})
	}
}

// TestLossEndsTheWait: a TTL of an hour is not waited for while the designated resolver is down.
func TestLossEndsTheWait(t *testing.T) {
	s := newStage(t, strings.Replace(good, " 0 IN", " 3600 IN", 1))
	seeker := Seek(s.cfg, nil)
	defer seeker.Close()
	lanetest.Eventually(t, "an upgrade", func() bool { return seeker.State() == Upgraded })
	time.Sleep(5 * s.cfg.FailureRetry)
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times within the TTL, want once", n)
	}
	s.down.Store(true)
	s.rounds(2)
}

// TestGoesOn: a later seeker, as after a reload, knows what the earlier one has found.
func TestGoesOn(t *testing.T) {
	s := newStage(t, good)
	first := Seek(s.cfg, nil)
	lanetest.Eventually(t, "an upgrade", func() bool { return first.State() == Upgraded })
	first.Close()
	second := Seek(s.cfg, first.current)
	defer second.Close()
	s.rounds(3)
	if s.uses() != "dns.example at [127.0.0.1], verified true" || second.State() != Upgraded {
		t.Errorf("used %q, %v", s.uses(), second.State())
	}
}

// TestAddressesInAnotherOrder: that is no other resolver, and its connections stay.
func TestAddressesInAnotherOrder(t *testing.T) {
	const hints = `_dns.resolver.arpa. 0 IN SVCB 1 dns.example. alpn="dot" port="PORT" ipv4hint="%s"`
	s := newStage(t, fmt.Sprintf(hints, "127.0.0.1,127.0.0.2,127.0.0.3"))
	seeker := Seek(s.cfg, nil)
	defer seeker.Close()
	lanetest.Eventually(t, "an upgrade", func() bool { return seeker.State() == Upgraded })
	s.say(fmt.Sprintf(hints, "127.0.0.1,127.0.0.3,127.0.0.2"))
	s.rounds(4)
	if want := "dns.example at [127.0.0.1 127.0.0.2 127.0.0.3], verified true"; s.uses() != want {
		t.Errorf("used %q, want %q", s.uses(), want)
	}
}

// TestPlainResolverIsSilent: nothing is given up because the plain resolver cannot be asked.
func TestPlainResolverIsSilent(t *testing.T) {
	s := newStage(t, good)
	nowhere, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere.Close()
	seeker := Seek(s.cfg, nil)
	lanetest.Eventually(t, "an upgrade", func() bool { return seeker.State() == Upgraded })
	seeker.Close()
	s.cfg.Plain = lanetest.Endpoint(transport.UDP, nowhere.LocalAddr().(*net.UDPAddr).AddrPort(), nil, nil)
	s.cfg.Downgrade = true
	s.down.Store(true)
	again, fresh := Seek(s.cfg, seeker.current), Seek(s.cfg, nil)
	defer again.Close()
	defer fresh.Close()
	lanetest.Eventually(t, "both have tried", func() bool { return s.logged("stays in use") == 1 && s.logged("no designated resolver") == 1 })
	if again.State() != Upgraded || fresh.State() != Unknown || strings.Contains(s.uses(), "plain") {
		t.Errorf("got %v and %v, used %q", again.State(), fresh.State(), s.uses())
	}
}
