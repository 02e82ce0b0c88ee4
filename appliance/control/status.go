package control

import "time"

// DefaultSocket is where the systemd unit and the example configuration have the socket.
const DefaultSocket = "/run/secure-dns-proxy/control.sock"

// Status is what is running.
type Status struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Since   time.Time `json:"since"`
	Config  string    `json:"config"` // the file; empty: the embedded default

	Engine         string   `json:"engine"`
	EngineReason   string   `json:"engine_reason,omitempty"` // why it is not io_uring
	Steering       string   `json:"steering"`
	Workers        int      `json:"workers"`
	Listen         []string `json:"listen"`
	ReloadsApplied uint64   `json:"reloads_applied"`
	ReloadsRefused uint64   `json:"reloads_refused"`

	Queries  uint64   `json:"queries"`
	Hits     uint64   `json:"hits"`
	Misses   uint64   `json:"misses"`
	Failed   uint64   `json:"failed"`
	Shed     uint64   `json:"shed"`
	InFlight uint64   `json:"in_flight"`
	Waiters  uint64   `json:"waiters"`
	TCPOpen  uint64   `json:"tcp_open"`
	Cache    CacheUse `json:"cache"`
}

// CacheUse is how full the cache is, all workers together.
type CacheUse struct {
	Entries uint64 `json:"entries"`
	Bytes   uint64 `json:"bytes"`
}

// Upstream is one that is asked, all workers together. Counters are since its endpoint was first used.
type Upstream struct {
	Name        string        `json:"name"`
	State       string        `json:"state"`
	Reason      string        `json:"reason,omitempty"` // of its last failure
	Share       float64       `json:"share"`            // of its queries that it gets while it comes back: 1 = all
	Queries     uint64        `json:"queries"`
	Answers     uint64        `json:"answers"`
	Failures    uint64        `json:"failures"` // exchanges without an answer that was good
	InFlight    uint64        `json:"in_flight"`
	Connections uint64        `json:"connections"`
	P50         time.Duration `json:"p50_ns"` // latency of its answers
	P99         time.Duration `json:"p99_ns"`
}
