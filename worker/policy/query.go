package policy

import (
	"net/netip"

	"secure-dns-proxy/transport/wire"
)

// Query is what rules look at. Whoever runs a chain fills in what there is; the rest stays zero.
type Query struct {
	Name            []byte // nil: the question could not be read
	Type, Class     uint16
	Flags           uint16 // header flags of the client
	HasOPT, DO      bool
	Version         uint8
	Options         []byte // whole options of the client's OPT
	Additionals     int    // records in the additional section of the query
	Bytes           int    // of the message
	Source, Target  netip.AddrPort
	TCP             bool
	View            int          // number of the client's view, -1: none
	Tags            uint64       // may be changed by rules
	Answer          *wire.Answer // chains response and own
	Now             int64
	Pools           Pools
	hashes          [labelsMax + 1]uint64 // of the suffixes of Name by labels left, valid from .. labels
	starts          [labelsMax + 1]uint8  // where the suffix with so many labels starts
	labels          int                   // of Name
	hashed, counted bool
}

// Pools says how the pools of the snapshot are.
type Pools interface {
	Available(pool int) bool
	Outstanding(pool int) int
}

// Reset makes q ready for another query. It is not enough to assign a new one: that would clear a kilobyte.
func (q *Query) Reset() {
	q.Name, q.Options, q.Answer = nil, nil, nil
	q.Type, q.Class, q.Flags = 0, 0, 0
	q.HasOPT, q.DO, q.Version, q.TCP = false, false, 0, false
	q.Additionals, q.Bytes, q.View, q.Tags = 0, 0, -1, 0
	q.Source, q.Target = netip.AddrPort{}, netip.AddrPort{}
	q.hashed, q.counted = false, false
}

// count finds the labels of the name.
func (q *Query) count() {
	q.counted, q.labels = true, 0
	var at [labelsMax + 1]uint8
	for i := 0; i < len(q.Name) && q.Name[i] != 0 && q.labels < labelsMax; i += 1 + int(q.Name[i]) {
		at[q.labels] = uint8(i)
		q.labels++
	}
	for i := range q.labels {
		q.starts[q.labels-i] = at[i]
	}
	q.starts[0] = uint8(max(len(q.Name)-1, 0))
}

// hash computes the hashes of all suffixes that any set can hold, once for all of a query's rules.
func (q *Query) hash(depth int) {
	if !q.counted {
		q.count()
	}
	q.hashed = true
	for n := 0; n <= min(depth, q.labels); n++ {
		q.hashes[n] = hashName(q.Name[q.starts[n]:])
	}
	if q.labels > depth {
		q.hashes[q.labels] = hashName(q.Name)
	}
}
