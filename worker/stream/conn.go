package stream

import "secure-dns-proxy/ring"

// ConnID names a connection: number in the low indexBits, generation above. 0 never names one, and a name of a released connection
// is not given to another one for a very long time (see connsSpare).
type ConnID uint32

const indexBits = 16

func idOf(index uint32, gen uint16) ConnID { return ConnID(uint32(gen)<<indexBits | index) }

func (id ConnID) index() uint32 { return uint32(id) & (1<<indexBits - 1) }
func (id ConnID) gen() uint16   { return uint16(id >> indexBits) }

// Conn is one connection. Handle and Peer are for the caller to read, Listener to write and read.
type Conn struct {
	active   int64 // ns: last complete query or answer
	Handle   ring.Handle
	Peer     ring.Path
	in       buffer // input that could not be handed out in place: bytes inOff..inLen
	inOff    uint32
	inLen    uint32
	fill     buffer // answers that gather for the next send
	fillLen  uint32
	send     buffer // answers being sent (flagSending) or next to be sent
	sendLen  uint32
	older    uint32 // idle list
	newer    uint32 // idle list; next free number while free
	gen      uint16
	inFlight uint16
	Listener uint16 // number of the listener that it came by
	flags    flags
}

type flags uint8

const (
	flagOpen    flags = 1 << iota // between Accept and Release
	flagReading                   // a read is armed
	flagEnded                     // the peer sends no more
	flagHeld                      // a complete message waits because of TooMany
	flagBroken                    // must be closed: no framing, no memory, or a client that does not read
	flagSending                   // send is with the kernel
	flagShut                      // the engine is closing it
)

func (c *Conn) is(f flags) bool { return c.flags&f != 0 }
func (c *Conn) set(f flags)     { c.flags |= f }
func (c *Conn) clear(f flags)   { c.flags &^= f }

// InFlight returns how many queries of this connection are under way.
func (c *Conn) InFlight() int { return int(c.inFlight) }

// Shut tells whether the engine is closing the connection.
func (c *Conn) Shut() bool { return c.is(flagShut) }
