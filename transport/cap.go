package transport

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ConnCap bounds the connections of several endpoints together: those of a pool, or of a kind. All methods are for any goroutine.
type ConnCap struct {
	name string
	most atomic.Int64 // 0: no cap, but connections are counted
	open atomic.Int64
}

// NewConnCap returns a cap without a bound; name is for messages.
func NewConnCap(name string) *ConnCap { return &ConnCap{name: name} }

// Set bounds the connections from now on; 0 takes the bound away. Connections that are open already stay.
func (c *ConnCap) Set(most int) { c.most.Store(int64(most)) }

// Open returns how many connections are counted.
func (c *ConnCap) Open() int { return int(c.open.Load()) }

// ConnCaps are the caps that an endpoint is under, replaced as a whole by whoever configures it. The zero value is none.
type ConnCaps struct {
	list atomic.Pointer[[]*ConnCap]
}

// Store puts the endpoint under caps, each once. Connections that are open already are counted where they were.
func (c *ConnCaps) Store(caps []*ConnCap) { c.list.Store(&caps) }

// Place is the right to one connection. Whoever holds it calls Release once, when the connection is gone or could not be made.
type Place struct {
	caps []*ConnCap
}

// errCapped is wrapped by the DialError of a connection that a cap does not allow.
var errCapped = errors.New("as many connections as configured")

// TakePlace counts one more connection to e, or returns a DialError with CauseCapped if a cap is reached. A connection that replaces another
// is counted and never refused: for a moment there is one more.
func (e *Endpoint) TakePlace(replaces bool) (Place, error) {
	if e.ConnCaps == nil {
		return Place{}, nil
	}
	list := e.ConnCaps.list.Load()
	if list == nil {
		return Place{}, nil
	}
	for i, c := range *list {
		open, most := c.open.Add(1), c.most.Load()
		if most != 0 && open > most && !replaces {
			Place{(*list)[:i+1]}.Release()
			return Place{}, &DialError{Endpoint: e.Name, Cause: CauseCapped, Err: fmt.Errorf("%w: %d of %s", errCapped, most, c.name)}
		}
	}
	return Place{*list}, nil
}

// Release gives the place back.
func (p Place) Release() {
	for _, c := range p.caps {
		c.open.Add(-1)
	}
}
