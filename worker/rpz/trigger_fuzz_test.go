package rpz

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// slowAddress reads labels as the text of an address: the oracle of parseAddress. ok is false where the labels are none.
func slowAddress(labels []string) (netip.Prefix, bool) {
	for _, l := range labels {
		if len(l) > 1 && l[0] == '0' || l == "" || strings.ContainsAny(l, ":.%+-") {
			return netip.Prefix{}, false
		}
	}
	length, err := strconv.Atoi(labels[0])
	if err != nil || length < 1 || length > 128 {
		return netip.Prefix{}, false
	}
	var parts []string
	zz := 0
	for i := len(labels) - 1; i > 0; i-- {
		if labels[i] == "zz" {
			zz++
		}
		parts = append(parts, labels[i])
	}
	text := strings.Join(parts, ".")
	if zz > 0 || len(parts) != 4 {
		if zz > 1 || zz == 0 && len(parts) != 8 {
			return netip.Prefix{}, false
		}
		text = strings.Join(parts, ":")
		if zz == 1 {
			before, after, _ := strings.Cut(":"+text+":", ":zz:")
			text = strings.TrimPrefix(before, ":") + "::" + strings.TrimSuffix(after, ":")
		}
	}
	a, err := netip.ParseAddr(text)
	if err != nil || length > a.BitLen() {
		return netip.Prefix{}, false
	}
	p := netip.PrefixFrom(a, length)
	if p.Masked() != p {
		return netip.Prefix{}, false
	}
	if a.Is4In6() && length >= 96 {
		p = netip.PrefixFrom(a.Unmap(), length-96)
	}
	return p, p.Bits() > 0
}

// FuzzOwner: any owner name is a trigger or an error, addresses are what a slow reader makes of them, and what is read can be written and
// read again.
func FuzzOwner(f *testing.F) {
	for _, seed := range []string{
		"32.1.2.0.192.rpz-ip", "24.0.2.0.192.rpz-client-ip", "48.zz.2.2001.rpz-nsip", "128.57.zz.1.0.db8.2001.rpz-ip", "128.1.zz.rpz-ip", "1.zz.8000.rpz-ip",
		"64.zz.1.2.3.4.rpz-ip", "128.1.2.3.4.5.6.7.8.rpz-ip", "128.zz.2.3.4.5.6.7.8.rpz-ip", "120.100.2.0.192.zz.rpz-ip", "128.102.304.ffff.zz.rpz-ip", "zz.rpz-ip",
		"www.example.com", "*.example.com", "*", "a.*.b", "ns.example.com.rpz-nsdname", "*.example.com.rpz-nsdname", "*.rpz-nsdname", "rpz-ip", "a.rpz-x", "rpz-ip.example",
	} {
		f.Add(seed)
	}
	origin := []byte("\x03rpz\x04test\x00")
	f.Fuzz(func(t *testing.T, text string) {
		text = string(lower(nil, []byte(text))) // parseOwner is given lower case
		var name []byte
		labels := strings.Split(text, ".")
		for _, l := range labels {
			if l == "" || len(l) > 63 {
				return
			}
			name = append(append(name, byte(len(l))), l...)
		}
		name = append(name, origin...)
		if len(name) > nameBytesMax {
			return
		}
		o, err := parseOwner(name, origin, nil)
		if len(labels) > 1 && labels[len(labels)-1] == "rpz-ip" {
			want, ok := slowAddress(labels[:len(labels)-1])
			if ok != (err == nil) || ok && o.prefix != want {
				t.Fatalf("%q: got %v, %v, want %v, %v", text, o.prefix, err, want, ok)
			}
		}
		if err != nil {
			return
		}
		written := o.appendOwner(nil, origin)
		again, err := parseOwner(written, origin, nil)
		if err != nil || again.trigger != o.trigger || again.prefix != o.prefix || again.wildcard != o.wildcard || string(again.name) != string(o.name) {
			t.Fatalf("%q: read %+v, wrote %q, read %+v, %v", text, o, written, again, err)
		}
		if (o.trigger == QName || o.trigger == NSDName) && string(written) != string(name) {
			t.Fatalf("%q became %q", name, written)
		}
	})
}
