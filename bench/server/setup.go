package server

import (
	"errors"
	"net/netip"
)

// ErrCannot says that a program has no way to do what a Setup asks.
var ErrCannot = errors.New("cannot")

// Scheme is how the backend is asked, as in this proxy's URLs.
type Scheme string

const (
	UDP   Scheme = "udp"
	TCP   Scheme = "tcp"
	TLS   Scheme = "tls"
	QUIC  Scheme = "quic"
	HTTPS Scheme = "https"
)

// Upstream is the backend.
type Upstream struct {
	Scheme Scheme
	Addr   netip.AddrPort
	Name   string // in its certificate
	CAFile string
}

// Cache is how much a program may keep.
type Cache struct {
	Entries int
	// Bytes for programs that count bytes; 0: enough for Entries, by what the program takes for a short answer.
	Bytes int64
}

// bytes for programs that count bytes and take perEntry of them for a short answer.
func (c Cache) bytes(perEntry int64) int64 {
	if c.Bytes > 0 {
		return c.Bytes
	}
	return max(cacheBytesMin, int64(c.Entries)*perEntry)
}

// Setup is what a scenario asks of any program.
type Setup struct {
	Dir      string // for configuration and log, exists and is empty
	Listen   netip.AddrPort
	Control  netip.AddrPort // metrics of programs that have them
	CPUs     []int          // that the process is confined to
	Workers  int            // threads that serve clients, where the program lets one choose
	Upstream Upstream
	Cache    Cache
	Env      []string // NAME=value, added to the environment; of programs that read it
}

// Launch is a Setup in a program's own terms.
type Launch struct {
	Arguments []string
	Files     map[string]string // by name within Setup.Dir
}
