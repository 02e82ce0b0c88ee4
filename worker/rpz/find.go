package rpz

import "net/netip"

// Found is a trigger that fits what an operator asks about.
type Found struct {
	Match
	Owner []byte // the trigger's owner name below the zone's origin, wire form
	Later bool   // what an answer shows may bring an earlier zone's trigger into play
}

// FindName returns, for each zone in order, what it says of a name before anybody is asked: its QNAME trigger, and its NSDNAME trigger for a name server of
// that name. name must be Set. For operators: it allocates.
func (s *Set) FindName(name *Name) (list []Found) {
	for i := range s.policies {
		p := &s.policies[i]
		if p.Zone == nil {
			continue
		}
		for _, t := range []Trigger{QName, NSDName} {
			if r, labels, ok := p.Zone.names[t].lookup(name); ok {
				o := owner{trigger: t, name: name.wire}
				if _, exact := p.Zone.names[t].get(name, false); !exact {
					o.name, o.wildcard = name.suffix(name.labels-labels), true
				}
				list = append(list, Found{p.match(i, t, r), o.appendOwner(nil, p.Zone.origin), s.waits[i]})
			}
		}
	}
	return list
}

// FindAddress is FindName of an address: of a client, in an answer, of a name server.
func (s *Set) FindAddress(a netip.Addr) (list []Found) {
	for i := range s.policies {
		p := &s.policies[i]
		if p.Zone == nil {
			continue
		}
		for _, t := range []Trigger{ClientIP, IP, NSIP} {
			if prefix, r, ok := p.Zone.addresses[t].LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen())); ok {
				o := owner{trigger: t, prefix: prefix}
				list = append(list, Found{p.match(i, t, r), o.appendOwner(nil, p.Zone.origin), s.waits[i]})
			}
		}
	}
	return list
}
