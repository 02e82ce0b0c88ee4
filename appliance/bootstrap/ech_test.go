package bootstrap

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// One letter for each list: what counts here is which record it comes from.
func ech(letter string) string { return " ech=" + base64.StdEncoding.EncodeToString([]byte(letter)) }

func TestLookupECH(t *testing.T) {
	dot := ECHTarget{Name: "dns.example", Port: 853, ALPN: []string{"dot"}}
	doh := ECHTarget{Name: "dns.example", Port: 443, ALPN: []string{"h2", "h3"}, HTTPS: true}
	far := ECHTarget{Name: "dns.example", Port: 8443, ALPN: []string{"h2"}, HTTPS: true}
	const resolver, web = "_dns.dns.example. 300 IN SVCB ", "dns.example. 200 IN HTTPS "
	for _, test := range []struct {
		name   string
		target ECHTarget
		zone   []string
		want   string // empty: none
		ttl    time.Duration
	}{
		{"resolver", dot, []string{resolver + "1 dns.example. alpn=dot" + ech("a")}, "a", 300 * time.Second},
		{"resolver, dot for the name", dot, []string{resolver + "1 . alpn=dot" + ech("a")}, "a", 300 * time.Second},
		{"letter case", dot, []string{"_DNS.dns.Example. 300 IN SVCB 1 DNS.example. alpn=dot" + ech("a")}, "a", 300 * time.Second},
		{"by priority", dot, []string{resolver + "3 dns.example. alpn=dot" + ech("c"), resolver + "2 dns.example. alpn=dot" + ech("b")}, "b", 300 * time.Second},
		{"the one with our protocol", dot, []string{resolver + "1 dns.example. alpn=doq" + ech("q"), resolver + "2 dns.example. alpn=h2,dot" + ech("b")}, "b", 300 * time.Second},
		{"without a protocol", dot, []string{resolver + "1 dns.example. port=853" + ech("a")}, "", 300 * time.Second},
		{"without a configuration", dot, []string{resolver + "1 dns.example. alpn=dot"}, "", 300 * time.Second},
		{"our port", dot, []string{resolver + "1 dns.example. alpn=dot port=8853" + ech("x"), resolver + "2 dns.example. alpn=dot port=853" + ech("b")}, "b", 300 * time.Second},
		{"another server", dot, []string{resolver + "1 other.example. alpn=dot" + ech("x")}, "", 300 * time.Second},
		{"mandatory and known", dot, []string{resolver + "1 dns.example. mandatory=alpn,port alpn=dot port=853" + ech("a")}, "a", 300 * time.Second},
		{"mandatory and unknown", dot, []string{resolver + "1 dns.example. mandatory=key65333 alpn=dot key65333=x" + ech("x")}, "", 300 * time.Second},
		{"alias", dot, []string{resolver + "0 _dns.host.example.", "_dns.host.example. 100 IN SVCB 1 dns.example. alpn=dot" + ech("a")}, "a", 100 * time.Second},
		{"no service", dot, []string{resolver + "0 ."}, "", 300 * time.Second},
		{"alias to itself", dot, []string{resolver + "0 _dns.dns.example."}, "", 300 * time.Second},
		{"another name", dot, []string{"_dns.dns.example. 50 IN CNAME _dns.host.example.", "_dns.host.example. 100 IN SVCB 1 dns.example. alpn=dot" + ech("a")}, "a", 50 * time.Second},
		{"nothing", dot, nil, "", unknownTTL},

		{"web server", doh, []string{web + "1 . alpn=h2" + ech("w")}, "w", 200 * time.Second},
		{"web server, HTTP/1.1", doh, []string{web + "1 ." + ech("w")}, "", 200 * time.Second},
		{"web server first", doh, []string{web + "1 . alpn=h3" + ech("w"), resolver + "1 dns.example. alpn=h2" + ech("r")}, "w", 200 * time.Second},
		{"then resolver", doh, []string{web + "1 . alpn=h2", resolver + "1 dns.example. alpn=h2 dohpath=/q{?dns}" + ech("r")}, "r", 200 * time.Second},
		{"web server on a port", far, []string{web + "1 . alpn=h2" + ech("x"), "_8443._https.dns.example. 90 IN HTTPS 1 dns.example. alpn=h2" + ech("p")}, "p", 90 * time.Second},
		{"resolver on a port", far, []string{resolver + "1 dns.example. alpn=h2" + ech("x"), resolver + "2 dns.example. alpn=h2 port=8443" + ech("p")}, "p", 300 * time.Second},
		{"no record for TLS is asked for at the name", dot, []string{"dns.example. 200 IN HTTPS 1 . alpn=dot" + ech("x")}, "", unknownTTL},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := Config{Servers: endpoints(startServer(t, authority(t, test.zone...))), Timeout: 5 * time.Second}
			list, ttl, err := LookupECH(t.Context(), cfg, test.target)
			if err != nil {
				t.Fatal(err)
			}
			if string(list) != test.want || ttl != test.ttl {
				t.Errorf("got %q for %v, want %q for %v", list, ttl, test.want, test.ttl)
			}
		})
	}
}

// authority answers from a zone, without chasing, as one without recursion.
func authority(t *testing.T, lines ...string) dns.HandlerFunc {
	t.Helper()
	zone := records(t, lines...)
	return func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		q := query.Question[0]
		owner := q.Name
		for range zone { // CNAMEs first
			for _, rr := range zone {
				if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, owner) {
					reply.Answer, owner = append(reply.Answer, c), c.Target
				}
			}
		}
		for _, rr := range zone {
			if strings.EqualFold(rr.Header().Name, owner) && rr.Header().Rrtype == q.Qtype {
				reply.Answer = append(reply.Answer, rr)
			}
		}
		_ = w.WriteMsg(reply)
	}
}

func TestLookupECHFails(t *testing.T) {
	dot := ECHTarget{Name: "dns.example", Port: 853, ALPN: []string{"dot"}}
	zone := authority(t, "_dns.dns.example. 300 IN SVCB 1 dns.example. alpn=dot"+ech("a"))
	for _, test := range []struct {
		name    string
		servers []netip.AddrPort
		list    string
		problem string
	}{
		{"second server", []netip.AddrPort{startServer(t, refusing(dns.RcodeServerFailure)), startServer(t, zone)}, "a", ""},
		{"no such name", []netip.AddrPort{startServer(t, refusing(dns.RcodeNameError))}, "", ""},
		{"refused", []netip.AddrPort{startServer(t, refusing(dns.RcodeRefused))}, "", "answered REFUSED"},
		{"second server knows", []netip.AddrPort{startServer(t, refusing(dns.RcodeNameError)), startServer(t, zone)}, "a", ""},
		{"nobody", nil, "", "nobody to ask"},
		{"silent", []netip.AddrPort{silent(t)}, "", "no answer"},
	} {
		list, _, err := LookupECH(t.Context(), Config{Servers: endpoints(test.servers...), Timeout: 300 * time.Millisecond}, dot)
		if string(list) != test.list || (err != nil) != (test.problem != "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: got %q, %v, want %q, %q", test.name, list, err, test.list, test.problem)
		}
	}
}

// sink remembers what it was told.
type sink struct {
	mu    sync.Mutex
	words []string
}

func (s *sink) say(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = append(s.words, word)
}

func (s *sink) Publish(list []byte) { s.say(string(list)) }
func (s *sink) Unknown(err error)   { s.say("unknown") }

func (s *sink) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.words, " ")
}

// TestFollowECH: look-ups go on, and what they bring is handed on each time.
func TestFollowECH(t *testing.T) {
	var mu sync.Mutex
	round := 0
	handlers := []dns.HandlerFunc{
		refusing(dns.RcodeServerFailure),
		authority(t, "_dns.dns.example. 1 IN SVCB 1 dns.example. alpn=dot"+ech("a")),
		authority(t, "_dns.dns.example. 1 IN SVCB 1 dns.example. alpn=dot"+ech("b")),
	}
	server := startServer(t, func(w dns.ResponseWriter, query *dns.Msg) {
		mu.Lock()
		h := handlers[min(round, len(handlers)-1)]
		round++
		mu.Unlock()
		h(w, query)
	})
	var s sink
	cfg := Config{Servers: endpoints(server), Timeout: 5 * time.Second, MinTTL: time.Millisecond, FailureRetry: time.Millisecond}
	f := FollowECH(cfg, slog.New(slog.DiscardHandler), []ECHTarget{{Name: "dns.example", Port: 853, ALPN: []string{"dot"}, Sink: &s}})
	<-f.Tried()
	if got := s.heard(); !strings.HasPrefix(got, "unknown") {
		t.Errorf("after the first look-up: %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !strings.HasPrefix(s.heard(), "unknown a b") {
		select {
		case <-ctx.Done():
			t.Fatalf("heard %q", s.heard())
		case <-time.After(5 * time.Millisecond):
		}
	}
	f.Close()
}

// FuzzServiceRecords: whatever an answer holds, a configuration comes only from a record of the name and protocol that were asked for.
func FuzzServiceRecords(f *testing.F) {
	t := ECHTarget{Name: "dns.example", Port: 853, ALPN: []string{"dot"}}
	for _, line := range []string{
		"_dns.dns.example. 300 IN SVCB 1 dns.example. alpn=dot" + ech("a"), "_dns.dns.example. 300 IN SVCB 0 other.example.",
		"_dns.dns.example. 300 IN CNAME _dns.dns.example.", "_dns.dns.example. 300 IN SVCB 1 . mandatory=ech,port alpn=dot,h2 port=853" + ech("b"),
	} {
		rr, err := dns.NewRR(line)
		if err != nil {
			f.Fatal(err)
		}
		packed, err := (&dns.Msg{Answer: []dns.RR{rr}}).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(tt *testing.T, msg []byte) {
		reply := new(dns.Msg)
		if reply.Unpack(msg) != nil {
			return
		}
		q := t.questions()[0]
		records, ttl := serviceRecords(reply, q)
		if ttl < 0 || ttl > ttlMax {
			tt.Errorf("holds for %v", ttl)
		}
		for i, r := range records {
			if i > 0 && r.Priority < records[i-1].Priority {
				tt.Error("not in order")
			}
			if list := t.listOf(r, t.usualPort(q.qtype)); list != nil && !strings.Contains(r.String(), "dot") {
				tt.Errorf("a configuration from %s", r)
			}
		}
	})
}
