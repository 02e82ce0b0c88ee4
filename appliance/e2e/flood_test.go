package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"secure-dns-proxy/appliance/e2e/rig"
)

const (
	// lightRate is what the light client asks a second.
	lightRate = 200
	// floodTime is how long the flood is watched once it has taken effect, floodWindows times: a machine with other work may take the worker's CPU away
	// for longer than a socket buffer lasts. In one of them next to nothing may be lost, in most of them little; without admission a fifth is and more.
	floodTime    = 2 * time.Second
	floodWindows = 3
	// floodBuffer holds what the flood sends while the worker waits for a CPU that others use.
	floodBuffer = `udp.receive_buffer = "64MiB"`
	// overloadTimeout is how long it may take until an overload is noticed, and until it is over, on a machine with other work.
	overloadTimeout = 20 * time.Second
)

// Two addresses flood one worker with far more than it can answer, beside a client that asks little. The light client loses nothing; with
// admission off it loses its share. The program is the one with the race detector in it, which is slow enough to be flooded by a test.
func TestFlood(t *testing.T) {
	p := startPeers(t)
	heavy := []netip.Addr{netip.MustParseAddr("127.0.3.1"), netip.MustParseAddr("127.0.3.2")}
	forEachEngine(t, func(t *testing.T, engine string) {
		for _, tt := range []struct {
			name, setting string
			protects      bool
			windows       int
			patience      time.Duration // for answers that may still come
		}{
			{"on", `admission.enabled = true`, true, floodWindows, 10 * time.Second},
			{"off", `admission.enabled = false`, false, 1, time.Second},
		} {
			if !tt.protects && engine != engines[0] {
				continue // what the kernel drops without us is the same
			}
			t.Run(tt.name, func(t *testing.T) {
				proxy := rig.StartProxy(t, raceBinary, rig.Config{
					Backend: engine, Upstreams: []rig.Upstream{plain("udp", p)}, Settings: []string{tt.setting, floodBuffer},
				}, nil)
				checkAnswers(t, proxy, "before the flood")
				light := rig.StartSteady(t, proxy.Addr, lightRate, "before")
				flood := rig.StartFlood(t, proxy.Addr, "www.zone.example.", heavy...)
				rig.Eventually(t, overloadTimeout, "the flood takes effect", func() bool {
					before := proxy.Metrics(t)
					time.Sleep(500 * time.Millisecond)
					m := proxy.Metrics(t)
					lost := m.Delta(before).Sum(t, "sdp_socket_drops_total")
					if !tt.protects {
						return lost > 0
					}
					return m.Sum(t, "sdp_refused_sources") == 2 && lost == 0 // the queue that was there is gone
				})
				before, sent := proxy.Metrics(t), flood.Sent()
				for i := range tt.windows {
					light.Phase(window(i))
					time.Sleep(floodTime)
				}
				delta := proxy.Metrics(t).Delta(before)
				sent = flood.Sent() - sent
				light.Phase("after")
				flood.Stop()
				var losses []float64
				tallies := light.Stop(tt.patience)
				for i := range tt.windows {
					tally := tallies[window(i)]
					losses = append(losses, float64(tally.Lost)/float64(tally.Sent))
				}
				slices.Sort(losses)
				answered, refused := delta.Sum(t, "sdp_queries_total"), delta.Sum(t, "sdp_refused_datagrams_total")
				t.Logf("flood: %d sent, %.0f answered, %.0f refused, %.0f without room; light: shares lost %.4f", sent, answered, refused,
					delta.Sum(t, "sdp_socket_drops_total"), losses)
				if float64(sent) < 1.2*answered {
					t.Fatalf("%d were sent, %.0f answered: no flood, the test proves nothing", sent, answered)
				}
				if least, share := losses[0], losses[tt.windows/2]; tt.protects && (least >= 0.01 || share >= 0.05) || !tt.protects && share < 0.2 {
					t.Errorf("the light client lost %.4f of what it sent", losses)
				}
				if (refused > 0) != tt.protects {
					t.Errorf("%.0f were refused", refused)
				}
				checkOverloadLog(t, proxy, tt.protects)
			})
		}
	})
}

// window names a phase of the light client under flood.
func window(i int) string { return fmt.Sprintf("under flood, window %d", i+1) }

// checkOverloadLog: one line when it began, with who it is, and one when it was over; then everybody is answered.
func checkOverloadLog(t *testing.T, proxy *rig.Proxy, protects bool) {
	t.Helper()
	if !protects {
		return
	}
	rig.Eventually(t, overloadTimeout, "the overload is over", func() bool {
		m := proxy.Metrics(t)
		return m.Sum(t, "sdp_overloaded_workers") == 0 && m.Sum(t, "sdp_refused_sources") == 0 && len(proxy.LogLines("overload is over")) == 1
	})
	if lines := proxy.LogLines("overload:", "127.0.3."); len(lines) != 1 {
		t.Errorf("%d lines say who floods, want 1:\n%s", len(lines), proxy.Log())
	}
	checkAnswers(t, proxy, "after the flood")
}
