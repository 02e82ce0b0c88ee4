package appliance

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

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

// TestWhoMayReadAndCommand: metrics.allow, and who owns the socket and may do what over it; lists change by a reload. The tests' own user may always.
func TestWhoMayReadAndCommand(t *testing.T) {
	const open = `upstream = "embedded:"` + "\ncontrol.mode = \"0600\"\ncontrol.group = \"4242\"\n"
	if os.Geteuid() != 0 {
		t.Skip("not root: no group to give the socket to")
	}
	p, c := commanded(t, open)
	info, err := os.Stat(p.checked.Control.Socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Gid != 4242 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	address := "http://" + p.metrics.Addr().String() + "/metrics"
	reads := func() bool {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		r, err := client.Get(address)
		return err == nil && r.Body.Close() == nil
	}
	if !reads() {
		t.Error("loopback may not read the figures")
	}
	text, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	writeConfig(t, p.file, string(text)+"metrics.allow = \"127.0.0.9\"\ncontrol.read_users = \"1\"\ncontrol.write_users = \"2\"\n")
	p.reload()
	if reads() || p.metrics.Denied() == 0 {
		t.Error("who is not listed may read the figures")
	}
	if err := c.Do(context.Background(), "GET", "/v1/status", nil, new(control.Status)); err != nil {
		t.Errorf("we may not ask ourselves: %v", err)
	}
	if a := p.checked.Control.Access(); a.Read.Users[0] != 1 || a.Write.Users[0] != 2 {
		t.Errorf("in force: %+v", a)
	}
}

// TestBlocksAreKept: what was blocked by hand is blocked by the next process.
func TestBlocksAreKept(t *testing.T) {
	text := "upstream = \"embedded:\"\nblocks.persist = \"" + filepath.Join(t.TempDir(), "blocks") + "\"\n"
	p, c := commanded(t, text)
	if err := c.Do(context.Background(), "POST", "/v1/blocks/add", control.AddBlock{Who: "www.demo.example", Action: "refuse"}, new(control.BlockDone)); err != nil {
		t.Fatal(err)
	}
	if err := p.drain(); err != nil {
		t.Fatal(err)
	}
	next, c := commanded(t, text)
	var list []control.Block
	if err := c.Do(context.Background(), "GET", "/v1/blocks", nil, &list); err != nil || len(list) != 1 || list[0].Who != "www.demo.example." || list[0].By != "operator" {
		t.Errorf("%+v, %v", list, err)
	}
	if got := next.ask(t, "udp", "www.demo.example."); got.Rcode != dns.RcodeRefused {
		t.Errorf("answered\n%v", got)
	}
	if next.metric(t, "sdp_blocks_restored_total") != "1" {
		t.Error("not counted")
	}
}
