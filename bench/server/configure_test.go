package server

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"secure-dns-proxy/bench/trust"
)

func setup(scheme Scheme) Setup {
	return Setup{
		Dir: "/run/x", Listen: netip.MustParseAddrPort("127.0.0.1:5301"), Control: netip.MustParseAddrPort("127.0.0.1:5302"),
		CPUs: []int{2, 3}, Workers: 2, Cache: Cache{Entries: 100_000},
		Upstream: Upstream{Scheme: scheme, Addr: netip.MustParseAddrPort("127.0.0.1:5303"), Name: "backend.bench.example", CAFile: "/run/ca.pem"},
	}
}

// Every program gets what makes the comparison fair: the address, the backend, the cache, the workers.
func TestConfigure(t *testing.T) {
	for _, c := range []struct {
		id     string
		scheme Scheme
		want   []string
		not    []string
	}{
		{URing, UDP, []string{`listen = ["127.0.0.1:5301"]`, `backend = "uring"`, "count = 2", "cpus = [2, 3]", `url = "udp://127.0.0.1:5303"`}, []string{"tls_name"}},
		{Mmsg, TLS, []string{`backend = "mmsg"`, `url = "tls://127.0.0.1:5303"`, `tls_name = "backend.bench.example"`, `ca_file = "/run/ca.pem"`}, nil},
		{URing, HTTPS, []string{`url = "https://127.0.0.1:5303/dns-query"`}, nil},
		{
			DnsdistTuned, UDP,
			[]string{
				"setUDPMultipleMessagesVectorSize(64)", "setRingBuffersSize(1, 1)", "sockets=8", "newPacketCache(100000)", "setMaxTCPClientThreads(2)",
				`addLocal("127.0.0.1:5301", {reusePort=true, cpus={2}`, `addLocal("127.0.0.1:5301", {reusePort=true, cpus={3}`, `setSecurityPollSuffix("")`,
			},
			[]string{"tls="},
		},
		{DnsdistTuned, TLS, []string{`address="127.0.0.1:5303"`, `tls="openssl"`, `subjectName="backend.bench.example"`, "maxInFlight=2048"}, nil},
		{
			Dnsdist, UDP,
			[]string{`setLocal("127.0.0.1:5301")`, "newPacketCache(100000)", `setSecurityPollSuffix("")`},
			[]string{"VectorSize", "RingBuffers", "sockets=", "maxInFlight", "reusePort"},
		},
		{Unbound, TLS, []string{"forward-addr: 127.0.0.1@5303#backend.bench.example", "forward-tls-upstream: yes", "tls-cert-bundle", "num-threads: 2", `module-config: "iterator"`}, nil},
		{CoreDNS, TCP, []string{".:5301 {", "success 100000", "forward . 127.0.0.1:5303", "force_tcp"}, []string{"tls"}},
		{CoreDNS, TLS, []string{"tls://127.0.0.1:5303", "tls /run/ca.pem", "tls_servername backend.bench.example"}, nil},
		{DNSProxy, QUIC, []string{"--upstream=quic://127.0.0.1:5303", "--cache-size=67108864", "--port=5301"}, nil},
		{Echo, UDP, []string{"-listen 127.0.0.1:5301 -cpu 2,3"}, nil},
	} {
		got := text(t, c.id, setup(c.scheme))
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s over %s: no %q in\n%s", c.id, c.scheme, want, got)
			}
		}
		for _, not := range c.not {
			if strings.Contains(got, not) {
				t.Errorf("%s over %s: %q in\n%s", c.id, c.scheme, not, got)
			}
		}
	}
}

func TestConfigureCannot(t *testing.T) {
	for id, schemes := range map[string][]Scheme{DnsdistTuned: {QUIC}, Dnsdist: {QUIC}, Unbound: {QUIC, HTTPS}, CoreDNS: {QUIC, HTTPS}} {
		for _, scheme := range schemes {
			if _, err := program(id).Configure(setup(scheme)); !errors.Is(err, ErrCannot) {
				t.Errorf("%s over %s: got %v, want %v", id, scheme, err, ErrCannot)
			}
		}
	}
}

// A tight cache has the same bytes for every program that counts them.
func TestTightCache(t *testing.T) {
	s := setup(UDP)
	s.Cache = Cache{Entries: 100_000, Bytes: 15_100_000}
	for id, want := range map[string]string{
		URing: "bytes = 15100000", DnsdistTuned: "newPacketCache(100000)", CoreDNS: "success 100000", DNSProxy: "--cache-size=15100000",
		Unbound: "msg-cache-size: 5033333\n    rrset-cache-size: 10066666",
	} {
		if got := text(t, id, s); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in\n%s", id, want, got)
		}
	}
}

// The programs themselves accept what is written for them, as far as they can check it without running.
func TestProgramsAccept(t *testing.T) {
	for _, c := range []struct {
		id, binary string
		check      []string
	}{
		{DnsdistTuned, "dnsdist", []string{"--check-config", "-C", "dnsdist.conf"}},
		{Dnsdist, "dnsdist", []string{"--check-config", "-C", "dnsdist.conf"}},
		{Unbound, "unbound-checkconf", []string{"unbound.conf"}},
	} {
		path, err := lookPath(c.binary)
		if err != nil {
			t.Errorf("%s: %v; make bench installs it", c.id, err)
			continue
		}
		for _, scheme := range []Scheme{UDP, TCP, TLS, HTTPS} {
			s := setup(scheme)
			s.Dir = t.TempDir()
			files, err := trust.Issue(s.Dir)
			if err != nil {
				t.Fatal(err)
			}
			s.Upstream.CAFile = files.CA
			launch, err := program(c.id).Configure(s)
			if errors.Is(err, ErrCannot) {
				continue
			}
			for name, text := range launch.Files {
				if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			command := exec.Command(path, c.check...)
			command.Dir = s.Dir
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%s over %s: %v\n%s", c.id, scheme, err, out)
			}
		}
	}
}

func program(id string) *Program {
	for _, p := range catalogue() {
		if p.ID == id {
			return &p
		}
	}
	return nil
}

func text(t *testing.T, id string, s Setup) string {
	t.Helper()
	launch, err := program(id).Configure(s)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	all := strings.Join(launch.Arguments, " ") + "\n"
	for _, file := range launch.Files {
		all += file
	}
	return all
}

func TestCatalogue(t *testing.T) {
	for i, p := range catalogue() {
		if p.ID != All()[i] || p.Title == "" || p.Configure == nil {
			t.Errorf("program %d: got %q, want %q with a title and a configuration", i, p.ID, All()[i])
		}
	}
}
