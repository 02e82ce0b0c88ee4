package rpz

import (
	"bytes"
	"encoding/binary"
)

// records holds the local data of a zone: for each trigger a list of records, linked by offsets.
//
//	next (4) | type (2) | TTL (4) | length (2) | RDATA
//
// Offset 0 ends a list; the first bytes are of no record.
type records struct {
	mem   []byte
	count int
	waste int // bytes of records that were removed
}

const recordHeader = 4 + 2 + 4 + 2

// record is a view of one.
type record struct {
	next   uint32
	rrtype uint16
	ttl    uint32
	data   []byte
}

func (r *records) at(offset uint32) record {
	m := r.mem[offset:]
	n := binary.LittleEndian.Uint16(m[10:])
	return record{
		next: binary.LittleEndian.Uint32(m), rrtype: binary.LittleEndian.Uint16(m[4:]), ttl: binary.LittleEndian.Uint32(m[6:]),
		data: m[recordHeader : recordHeader+int(n)],
	}
}

// find looks for a record in a list. last is the list's last record, n how many there are.
func (r *records) find(list uint32, rrtype uint16, data []byte) (found bool, last uint32, n int) {
	for at := list; at != 0; n++ {
		e := r.at(at)
		if e.rrtype == rrtype && bytes.Equal(e.data, data) {
			return true, at, n
		}
		last, at = at, e.next
	}
	return false, last, n
}

// add makes a record and puts it after last; 0: it is the first of its list.
func (r *records) add(last uint32, rrtype uint16, ttl uint32, data []byte) uint32 {
	if len(r.mem) == 0 {
		r.mem = make([]byte, recordHeader)
	}
	at := uint32(len(r.mem))
	m := binary.LittleEndian.AppendUint32(r.mem, 0)
	m = binary.LittleEndian.AppendUint16(m, rrtype)
	m = binary.LittleEndian.AppendUint32(m, ttl)
	m = binary.LittleEndian.AppendUint16(m, uint16(len(data)))
	r.mem = append(m, data...)
	r.count++
	if last != 0 {
		binary.LittleEndian.PutUint32(r.mem[last:], at)
	}
	return at
}

// remove takes a record out of a list and returns what is then its first.
func (r *records) remove(list uint32, rrtype uint16, data []byte) (first uint32, found bool) {
	before := uint32(0)
	for at := list; at != 0; {
		e := r.at(at)
		if e.rrtype == rrtype && bytes.Equal(e.data, data) {
			r.count--
			r.waste += recordHeader + len(e.data)
			if before == 0 {
				return e.next, true
			}
			binary.LittleEndian.PutUint32(r.mem[before:], e.next)
			return list, true
		}
		before, at = at, e.next
	}
	return list, false
}

// clone returns a copy that can be changed.
func (r *records) clone() records {
	c := *r
	c.mem = append(make([]byte, 0, len(r.mem)+len(r.mem)/16), r.mem...)
	return c
}
