package lanetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"secure-dns-proxy/transport"
)

// Mute starts a server that takes queries and answers none, until the test ends.
type Mute func(t *testing.T) (*transport.Endpoint, *Health)

const (
	submitPause = 5 * time.Millisecond
	longEnough  = 20 * time.Second // for every deadline here
)

// CheckSilence wants a driver to give a mute connection up after DeadAfter, whatever the deadlines of the queries.
func CheckSilence(t *testing.T, run func(context.Context, *transport.Lane), serve Mute) {
	for _, deadline := range []time.Duration{100 * time.Millisecond, longEnough} {
		t.Run(deadline.String(), func(t *testing.T) {
			NoLeaks(t)
			e, health := serve(t)
			e.DeadAfter = 300 * time.Millisecond
			w := Open(t, e, run, transport.LaneLimits{})
			for i := 0; w.Lane.Stats().Dead == 0; i++ {
				w.Submit(Name(i), deadline)
				time.Sleep(submitPause)
			}
			Eventually(t, "down", func() bool { return len(health.Downs()) > 0 })
		})
	}
}

// CheckLosers has every query given up long before the server, which is in good health, could answer, as those that lose a race are:
// that says nothing of the connection. When they had their time, it does.
func CheckLosers(t *testing.T, run func(context.Context, *transport.Lane), serve Mute) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("late ", late), func(t *testing.T) {
			NoLeaks(t)
			e, health := serve(t)
			if e.DeadAfter = 200 * time.Millisecond; !late {
				e.DeadAfter = time.Second // a busy machine lets no query live so long
			}
			w := Open(t, e, run, transport.LaneLimits{})
			begin := time.Now()
			for i := 0; w.Lane.Stats().Dead == 0 && (late || time.Since(begin) < 2*e.DeadAfter); i++ {
				w.Submit(Name(i), longEnough)
				if i > 0 {
					w.Cancel(Name(i-1), late) // one is always outstanding
					w.Receive(1)
				}
				time.Sleep(submitPause)
			}
			if got := w.Lane.Stats(); late != (got.Dead == 1) || !late && len(health.Downs()) > 0 {
				t.Errorf("%+v, down %v; want a dead connection only if queries had their time", got, health.Downs())
			}
		})
	}
}
