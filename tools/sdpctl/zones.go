package main

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"secure-dns-proxy/appliance/control"
)

type zonesCommand struct {
	List    listZones    `cmd:"" default:"1" help:"The response policy zones, in order, and how they are."`
	Lookup  lookUpZones  `cmd:"" help:"Which triggers fit a name or an address, and which of them counts."`
	Refresh refreshZones `cmd:"" help:"Ask a zone's primaries now, or read its file again."`
}

type listZones struct{}

func (listZones) Run(c *session) error {
	var list []control.Zone
	return c.do("GET", "/v1/zones", nil, &list, func(t *table) {
		t.row("ZONE", "SERIAL", "POLICY", "TRIGGERS", "BYTES", "HITS", "AGE", "SOURCE", "FROM", "LAST ERROR")
		for _, z := range list {
			serial, fault := "not in force", z.Error
			if z.InForce {
				serial = fmt.Sprint(z.Serial)
			}
			if fault != "" {
				fault = z.ErrorTime.Local().Format(time.DateTime) + " " + fault
			}
			t.row(z.Name, serial, z.Policy, triggersText(z.Triggers), z.Bytes, z.Hits, z.Age, z.Source, z.From, fault)
		}
	})
}

func triggersText(n map[string]int) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%s %d", kind, n[kind]))
	}
	return strings.Join(parts, ", ")
}

type lookUpZones struct {
	What string `arg:"" help:"A name, or an IP address: of a client, in an answer, of a name server."`
}

func (l lookUpZones) Run(c *session) error {
	var hits []control.ZoneHit
	return c.do("GET", "/v1/zones/lookup?"+url.Values{"what": {l.What}}.Encode(), nil, &hits, func(t *table) {
		t.row("ZONE", "TRIGGER", "OWNER", "ACTION", "COUNTS")
		for _, h := range hits {
			counts := ""
			switch {
			case h.Counts && h.Later:
				counts = "unless the answer brings an earlier zone into play"
			case h.Counts:
				counts = "yes"
			}
			t.row(h.Zone, h.Trigger, h.Owner, h.Action, counts)
		}
		if len(hits) == 0 {
			t.row("(none fits)")
		}
	})
}

type refreshZones struct {
	Name string `arg:"" optional:"" help:"The zone."`
	All  bool   `help:"All zones."`
}

func (r refreshZones) Run(c *session) error {
	var done control.ZonesRefreshed
	return c.do("POST", "/v1/zones/refresh", control.RefreshZones(r), &done, func(t *table) {
		for _, name := range done.Read {
			t.row(name, "read again")
		}
		for _, name := range done.Asking {
			t.row(name, "its primaries are being asked")
		}
	})
}
