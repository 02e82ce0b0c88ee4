package stream

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

// Config sizes a table, for its whole life. Zero is not a default: see Defaults.
type Config struct {
	Conns           int           // connections, 1 to ConnsMax
	ConnsPerClient  int           // of one IPv4 address or one IPv6 /64, 1 to Conns
	InFlightPerConn int           // queries of one connection under way, 1 to InFlightMax
	IdleTimeout     time.Duration // since the last complete query or answer, IdleTimeoutMin to IdleTimeoutMax
	PoolSmall       int           // buffers of BufferSmallBytes, 1 to PoolSmallMax
	PoolLarge       int           // buffers of BufferLargeBytes, 1 to PoolLargeMax
}

func (c Config) validate() error {
	var errs []error
	within := func(name string, got, most int) {
		if got < 1 || got > most {
			errs = append(errs, fmt.Errorf("%s %d: want 1 to %d", name, got, most))
		}
	}
	within("connections", c.Conns, ConnsMax)
	within("connections per client", c.ConnsPerClient, min(max(c.Conns, 1), ConnsMax))
	within("queries in flight per connection", c.InFlightPerConn, InFlightMax)
	within("small buffers", c.PoolSmall, PoolSmallMax)
	within("large buffers", c.PoolLarge, PoolLargeMax)
	if c.IdleTimeout < IdleTimeoutMin || c.IdleTimeout > IdleTimeoutMax {
		errs = append(errs, fmt.Errorf("idle timeout %v: want %v to %v", c.IdleTimeout, IdleTimeoutMin, IdleTimeoutMax))
	}
	return errors.Join(errs...)
}

// Table holds the TCP connections of one worker.
type Table struct {
	cfg     Config
	conns   []Conn // [0] is no connection: the sentinel of the idle list
	len     int
	closing int   // of these: shut, not yet released
	now     int64 // the latest instant the caller has told

	freeFirst uint32 // free numbers, oldest first, linked through Conn.newer
	freeLast  uint32
	fresh     int // numbers from here on were never used

	clients clients
	buffers buffers

	rest     []byte // of the last Feed: not yet consumed
	restConn ConnID

	reserved      ConnID // connection of the last Reserve, 0: committed
	reservedBytes int

	stats Stats
	maps  [][]byte
}

// Refusal says why Accept took no connection.
type Refusal uint8

const (
	RefusalNone   Refusal = iota
	RefusedTotal          // Config.Conns are open
	RefusedClient         // Config.ConnsPerClient of this client are open
)

func (r Refusal) String() string {
	return [...]string{"none", "too many connections", "too many connections of this client"}[r]
}

// New maps a table. Errors: every value of cfg out of range, joined; the mapping's.
func New(cfg Config) (*Table, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("tcp connections: %w", err)
	}
	t := &Table{cfg: cfg, fresh: 1}
	clientSlots := clientEntries(cfg.Conns)
	err := errors.Join(
		mapArray(t, &t.conns, 1+cfg.Conns+connsSpare),
		mapArray(t, &t.clients.entries, clientSlots),
		mapArray(t, &t.buffers.small.mem, cfg.PoolSmall*BufferSmallBytes),
		mapArray(t, &t.buffers.large.mem, cfg.PoolLarge*BufferLargeBytes),
	)
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("tcp connections: %w", err)
	}
	t.clients.init()
	t.buffers.small.init(BufferSmallBytes)
	t.buffers.large.init(BufferLargeBytes)
	return t, nil
}

// Close unmaps everything: the kernel must hold no buffer any more.
func (t *Table) Close() error {
	var errs []error
	for _, m := range t.maps {
		errs = append(errs, sys.Unmap(m))
	}
	*t = Table{}
	return errors.Join(errs...)
}

// Accept takes a new connection into the table. now is ns of the worker's clock. On refusal the caller closes h and forgets it.
func (t *Table) Accept(h ring.Handle, peer *ring.Path, now int64) (ConnID, Refusal) {
	t.now = max(t.now, now)
	if t.len == t.cfg.Conns {
		t.stats.RefusedTotal++
		return 0, RefusedTotal
	}
	if !t.clients.add(clientOf(peer.Addr().Addr()), t.cfg.ConnsPerClient) {
		t.stats.RefusedClient++
		return 0, RefusedClient
	}
	index := t.takeNumber()
	c := &t.conns[index]
	gen := c.gen + 1
	*c = Conn{Handle: h, Peer: *peer, gen: gen, flags: flagOpen}
	t.linkNewest(index)
	t.len++
	t.stats.Accepted++
	return idOf(index, gen), RefusalNone
}

// Conn returns the connection, nil if id is stale (or 0). Valid until Release.
func (t *Table) Conn(id ConnID) *Conn {
	index := id.index()
	if index >= uint32(len(t.conns)) {
		return nil
	}
	if c := &t.conns[index]; c.gen == id.gen() && c.is(flagOpen) {
		return c
	}
	return nil
}

// Shut says that the caller has told the engine to close the connection; true the first time. From here on it takes no input, no
// answers, and no time; only Sent, Done and Release still mean something. What the kernel may still read stays until Sent or Release.
func (t *Table) Shut(id ConnID) bool {
	c := t.Conn(id)
	if c == nil || c.is(flagShut) {
		return false
	}
	c.set(flagShut)
	t.closing++
	c.clear(flagHeld)
	t.unlink(id.index())
	t.dropRest(id)
	t.dropInput(c)
	t.dropFill(c)
	if !c.is(flagSending) {
		t.dropSend(c)
	}
	return true
}

// Release ends a connection after the engine's StreamClosed: the kernel holds nothing of it. id is stale from here on.
func (t *Table) Release(id ConnID) {
	c := t.Conn(id)
	if c == nil {
		return
	}
	t.Shut(id)
	t.dropSend(c)
	t.clients.remove(clientOf(c.Peer.Addr().Addr()))
	c.flags = 0
	t.giveNumber(id.index())
	t.len--
	t.closing--
}

// Len returns how many connections there are, from Accept to Release.
func (t *Table) Len() int { return t.len }

// takeNumber returns a free connection number. There is one: Accept has counted, and connsSpare more exist.
func (t *Table) takeNumber() uint32 {
	if t.fresh < len(t.conns) {
		t.fresh++
		return uint32(t.fresh - 1)
	}
	index := t.freeFirst
	t.freeFirst = t.conns[index].newer
	if t.freeFirst == 0 {
		t.freeLast = 0
	}
	return index
}

// giveNumber puts a number at the end of the queue of free ones.
func (t *Table) giveNumber(index uint32) {
	t.conns[index].newer = 0
	if t.freeLast == 0 {
		t.freeFirst = index
	} else {
		t.conns[t.freeLast].newer = index
	}
	t.freeLast = index
}

// mapArray makes *array a zeroed array of n values outside the Go heap, unmapped by Close. T must hold no Go pointer.
func mapArray[T any](t *Table, array *[]T, n int) error {
	var zero T
	m, err := sys.Map(n * int(unsafe.Sizeof(zero)))
	if err != nil {
		return err
	}
	t.maps = append(t.maps, m)
	*array = unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(m))), n)
	return nil
}
