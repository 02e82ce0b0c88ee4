package bootstrap

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// step is one look-up's result.
type step struct {
	addrs string // blank-separated; empty = an error
	ttl   time.Duration
	via   via
}

type via int

const (
	server   via = iota // a bootstrap server; nobody else could be asked
	upstream            // an upstream
	fallback            // a bootstrap server, because the upstreams did not know
)

// TestFollow runs a name through a series of look-ups in fake time.
func TestFollow(t *testing.T) {
	cfg := Config{RefreshThreshold: 30 * time.Second, MinTTL: 20 * time.Second, FailureRetry: 4 * time.Second}
	tests := []struct {
		name    string
		steps   []step
		at      []time.Duration // when each look-up came
		stored  []string
		logged  []string // in order
		counted [3]uint64
	}{
		{
			"refresh before expiry",
			[]step{{"192.0.2.1", 100 * time.Second, server}, {"192.0.2.2", time.Minute, server}, {"192.0.2.2", time.Minute, server}},
			[]time.Duration{0, 70 * time.Second, 100 * time.Second},
			[]string{"192.0.2.1", "192.0.2.2"},
			[]string{"has new addresses"},
			[3]uint64{0, 3, 0},
		},
		{
			"short TTL",
			[]step{{"192.0.2.1", time.Second, server}, {"192.0.2.1", 0, server}, {"192.0.2.1", 0, server}},
			[]time.Duration{0, 20 * time.Second, 40 * time.Second},
			[]string{"192.0.2.1"},
			nil,
			[3]uint64{0, 3, 0},
		},
		{
			"failures keep what is known",
			[]step{{"192.0.2.1", time.Minute, server}, {}, {}, {}, {}, {}, {"192.0.2.1", time.Minute, server}},
			[]time.Duration{0, 30 * time.Second, 31 * time.Second, 33 * time.Second, 37 * time.Second, 41 * time.Second, 45 * time.Second},
			[]string{"192.0.2.1"},
			[]string{"cannot be resolved", "can be resolved again"},
			[3]uint64{0, 2, 5},
		},
		{
			"unknown at first",
			[]step{{}, {"192.0.2.1 2001:db8::1", time.Minute, server}},
			[]time.Duration{0, time.Second},
			[]string{"192.0.2.1 2001:db8::1"},
			[]string{"cannot be resolved", "can be resolved again"},
			[3]uint64{0, 1, 1},
		},
		{
			"the order of an answer means nothing",
			[]step{{"192.0.2.1 192.0.2.2", time.Minute, server}, {"192.0.2.2 192.0.2.1", time.Minute, server}},
			[]time.Duration{0, 30 * time.Second},
			[]string{"192.0.2.1 192.0.2.2"},
			nil,
			[3]uint64{0, 2, 0},
		},
		{
			"through the upstreams, as far as they know",
			[]step{
				{"192.0.2.1", time.Minute, server},
				{"192.0.2.1", time.Minute, upstream},
				{"192.0.2.1", time.Minute, fallback},
				{"192.0.2.1", time.Minute, fallback},
				{"192.0.2.1", time.Minute, upstream},
			},
			[]time.Duration{0, 30 * time.Second, time.Minute, 90 * time.Second, 2 * time.Minute},
			[]string{"192.0.2.1"},
			[]string{"by a bootstrap server", "through the upstreams again"},
			[3]uint64{2, 3, 0},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at []time.Duration
				var stored []string
				var text bytes.Buffer
				begin, finished := time.Now(), make(chan struct{})
				f := &Follower{cfg: cfg, log: slog.New(slog.NewTextHandler(&text, nil))}
				f.lookup = func(ctx context.Context, _ Config, _ string) (Found, error) {
					if len(at) == len(tt.steps) {
						close(finished)
						<-ctx.Done()
						return Found{}, ctx.Err()
					}
					s := tt.steps[len(at)]
					at = append(at, time.Since(begin))
					var addrs []netip.Addr
					for _, a := range strings.Fields(s.addrs) {
						addrs = append(addrs, netip.MustParseAddr(a))
					}
					if addrs == nil {
						return Found{}, errors.New("no luck")
					}
					found := Found{Addrs: addrs, TTL: s.ttl, Upstream: s.via == upstream}
					if s.via == fallback {
						found.Fallback = errors.New("they do not know")
					}
					return found, nil
				}
				f.start([]string{"dns.example"}, func(_ string, addrs []netip.Addr) {
					var words []string
					for _, a := range addrs {
						words = append(words, a.String())
					}
					stored = append(stored, strings.Join(words, " "))
				})
				<-f.Tried()
				<-finished
				f.Close()
				counted := [...]uint64{f.cfg.Counters.Upstream.Load(), f.cfg.Counters.Server.Load(), f.cfg.Counters.Failed.Load()}
				if counted != tt.counted {
					t.Errorf("counted %d through upstreams, at servers, failed; want %d", counted, tt.counted)
				}
				if !reflect.DeepEqual(at, tt.at) {
					t.Errorf("looked up at %v, want %v", at, tt.at)
				}
				if !reflect.DeepEqual(stored, tt.stored) {
					t.Errorf("stored %q, want %q", stored, tt.stored)
				}
				logged := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
				if text.Len() == 0 {
					logged = nil
				}
				if len(logged) != len(tt.logged) {
					t.Fatalf("logged %q, want %d lines", logged, len(tt.logged))
				}
				for i, want := range tt.logged {
					if !strings.Contains(logged[i], want) {
						t.Errorf("logged %q, want %q in it", logged[i], want)
					}
				}
			})
		})
	}
}

// TestJitter: the pause becomes shorter by at most the share that is configured, and never shorter than MinTTL.
func TestJitter(t *testing.T) {
	pauses := func(percent int, minTTL time.Duration) (least, most time.Duration) {
		f := &Follower{cfg: Config{RefreshThreshold: 100 * time.Second, MinTTL: minTTL, JitterPercent: percent}}
		least = time.Hour
		for range 1000 {
			pause := f.afterSuccess(1100 * time.Second)
			least, most = min(least, pause), max(most, pause)
		}
		return least, most
	}
	if least, most := pauses(0, time.Second); least != 1000*time.Second || most != least {
		t.Errorf("without jitter: got %v to %v, want 1000 s", least, most)
	}
	if least, most := pauses(20, time.Second); least < 800*time.Second || least > 850*time.Second || most > 1000*time.Second || most < 950*time.Second {
		t.Errorf("with 20 %%: got %v to %v, want 800 to 1000 s", least, most)
	}
	if least, _ := pauses(95, 900*time.Second); least != 900*time.Second {
		t.Errorf("got %v, want no less than min_ttl, 900 s", least)
	}
}
