package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/appliance/control"
)

// TestZones: what is asked for, and what is printed.
func TestZones(t *testing.T) {
	var asked string
	var refreshed control.RefreshZones
	path := proxy(t, func(s *control.Server) {
		s.Handle("GET /v1/zones", func(context.Context, *control.Request) (any, error) {
			return []control.Zone{
				{Name: "a.test.", InForce: true, Serial: 7, Triggers: map[string]int{"qname": 2, "ip": 1}, Bytes: 99, Policy: "given", Source: "/a.zone", From: "/a.zone", Age: 90 * time.Second, Hits: 5},
				{Name: "b.test.", Policy: "disabled", Source: "192.0.2.1:53", Error: "refused", ErrorTime: time.Unix(0, 0)},
			}, nil
		})
		s.Handle("GET /v1/zones/lookup", func(_ context.Context, r *control.Request) (any, error) {
			if asked = r.Query("what"); asked == "none" {
				return []control.ZoneHit{}, nil
			}
			return []control.ZoneHit{{Zone: "a.test.", Trigger: "qname", Owner: "*.x.a.test.", Action: "drop", Counts: true}, {Zone: "b.test.", Trigger: "qname", Owner: "y.x.b.test.", Action: "nxdomain"}}, nil
		})
		s.Handle("POST /v1/zones/refresh", func(_ context.Context, r *control.Request) (any, error) {
			refreshed = control.RefreshZones{}
			return control.ZonesRefreshed{Read: []string{"a.test."}, Asking: []string{"b.test."}}, r.Decode(&refreshed)
		})
	})
	at := time.Unix(0, 0).Local().Format(time.DateTime)
	for args, want := range map[string][]string{
		"zones":               {"a.test.  7             given     ip 1, qname 2  99     5     1m30s  /a.zone       /a.zone", "b.test.  not in force  disabled", at + " refused"},
		"zones lookup y.x":    {"a.test.  qname    *.x.a.test.  drop      yes\n", "b.test.  qname    y.x.b.test.  nxdomain  \n"},
		"zones lookup none":   {"(none fits)"},
		"zones refresh":       {"a.test.  read again\n", "b.test.  its primaries are being asked\n"},
		"zones refresh b.t":   {"read again"},
		"zones refresh --all": {"read again"},
	} {
		asked, refreshed = "", control.RefreshZones{}
		out, _ := sdpctl(t, exitDone, append([]string{"--socket", path}, strings.Fields(args)...)...)
		for _, part := range want {
			if !strings.Contains(out, part) {
				t.Errorf("%s: %q is not in\n%s", args, part, out)
			}
		}
		switch args {
		case "zones lookup y.x":
			if asked != "y.x" {
				t.Errorf("asked for %q", asked)
			}
		case "zones refresh b.t":
			if refreshed != (control.RefreshZones{Name: "b.t"}) {
				t.Errorf("refreshed %+v", refreshed)
			}
		case "zones refresh --all":
			if refreshed != (control.RefreshZones{All: true}) {
				t.Errorf("refreshed %+v", refreshed)
			}
		}
	}
}
