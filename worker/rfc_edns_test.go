package worker

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker/subnet"
)

// Words of conversations about EDNS, for a query or an answer:
//
//	subnet=192.0.2.0/24   an ECS option with scope 0; 192.0.2.0/24/16: with a scope
//	optout                an ECS option without a family and an address, as dig +subnet=0 sends
//	raw=8:0001            any option: code and bytes in hex
//	ede=9                 an extended error
//
// and for an answer alone
//
//	scope=16              the ECS option of the query, with this scope

// configureEDNS applies one setting; they are named as in proxy.toml.
func configureEDNS(s *Snapshot, key, value string) bool {
	n, _ := strconv.Atoi(value)
	spec := &s.Pools[0].Subnet
	switch key {
	case "client_subnet":
		*spec = subnet.Spec{Mode: subnet.Mode(slices.Index(subnet.ModeNames[:], value)), IPv4: 24, IPv6: 56}
	case "client_subnet_ipv4":
		spec.IPv4 = uint8(n)
	case "client_subnet_ipv6":
		spec.IPv6 = uint8(n)
	case "client_subnet_private":
		spec.Private = value == "true"
	case "pass_errors":
		s.PassErrors = value == "true"
	case "pass_options":
		for code := range strings.SplitSeq(value, ",") {
			n, _ := strconv.Atoi(code)
			s.PassOptions = append(s.PassOptions, uint16(n))
		}
	default:
		return false
	}
	return true
}

// addOption adds the option that a word means; false if it means none.
func addOption(opt *dns.OPT, name, value string) bool {
	n, _ := strconv.Atoi(value)
	switch name {
	case "subnet":
		network, scope := value, 0
		if strings.Count(value, "/") == 2 {
			at := strings.LastIndexByte(value, '/')
			network = value[:at]
			scope, _ = strconv.Atoi(value[at+1:])
		}
		p := netip.MustParsePrefix(network)
		family := uint16(1)
		if p.Addr().Is6() {
			family = 2
		}
		opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()), SourceScope: uint8(scope), Address: p.Addr().AsSlice(),
		})
	case "optout":
		opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: make([]byte, 4)})
	case "raw":
		code, data, _ := strings.Cut(value, ":")
		n, _ := strconv.Atoi(code)
		raw, err := hex.DecodeString(data)
		if err != nil {
			panic(err)
		}
		opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: uint16(n), Data: raw})
	case "ede":
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: uint16(n), ExtraText: "said the upstream"})
	default:
		return false
	}
	return true
}

// echo repeats the ECS option of the query in sent with a scope.
func echo(t testing.TB, m *dns.Msg, sent []byte, scope string) {
	n, _ := strconv.Atoi(scope)
	for _, option := range unpack(t, sent).IsEdns0().Option {
		if o, ok := option.(*dns.EDNS0_SUBNET); ok {
			o.SourceScope = uint8(n)
			opt := m.IsEdns0()
			opt.Option = append(opt.Option, o)
			return
		}
	}
	t.Fatalf("scope=%s in an answer to a query without a network", scope)
}

// describeOption is an option other than an extended error.
func describeOption(option dns.EDNS0) string {
	switch o := option.(type) {
	case *dns.EDNS0_SUBNET:
		return fmt.Sprintf(" subnet %v/%d/%d", o.Address, o.SourceNetmask, o.SourceScope)
	case *dns.EDNS0_PADDING:
		return fmt.Sprintf(" padding=%d", len(o.Padding))
	case *dns.EDNS0_LOCAL:
		return fmt.Sprintf(" option %d %x", o.Code, o.Data)
	}
	return fmt.Sprintf(" option %d", option.Option())
}
