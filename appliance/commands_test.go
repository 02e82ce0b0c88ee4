package appliance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"secure-dns-proxy/appliance/control"
)

// commanded starts a service with a control socket and returns a client of it.
func commanded(t *testing.T, text string) (*product, *control.Client) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	p := start(t, head+"control.socket = \""+path+"\"\n"+text)
	c := control.NewClient(path)
	t.Cleanup(c.Close)
	return p, c
}

// TestStatusAndUpstreams: what a query changes is seen over the socket, which is there only where it is configured.
func TestStatusAndUpstreams(t *testing.T) {
	p, c := commanded(t, `upstream = "embedded:"`)
	p.ask(t, "udp", "www.demo.example.")
	p.ask(t, "udp", "www.demo.example.")
	ctx := context.Background()
	await(t, "two queries, one of them a hit", func() bool {
		var s control.Status
		if err := c.Do(ctx, "GET", "/v1/status", nil, &s); err != nil {
			t.Fatal(err)
		}
		return s.Queries == 2 && s.Hits == 1 && s.Cache.Entries == 1 && s.PID == os.Getpid() && s.Engine == "mmsg" && s.Workers == 1 &&
			s.Config == p.file && len(s.Listen) == 1 && s.Listen[0] == p.listeners.Addrs()[0].String()
	})
	var list []control.Upstream
	if err := c.Do(ctx, "GET", "/v1/upstreams", nil, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Name != "embedded:tls" || list[0].Answers+list[1].Answers != 1 || list[0].State != "up" || list[0].Share != 1 ||
		list[0].P50+list[1].P50 == 0 {
		t.Errorf("upstreams: %+v", list)
	}
	if !strings.Contains(p.book.String(), "control="+p.checked.Control.Socket) {
		t.Error("the socket is not in the log's first line")
	}
	if got := p.metric(t, `sdp_control_requests_total{result="done"}`); got == "0" {
		t.Error("requests are not counted")
	}
}

func TestNoSocketUnlessConfigured(t *testing.T) {
	if p := start(t, head+`upstream = "embedded:"`); p.control != nil {
		t.Error("a control socket although none is configured")
	}
}
