package appliance

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/embedded"
)

// demoText is the configuration of a process that is given none: everything on loopback, no root, no network.
const demoText = `
listen = ["127.0.0.1:5300", "[::1]:5300"]
upstream = "embedded:"
`

// demo returns the embedded default. Without IPv6 on this machine it listens on IPv4 alone and says so.
func demo(out io.Writer) (*config.Checked, config.Problems) {
	f, problems := config.Parse("(embedded default)", []byte(demoText))
	if f == nil {
		return nil, problems
	}
	checked, problems := config.Check(f)
	if checked == nil {
		return nil, problems
	}
	checked.File = ""
	if probe, err := net.ListenPacket("udp", "[::1]:0"); err != nil {
		fmt.Fprintf(out, "No IPv6 here (%v): IPv4 only.\n", err)
		checked.Listen = slices.DeleteFunc(checked.Listen, func(a netip.AddrPort) bool { return a.Addr().Is6() })
	} else if err := probe.Close(); err != nil {
		return nil, config.Problems{{File: f.Name, Text: err.Error()}}
	}
	return checked, problems
}

// greet says what to type.
func greet(out io.Writer, listen []netip.AddrPort, metrics netip.AddrPort, engine string) {
	fmt.Fprintf(out, "secure-dns-proxy answers over UDP and TCP (engine %s) on:", engine)
	for _, a := range listen {
		fmt.Fprintf(out, " %s", a)
	}
	zone := embedded.Zone[:len(embedded.Zone)-1]
	fmt.Fprintf(out, "\nIt asks a DNS server inside this process over real TLS and QUIC; that one knows %s only. Try:\n\n", zone)
	for _, a := range listen {
		fmt.Fprintf(out, "  dig @%s -p %d www.%s\n", a.Addr(), a.Port(), zone)
	}
	first := listen[0]
	at := fmt.Sprintf("dig @%s -p %d", first.Addr(), first.Port())
	fmt.Fprintf(out, "  %s +tcp chain.%s\n", at, zone)
	fmt.Fprintf(out, "  %s big.%s TXT      # does not fit a datagram: dig asks again over TCP\n", at, zone)
	if metrics.IsValid() {
		fmt.Fprintf(out, "  curl -s http://%s/metrics | grep ^sdp_\n", metrics)
	}
	fmt.Fprintf(out, "\nAsk twice: the second answer comes from the cache, with a lower TTL. Ctrl-C ends it.\n"+
		"For real upstreams: cp proxy.toml.example proxy.toml, edit it, and start with --config proxy.toml.\n\n")
}
