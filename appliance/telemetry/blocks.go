package telemetry

import (
	"io"
	"maps"
	"slices"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/appliance/blocks"
)

// AddBlocks puts the list of dynamic blocks on the page; the kernel drops on so many interfaces.
func AddBlocks(set *metrics.Set, keeper *blocks.Keeper, interfaces int) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		p, totals := new(page), keeper.Totals()
		p.begin("sdp_blocks", "gauge", "Sources and names that are blocked now.")
		var sources, names uint64
		for _, b := range keeper.List() {
			if b.Prefix.IsValid() {
				sources++
			} else {
				names++
			}
		}
		p.gauge(sources, "of", "source")
		p.gauge(names, "of", "name")
		p.begin("sdp_blocks_added_total", "counter", "Blocks by the rule that they came from, or operator.")
		for _, by := range slices.Sorted(maps.Keys(totals.Added)) {
			p.counter(totals.Added[by], "by", by)
		}
		p.begin("sdp_blocks_queries_total", "counter", "Queries that were blocked, by the same.")
		for _, by := range slices.Sorted(maps.Keys(totals.Blocked)) {
			p.counter(totals.Blocked[by], "by", by)
		}
		p.level("sdp_blocks_kernel_interfaces", "Interfaces on which the kernel drops what blocked sources send; see blocks.kernel_interfaces.", uint64(interfaces))
		p.count("sdp_blocks_kernel_drops_total", "Packets that it dropped; they are among the queries above.", totals.Early)
		p.count("sdp_blocks_list_full_total", "Findings of rules that the list of blocks had no room for.", totals.Full)
		p.begin("sdp_blocks_kept_writes_total", "counter", "Attempts to write the list of blocks to blocks.persist.")
		p.counter(totals.Saved, "result", "written")
		p.counter(totals.Unsaved, "result", "failed")
		p.count("sdp_blocks_restored_total", "Blocks and pardons of an earlier process that were put in force again.", totals.Restored)
		p.writeTo(w)
	})
}
