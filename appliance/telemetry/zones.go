package telemetry

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/appliance/rpz"
	"secure-dns-proxy/worker"
	policy "secure-dns-proxy/worker/rpz"
)

// AddZones puts the response policy zones on the page. reports is Keeper.Reports, hits Group.ZoneStats.
func AddZones(set *metrics.Set, reports func() ([]rpz.Report, uint64), hits func() worker.ZoneStats) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		list, refused := reports()
		if len(list) == 0 {
			return
		}
		p, stats := new(page), hits()
		p.zones(list)
		p.begin("sdp_rpz_hits_total", "counter", "Queries that a trigger of the zone fitted, by what was done; disabled: by a zone that does nothing.")
		for i := range list {
			r := &list[i]
			for action := policy.NXDomain; int(action) < policy.Actions; action++ {
				p.counter(stats.Hits[r.Tag][action], "zone", r.Name, "action", action.String())
			}
			p.counter(stats.Disabled[r.Tag], "zone", r.Name, "action", "disabled")
		}
		p.count("sdp_rpz_notifies_refused_total", "NOTIFYs of others than primaries, about other zones, or without the key's signature.", refused)
		p.writeTo(w)
	})
}

// zones is what is known of each zone.
func (p *page) zones(list []rpz.Report) {
	p.begin("sdp_rpz_in_force", "gauge", "1 if the zone is there and has not expired.")
	each(list, func(r *rpz.Report) { p.gauge(one(r.InForce), "zone", r.Name) })
	p.begin("sdp_rpz_serial", "gauge", "Serial of the zone in force.")
	each(list, func(r *rpz.Report) { p.gauge(uint64(r.Serial), "zone", r.Name) })
	p.begin("sdp_rpz_age_seconds", "gauge", "Since the zone was last known to be the newest: read from its file, or its primary has said so.")
	each(list, func(r *rpz.Report) { p.gauge(uint64(r.Age.Seconds()), "zone", r.Name) })
	p.begin("sdp_rpz_bytes", "gauge", "Memory that the zone takes; an upper estimate for addresses.")
	each(list, func(r *rpz.Report) { p.gauge(uint64(r.Bytes), "zone", r.Name) })
	p.begin("sdp_rpz_triggers", "gauge", "Triggers of the zone by kind.")
	each(list, func(r *rpz.Report) {
		for t, n := range r.Triggers {
			p.gauge(uint64(n), "zone", r.Name, "kind", policy.Trigger(t).String())
		}
	})
	p.begin("sdp_rpz_records_left_out", "gauge", "Records of the zone that are no triggers: useless are name servers and signatures, wrong what a primary sent that is no policy.")
	each(list, func(r *rpz.Report) {
		p.gauge(uint64(r.Ignored), "zone", r.Name, "reason", "useless")
		p.gauge(r.Skipped, "zone", r.Name, "reason", "wrong")
	})
	p.begin("sdp_rpz_loads_total", "counter", "Times that a zone was read or asked for, by result: file, file_refused, axfr, ixfr, up_to_date, transfer_failed.")
	each(list, func(r *rpz.Report) {
		for _, c := range []struct {
			result string
			n      uint64
		}{
			{"file", r.Loaded}, {"file_refused", r.Rejected}, {"axfr", r.Full}, {"ixfr", r.Incremental}, {"up_to_date", r.UpToDate}, {"transfer_failed", r.Failed},
		} {
			p.counter(c.n, "zone", r.Name, "result", c.result)
		}
	})
	p.begin("sdp_rpz_notifies_total", "counter", "NOTIFYs of the zone's primaries.")
	each(list, func(r *rpz.Report) { p.counter(r.Notified, "zone", r.Name) })
	p.begin("sdp_rpz_expired_total", "counter", "Times that the zone was taken out of force because no primary could be asked for too long.")
	each(list, func(r *rpz.Report) { p.counter(r.Expired, "zone", r.Name) })
	p.begin("sdp_rpz_copies_failed_total", "counter", "Times that the last good copy could not be written.")
	each(list, func(r *rpz.Report) { p.counter(r.CopyLost, "zone", r.Name) })
}

// each calls do for every zone.
func each(list []rpz.Report, do func(*rpz.Report)) {
	for i := range list {
		do(&list[i])
	}
}
