package admission

// queue tells whether questions wait for each other at the upstreams: as in CoDel (RFC 8289 §4.2) by the shortest time that any took, against the
// shortest that has been seen for a while. Slow names do not make a queue; nor does a busy machine as long as one answer in an interval is quick.
type queue struct {
	least [2]int64 // ns: of the present window and of the one before; 0: nothing was answered
	turn  int64    // ns: when the present one ends
}

// stands takes in the shortest exchange of an interval, 0 for none, and reports whether there was a queue even then.
func (q *queue) stands(now, quickest int64) bool {
	if now >= q.turn {
		q.least[0], q.least[1] = 0, q.least[0]
		q.turn = now + int64(queueWindow)
	}
	if quickest == 0 {
		return false
	}
	if q.least[0] == 0 || quickest < q.least[0] {
		q.least[0] = quickest
	}
	base := q.least[0]
	if q.least[1] != 0 {
		base = min(base, q.least[1])
	}
	return quickest > base+max(int64(queueTarget), base/4)
}
