package config

import (
	"encoding/hex"
	"net/netip"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/subnet"
)

// ednsAction is what an action says of EDNS, while it is read.
type ednsAction struct {
	text       string // of the extended error
	mode       subnet.Mode
	ipv4, ipv6 int
	private    bool
	networks   []netip.Prefix
	codes      []uint16
	data       []byte
}

// ednsActionKeys are keys of an action; the others are actionKeys.
var ednsActionKeys = []key[actionTable]{
	key[actionTable]{
		name: "ede_text", bounds: "1 to 64 bytes", get: func(a *actionTable) any { return &a.edns.text },
		read: func(c *checker, a *actionTable, v value) {
			if text, ok := c.text(v); ok && (text == "" || len(text) > wire.EDETextBytesMax) {
				c.fault(v, "has %d bytes: 1 to %d are allowed", len(text), wire.EDETextBytesMax)
			} else if ok {
				a.edns.text = text
			}
		},
	}.reload(),
	choiceKey("client_subnet", "", subnetChoices, func(a *actionTable) *subnet.Mode { return &a.edns.mode }).needed().reload(),
	integerKey("client_subnet_ipv4", 1, subnet.IPv4BitsMax, 24, func(a *actionTable) *int { return &a.edns.ipv4 }).reload(),
	integerKey("client_subnet_ipv6", 1, subnet.IPv6BitsMax, 56, func(a *actionTable) *int { return &a.edns.ipv6 }).reload(),
	booleanKey("client_subnet_private", false, func(a *actionTable) *bool { return &a.edns.private }).reload(),
	key[actionTable]{
		name: "network", bounds: "IP/length, or one of IPv4 and one of IPv6", get: func(a *actionTable) any { return &a.edns.networks },
		read: func(c *checker, a *actionTable, v value) {
			items, ok := c.oneOrMany(v, 2)
			for _, item := range items {
				if p, ok := c.prefix(item); ok && p.Bits() > 0 {
					a.edns.networks = append(a.edns.networks, p)
				} else if ok {
					c.fault(item, "names nobody")
				}
			}
			if n := a.edns.networks; ok && (len(items) == 0 || len(n) == 2 && n[0].Addr().Is4() == n[1].Addr().Is4()) {
				c.fault(v, "must be a network, or one of IPv4 and one of IPv6")
			}
		},
	}.reload(),
	key[actionTable]{
		name: "option", bounds: `1 to 16 options such as "DAU" or 65001`, get: func(a *actionTable) any { return &a.edns.codes },
		read: func(c *checker, a *actionTable, v value) {
			if a.edns.codes = c.codes(v, optionCodes, "", 65534); len(a.edns.codes) > actionOptionsMax {
				c.fault(v, "%d options, at most %d are allowed", len(a.edns.codes), actionOptionsMax)
			}
		},
	}.reload(),
	key[actionTable]{
		name: "data", standard: `""`, bounds: "0 to 60 bytes in hexadecimal", get: func(a *actionTable) any { return &a.edns.data },
		read: func(c *checker, a *actionTable, v value) {
			text, ok := c.text(v)
			if !ok {
				return
			}
			data, err := hex.DecodeString(text)
			switch {
			case err != nil:
				c.fault(v, "%q is not hexadecimal: two digits for each byte", text)
			case len(data) > optionDataMax:
				c.fault(v, "has %d bytes, at most %d are allowed", len(data), optionDataMax)
			default:
				a.edns.data = data
			}
		},
	}.reload(),
}

// optionDataMax is what an option holds that fits into a key by itself, with code and length.
const optionDataMax = wire.PassedOptionsMax - 4

// actionOptionsMax bounds the options of one action.
const actionOptionsMax = 16

// reason gives the extended error of an action its text.
func (c *checker) reason(a *actionTable, v value) {
	if a.edns.text == "" {
		return
	}
	code := a.Extended
	if code == wire.EDENone {
		code = wire.EDEOther
	}
	n, err := wire.ReasonOf(code, a.edns.text)
	if err != nil {
		c.fault(v.field("ede_text", a.edns.text), "%v", err)
		return
	}
	a.Extended = n
}

// ednsAction makes the action of a type that is about EDNS.
func (c *checker) ednsAction(a *actionTable, v value, data map[string]any, out *policy.Action) {
	e := &a.edns
	switch a.kind {
	case "client_subnet":
		out.Do = policy.TellSubnet
		out.Subnet = &subnet.Spec{Mode: e.mode, IPv4: uint8(e.ipv4), IPv6: uint8(e.ipv6), Private: e.private}
		for _, p := range e.networks {
			s, at := wire.Subnet{Family: wire.FamilyIPv4, Bits: uint8(p.Bits())}, 0
			if p.Addr().Is6() {
				s.Family, at = wire.FamilyIPv6, 1
			}
			copy(s.Addr[:], p.Addr().AsSlice())
			out.Subnet.Instead[at] = s
		}
		if e.networks != nil && e.mode != subnet.Add && e.mode != subnet.Override {
			c.fault(v.field("network", data["network"]), `has no effect with client_subnet = "%s"`, subnet.ModeNames[e.mode])
		}
	case "set_option":
		if out.Do, out.Codes = policy.SetOption, e.codes; len(e.codes) != 1 {
			c.fault(v.field("option", data["option"]), "must be one option")
			return
		}
		out.Option = wire.AppendOption(nil, e.codes[0], e.data)
	case "strip_option":
		out.Do, out.Codes = policy.StripOption, e.codes
	}
}
