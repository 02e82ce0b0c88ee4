package transport

import (
	"errors"
	"strings"
	"testing"
)

func TestConnCaps(t *testing.T) {
	pool, kind := NewConnCap("pool a"), NewConnCap("all tls upstreams")
	a, b := &Endpoint{Name: "a", ConnCaps: new(ConnCaps)}, &Endpoint{Name: "b", ConnCaps: new(ConnCaps)}
	a.ConnCaps.Store([]*ConnCap{pool, kind})
	b.ConnCaps.Store([]*ConnCap{kind})
	take := func(e *Endpoint, replaces bool) Place {
		t.Helper()
		p, err := e.TakePlace(replaces)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	take(&Endpoint{}, false).Release() // under no cap
	first := take(a, false)
	pool.Set(1)
	kind.Set(2)
	var dial *DialError
	if _, err := a.TakePlace(false); !errors.As(err, &dial) || dial.Cause != CauseCapped || FaultOf(err) != FaultFull || !strings.Contains(err.Error(), "1 of pool a") {
		t.Errorf("beyond the pool's cap: %v", err)
	}
	second := take(b, false)
	if _, err := b.TakePlace(false); !errors.As(err, &dial) || !strings.Contains(err.Error(), "2 of all tls upstreams") {
		t.Errorf("beyond the kind's cap: %v", err)
	}
	replacement := take(a, true)
	if pool.Open() != 2 || kind.Open() != 3 {
		t.Errorf("with a replacement: %d in the pool, %d of the kind; want 2, 3", pool.Open(), kind.Open())
	}
	a.ConnCaps.Store(nil) // a reload: what is open goes off the books where it was counted
	for _, p := range []Place{first, second, replacement} {
		p.Release()
	}
	if pool.Open() != 0 || kind.Open() != 0 {
		t.Errorf("all released: %d, %d", pool.Open(), kind.Open())
	}
}
