package stream

// The idle list runs through all connections that are not shut, from the one that has been quiet longest to the newest. It is circular;
// conns[0] is its sentinel. Times only grow along it, so the oldest tells when anything can expire at all.

// Expired returns a connection that has been quiet for IdleTimeout and has to be closed. Call it until it says false; each is returned
// once. A connection that waits for us, not we for it, gets another IdleTimeout: its queries have deadlines of their own.
func (t *Table) Expired(now int64) (ConnID, bool) {
	t.now = max(t.now, now)
	for index := t.conns[0].newer; index != 0; index = t.conns[0].newer {
		c := &t.conns[index]
		if c.active+int64(t.cfg.IdleTimeout) > now {
			break
		}
		if c.inFlight > 0 {
			t.touch(index)
			continue
		}
		t.unlink(index)
		t.stats.Expired++
		return idOf(index, c.gen), true
	}
	return 0, false
}

// Crowded returns the connection to close so that the client after next finds room: the one that has been quiet longest, once all but a few
// places are taken. It is not the one that has just come (0: that found no room). False: there is room, or queries of others are under way or their
// answers not yet sent. Each is returned once.
//
// So connections that only sit there, or send half a query, keep nobody out for longer than it takes to open as many again; RFC 7766 §6.2.3
// lets a server close idle ones at any time.
func (t *Table) Crowded(come ConnID) (ConnID, bool) {
	room := t.cfg.Conns / roomShare
	if room == 0 || t.len <= t.cfg.Conns-room {
		return 0, false
	}
	for range crowdedLooks {
		index := t.conns[0].newer
		c := &t.conns[index]
		switch {
		case index == 0 || index == come.index():
			return 0, false
		case c.inFlight == 0 && !c.is(flagSending) && c.fillLen == 0 && c.sendLen == 0:
			t.unlink(index)
			t.stats.Crowded++
			return idOf(index, c.gen), true
		}
		t.touch(index)
	}
	return 0, false
}

// NextTimer returns when, in ns, Expired may next return something: exactly or too early, never too late; -1 with no connection.
func (t *Table) NextTimer(now int64) int64 {
	t.now = max(t.now, now)
	oldest := t.conns[0].newer
	if oldest == 0 {
		return -1
	}
	return t.conns[oldest].active + int64(t.cfg.IdleTimeout)
}

// touch makes the connection the newest, as of the latest instant that is known: at most one turn old, and a turn is short.
func (t *Table) touch(index uint32) {
	if t.conns[index].older == index {
		return // Not in the list: expired or shut.
	}
	t.unlink(index)
	t.linkNewest(index)
}

// linkNewest appends a connection that is in no list.
func (t *Table) linkNewest(index uint32) {
	c, newest := &t.conns[index], t.conns[0].older
	c.active = t.now
	c.older, c.newer = newest, 0
	t.conns[newest].newer = index
	t.conns[0].older = index
}

// unlink takes a connection out of the list, if it is in it. One that is not names itself as its neighbour.
func (t *Table) unlink(index uint32) {
	c := &t.conns[index]
	if c.older == index {
		return
	}
	t.conns[c.older].newer = c.newer
	t.conns[c.newer].older = c.older
	c.older, c.newer = index, index
}
