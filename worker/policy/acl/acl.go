// Package acl says whether an address may ask: prefixes that may and prefixes that may not, of which the longest that holds the address
// decides. An address in none may not.
//
// A List is immutable once built and is read by all workers. Looking an address up allocates nothing.
package acl

import (
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
)

// List is a table of prefixes. The zero value lets nobody ask.
type List struct {
	may bart.Table[bool]
}

// New builds a list. IPv4 prefixes are written as such, not mapped into IPv6. Errors: a prefix that is none, has bits beyond its length, or
// is in both lists.
func New(allow, deny []netip.Prefix) (*List, error) {
	l := new(List)
	for _, side := range []struct {
		prefixes []netip.Prefix
		may      bool
	}{{allow, true}, {deny, false}} {
		for _, p := range side.prefixes {
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
				return nil, fmt.Errorf("%v is no prefix", p)
			}
			if may, twice := l.may.Get(p); twice && may != side.may {
				return nil, fmt.Errorf("%v is both allowed and denied", p)
			}
			l.may.Insert(p, side.may)
		}
	}
	return l, nil
}

// Allows reports whether a, an IPv4-mapped address counting as IPv4, may ask.
func (l *List) Allows(a netip.Addr) bool {
	may, _ := l.may.Lookup(a.Unmap())
	return may
}

// Len returns how many prefixes the list has.
func (l *List) Len() int { return l.may.Size() }
