package stream

import "encoding/binary"

// Status is what Next found.
type Status uint8

const (
	Message  Status = iota + 1
	NeedMore        // no complete message: read on
	TooMany         // a message is there, but so are too many queries or unsent answers: ask again after Done or Sent
	Broken          // close: a frame of no bytes (nothing after it can be trusted), or no buffer to keep the bytes in
)

func (s Status) String() string {
	return [...]string{"none", "message", "need more", "too many", "broken"}[s]
}

// Feed takes the bytes of one read, at most BufferLargeBytes of them. They are consumed by Next, which must be called until it says
// something else than Message before data goes away at the next turn.
func (t *Table) Feed(id ConnID, data []byte) {
	t.settle()
	c := t.Conn(id)
	if c == nil || c.is(flagShut|flagBroken) {
		return
	}
	c.clear(flagReading)
	t.rest, t.restConn = data, id
}

// Next returns the next complete message without its length, 1 to 65535 bytes, which the caller may modify. It is valid until the
// next Feed or Next of any connection, and no longer than the data given to Feed. A stale or shut id has nothing: NeedMore.
// No allocation; nothing is copied unless a message straddles reads or has to wait.
func (t *Table) Next(id ConnID) (msg []byte, status Status) {
	c := t.Conn(id)
	switch {
	case c == nil || c.is(flagShut):
		return nil, NeedMore
	case c.is(flagBroken):
		return nil, Broken
	}
	if c.inOff == c.inLen {
		t.dropInput(c) // The message before this one was its last content, and nobody looks at that any more.
	}
	view, ok := t.assemble(id, c)
	if !ok {
		return nil, t.fail(id, c, &t.stats.InputNoBuffer)
	}
	body, status := frameOf(view)
	if status == Message && t.blocked(c) {
		status = TooMany
	}
	c.clear(flagHeld)
	switch status {
	case Message:
		t.consume(c, headerBytes+body)
		t.touch(id.index())
		t.stats.Messages++
		return view[headerBytes : headerBytes+body : headerBytes+body], Message
	case Broken:
		return nil, t.fail(id, c, &t.stats.ZeroLength)
	case TooMany:
		c.set(flagHeld)
		t.stats.Held++
	}
	if !t.keep(c, len(t.restOf(id))) {
		return nil, t.fail(id, c, &t.stats.InputNoBuffer)
	}
	return nil, status
}

// Pending tells whether Next has a message again after it said TooMany.
func (t *Table) Pending(id ConnID) bool {
	c := t.Conn(id)
	return c != nil && c.is(flagHeld) && !t.blocked(c)
}

// WantRead tells whether to arm a read, and notes that it is armed: true once per read. Not while one is armed, nor after the end, nor
// while messages wait.
func (t *Table) WantRead(id ConnID) bool {
	c := t.Conn(id)
	if c == nil || c.is(flagReading|flagEnded|flagHeld|flagBroken|flagShut) || t.blocked(c) || len(t.restOf(id)) > 0 {
		return false
	}
	c.set(flagReading)
	return true
}

// End notes that the peer sends no more. It may have closed only its own direction, so what it is owed is still sent.
func (t *Table) End(id ConnID) {
	if c := t.Conn(id); c != nil {
		c.clear(flagReading)
		c.set(flagEnded)
	}
}

// Begin counts a query as under way: after Next returned it, and only if it is not answered at once.
func (t *Table) Begin(id ConnID) {
	c := t.Conn(id)
	if c == nil {
		return
	}
	if int(c.inFlight) == t.cfg.InFlightPerConn {
		panic("stream: more queries begun than Next handed out")
	}
	c.inFlight++
}

// Done ends what Begin began, when its answer is committed or given up. A stale id is no matter.
func (t *Table) Done(id ConnID, now int64) {
	t.now = max(t.now, now)
	c := t.Conn(id)
	if c == nil {
		return
	}
	if c.inFlight == 0 {
		panic("stream: a query ended that never began")
	}
	c.inFlight--
	t.touch(id.index())
}

// blocked tells whether another message would be too many: the cap of queries is reached, or a send is under way and the answers behind
// it leave no room for one more of any size.
func (t *Table) blocked(c *Conn) bool {
	return int(c.inFlight) >= t.cfg.InFlightPerConn || c.send != 0 && c.fillLen > outputPauseBytes
}

// frameOf reads the frame at the start of b: body is its length without the header, 0 while that is not known.
func frameOf(b []byte) (body int, status Status) {
	if len(b) < headerBytes {
		return 0, NeedMore
	}
	body = int(binary.BigEndian.Uint16(b))
	switch {
	case body == 0:
		return 0, Broken
	case len(b) < headerBytes+body:
		return body, NeedMore
	}
	return body, Message
}

// assemble returns the input from the next frame on. Without a buffer that is what is left of the read. With one it is the buffer,
// to which just so much of the read is added as completes the frame: the frames behind it are then found in place again.
func (t *Table) assemble(id ConnID, c *Conn) (view []byte, ok bool) {
	if c.in == 0 {
		return t.restOf(id), true
	}
	if !t.pull(id, c, headerBytes) {
		return nil, false
	}
	if body, status := frameOf(t.kept(c)); status == NeedMore && body > 0 && !t.pull(id, c, headerBytes+body) {
		return nil, false
	}
	return t.kept(c), true
}

// pull moves bytes from the read to the buffer until that has so many, or the read is used up. False: no room.
func (t *Table) pull(id ConnID, c *Conn, want int) bool {
	missing := want - int(c.inLen-c.inOff)
	return missing <= 0 || t.keep(c, min(missing, len(t.restOf(id))))
}

// keep moves the first n bytes of the read to the connection's buffer. False: no room.
func (t *Table) keep(c *Conn, n int) bool {
	if n == 0 {
		return true
	}
	if !t.inputRoom(c, n) {
		return false
	}
	copy(t.buffers.bytes(c.in)[c.inLen:], t.rest[:n])
	c.inLen += uint32(n)
	t.rest = t.rest[n:]
	return true
}

// inputRoom makes room for n more bytes in the connection's buffer. A large buffer is taken only for bytes that have arrived: announcing
// a long message is free, and earns nothing.
func (t *Table) inputRoom(c *Conn, n int) bool {
	have := int(c.inLen - c.inOff)
	switch {
	case c.in == 0:
		c.in = t.buffers.take(n, forInput)
		c.inOff, c.inLen = 0, 0
		return c.in != 0
	case int(c.inLen)+n <= c.in.class():
		return true
	case have+n <= c.in.class():
		copy(t.buffers.bytes(c.in), t.kept(c))
	default:
		bigger := t.buffers.take(have+n, forInput)
		if bigger == 0 {
			return false
		}
		copy(t.buffers.bytes(bigger), t.kept(c))
		t.buffers.give(c.in)
		c.in = bigger
	}
	c.inOff, c.inLen = 0, uint32(have)
	return true
}

// kept returns the input in the connection's buffer.
func (t *Table) kept(c *Conn) []byte {
	return t.buffers.bytes(c.in)[c.inOff:c.inLen]
}

// consume steps over n bytes of input, which stay where they are until the next call.
func (t *Table) consume(c *Conn, n int) {
	if c.in != 0 {
		c.inOff += uint32(n)
	} else {
		t.rest = t.rest[n:]
	}
}

// restOf returns what is left of the read, if it is this connection's.
func (t *Table) restOf(id ConnID) []byte {
	if t.restConn != id {
		return nil
	}
	return t.rest
}

// settle keeps what is left of the read before, so that the next one can take its place.
func (t *Table) settle() {
	if len(t.rest) == 0 {
		return
	}
	id := t.restConn
	if c := t.Conn(id); c != nil && !t.keep(c, len(t.rest)) {
		t.fail(id, c, &t.stats.InputNoBuffer)
	}
	t.rest, t.restConn = nil, 0
}

func (t *Table) dropRest(id ConnID) {
	if t.restConn == id {
		t.rest, t.restConn = nil, 0
	}
}

func (t *Table) dropInput(c *Conn) {
	if c.in != 0 {
		t.buffers.give(c.in)
	}
	c.in, c.inOff, c.inLen = 0, 0, 0
}

// fail marks the connection for closing, counts why, and drops input that nobody will ask for.
func (t *Table) fail(id ConnID, c *Conn, why *uint64) Status {
	c.set(flagBroken)
	c.clear(flagHeld)
	t.dropRest(id)
	*why++
	return Broken
}
