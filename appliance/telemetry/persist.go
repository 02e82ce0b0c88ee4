package telemetry

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Kept counts what is done so that the cache outlives the process. Any goroutine.
type Kept struct {
	Written, Failed              atomic.Uint64 // files
	Answers, Bytes               atomic.Uint64 // of the last file that was written
	At                           atomic.Int64  // when that was, ns since 1970; 0: never
	Took                         atomic.Int64  // ns
	Loaded, Expired, Known, Lost atomic.Uint64 // answers by what became of them when a file was read
	Damaged                      atomic.Uint64 // files that were not read to their end
}

// AddKept puts it on the page.
func AddKept(set *metrics.Set, k *Kept) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		p := new(page)
		p.begin("sdp_cache_dumps_total", "counter", "Files that the cache was to be written to, by result.")
		p.counter(k.Written.Load(), "result", "written")
		p.counter(k.Failed.Load(), "result", "failed")
		p.level("sdp_cache_dump_answers", "Answers in the file that was last written; one that several workers have counts for each.", k.Answers.Load())
		p.level("sdp_cache_dump_bytes", "Length of that file.", k.Bytes.Load())
		p.ratio("sdp_cache_dump_duration_seconds", "How long writing it took.", time.Duration(k.Took.Load()).Seconds())
		p.ratio("sdp_cache_dump_timestamp_seconds", "When it was written, since 1970; 0: never.", time.Duration(k.At.Load()).Seconds())
		p.begin("sdp_cache_loads_total", "counter", "Answers in files that were read, by what became of them: loaded, expired, known (a younger one was there), or lost (pool gone, not cached, or damaged).")
		p.counter(k.Loaded.Load(), "result", "loaded")
		p.counter(k.Expired.Load(), "result", "expired")
		p.counter(k.Known.Load(), "result", "known")
		p.counter(k.Lost.Load(), "result", "lost")
		p.count("sdp_cache_damaged_files_total", "Files that were not read to their end because they were damaged or of another kind.", k.Damaged.Load())
		p.writeTo(w)
	})
}
