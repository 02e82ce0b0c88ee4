package inspect

import (
	"encoding/binary"

	"secure-dns-proxy/transport/wire"
)

// SetAnswer shows a, an answer to question (folded: wire.KeyQuestion), in q, which is then one of AtResponse. q's records are kept in space; what does not
// fit into it is not shown. No allocation.
func (q *Question) SetAnswer(a *wire.Answer, question []byte, space *[RecordsBytesMax]byte) {
	q.Point, q.RCode, q.TTL, q.Cut = AtResponse, a.RCode, a.TTL, false
	records := space[:0]
	for n := range int(a.AN) {
		r := a.Record(n)
		start := len(records)
		if cap(records)-start < recordHeader {
			q.Cut = true
			break
		}
		whole := a.AppendData(records[:start+recordHeader], question, &r)
		if whole == nil {
			q.Cut = true
			break
		}
		head := whole[start:]
		binary.LittleEndian.PutUint16(head, r.Type)
		binary.LittleEndian.PutUint16(head[2:], uint16(len(head)-recordHeader))
		binary.LittleEndian.PutUint32(head[4:], a.TTLOf(n))
		records = whole
	}
	q.records = records
}
