package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Readers of single values. Each reports its own problem and returns false then.

func (c *checker) text(v value) (string, bool) {
	s, ok := v.data.(string)
	if !ok {
		c.fault(v, "must be a string, not %s", v.kind())
	}
	return s, ok
}

func (c *checker) boolean(v value) (bool, bool) {
	b, ok := v.data.(bool)
	if !ok {
		c.fault(v, "must be true or false, not %s", v.kind())
	}
	return b, ok
}

func (c *checker) integer(v value, low, high int64) (int64, bool) {
	n, ok := v.data.(int64)
	if !ok {
		c.fault(v, "must be an integer, not %s", v.kind())
		return 0, false
	}
	if n < low || n > high {
		c.fault(v, "%d is out of range (%d to %d)", n, low, high)
		return 0, false
	}
	return n, true
}

// duration wants a string with a unit: a bare number would leave the reader to guess.
func (c *checker) duration(v value, low, high, grain time.Duration) (time.Duration, bool) {
	s, ok := v.data.(string)
	if !ok {
		c.fault(v, `must be a duration such as "3s" or "250ms", not %s`, v.kind())
		return 0, false
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		c.fault(v, `%q is not a duration: write "3s", "250ms", "5m" or "1h"`, s)
	case d < low || d > high:
		c.fault(v, "%s is out of range (%s to %s)", s, durationText(low), durationText(high))
	case d%grain != 0:
		c.fault(v, "%s is not a whole number of %s", s, map[time.Duration]string{time.Second: "seconds", time.Microsecond: "microseconds"}[grain])
	default:
		return d, true
	}
	return 0, false
}

// durationText writes a duration as short as time.ParseDuration reads it: "1m", not "1m0s".
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// byteUnits in the order in which sizeText tries them.
var byteUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// size reads an amount of memory: an integer (bytes) or a string such as "64MiB".
func (c *checker) size(v value, low, high int64) (int64, bool) {
	n, ok := v.data.(int64)
	if s, isText := v.data.(string); isText {
		if n, ok = parseSize(s); !ok {
			c.fault(v, `%q is not a size: write a number of bytes, or "512KiB", "64MiB", "2GiB"`, s)
			return 0, false
		}
	}
	if !ok {
		c.fault(v, `must be a size such as "64MiB" or a number of bytes, not %s`, v.kind())
		return 0, false
	}
	if n < low || n > high {
		c.fault(v, "%v is out of range (%s to %s)", v.data, sizeText(low), sizeText(high))
		return 0, false
	}
	return n, true
}

func parseSize(s string) (int64, bool) {
	for _, u := range byteUnits {
		digits, found := strings.CutSuffix(s, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 31)
		return int64(n) * u.bytes, err == nil
	}
	n, err := strconv.ParseUint(s, 10, 62)
	return int64(n), err == nil
}

func sizeText(n int64) string {
	for _, u := range byteUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(n, 10)
}

// addr reads an IP address without a port.
func (c *checker) addr(v value) (netip.Addr, bool) {
	s, ok := c.text(v)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		c.fault(v, "%q is not an IP address", s)
		return netip.Addr{}, false
	}
	return a.Unmap(), c.zoneless(v, a) && c.usable(v, a)
}

// addrPort reads IP:port, or IP alone where a standard port is given (not 0). Without one, port 0 may be written: the kernel
// chooses.
func (c *checker) addrPort(v value, standard uint16) (netip.AddrPort, bool) {
	s, ok := c.text(v)
	if !ok {
		return netip.AddrPort{}, false
	}
	if a, err := netip.ParseAddr(s); err == nil && standard != 0 {
		return netip.AddrPortFrom(a.Unmap(), standard), c.zoneless(v, a)
	} else if err == nil {
		c.fault(v, "%q has no port: write %q", s, netip.AddrPortFrom(a, 53).String())
		return netip.AddrPort{}, false
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		c.fault(v, `%q is not an IP address and port such as "127.0.0.1:53" or "[::1]:53"; names are not allowed here`, s)
		return netip.AddrPort{}, false
	}
	if ap.Port() == 0 && standard != 0 {
		c.fault(v, "%q: port 0 is out of range (1 to 65535)", s)
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), c.zoneless(v, ap.Addr())
}

// prefix reads an IP address, or IP/length. Bits beyond the length are an error: they show that something else was meant.
func (c *checker) prefix(v value) (netip.Prefix, bool) {
	s, ok := c.text(v)
	if !ok {
		return netip.Prefix{}, false
	}
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), c.zoneless(v, a)
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		c.fault(v, `%q is not an IP address, nor IP/length such as "192.0.2.0/24" or "2001:db8::/32"`, s)
	case p.Addr().Is4In6():
		c.fault(v, "%q is IPv4 written as IPv6: write it as IPv4", s)
	case p != p.Masked():
		c.fault(v, "%q has bits beyond its length: write %q, or the address without a length", s, p.Masked())
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

func (c *checker) zoneless(v value, a netip.Addr) bool {
	if a.Zone() != "" {
		c.fault(v, "%q: addresses with a zone (%%%s) are not supported", a, a.Zone())
	}
	return a.Zone() == ""
}

func (c *checker) usable(v value, a netip.Addr) bool {
	why := unusable(a)
	if why != "" {
		c.fault(v, "%s", why)
	}
	return why == ""
}

// oneOrMany reads "x" like ["x"].
func (c *checker) oneOrMany(v value, max int) ([]value, bool) {
	if _, single := v.data.(string); single {
		return []value{v}, true
	}
	items, ok := v.list()
	if !ok {
		c.fault(v, "must be a string or an array of strings, not %s", v.kind())
		return nil, false
	}
	if len(items) > max {
		c.fault(v, "%d entries, at most %d are allowed", len(items), max)
		return nil, false
	}
	return items, true
}
