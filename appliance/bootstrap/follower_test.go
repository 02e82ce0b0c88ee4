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
}

// TestFollow runs a name through a series of look-ups in fake time.
func TestFollow(t *testing.T) {
	cfg := Config{RefreshThreshold: 30 * time.Second, MinTTL: 20 * time.Second, FailureRetry: 4 * time.Second}
	tests := []struct {
		name   string
		steps  []step
		at     []time.Duration // when each look-up came
		stored []string
		logged []string // in order
	}{
		{
			"refresh before expiry",
			[]step{{"192.0.2.1", 100 * time.Second}, {"192.0.2.2", time.Minute}, {"192.0.2.2", time.Minute}},
			[]time.Duration{0, 70 * time.Second, 100 * time.Second},
			[]string{"192.0.2.1", "192.0.2.2"},
			nil,
		},
		{
			"short TTL",
			[]step{{"192.0.2.1", time.Second}, {"192.0.2.1", 0}, {"192.0.2.1", 0}},
			[]time.Duration{0, 20 * time.Second, 40 * time.Second},
			[]string{"192.0.2.1"},
			nil,
		},
		{
			"failures keep what is known",
			[]step{{"192.0.2.1", time.Minute}, {}, {}, {}, {}, {}, {"192.0.2.1", time.Minute}},
			[]time.Duration{0, 30 * time.Second, 31 * time.Second, 33 * time.Second, 37 * time.Second, 41 * time.Second, 45 * time.Second},
			[]string{"192.0.2.1"},
			[]string{"cannot be resolved", "can be resolved again"},
		},
		{
			"unknown at first",
			[]step{{}, {"192.0.2.1 2001:db8::1", time.Minute}},
			[]time.Duration{0, time.Second},
			[]string{"192.0.2.1 2001:db8::1"},
			[]string{"cannot be resolved", "can be resolved again"},
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
				f.lookup = func(ctx context.Context, _ Config, _ string) ([]netip.Addr, time.Duration, error) {
					if len(at) == len(tt.steps) {
						close(finished)
						<-ctx.Done()
						return nil, 0, ctx.Err()
					}
					s := tt.steps[len(at)]
					at = append(at, time.Since(begin))
					var addrs []netip.Addr
					for _, a := range strings.Fields(s.addrs) {
						addrs = append(addrs, netip.MustParseAddr(a))
					}
					if addrs == nil {
						return nil, 0, errors.New("no luck")
					}
					return addrs, s.ttl, nil
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
