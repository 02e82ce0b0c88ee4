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
	integerKey("client_subnet_ipv4", 1, subnet.IPv4BitsMax, 24, func(e *EDNS) *int { return &e.SubnetIPv4 }).reload(),
	integerKey("client_subnet_ipv6", 1, subnet.IPv6BitsMax, 56, func(e *EDNS) *int { return &e.SubnetIPv6 }).reload(),
	booleanKey("client_subnet_private", false, func(e *EDNS) *bool { return &e.SubnetPrivate }).reload(),
	key[EDNS]{
		name: "pass_options", standard: "[]", bounds: "0 to 16 of 1 to 65534",
		read: readPassOptions, get: func(e *EDNS) any { return &e.PassOptions },
	}.reload(),
	booleanKey("pass_errors", true, func(e *EDNS) *bool { return &e.PassErrors }).reload(),
}

var subnetChoices = []choice[subnet.Mode]{
	{"strip", subnet.Strip}, {"pass", subnet.Pass}, {"add", subnet.Add}, {"override", subnet.Override},
}

// poolSubnetKey is client_subnet of a pool; nil there is what [edns] says.
func poolSubnetKey() key[Pool] {
	choices := []choice[*subnet.Mode]{{"edns", nil}}
	for _, ch := range subnetChoices {
		choices = append(choices, choice[*subnet.Mode]{ch.text, new(ch.means)})
	}
	return choiceKey("client_subnet", "edns", choices, func(p *Pool) **subnet.Mode { return &p.Subnet }).reload()
}

// SubnetOf returns what upstreams of a pool are told.
func (e *EDNS) SubnetOf(p *Pool) subnet.Spec {
	spec := subnet.Spec{Mode: e.Subnet, IPv4: uint8(e.SubnetIPv4), IPv6: uint8(e.SubnetIPv6), Private: e.SubnetPrivate}
	if p.Subnet != nil {
		spec.Mode = *p.Subnet
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
