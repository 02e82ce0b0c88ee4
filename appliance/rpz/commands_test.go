package rpz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/control"
	"secure-dns-proxy/worker/rpz"
)

// TestCommands: the list, what fits a name or an address, and refreshing, over the socket.
func TestCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.zone")
	const fileSOA = "@ 300 SOA a. b. 7 3600 3600 86400 60\n"
	soa := func(serial int) string {
		return fmt.Sprintf("rpz.test. 300 SOA ns.rpz.test. hostmaster.rpz.test. %d 3600 3600 86400 60", serial)
	}
	p := newPrimary(t)
	p.says(dns.TypeAXFR, soa(1), "other.rpz.test. 60 CNAME .", soa(1))
	second := p.zone()
	first := Zone{Name: "file.test.", File: path, Override: rpz.Disabled}
	write(t, path, fileSOA+"bad CNAME .\n*.bad CNAME *.\n32.1.2.0.192.rpz-client-ip CNAME rpz-drop.\n")
	k, g, _ := keeper(t, &Config{Zones: []Zone{first, second}})
	eventually(t, "the zone is transferred", func() bool { return g.action("other.") == rpz.NXDomain })

	socket := filepath.Join(t.TempDir(), "control.sock")
	server, err := control.Listen(socket, control.Own())
	if err != nil {
		t.Fatal(err)
	}
	k.Handle(server, func(tag int) uint64 { return uint64(10 + tag) })
	server.Serve(slog.New(slog.DiscardHandler))
	c := control.NewClient(socket)
	t.Cleanup(func() { c.Close(); server.Close() })
	ctx := context.Background()
	list := func() (zones []control.Zone) {
		if err := c.Do(ctx, "GET", "/v1/zones", nil, &zones); err != nil {
			t.Fatal(err)
		}
		return zones
	}
	zones := list()
	if len(zones) != 2 || zones[0].Policy != "disabled" || zones[0].Source != path || zones[0].Triggers["qname"] != 2 || zones[0].Triggers["client_ip"] != 1 || zones[0].Hits != 10 || !zones[0].InForce ||
		zones[1].Serial != 1 || zones[1].Source != second.Primaries[0].String() || zones[1].From != zones[1].Source || zones[1].Bytes == 0 || zones[1].Error != "" {
		t.Errorf("list: %+v", zones)
	}
	for what, want := range map[string][]control.ZoneHit{
		"X.bad":     {{Zone: "file.test.", Trigger: "qname", Owner: "*.bad.file.test.", Action: "disabled"}},
		"other.":    {{Zone: "rpz.test.", Trigger: "qname", Owner: "other.rpz.test.", Action: "nxdomain", Counts: true}},
		"192.0.2.1": {{Zone: "file.test.", Trigger: "client_ip", Owner: "32.1.2.0.192.rpz-client-ip.file.test.", Action: "disabled"}},
		"none.test": {},
	} {
		var hits []control.ZoneHit
		if err := c.Do(ctx, "GET", "/v1/zones/lookup?what="+what, nil, &hits); err != nil || !reflect.DeepEqual(hits, want) {
			t.Errorf("%s: %v, %+v, want %+v", what, err, hits, want)
		}
	}

	write(t, path, fileSOA+"bad CNAME\n")
	if err := c.Do(ctx, "POST", "/v1/zones/refresh", control.RefreshZones{Name: "FILE.test"}, new(any)); err == nil || !strings.Contains(err.Error(), "a.zone:2") {
		t.Errorf("a bad file: %v", err)
	}
	if z := list()[0]; !strings.Contains(z.Error, "a.zone:2") || z.ErrorTime.IsZero() || !z.InForce {
		t.Errorf("after a bad file: %+v", z)
	}
	write(t, path, fileSOA+"good CNAME .\n")
	p.says(dns.TypeSOA, soa(2))
	p.says(dns.TypeIXFR, soa(2), "newer.rpz.test. 60 CNAME .", soa(2))
	var done control.ZonesRefreshed
	if err := c.Do(ctx, "POST", "/v1/zones/refresh", control.RefreshZones{All: true}, &done); err != nil ||
		!reflect.DeepEqual(done, control.ZonesRefreshed{Read: []string{"file.test."}, Asking: []string{"rpz.test."}}) {
		t.Errorf("refreshed: %+v, %v", done, err)
	}
	if z := list()[0]; z.Error != "" || z.Triggers["qname"] != 1 {
		t.Errorf("after a good one: %+v", z)
	}
	eventually(t, "the primary's newer zone is in force", func() bool { return g.action("newer.") == rpz.NXDomain })
	p.goes(true)
	if err := c.Do(ctx, "POST", "/v1/zones/refresh", control.RefreshZones{Name: "rpz.test"}, &done); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the list tells that the primary is gone", func() bool { return strings.Contains(list()[1].Error, "primary "+second.Primaries[0].String()) })

	var refusal *control.Error
	for arguments, status := range map[control.RefreshZones]int{{}: 400, {Name: "a", All: true}: 400, {Name: "none.test"}: 404} {
		if err := c.Do(ctx, "POST", "/v1/zones/refresh", arguments, new(any)); !errors.As(err, &refusal) || refusal.Status != status {
			t.Errorf("%+v: %v, want %d", arguments, err, status)
		}
	}
	if err := c.Do(ctx, "GET", "/v1/zones/lookup?what=a..b", nil, new(any)); !errors.As(err, &refusal) || refusal.Status != 400 {
		t.Errorf("no name: %v", err)
	}
}
