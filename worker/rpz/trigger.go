package rpz

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// owner is the owner name of a record, read as a trigger.
type owner struct {
	trigger  Trigger
	name     []byte // QName and NSDName: wire form; of a wildcard without the asterisk
	wildcard bool
	prefix   netip.Prefix // the others
}

// suffixes are the labels that say what kind of trigger a name is (§4.1), by Trigger. QName has none.
var suffixes = [Triggers]string{ClientIP: "rpz-client-ip", IP: "rpz-ip", NSDName: "rpz-nsdname", NSIP: "rpz-nsip"}

// errReserved: §4.1 keeps all other names of that form for later.
var errReserved = errors.New("the last label begins with rpz- and is no kind of trigger")

// parseOwner reads a name below origin, both in wire form and lower case. scratch is for names that are made. The owner's name is a view.
func parseOwner(name, origin []byte, scratch []byte) (o owner, err error) {
	var n Name
	if !n.Set(name) || len(name) <= len(origin) || !bytes.HasSuffix(name, origin) {
		return owner{}, errors.New("is not below the zone's origin")
	}
	labels := 0
	for labels < n.labels && int(n.start[labels]) < len(name)-len(origin) {
		labels++
	}
	if int(n.start[labels]) != len(name)-len(origin) {
		return owner{}, errors.New("is not below the zone's origin")
	}
	last := n.label(labels - 1)
	o.trigger = QName
	if bytes.HasPrefix(last, []byte("rpz-")) {
		if o.trigger, err = triggerOf(last); err != nil {
			return owner{}, err
		}
		labels--
	}
	if labels == 0 {
		return owner{}, errors.New("has no trigger before its kind")
	}
	if o.trigger != QName && o.trigger != NSDName {
		o.prefix, err = parseAddress(&n, labels)
		return o, err
	}
	first := 0
	if string(n.label(0)) == "*" {
		o.wildcard, first = true, 1
	}
	o.name = append(append(scratch[:0], name[n.start[first]:n.start[labels]]...), 0)
	return o, nil
}

func triggerOf(label []byte) (Trigger, error) {
	for t, suffix := range suffixes {
		if suffix != "" && suffix == string(label) {
			return Trigger(t), nil
		}
	}
	return 0, errReserved
}

// label is the text of a label, without its length.
func (n *Name) label(i int) []byte { return n.wire[int(n.start[i])+1 : n.start[i+1]] }

// parseAddress reads the first labels of n: a prefix length and an address backwards, four decimal numbers or up to eight hexadecimal ones with
// zz for the longest run of zeros (§4.1.1). Numbers have no leading zeros, and no bit is set beyond the length, so that there is one name
// for a prefix. IPv4-mapped prefixes are IPv4.
func parseAddress(n *Name, labels int) (netip.Prefix, error) {
	length, err := number(n.label(0), 10, 128)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("prefix length %q: %w", n.label(0), err)
	}
	if length == 0 {
		return netip.Prefix{}, errors.New("prefix length 0: want 1 and more")
	}
	zz := -1
	for i := 1; i < labels; i++ {
		if string(n.label(i)) == "zz" {
			if zz >= 0 {
				return netip.Prefix{}, errors.New("zz stands twice")
			}
			zz = i
		}
	}
	var address netip.Addr
	switch {
	case labels == 5 && zz < 0:
		if length > 32 {
			return netip.Prefix{}, fmt.Errorf("prefix length %d of an IPv4 address: want at most 32", length)
		}
		var b [4]byte
		for i := range b {
			v, err := number(n.label(4-i), 10, 255)
			if err != nil {
				return netip.Prefix{}, fmt.Errorf("%q in an IPv4 address: %w", n.label(4-i), err)
			}
			b[i] = byte(v)
		}
		address = netip.AddrFrom4(b)
	case labels == 9 && zz < 0, zz >= 0 && labels <= 9:
		var b [16]byte
		word := 7
		for i := 1; i < labels; i++ {
			if i == zz {
				word -= 9 - labels + 1
				continue
			}
			v, err := number(n.label(i), 16, 0xFFFF)
			if err != nil {
				return netip.Prefix{}, fmt.Errorf("%q in an IPv6 address: %w", n.label(i), err)
			}
			b[2*word], b[2*word+1] = byte(v>>8), byte(v)
			word--
		}
		address = netip.AddrFrom16(b)
	default:
		return netip.Prefix{}, fmt.Errorf("an address of %d labels: want 4, or 8, or fewer with zz", labels-1)
	}
	p := netip.PrefixFrom(address, length)
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("%s has bits beyond its length", p)
	}
	if address.Is4In6() && length >= 96 {
		p = netip.PrefixFrom(address.Unmap(), length-96)
		if length == 96 {
			return netip.Prefix{}, errors.New("prefix length 0 of an IPv4 address: want 1 and more")
		}
	}
	return p, nil
}

// number reads lower-case digits without leading zeros.
func number(text []byte, base, most int) (int, error) {
	if len(text) > 1 && text[0] == '0' {
		return 0, errors.New("leading zero")
	}
	if len(text) > 4 {
		return 0, fmt.Errorf("want at most %s", strconv.FormatInt(int64(most), base))
	}
	v := 0
	for _, c := range text {
		d := base
		switch {
		case c >= '0' && c <= '9':
			d = int(c - '0')
		case c >= 'a' && c <= 'f':
			d = int(c-'a') + 10
		}
		if d >= base {
			return 0, fmt.Errorf("want a number of base %d", base)
		}
		v = v*base + d
	}
	if v > most {
		return 0, fmt.Errorf("want at most %s", strconv.FormatInt(int64(most), base))
	}
	return v, nil
}

// appendOwner is the reverse of parseOwner.
func (o *owner) appendOwner(dst, origin []byte) []byte {
	switch o.trigger {
	case QName, NSDName:
		if o.wildcard {
			dst = append(dst, 1, '*')
		}
		dst = append(dst, o.name[:len(o.name)-1]...)
	default:
		dst = appendAddress(dst, o.prefix)
	}
	if suffix := suffixes[o.trigger]; suffix != "" {
		dst = append(append(dst, byte(len(suffix))), suffix...)
	}
	return append(dst, origin...)
}

// appendAddress writes a prefix as labels.
func appendAddress(dst []byte, p netip.Prefix) []byte {
	dst = appendNumber(dst, p.Bits(), 10)
	if p.Addr().Is4() {
		b := p.Addr().As4()
		for i := 3; i >= 0; i-- {
			dst = appendNumber(dst, int(b[i]), 10)
		}
		return dst
	}
	b := p.Addr().As16()
	var words [8]int
	for i := range words {
		words[i] = int(b[2*i])<<8 | int(b[2*i+1])
	}
	from, to := longestZeros(&words)
	for i := 7; i >= 0; i-- {
		switch {
		case i == to-1:
			dst = append(dst, 2, 'z', 'z')
		case i >= from && i < to:
		default:
			dst = appendNumber(dst, words[i], 16)
		}
	}
	return dst
}

// longestZeros is the first of the longest runs of two zeros and more (RFC 5952 §4.2); 0, 0 if there is none.
func longestZeros(words *[8]int) (from, to int) {
	for i := 0; i < len(words); i++ {
		end := i
		for end < len(words) && words[end] == 0 {
			end++
		}
		if end-i >= 2 && end-i > to-from {
			from, to = i, end
		}
		i = max(i, end-1)
	}
	return from, to
}

func appendNumber(dst []byte, v, base int) []byte {
	at := len(dst)
	dst = strconv.AppendInt(append(dst, 0), int64(v), base)
	dst[at] = byte(len(dst) - at - 1)
	return dst
}
