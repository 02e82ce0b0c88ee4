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

// Crowded returns a connection to close so that clients who come find room, once all but a few places are taken: of the crowdedLooks that have been
// quiet longest the one whose client has the most, the quietest of several such. Call it until it says false, when all that has arrived is read. False:
// there is room, or there will be when what is shut has been released; or queries of the others are under way, their answers not yet sent, or
// they have not been quiet for crowdedGrace. Each is returned once.
//
// So connections that only sit there, or send half a query, keep nobody out for longer than it takes to open as many again; RFC 7766 §6.2.3
// lets a server close idle ones at any time. And connections that come in a burst do not wash out those that came just before, whose first
// queries lie unread: what finds no room then is refused.
func (t *Table) Crowded(now int64) (ConnID, bool) {
	t.now = max(t.now, now)
	if !t.crowded() {
		return 0, false
	}
	index, chosen, most := t.conns[0].newer, uint32(0), 0
	for range crowdedLooks {
		c := &t.conns[index]
		if index == 0 || c.active+int64(crowdedGrace) > t.now {
			break
		}
		next := c.newer
		if c.inFlight != 0 || c.is(flagSending) || c.fillLen != 0 || c.sendLen != 0 {
			t.touch(index)
		} else if n := t.clients.count(clientOf(c.Peer.Addr().Addr())); n > most {
			chosen, most = index, n
		}
		index = next
	}
	if chosen == 0 {
		return 0, false
	}
	t.unlink(chosen)
	t.stats.Crowded++
	return idOf(chosen, t.conns[chosen].gen), true
}

// crowded tells whether few places are free, counting those that become so without further ado.
func (t *Table) crowded() bool {
	room := t.cfg.Conns / roomShare
	return room != 0 && t.len-t.closing > t.cfg.Conns-room
}

// NextTimer returns when, in ns, Expired or Crowded may next return something: exactly or too early, never too late; -1 with no connection.
func (t *Table) NextTimer(now int64) int64 {
	t.now = max(t.now, now)
	oldest := t.conns[0].newer
	if oldest == 0 {
		return -1
	}
	quiet := t.cfg.IdleTimeout
	if t.crowded() {
		quiet = min(quiet, crowdedGrace)
	}
	return t.conns[oldest].active + int64(quiet)
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
