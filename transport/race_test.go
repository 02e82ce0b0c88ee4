package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// trial is what becomes of connecting to one address.
type trial struct {
	takes time.Duration // 0: at once
	err   error
	hangs bool // until it is cancelled
	late  bool // connects although it was cancelled
}

// course is one race in virtual time.
type course struct {
	mu        sync.Mutex
	begin     time.Time
	log       []string // "200ms a6", in the order of the attempts
	discarded []netip.AddrPort
}

func (c *course) run(ctx context.Context, e *Endpoint, counters *Counters, attempts map[string]trial) (netip.AddrPort, error) {
	c.begin = time.Now()
	conn, address, err := TryAddresses(ctx, e, counters, Dialer[netip.AddrPort]{
		Try: func(ctx context.Context, address netip.AddrPort) (netip.AddrPort, error) {
			name := names([]netip.AddrPort{address})
			c.mu.Lock()
			c.log = append(c.log, fmt.Sprint(time.Since(c.begin), " ", name))
			c.mu.Unlock()
			a := attempts[name]
			takes := a.takes
			if a.hangs {
				takes = time.Hour
			}
			select {
			case <-time.After(takes):
				return address, a.err
			case <-ctx.Done():
				if a.late {
					return address, nil
				}
				return address, ctx.Err()
			}
		},
		Discard: func(conn netip.AddrPort) { c.discarded = append(c.discarded, conn) },
	})
	if err == nil && conn != address {
		return address, fmt.Errorf("won with %v, got the connection to %v", address, conn)
	}
	return address, err
}

// TestTryAddresses: when each attempt starts, who wins, and what is remembered.
func TestTryAddresses(t *testing.T) {
	refused := trial{err: syscall.ECONNREFUSED}
	for _, test := range []struct {
		name     string
		list     string
		delay    time.Duration // 0: the default, 250 ms
		attempts map[string]trial
		log      string
		wins     string        // "": nobody
		after    time.Duration // how long it took
		healthy  int
		dials    uint64
		failed   uint64
	}{
		{"the first", "a6 b4", 0, map[string]trial{}, "0s a6", "a6", 0, 2, 1, 0},
		{"slow but in time", "a6 b4", 0, map[string]trial{"a6": {takes: 240 * time.Millisecond}}, "0s a6", "a6", 240 * time.Millisecond, 2, 1, 0},
		{"RFC 8305 §5: the next one after the delay", "a6 b4", 0, map[string]trial{"a6": {hangs: true}}, "0s a6, 250ms b4", "b4", 250 * time.Millisecond, 2, 2, 0},
		{
			"the delay is configured", "a6 b4", 600 * time.Millisecond,
			map[string]trial{"a6": {hangs: true}},
			"0s a6, 600ms b4", "b4",
			600 * time.Millisecond, 2, 2, 0,
		},
		{"RFC 8305 §5: the next one at once after a failure", "a6 b4", 0, map[string]trial{"a6": refused}, "0s a6, 0s b4", "b4", 0, 1, 2, 1},
		{
			"the delay begins anew with each attempt", "a6 b4 c6", 0,
			map[string]trial{"a6": {takes: 100 * time.Millisecond, err: syscall.ECONNREFUSED}, "b4": {hangs: true}},
			"0s a6, 100ms b4, 350ms c6", "c6", 350 * time.Millisecond, 2, 3, 1,
		},
		{
			"the first wins although the second has started", "a6 b4", 0,
			map[string]trial{"a6": {takes: 300 * time.Millisecond}, "b4": {hangs: true}},
			"0s a6, 250ms b4", "a6", 300 * time.Millisecond, 2, 2, 0,
		},
		{"nobody", "a6 b4", 0, map[string]trial{"a6": refused, "b4": refused}, "0s a6, 0s b4", "", 0, 0, 2, 2},
		{
			"all within the timeout", "a6 b4", 0,
			map[string]trial{"a6": {hangs: true}, "b4": {hangs: true}},
			"0s a6, 250ms b4", "",
			2 * time.Second, 0, 2, 2,
		},
		{
			"the last one has its turn", "a4 b4 c4 d4", 2 * time.Second,
			map[string]trial{"a4": {hangs: true}, "b4": {hangs: true}, "c4": {hangs: true}},
			"0s a4, 500ms b4, 1s c4, 1.5s d4", "d4", 1500 * time.Millisecond, 4, 4, 0,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, counters, c := testEndpoint(), new(Counters), new(course)
				e.DialTimeout, e.AttemptDelay = 2*time.Second, test.delay
				e.Addresses.Store(hosts(test.list))
				address, err := c.run(t.Context(), e, counters, test.attempts)
				if got := strings.Join(c.log, ", "); got != test.log {
					t.Errorf("attempts %s, want %s", got, test.log)
				}
				if took := time.Since(c.begin); took != test.after {
					t.Errorf("took %v, want %v", took, test.after)
				}
				if _, healthy := e.AddressHealth(); healthy != test.healthy {
					t.Errorf("%d healthy addresses left, want %d", healthy, test.healthy)
				}
				if counters.Dials.Load() != test.dials || counters.DialErrors.Load() != test.failed {
					t.Errorf("counted %d dials, %d failed, want %d and %d", counters.Dials.Load(), counters.DialErrors.Load(), test.dials, test.failed)
				}
				if test.wins != "" {
					if err != nil || address != host(test.wins) {
						t.Errorf("got %v, %v, want %s", address, err, test.wins)
					}
					if order, _ := e.AddressOrder(Now()); order[0] != address {
						t.Errorf("the next dial begins with %v, want %v, which worked", order[0], address)
					}
					return
				}
				for _, a := range hosts(test.list) {
					if err == nil || !strings.Contains(err.Error(), a.String()) || !strings.Contains(err.Error(), e.Name) {
						t.Errorf("error %v does not name %s at %v", err, e.Name, a)
					}
				}
				if FaultOf(err) != FaultDial {
					t.Errorf("error %v, fault %v", err, FaultOf(err))
				}
			})
		})
	}
}

// TestRaceLeavesNothing: losers have ended when the race returns, and one that connected too late is closed.
func TestRaceLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		e, c := testEndpoint(), new(course)
		e.DialTimeout = 2 * time.Second
		e.Addresses.Store(hosts("a6 b4 c6"))
		attempts := map[string]trial{"a6": {hangs: true, late: true}, "b4": {hangs: true}}
		if address, err := c.run(t.Context(), e, new(Counters), attempts); err != nil || address != host("c6") {
			t.Errorf("got %v, %v", address, err)
		}
		if names(c.discarded) != "a6" {
			t.Errorf("closed %v, want the one that came too late", c.discarded)
		}
	})
}

// TestRaceEndsWithItsContext: a shutdown is nobody's failure.
func TestRaceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, counters, c := testEndpoint(), new(Counters), new(course)
		e.DialTimeout = 2 * time.Second
		e.Addresses.Store(hosts("a6 b4"))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err := c.run(ctx, e, counters, map[string]trial{"a6": {hangs: true}, "b4": {hangs: true}})
		if _, healthy := e.AddressHealth(); !errors.Is(err, context.Canceled) || healthy != 2 || counters.DialErrors.Load() != 0 {
			t.Errorf("got %v, %d healthy, %d errors", err, healthy, counters.DialErrors.Load())
		}
		if took := time.Since(c.begin); took != 100*time.Millisecond || len(c.log) != 1 {
			t.Errorf("took %v with attempts %v", took, c.log)
		}
		if _, err = c.run(ctx, e, counters, nil); !errors.Is(err, context.Canceled) || len(c.log) != 1 {
			t.Errorf("with a context that has ended: %v, attempts %v", err, c.log)
		}
	})
}

func TestNoAddress(t *testing.T) {
	e := testEndpoint()
	e.Addresses.Store(nil)
	var dial *DialError
	if _, err := new(course).run(t.Context(), e, new(Counters), nil); !errors.As(err, &dial) || dial.Cause != CauseNoAddress {
		t.Errorf("got %v", err)
	}
}
