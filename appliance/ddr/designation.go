package ddr

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Name is what a resolver is asked for (RFC 9462 §4).
const Name = "_dns.resolver.arpa."

// Designation is one way to an encrypted resolver.
type Designation struct {
	Scheme string // "tls", "quic", "https" or "h3", as in the URL of an upstream
	Target string // host name without a final dot: in the certificate, and the server name to send
	Port   uint16
	Path   string       // https and h3: URI template
	Addrs  []netip.Addr // empty: Target has to be looked up at the resolver that designates
}

// String writes it as the URL of an upstream.
func (d *Designation) String() string {
	return fmt.Sprintf("%s://%s%s at %v", d.Scheme, net.JoinHostPort(d.Target, fmt.Sprint(d.Port)), d.Path, d.Addrs)
}

// same reports whether two designations lead to the same place. Servers like to give addresses in another order each time.
func (d *Designation) same(other *Designation) bool {
	sorted := func(addrs []netip.Addr) []netip.Addr {
		return slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare)
	}
	return d.Scheme == other.Scheme && d.Target == other.Target && d.Port == other.Port && d.Path == other.Path &&
		slices.Equal(sorted(d.Addrs), sorted(other.Addrs))
}

// protocols by ALPN id in the order of our liking, with the port that goes without saying (RFC 9461 §4.2).
var protocols = []struct {
	alpn, scheme string
	port         uint16
}{{"dot", "tls", 853}, {"doq", "quic", 853}, {"h2", "https", 443}, {"h3", "h3", 443}}

// Designations returns what the answer to Name designates, best first, and how long that may be believed. Records that cannot be used are
// left out; skipped says why. No designation and no skipped record: the resolver has none.
func Designations(reply *dns.Msg) (list []Designation, ttl time.Duration, skipped error) {
	type ranked struct {
		Designation
		priority uint16
	}
	var all []ranked
	var why []error
	ttl = ttlMax
	for _, rr := range reply.Answer {
		record, ok := rr.(*dns.SVCB)
		if !ok || !strings.EqualFold(record.Hdr.Name, Name) {
			continue
		}
		ttl = min(ttl, time.Duration(record.Hdr.Ttl)*time.Second)
		found, err := read(record)
		if err != nil {
			why = append(why, fmt.Errorf("%s: %w", record.Target, err))
		}
		for _, d := range found {
			all = append(all, ranked{d, record.Priority})
		}
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.priority, b.priority) })
	for _, r := range all[:min(len(all), designationsMax)] {
		list = append(list, r.Designation)
	}
	if len(list) == 0 && len(why) == 0 {
		ttl = absence(reply)
	}
	return list, ttl, errors.Join(why...)
}

// absence is how long a resolver may be believed that it designates nobody (RFC 2308 §5).
func absence(reply *dns.Msg) time.Duration {
	for _, rr := range reply.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second, ttlMax)
		}
	}
	return absentRetry
}

// params are the parameters of one record that mean something to us.
type params struct {
	alpn  []string
	port  uint16 // 0: not given
	path  string
	addrs []netip.Addr
}

// read returns the designations of one record, one for each protocol that we speak, in the order of protocols.
func read(record *dns.SVCB) ([]Designation, error) {
	target := strings.ToLower(strings.TrimSuffix(record.Target, "."))
	switch {
	case record.Priority == 0:
		return nil, errors.New("an alias, not a service") // RFC 9460 §2.4.2; none of the resolvers in use has one here
	case target == "" || strings.HasSuffix("."+target, ".resolver.arpa"):
		return nil, errors.New("not the name of a resolver") // RFC 9462 §4: no certificate could be valid for it
	}
	p, err := paramsOf(record.Value)
	if err != nil {
		return nil, err
	}
	var list []Designation
	for _, protocol := range protocols {
		if !slices.Contains(p.alpn, protocol.alpn) {
			continue
		}
		d := Designation{Scheme: protocol.scheme, Target: target, Port: protocol.port, Addrs: p.addrs}
		if p.port != 0 {
			d.Port = p.port
		}
		if protocol.port == 443 {
			if !strings.HasPrefix(p.path, "/") || !strings.Contains(p.path, "{?dns}") {
				err = fmt.Errorf("no path for %s", protocol.alpn) // RFC 9461 §5: it is mandatory
				continue
			}
			d.Path = p.path
		}
		list = append(list, d)
	}
	if len(list) == 0 && err == nil {
		err = fmt.Errorf("speaks %q only", p.alpn)
	}
	return list, err
}

// paramsOf reads parameters; one that is mandatory and unknown to us makes the record unusable (RFC 9460 §8).
func paramsOf(values []dns.SVCBKeyValue) (params, error) {
	var p params
	for _, value := range values {
		switch v := value.(type) {
		case *dns.SVCBMandatory:
			for _, key := range v.Code {
				if !known(key) {
					return p, fmt.Errorf("parameter %s is mandatory and unknown here", key)
				}
			}
		case *dns.SVCBAlpn:
			p.alpn = v.Alpn
		case *dns.SVCBPort:
			p.port = v.Port
		case *dns.SVCBDoHPath:
			p.path = v.Template
		case *dns.SVCBIPv4Hint:
			p.hint(v.Hint)
		case *dns.SVCBIPv6Hint:
			p.hint(v.Hint)
		}
	}
	return p, nil
}

func known(key dns.SVCBKey) bool {
	switch key {
	case dns.SVCB_ALPN, dns.SVCB_NO_DEFAULT_ALPN, dns.SVCB_PORT, dns.SVCB_IPV4HINT, dns.SVCB_IPV6HINT, dns.SVCB_DOHPATH:
		return true
	}
	return false
}

func (p *params) hint(ips []net.IP) {
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip); ok && len(p.addrs) < addressesMax {
			p.addrs = append(p.addrs, a.Unmap())
		}
	}
}
