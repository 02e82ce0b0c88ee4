package server

import "syscall"

// Program is one that can be measured.
type Program struct {
	ID      string
	Title   string // with what distinguishes it, for tables
	Path    string // of the binary
	Version string
	Missing string // why there is no binary to run; Path is empty then
	// Reload is the signal that makes it read its configuration again; 0: it has none.
	Reload syscall.Signal
	// Metrics tells that it serves this proxy's metrics at Setup.Control.
	Metrics bool
	// Forwards is false for the echo, which never asks the backend.
	Forwards bool
	// Configure turns a Setup into arguments and files; an error wraps ErrCannot.
	Configure func(Setup) (Launch, error)
}

// Engine is the same program, which is ours, with the engine of another ID of ours.
func (p *Program) Engine(id string) *Program {
	other := *p
	other.ID, other.Configure = id, proxy(id)
	return &other
}

// IDs in the order of every table.
const (
	URing        = "uring"
	Mmsg         = "mmsg"
	DnsdistTuned = "dnsdist-tuned"
	Dnsdist      = "dnsdist"
	Unbound      = "unbound"
	CoreDNS      = "coredns"
	DNSProxy     = "dnsproxy"
	Echo         = "echo"
)

// All IDs, in that order.
func All() []string {
	return []string{URing, Mmsg, DnsdistTuned, Dnsdist, Unbound, CoreDNS, DNSProxy, Echo}
}

// catalogue of programs that are not yet found.
func catalogue() []Program {
	return []Program{
		{ID: URing, Title: "secure-dns-proxy, io_uring", Reload: syscall.SIGHUP, Metrics: true, Forwards: true, Configure: proxy("uring")},
		{ID: Mmsg, Title: "secure-dns-proxy, recvmmsg", Reload: syscall.SIGHUP, Metrics: true, Forwards: true, Configure: proxy("mmsg")},
		{ID: DnsdistTuned, Title: "dnsdist, tuned", Forwards: true, Configure: dnsdist(true)},
		{ID: Dnsdist, Title: "dnsdist, as shipped", Forwards: true, Configure: dnsdist(false)},
		{ID: Unbound, Title: "unbound", Reload: syscall.SIGHUP, Forwards: true, Configure: unbound},
		{ID: CoreDNS, Title: "CoreDNS", Reload: syscall.SIGUSR1, Forwards: true, Configure: coreDNS},
		{ID: DNSProxy, Title: "AdGuard dnsproxy", Forwards: true, Configure: dnsProxy},
		{ID: Echo, Title: "echo, the ceiling", Configure: echo},
	}
}
