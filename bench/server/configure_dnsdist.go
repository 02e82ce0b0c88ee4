package server

import (
	"fmt"
	"path/filepath"
	"strings"
)

const (
	// dnsdistVector is messages per system call, as its manual suggests for high rates.
	dnsdistVector = 64
	// dnsdistSockets per backend: more than one, so that the backend's answers do not queue behind one buffer.
	dnsdistSockets = 8
	// dnsdistBuffer is asked for sockets; the kernel gives up to net.core.rmem_max and wmem_max.
	dnsdistBuffer = 4 << 20
	// dnsdistInFlight queries per connection, of clients and to backends; its default is one at a time.
	dnsdistInFlight = 2048
)

// dnsdist is PowerDNS's load balancer. Tuned follows its manual (advanced/tuning): batches, one SO_REUSEPORT listener per
// worker pinned to a CPU, several sockets per backend, pipelining on TCP and DoT, a minimum of ring buffers, one thread for
// TCP per worker. Not tuned means that only what has no default is set.
func dnsdist(tuned bool) func(Setup) (Launch, error) {
	return func(s Setup) (Launch, error) {
		backend, err := dnsdistBackend(s.Upstream, tuned)
		if err != nil {
			return Launch{}, err
		}
		var b strings.Builder
		b.WriteString("setSecurityPollSuffix(\"\") -- asks the internet otherwise\n")
		if tuned {
			dnsdistTuning(&b, s)
		} else {
			fmt.Fprintf(&b, "setLocal(%q)\n", s.Listen)
		}
		fmt.Fprintf(&b, "newServer({%s})\n", backend)
		if s.Cache.Entries > 0 {
			fmt.Fprintf(&b, "getPool(\"\"):setCache(newPacketCache(%d))\n", s.Cache.Entries)
		}
		return Launch{
			Arguments: []string{"--supervised", "--disable-syslog", "-C", filepath.Join(s.Dir, "dnsdist.conf")},
			Files:     map[string]string{"dnsdist.conf": b.String()},
		}, nil
	}
}

func dnsdistTuning(b *strings.Builder, s Setup) {
	fmt.Fprintf(b, "setUDPMultipleMessagesVectorSize(%d)\n", dnsdistVector)
	fmt.Fprintf(b, "setMaxTCPClientThreads(%d)\n", s.Workers)
	fmt.Fprintf(b, "if setUDPSocketBufferSizes then setUDPSocketBufferSizes(%d, %d) end -- from 1.7 on\n", dnsdistBuffer, dnsdistBuffer)
	b.WriteString("setRingBuffersSize(1, 1)\n")
	b.WriteString("if setRingBuffersOptions then setRingBuffersOptions({recordQueries=false, recordResponses=false}) end -- from 1.8 on\n")
	for _, cpu := range s.CPUs[:s.Workers] {
		fmt.Fprintf(b, "addLocal(%q, {reusePort=true, cpus={%d}, maxInFlight=%d})\n", s.Listen, cpu, dnsdistInFlight)
	}
}

func dnsdistBackend(u Upstream, tuned bool) (string, error) {
	backend := fmt.Sprintf("address=%q", u.Addr)
	switch u.Scheme {
	case UDP:
		if tuned {
			backend += fmt.Sprintf(", sockets=%d", dnsdistSockets)
		}
		return backend, nil
	case TCP:
		backend += ", tcpOnly=true"
	case TLS:
		backend += fmt.Sprintf(", tls=\"openssl\", subjectName=%q, caStore=%q", u.Name, u.CAFile)
	case HTTPS:
		backend += fmt.Sprintf(", tls=\"openssl\", subjectName=%q, caStore=%q, dohPath=\"/dns-query\"", u.Name, u.CAFile)
	default:
		return "", fmt.Errorf("dnsdist: %w: no %s backends in any version up to 2.1", ErrCannot, u.Scheme)
	}
	if tuned {
		backend += fmt.Sprintf(", maxInFlight=%d", dnsdistInFlight)
	}
	return backend, nil
}
