package config

import (
	"net/netip"

	"secure-dns-proxy/worker/synth"
)

// DNS64 makes AAAA records out of A records.
type DNS64 struct {
	Prefix  netip.Prefix   // invalid = off
	Exclude []netip.Prefix // AAAA records that count as not there
}

// dns64Keys are the keys of [dns64].
var dns64Keys = []key[DNS64]{
	key[DNS64]{
		name: "prefix", standard: `""`, bounds: `an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, or "" for off`,
		read: readDNS64Prefix, get: func(d *DNS64) any { return &d.Prefix },
	}.reload(),
	key[DNS64]{
		name: "exclude", standard: `["::ffff:0:0/96"]`, bounds: "0 to 64 of IPv6/length",
		read: readDNS64Exclude, get: func(d *DNS64) any { return &d.Exclude },
	}.reload(),
}

func readDNS64Prefix(c *checker, d *DNS64, v value) {
	text, ok := c.text(v)
	if !ok || text == "" {
		return
	}
	p, ok := c.prefix6(v, text)
	if !ok {
		return
	}
	if err := synth.CheckPrefix(p); err != nil {
		c.fault(v, "%v", err)
		return
	}
	d.Prefix = p
}

func readDNS64Exclude(c *checker, d *DNS64, v value) {
	items, ok := c.oneOrMany(v, excludeMax)
	if !ok {
		return
	}
	d.Exclude = nil
	for _, item := range items {
		text, ok := c.text(item)
		if !ok {
			continue
		}
		if p, ok := c.prefix6(item, text); ok {
			d.Exclude = append(d.Exclude, p)
		}
	}
}

// prefix6 reads an IPv6 prefix, be it of mapped addresses.
func (c *checker) prefix6(v value, text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !p.Addr().Is6():
		c.fault(v, `%q is not IPv6/length such as "64:ff9b::/96"`, text)
	case p != p.Masked():
		c.fault(v, "%q has bits beyond its length: write %q", text, p.Masked())
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

// What rebinding.action may be.
const (
	RebindingOff     = "off"
	RebindingRefused = "refused"
	RebindingNoData  = "nodata"
)

// Rebinding keeps addresses of one's own network out of answers about names of others.
type Rebinding struct {
	Action    string // one of RebindingOff, RebindingRefused, RebindingNoData
	Addresses []netip.Prefix
	Allowed   []string // suffixes of names that may have them; fully qualified, lower case
}

// rebindingKeys are the keys of [rebinding].
var rebindingKeys = []key[Rebinding]{
	choiceKey("action", RebindingOff, texts(RebindingOff, RebindingRefused, RebindingNoData), func(r *Rebinding) *string { return &r.Action }).reload(),
	prefixesKey("addresses", privateText, func(r *Rebinding) *[]netip.Prefix { return &r.Addresses }).reload(),
	suffixesKey("allowed", func(r *Rebinding) *[]string { return &r.Allowed }),
}

// excludeMax bounds dns64.exclude: each is looked at for each AAAA record that comes.
const excludeMax = 64
