package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/worker"
)

// page is one scrape in the making: families one after the other, each with its HELP and TYPE once.
type page struct {
	out    bytes.Buffer
	family string
}

// begin starts a family.
func (p *page) begin(name, kind, help string) {
	p.family = name
	fmt.Fprintf(&p.out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// counter writes one series of the family; labels are name, value pairs.
func (p *page) counter(value uint64, labels ...string) {
	metrics.WriteCounterUint64(&p.out, series(p.family, labels), value)
}

func (p *page) gauge(value uint64, labels ...string) {
	metrics.WriteGaugeUint64(&p.out, series(p.family, labels), value)
}

func (p *page) gaugeFloat(value float64, labels ...string) {
	metrics.WriteGaugeFloat64(&p.out, series(p.family, labels), value)
}

// summary writes the sum, in nanoseconds, and the count of a family without quantiles.
func (p *page) summary(count, sumNS uint64, labels ...string) {
	metrics.WriteCounterFloat64(&p.out, series(p.family+"_sum", labels), time.Duration(sumNS).Seconds())
	metrics.WriteCounterUint64(&p.out, series(p.family+"_count", labels), count)
}

// count is a family of one counter.
func (p *page) count(name, help string, value uint64) {
	p.begin(name, "counter", help)
	p.counter(value)
}

// level is a family of one gauge.
func (p *page) level(name, help string, value uint64) {
	p.begin(name, "gauge", help)
	p.gauge(value)
}

// ratio is a family of one gauge that is no whole number.
func (p *page) ratio(name, help string, value float64) {
	p.begin(name, "gauge", help)
	metrics.WriteGaugeFloat64(&p.out, name, value)
}

// histogram writes the series of one histogram, with a bucket for every step-th bound of the worker's.
func (p *page) histogram(h *worker.Histogram, step int, labels ...string) {
	var total uint64
	for i, n := range h.Count {
		total += n
		if i%step == step-1 && i < worker.LatencyBuckets-1 { // the last one holds all that is longer: +Inf only
			le := fmt.Sprintf("%g", worker.LatencyBound(i).Seconds())
			metrics.WriteCounterUint64(&p.out, series(p.family+"_bucket", append(labels[:len(labels):len(labels)], "le", le)), total)
		}
	}
	metrics.WriteCounterUint64(&p.out, series(p.family+"_bucket", append(labels[:len(labels):len(labels)], "le", "+Inf")), total)
	metrics.WriteCounterFloat64(&p.out, series(p.family+"_sum", labels), (time.Duration(h.SumNS) * time.Nanosecond).Seconds())
	metrics.WriteCounterUint64(&p.out, series(p.family+"_count", labels), total)
}

func (p *page) writeTo(w io.Writer) { _, _ = w.Write(p.out.Bytes()) } // to a buffer of the metrics package

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// series writes name{label="value",...}.
func series(name string, labels []string) string {
	if len(labels) == 0 {
		return name
	}
	var b strings.Builder
	b.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		b.WriteByte(sep)
		b.WriteString(labels[i] + `="` + escape.Replace(labels[i+1]) + `"`)
	}
	b.WriteByte('}')
	return b.String()
}
