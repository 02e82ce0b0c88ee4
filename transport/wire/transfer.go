package wire

import "encoding/binary"

// Transfer follows the messages that answer an AXFR (RFC 5936 §2.2) or an IXFR (RFC 1995 §4), to know the last one. The zero value follows an AXFR.
type Transfer struct {
	incremental bool
	have        uint32 // IXFR: the client's serial
	serial      uint32 // of the SOA that came first
	shape       shape
	over        bool
}

// shape is what the records so far make of a transfer.
type shape uint8

const (
	shapeNone   shape = iota // nothing yet
	shapeSOA                 // one SOA
	shapeWhole               // a whole zone: to the next SOA
	shapeDelete              // differences: records of an old version
	shapeAdd                 // differences: records of a newer one
)

// NewTransfer returns what follows the answer to msg, a message that ParseQuery has found to ask for a transfer (FaultType, or FaultSigned) as q says.
func NewTransfer(msg []byte, q *Query) (t Transfer) {
	if q.Type != TypeIXFR {
		return t
	}
	t.incremental = true
	off := skipName(msg, HeaderBytes+len(q.Question))
	if off < 0 || off+10 > len(msg) || binary.BigEndian.Uint16(msg[off:]) != TypeSOA {
		return t // the server will say what it thinks of that
	}
	t.have, _ = serialOf(msg, off+10, off+10+int(binary.BigEndian.Uint16(msg[off+8:])))
	return t
}

// Take looks at the next message and reports whether it is the last one: one that says so by its RCODE or is no transfer, or whose closing SOA it has. It never allocates.
//
// Faults: FaultShort, FaultQuery, FaultName, FaultRecord; and FaultCount for a message in the middle that has no records, which would let a transfer go on for ever.
func (t *Transfer) Take(msg []byte) (last bool, fault Fault) {
	if len(msg) < HeaderBytes {
		return false, FaultShort
	}
	if msg[2]&(FlagQR>>8) == 0 {
		return false, FaultQuery
	}
	off := HeaderBytes
	for range binary.BigEndian.Uint16(msg[4:]) {
		if off = skipName(msg, off); off < 0 || off+4 > len(msg) {
			return false, FaultName
		}
		off += 4
	}
	if msg[3]&RCodeMask != RCodeNoError {
		return true, FaultNone
	}
	records := binary.BigEndian.Uint16(msg[6:])
	if records == 0 && t.shape != shapeNone {
		return false, FaultCount
	}
	for range records {
		end := skipName(msg, off)
		if end < 0 || end+10 > len(msg) {
			return false, FaultRecord
		}
		data := end + 10
		if off = data + int(binary.BigEndian.Uint16(msg[end+8:])); off > len(msg) {
			return false, FaultRecord
		}
		soa, serial := binary.BigEndian.Uint16(msg[end:]) == TypeSOA, uint32(0)
		if soa {
			var ok bool
			if serial, ok = serialOf(msg, data, off); !ok {
				return false, FaultRecord
			}
		}
		t.record(soa, serial)
	}
	// RFC 1995 §2: an only SOA that is no newer than the client's tells that there is nothing to transfer.
	upToDate := t.shape == shapeSOA && t.incremental && int32(t.serial-t.have) <= 0
	return t.over || t.shape == shapeNone || upToDate, FaultNone
}

// record takes in one record of the answer.
func (t *Transfer) record(soa bool, serial uint32) {
	switch {
	case t.over:
	case t.shape == shapeNone && soa:
		t.shape, t.serial = shapeSOA, serial
	case t.shape == shapeNone: // no transfer begins like that
		t.over = true
	case t.shape == shapeSOA && soa && t.incremental && serial != t.serial:
		t.shape = shapeDelete
	case t.shape == shapeSOA && !soa:
		t.shape = shapeWhole
	case !soa:
	case t.shape == shapeDelete:
		t.shape = shapeAdd
	case t.shape == shapeAdd && serial != t.serial:
		t.shape = shapeDelete
	default:
		t.over = true
	}
}

// serialOf reads the serial of an SOA's RDATA, which is msg[at:end].
func serialOf(msg []byte, at, end int) (uint32, bool) {
	if end > len(msg) {
		return 0, false
	}
	for range 2 { // MNAME, RNAME
		if at = skipName(msg[:end], at); at < 0 {
			return 0, false
		}
	}
	if at+20 != end {
		return 0, false
	}
	return binary.BigEndian.Uint32(msg[at:]), true
}
