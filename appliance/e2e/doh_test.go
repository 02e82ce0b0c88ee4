package e2e

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

const (
	metricHTTPResponses   = "sdp_upstream_http_responses_total"
	metricHTTPConnections = "sdp_upstream_http_connections"
	metricHTTPFallbacks   = "sdp_upstream_http_fallbacks_total"
)

// TestDoH asks three DoH servers by every form of the URL and of the keys; each answer is the one that the peer gives itself, and the
// connections are of the version that was asked for.
func TestDoH(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	coredns := rig.NewCoreDNS(t, corednsBinary, p.certificate, p.unbound.Do53)
	for _, c := range []struct {
		name, url string
		settings  []string
		version   string
	}{
		{"unbound POST", fmt.Sprintf("https://%v/dns-query", p.unbound.HTTPS), nil, "2"},
		{"unbound GET", fmt.Sprintf("https://%v/dns-query", p.unbound.HTTPS), []string{`method = "get"`}, "2"},
		{"unbound template", fmt.Sprintf("https://%v/dns-query{?dns}", p.unbound.HTTPS), nil, "2"},
		{"unbound template, POST", fmt.Sprintf("https://%v/dns-query{?dns}", p.unbound.HTTPS), []string{`method = "post"`}, "2"},
		{"coredns POST", fmt.Sprintf("https://%v", coredns.HTTPS), nil, "2"},
		{"coredns template", fmt.Sprintf("https://%v/dns-query{?dns}", coredns.HTTPS), nil, "2"},
		{"coredns HTTP/3", fmt.Sprintf("h3://%v", coredns.HTTPS3), nil, "3"},
		{"coredns HTTP/3 template", fmt.Sprintf("h3://%v/dns-query{?dns}", coredns.HTTPS3), nil, "3"},
		{"dnsproxy POST", fmt.Sprintf("https://%v/dns-query", p.dnsproxy.HTTPS), nil, "2"},
		{"dnsproxy GET", fmt.Sprintf("https://%v/dns-query", p.dnsproxy.HTTPS), []string{`method = "get"`}, "2"},
		{"dnsproxy HTTP/3", fmt.Sprintf("h3://%v", p.dnsproxy.HTTPS), nil, "3"},
		{"dnsproxy HTTP/3 GET", fmt.Sprintf("h3://%v", p.dnsproxy.HTTPS), []string{`method = "get"`}, "3"},
		{"dnsproxy HTTP/3 by key", fmt.Sprintf("https://%v", p.dnsproxy.HTTPS), []string{`http3 = "only"`}, "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := rig.Upstream{URL: c.url, TLSName: rig.ServerName, CAFile: p.authority.CAFile, Settings: c.settings}
			proxy := startProxy(t, "", upstream)
			questions := [][]string{{"www.zone.example", "A"}, {"nowhere.zone.example", "A"}, {"www.zone.example", "TXT"}, {"+tcp", "huge.zone.example", "TXT"}}
			if strings.HasPrefix(c.name, "coredns HTTP/3") {
				questions[3] = []string{"zone.example", "MX"} // CoreDNS 1.15 cuts answers over HTTP/3 to the size for UDP
			}
			for _, question := range questions {
				want := rig.Dig(t, p.unbound.Do53, append([]string{"+tcp"}, question...)...)
				got := rig.Dig(t, proxy.Addr, question...)
				if got.Status != want.Status || !slices.Equal(got.Data(), want.Data()) {
					t.Errorf("%v: got %s with %d records, want %s %.300v", question, got.Status, len(got.Data()), want.Status, want.Data())
				}
			}
			metrics := proxy.Metrics(t)
			if got := metrics.Sum(t, metricHTTPResponses, `class="2xx"`); got < 4 || got != metrics.Sum(t, metricHTTPResponses) {
				t.Errorf("%v good responses of %v", got, metrics.Sum(t, metricHTTPResponses))
			}
			if got := metrics.Sum(t, metricHTTPConnections, fmt.Sprintf("version=%q", c.version)); got < 1 || got != metrics.Sum(t, metricHTTPConnections) {
				t.Errorf("%v connections over HTTP/%s of %v", got, c.version, metrics.Sum(t, metricHTTPConnections))
			}
		})
	}
}

// TestHTTP3Probe: with http3 = "probe" a server that speaks both is asked over HTTP/3 soon, one that speaks HTTP/2 only over that, and
// no query is lost; a restart of the server in between neither.
func TestHTTP3Probe(t *testing.T) {
	p := startPeers(t)
	coredns := rig.NewCoreDNS(t, corednsBinary, p.certificate, p.unbound.Do53)
	start := func(url string) *rig.Proxy {
		return startProxy(t, "", rig.Upstream{URL: url, TLSName: rig.ServerName, CAFile: p.authority.CAFile, Settings: []string{`http3 = "probe"`}})
	}
	over := func(proxy *rig.Proxy, version string) bool {
		return proxy.Metrics(t).Sum(t, metricHTTPConnections, fmt.Sprintf("version=%q", version)) > 0
	}
	t.Run("both", func(t *testing.T) {
		proxy := start(fmt.Sprintf("https://%v", p.dnsproxy.HTTPS))
		rig.Eventually(t, recoveryMax, "HTTP/3 alone", func() bool {
			if got := rig.Dig(t, proxy.Addr, freshName()); got.Status != "NOERROR" {
				t.Errorf("got %s, want an answer", got.Status)
			}
			return over(proxy, "3") && !over(proxy, "2")
		})
		checkLoad(t, rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 2000), Rounds: 1, Timeout: 10}.Run(t))
		if lines := proxy.LogLines("HTTP/3 works"); len(lines) != 1 {
			t.Errorf("lines about the change: %q", lines)
		}
		p.dnsproxy.Kill()
		p.dnsproxy.Start()
		// Nobody tells the proxy that its connection is forgotten: it finds out (timeouts.dead) and sends the query again.
		if got := rig.Dig(t, proxy.Addr, freshName()); got.Status != "NOERROR" {
			t.Errorf("first query after the restart: got %s, want an answer", got.Status)
		}
	})
	t.Run("no UDP", func(t *testing.T) {
		proxy := start(fmt.Sprintf("https://%v", coredns.HTTPS))
		checkLoad(t, rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 2000), Rounds: 1, Timeout: 10}.Run(t))
		rig.Eventually(t, recoveryMax, "HTTP/3 given up", func() bool {
			return proxy.Metrics(t).Sum(t, metricHTTPFallbacks) == 1 && len(proxy.LogLines("HTTP/3 does not work", "refused")) == 1
		})
		if over(proxy, "3") || !over(proxy, "2") {
			t.Error("not over HTTP/2")
		}
		if got := rig.Dig(t, proxy.Addr, freshName()); got.Status != "NOERROR" {
			t.Errorf("got %s, want an answer", got.Status)
		}
	})
}

// TestDoHRequests looks at requests from the server's side: the method and URL that the keys ask for; and at what a response's header does to
// TTLs.
func TestDoHRequests(t *testing.T) {
	authority := rig.NewAuthority(t)
	server := startWeb(t, authority.Issue(rig.Leaf{}))
	for _, c := range []struct {
		path     string
		settings []string
		want     string // method and URL up to the query
		ttl      int    // of 3600
		header   http.Header
	}{
		{"/dns-query", nil, "POST /dns-query", 3600, nil},
		{"/dns-query", []string{`method = "post"`}, "POST /dns-query", 3600, http.Header{"Cache-Control": {"max-age=3600"}}},
		{"/dns-query", []string{`method = "get"`}, "GET /dns-query?dns=AAA", 3500, http.Header{"Age": {"100"}}},
		{"/dns-query{?dns}", nil, "GET /dns-query?dns=AAA", 60, http.Header{"Cache-Control": {"max-age=60"}}},
		{"/q?a=b{&dns}", []string{`method = "auto"`}, "GET /q?a=b&dns=AAA", 50, http.Header{"Cache-Control": {"max-age=60"}, "Age": {"10"}}},
		{"/q?a=b{&dns}", []string{`method = "post"`}, "POST /q?a=b", 0, http.Header{"Cache-Control": {"no-store"}}},
	} {
		t.Run(c.path+strings.Join(c.settings, ""), func(t *testing.T) {
			server.set(http.StatusOK, c.header)
			proxy := startProxy(t, "", rig.Upstream{
				URL: "https://" + server.addr + c.path, TLSName: rig.ServerName, CAFile: authority.CAFile, Settings: c.settings,
			})
			got := rig.Dig(t, proxy.Addr, "www.zone.example")
			if got.Status != "NOERROR" || got.TTL() != c.ttl {
				t.Errorf("got %s with TTL %d, want TTL %d", got.Status, got.TTL(), c.ttl)
			}
			if request := server.last(); !strings.HasPrefix(request, c.want) || strings.HasPrefix(c.want, "POST") && request != c.want {
				t.Errorf("request %s, want %s", request, c.want)
			}
		})
	}
}

// pausedMax is how many requests a server may get that has asked the worker's lane for a pause: the first of a probe's own lane, and what it
// sends before it has the answer.
const pausedMax = 3

// TestDoHStatus: what is wrong with an upstream's URL is in the log once, with its name and the status, whatever is asked.
func TestDoHStatus(t *testing.T) {
	authority := rig.NewAuthority(t)
	certificate := authority.Issue(rig.Leaf{})
	unbound := rig.NewUnbound(t, certificate)
	server := startWeb(t, certificate)
	for _, c := range []struct {
		name, url string
		status    int
		reason    string
	}{
		{"path that unbound does not have", fmt.Sprintf("https://%v/wrong", unbound.HTTPS), 0, "HTTP status 404"},
		{"redirect", "https://" + server.addr, http.StatusFound, "HTTP status 302 Found: redirects are not followed"},
		{"forbidden", "https://" + server.addr, http.StatusForbidden, "HTTP status 403 Forbidden"},
		{"unavailable", "https://" + server.addr, http.StatusServiceUnavailable, "asks for a pause"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server.set(c.status, http.Header{"Location": {"https://elsewhere.example/"}, "Retry-After": {"120"}})
			proxy := startProxy(t, "", rig.Upstream{URL: c.url, TLSName: rig.ServerName, CAFile: authority.CAFile})
			allServfail(t, proxy)
			checkStateLines(t, proxy, c.url, c.reason)
			if c.status != http.StatusServiceUnavailable {
				return
			}
			asked := server.count() // those that were on their way when the pause was asked for
			allServfail(t, proxy)
			if more := server.count() - asked; more > pausedMax {
				t.Errorf("%d requests to a server that had asked for a pause", more)
			}
		})
	}
}

// web is a DoH server of net/http's that says what a test wants: no real peer can be made to.
type web struct {
	addr string

	mu       sync.Mutex
	status   int
	header   http.Header
	requests []string
}

func startWeb(t *testing.T, certificate rig.Certificate) *web {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate.ChainFile, certificate.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &web{addr: listener.Addr().String()}
	server := &http.Server{
		Handler: s, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(listener, "", "")
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return s
}

// set says how requests are answered from now on, and forgets those before.
func (s *web) set(status int, header http.Header) {
	s.mu.Lock()
	s.status, s.header, s.requests = status, header, nil
	s.mu.Unlock()
}

func (s *web) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) == 0 {
		return ""
	}
	return s.requests[len(s.requests)-1]
}

func (s *web) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// ServeHTTP answers with the address 192.0.2.9, TTL 3600.
func (s *web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	status, header := s.status, s.header
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	s.mu.Unlock()
	for name, values := range header {
		w.Header()[name] = values
	}
	wire, err := base64.RawURLEncoding.DecodeString(r.URL.Query().Get("dns"))
	if r.Method == http.MethodPost {
		wire, err = io.ReadAll(r.Body)
	}
	query := new(dns.Msg)
	if err != nil || query.Unpack(wire) != nil {
		http.Error(w, "no DNS message", http.StatusBadRequest)
		return
	}
	reply := new(dns.Msg).SetReply(query)
	reply.Answer = []dns.RR{&dns.A{
		Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600}, A: net.IPv4(192, 0, 2, 9),
	}}
	body, err := reply.Pack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/dns-message")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
