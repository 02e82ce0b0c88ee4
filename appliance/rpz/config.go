package rpz

import (
	"net/netip"
	"reflect"
	"time"

	"secure-dns-proxy/worker/rpz"
)

// Config is what the configuration says of response policy zones. It has been checked.
type Config struct {
	Zones     []Zone
	Notify    netip.AddrPort // where NOTIFYs are received; invalid: nowhere
	Directory string         // of last good copies; "": none are kept
	LogRate   int            // lines a second for hits
}

// Zone is one zone.
type Zone struct {
	Name       string // fully qualified, lower case
	File       string // or Primaries
	Primaries  []netip.AddrPort
	Key        Key
	Override   rpz.Override
	CNAME      string // of rpz.OverrideCNAME: fully qualified
	KeepSigned bool   // signed answers are left alone for clients that want signatures
	Log        bool
	MinRefresh time.Duration // bounds of the SOA's refresh and retry
	MaxRefresh time.Duration
}

// Key is a TSIG key; without a name there is none.
type Key struct {
	Name      string // fully qualified, lower case
	Algorithm string // as in dns.HmacSHA256
	Secret    string // base64
}

// sameSource reports whether two zones come from the same place in the same way.
func (z *Zone) sameSource(other *Zone) bool {
	a, b := *z, *other
	for _, c := range []*Zone{&a, &b} {
		c.Override, c.CNAME, c.KeepSigned, c.Log = 0, "", false, false
	}
	return reflect.DeepEqual(a, b)
}
