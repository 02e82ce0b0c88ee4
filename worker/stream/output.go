package stream

import "encoding/binary"

// Reserve returns room for one message of n bytes, 1 to 65535, behind the answers that gather for the next send. Build it there, then
// Commit. A close bound of n keeps small answers out of large buffers. nil: the connection is gone or must be closed, because the
// client does not read what it asked for or because buffers ran out; ShouldClose says so too.
func (t *Table) Reserve(id ConnID, n int) []byte {
	if n < 1 || n > messageBytesMax {
		panic("stream: message of impossible length")
	}
	c := t.Conn(id)
	if c == nil || c.is(flagShut|flagBroken) || !t.outputRoom(id, c, headerBytes+n) {
		return nil
	}
	t.reserved, t.reservedBytes = id, n
	from := int(c.fillLen) + headerBytes
	return t.buffers.bytes(c.fill)[from : from+n : from+n]
}

// Commit queues the first n bytes of what Reserve just returned as one message.
func (t *Table) Commit(id ConnID, n int) {
	if t.reserved != id || n < 1 || n > t.reservedBytes {
		panic("stream: commit of what was not reserved")
	}
	t.reserved = 0
	c := t.Conn(id)
	binary.BigEndian.PutUint16(t.buffers.bytes(c.fill)[c.fillLen:], uint16(n))
	c.fillLen += uint32(headerBytes + n)
	t.stats.Answers++
}

// Output returns all that can be sent now in one piece, and notes that it is being sent; nil while a send is under way or there is
// nothing. The bytes stay as they are until Sent or Release.
func (t *Table) Output(id ConnID) []byte {
	c := t.Conn(id)
	if c == nil || c.is(flagSending|flagShut|flagBroken) {
		return nil
	}
	if c.send == 0 {
		if c.fillLen == 0 {
			return nil
		}
		t.promote(c)
	}
	c.set(flagSending)
	t.reserved = 0
	t.stats.Sends++
	return t.buffers.bytes(c.send)[:c.sendLen]
}

// Idle reports whether nothing waits to be sent, or is being sent: what is committed next is all that there is.
func (t *Table) Idle(id ConnID) bool {
	c := t.Conn(id)
	return c != nil && c.send == 0 && c.fillLen == 0
}

// Sent notes that the kernel has taken all that Output returned last, or has given up on it.
func (t *Table) Sent(id ConnID) {
	c := t.Conn(id)
	if c == nil || !c.is(flagSending) {
		return
	}
	c.clear(flagSending)
	t.dropSend(c)
	t.touch(id.index())
}

// ShouldClose tells whether the connection has to be closed: it is broken, or the peer has ended and has got every answer it is owed.
func (t *Table) ShouldClose(id ConnID) bool {
	c := t.Conn(id)
	if c == nil || c.is(flagShut) {
		return false
	}
	if c.is(flagBroken) {
		return true
	}
	return c.is(flagEnded) && !c.is(flagHeld) && c.inFlight == 0 && c.fillLen == 0 && c.send == 0 && len(t.restOf(id)) == 0
}

// outputRoom makes room for n more bytes in the filling buffer: it grows first, so that one send takes as much as possible; a full one
// becomes the next to be sent if none is; then the client has 64 KiB and more unread, and that is enough.
func (t *Table) outputRoom(id ConnID, c *Conn, n int) bool {
	total := int(c.fillLen) + n
	if c.fill != 0 && total <= c.fill.class() {
		return true
	}
	if bigger := t.buffers.take(total, forOutput); bigger != 0 {
		if c.fill != 0 {
			copy(t.buffers.bytes(bigger), t.buffers.bytes(c.fill)[:c.fillLen])
			t.buffers.give(c.fill)
		}
		c.fill = bigger
		return true
	}
	if total > BufferLargeBytes && c.send != 0 {
		t.fail(id, c, &t.stats.SlowReaders)
		return false
	}
	if c.fillLen > 0 && c.send == 0 {
		t.promote(c)
		if c.fill = t.buffers.take(n, forOutput); c.fill != 0 {
			return true
		}
	}
	t.fail(id, c, &t.stats.OutputNoBuffer)
	return false
}

// promote makes the filling buffer the one to be sent next.
func (t *Table) promote(c *Conn) {
	c.send, c.sendLen = c.fill, c.fillLen
	c.fill, c.fillLen = 0, 0
}

func (t *Table) dropFill(c *Conn) {
	if c.fill != 0 {
		t.buffers.give(c.fill)
	}
	c.fill, c.fillLen = 0, 0
}

func (t *Table) dropSend(c *Conn) {
	if c.send != 0 {
		t.buffers.give(c.send)
	}
	c.send, c.sendLen = 0, 0
}
