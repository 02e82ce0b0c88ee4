package telemetry

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/worker/policy/acl"
)

// notes is a log that a server may go on writing to.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

// TestGate: who is not on the list gets nothing, from the moment that the list is in force.
func TestGate(t *testing.T) {
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	log := new(notes)
	s.Serve(metrics.NewSet(), slog.New(slog.NewTextHandler(log, nil)))
	defer s.Close()
	scrape := func(from string) bool {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c := http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
		r, err := c.Get("http://" + s.Addr().String() + "/metrics")
		if err != nil {
			return false
		}
		_, err = io.Copy(io.Discard, r.Body)
		return err == nil && r.Body.Close() == nil && r.StatusCode == http.StatusOK
	}
	if !scrape("127.0.0.9") {
		t.Error("without a list not everybody may")
	}
	list, err := acl.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Allow(list)
	for range 3 {
		if scrape("127.0.0.9") {
			t.Error("a stranger may read the figures")
		}
	}
	if !scrape("127.0.0.1") {
		t.Error("who is listed may not")
	}
	if got := s.Denied(); got != 3 {
		t.Errorf("%d counted", got)
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if n := strings.Count(log.text.String(), "metrics: denied"); n != 1 {
		t.Errorf("%d lines:\n%s", n, log.text.String())
	}
}
