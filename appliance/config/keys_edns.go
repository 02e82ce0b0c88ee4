package config

import (
	"slices"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/subnet"
)

// EDNS is what goes from clients to upstreams and back beside questions and answers.
type EDNS struct {
	Subnet                 subnet.Mode // of pools that say nothing else
	SubnetIPv4, SubnetIPv6 int         // bits
	SubnetPrivate          bool
	PassOptions            []uint16
	PassErrors             bool
}

// ednsKeys are keys of [edns]; the others are cookieKeys.
var ednsKeys = []key[EDNS]{
	choiceKey("client_subnet", subnet.ModeNames[subnet.Strip], subnetChoices, func(e *EDNS) *subnet.Mode { return &e.Subnet }).reload(),
	subnetIPv4Key, subnetIPv6Key, subnetPrivateKey,
	key[EDNS]{
		name: "pass_options", standard: "[]", bounds: "0 to 16 of 1 to 65534",
		read: readPassOptions, get: func(e *EDNS) any { return &e.PassOptions },
	}.reload(),
	booleanKey("pass_errors", true, func(e *EDNS) *bool { return &e.PassErrors }).reload(),
}

// Those that a pool may have for itself.
var (
	subnetIPv4Key    = integerKey("client_subnet_ipv4", 1, subnet.IPv4BitsMax, 24, func(e *EDNS) *int { return &e.SubnetIPv4 }).reload()
	subnetIPv6Key    = integerKey("client_subnet_ipv6", 1, subnet.IPv6BitsMax, 56, func(e *EDNS) *int { return &e.SubnetIPv6 }).reload()
	subnetPrivateKey = booleanKey("client_subnet_private", false, func(e *EDNS) *bool { return &e.SubnetPrivate }).reload()
)

// PoolSubnet is what one pool says of clients' networks; nil = what EDNS says.
type PoolSubnet struct {
	Mode       *subnet.Mode
	IPv4, IPv6 *int
	Private    *bool
}

// poolSubnetKeys are those of a pool.
var poolSubnetKeys = []key[Pool]{
	poolSubnetModeKey(),
	ownSubnetKey(subnetIPv4Key, func(s *PoolSubnet) **int { return &s.IPv4 }),
	ownSubnetKey(subnetIPv6Key, func(s *PoolSubnet) **int { return &s.IPv6 }),
	ownSubnetKey(subnetPrivateKey, func(s *PoolSubnet) **bool { return &s.Private }),
}

// ownSubnetKey is a key of [edns] for one pool alone.
func ownSubnetKey[V any](all key[EDNS], at func(*PoolSubnet) **V) key[Pool] {
	return key[Pool]{
		name: all.name, bounds: all.bounds, live: true,
		get: func(p *Pool) any { return at(&p.Subnet) },
		read: func(c *checker, p *Pool, v value) {
			before := len(c.problems)
			var scratch EDNS
			if all.read(c, &scratch, v); !c.problems[before:].Broken() {
				*at(&p.Subnet) = all.get(&scratch).(*V)
			}
		},
	}
}

var subnetChoices = []choice[subnet.Mode]{
	{"strip", subnet.Strip}, {"pass", subnet.Pass}, {"add", subnet.Add}, {"override", subnet.Override},
}

// poolSubnetModeKey is client_subnet of a pool.
func poolSubnetModeKey() key[Pool] {
	choices := []choice[*subnet.Mode]{{"edns", nil}}
	for _, ch := range subnetChoices {
		choices = append(choices, choice[*subnet.Mode]{ch.text, new(ch.means)})
	}
	return choiceKey("client_subnet", "edns", choices, func(p *Pool) **subnet.Mode { return &p.Subnet.Mode }).reload()
}

// SubnetOf returns what upstreams of a pool are told.
func (e *EDNS) SubnetOf(p *Pool) subnet.Spec {
	spec := subnet.Spec{Mode: e.Subnet, IPv4: uint8(e.SubnetIPv4), IPv6: uint8(e.SubnetIPv6), Private: e.SubnetPrivate}
	own := &p.Subnet
	if own.Mode != nil {
		spec.Mode = *own.Mode
	}
	if own.IPv4 != nil {
		spec.IPv4 = uint8(*own.IPv4)
	}
	if own.IPv6 != nil {
		spec.IPv6 = uint8(*own.IPv6)
	}
	if own.Private != nil {
		spec.Private = *own.Private
	}
	return spec
}

func readPassOptions(c *checker, e *EDNS, v value) {
	items, ok := v.list()
	if !ok {
		c.fault(v, "must be an array of integers, not %s", v.kind())
		return
	}
	if len(items) > worker.PassOptionsMax {
		c.fault(v, "%d entries, at most %d are allowed", len(items), worker.PassOptionsMax)
		return
	}
	e.PassOptions = nil
	for _, item := range items {
		n, ok := c.integer(item, 1, 65534)
		code := uint16(n)
		switch {
		case !ok:
		case wire.OwnOption(code):
			c.fault(item, "option %d is between two neighbours, or has a key of its own: NSID 3, client subnet 8, cookie 10, keepalive 11, padding 12, extended error 15", code)
		case slices.Contains(e.PassOptions, code):
			c.fault(item, "option %d is listed twice", code)
		default:
			e.PassOptions = append(e.PassOptions, code)
		}
	}
}
