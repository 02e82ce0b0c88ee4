package appliance

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/transport/tier/tiertest"
	"secure-dns-proxy/worker"
)

// TestRemoteCacheIsLogged: a line for each change, with its reason, and no other.
func TestRemoteCacheIsLogged(t *testing.T) {
	var out bytes.Buffer
	l := remoteLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	now := time.Now()
	v := remoteView{used: true, workers: 4}
	expect := func(what string, lines int, parts ...string) {
		t.Helper()
		out.Reset()
		now = now.Add(time.Second)
		l.see(v, now)
		if got := out.String(); strings.Count(got, "\n") != lines {
			t.Errorf("%s: %d lines, want %d:\n%s", what, strings.Count(got, "\n"), lines, got)
		}
		for _, part := range parts {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s: no %q in %s", what, part, out.String())
			}
		}
	}
	expect("well", 0)
	v.out, v.taken, v.late, v.failed, v.reason = 2, 2, 17, 3, "dial tcp: refused"
	expect("taken out", 1, "level=WARN", "taken out", "workers=2", "of=4", "late=17", "failed=3", "refused")
	v.out, v.taken = 4, 4
	expect("by more", 0)
	v.out = 0
	expect("back", 1, "level=INFO", "is back", "after=2s")
	expect("still", 0)
	v.taken++
	expect("out and back between two looks", 1, "taken out")
	expect("then", 1, "is back")
	v.refuses, v.reason = true, "OOM"
	expect("full", 1, "level=WARN", "takes no answers", "OOM")
	expect("still full", 0)
	v.refuses = false
	expect("room", 1, "takes answers again")
	v.out, v.taken = 1, 9
	expect("out", 1, "taken out")
	v = remoteView{}
	expect("switched off", 0)
	v = remoteView{used: true, workers: 4}
	expect("another one", 0)
}

// TestRemoteCacheOfAConfiguration: what the file says reaches the workers; a store stays while its servers do; counters do not fall.
func TestRemoteCacheOfAConfiguration(t *testing.T) {
	server := tiertest.Redis(t)
	text := "upstream = \"embedded:\"\n[cache.remote]\nkind = \"redis\"\naddresses = \"" + server.Addr + "\"\n"
	r := &remote{log: slog.New(slog.DiscardHandler)}
	defer r.close()
	c := checkedText(t, text+"budget = \"7ms\"\nbreaker_percent = 33\nbreaker_rest = \"2s\"\nbreaker_max_rest = \"5s\"\nmax_value = 2048\nwrite_queue = \"128KiB\"\n")
	first, err := r.plan(&c.Cache.Remote)
	if err != nil {
		t.Fatal(err)
	}
	if limits := first.Limits(); limits.MessageBytesMax != 2048 || limits.FillBytes != 128<<10 {
		t.Errorf("limits %+v", limits)
	}
	want := worker.Tier{Store: first, Budget: 7 * time.Millisecond}
	want.Breaker.Percent, want.Breaker.Rest, want.Breaker.RestMax = 33, 2*time.Second, 5*time.Second
	if got := tierOf(first, &c.Cache.Remote); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r.adopt(first, &c.Cache.Remote)
	for deadline := time.Now().Add(time.Minute); first.Stats().Connects == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	c = checkedText(t, text+"budget = \"8ms\"\nmax_value = 2048\nwrite_queue = \"128KiB\"\n")
	if again, err := r.plan(&c.Cache.Remote); err != nil || again != first {
		t.Errorf("another budget makes another store: %v", err)
	}
	c = checkedText(t, text+"prefix = \"other\"\n")
	other, err := r.plan(&c.Cache.Remote)
	if err != nil || other == first {
		t.Fatalf("another prefix makes no other store: %v", err)
	}
	r.adopt(other, &c.Cache.Remote)
	if got := r.figures().Connects; got < 1 {
		t.Errorf("%d connects: those of the store before are lost", got)
	}
	c = checkedText(t, "upstream = \"embedded:\"\n")
	if none, err := r.plan(&c.Cache.Remote); err != nil || none != nil {
		t.Errorf("off: %v, %v", none, err)
	}
	r.adopt(nil, &c.Cache.Remote)
	if got := r.figures().Connects; got < 1 {
		t.Errorf("%d connects after it was switched off", got)
	}
}
