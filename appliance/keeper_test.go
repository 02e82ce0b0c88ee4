package appliance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/control"
	"secure-dns-proxy/worker"
)

// keepText configures a proxy with two pools that keeps its cache in file.
func keepText(file string) string {
	return "[cache]\npersist = \"" + file + "\"\npersist_interval = \"0s\"\n[[upstream]]\nurl = \"embedded:\"\npools = [\"default\", \"demo\"]\n" +
		"[pool.demo]\nsuffixes = [\"demo.example\"]\n"
}

// stopAndStart ends a process and starts the next one with the same file.
func (p *product) stopAndStart(t *testing.T, text string) *product {
	t.Helper()
	if err := p.drain(); err != nil {
		t.Fatal(err)
	}
	return start(t, text)
}

// TestCacheOutlivesTheProcess: what was cached is a hit after a restart, in its pool, with a TTL that has gone on.
func TestCacheOutlivesTheProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cache")
	p := start(t, head+keepText(file))
	for range 3 {
		p.ask(t, "udp", "www.demo.example.")
	}
	p.ask(t, "udp", "mail.demo.example.")
	p.ask(t, "udp", "elsewhere.test-pool.") // NXDOMAIN, of the default pool
	if p.book.count("cache loaded") != 0 || p.book.count("level=WARN msg=\"the kept cache") != 0 {
		t.Error("something was loaded although there is no file")
	}
	next := p.stopAndStart(t, head+keepText(file))
	if p.book.count(`msg="cache written"`) != 1 {
		t.Errorf("not written at the end:\n%s", p.book)
	}
	await(t, "the file is loaded", func() bool { return next.metric(t, `sdp_cache_loads_total{result="loaded"}`) == "3" })
	time.Sleep(1100 * time.Millisecond) // the cache counts in whole seconds
	m := next.ask(t, "udp", "www.demo.example.")
	if len(m.Answer) != 1 || m.Answer[0].Header().Ttl >= 300 || m.Answer[0].Header().Ttl < 200 {
		t.Errorf("after the restart: %v", m)
	}
	if m = next.ask(t, "udp", "elsewhere.test-pool."); m.Rcode != dns.RcodeNameError {
		t.Errorf("the negative answer: %v", m)
	}
	await(t, "both are hits", func() bool {
		return next.metric(t, "sdp_cache_hits_total") == "2" && next.metric(t, "sdp_cache_misses_total") == "0"
	})
	// A pool that is gone takes its answers along.
	third := next.stopAndStart(t, head+"upstream = \"embedded:\"\ncache.persist = \""+file+"\"\n")
	await(t, "the third has what it can use", func() bool {
		return third.metric(t, `sdp_cache_loads_total{result="loaded"}`) == "1" && third.metric(t, `sdp_cache_loads_total{result="lost"}`) == "2"
	})
}

// TestDamagedCacheFile: one warning, what comes before the damage is used, and the proxy serves.
func TestDamagedCacheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cache")
	p := start(t, head+keepText(file))
	for _, name := range []string{"www", "mail", "ns", "alias", "chain"} {
		p.ask(t, "udp", name+".demo.example.")
	}
	if err := p.drain(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-40] ^= 0x10 // in the last record
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	next := start(t, head+keepText(file))
	await(t, "four of five are loaded", func() bool { return next.metric(t, `sdp_cache_loads_total{result="loaded"}`) == "4" })
	await(t, "the log says where it is damaged", func() bool {
		return next.book.count("level=WARN msg=\"the kept cache was not read") == 1 && strings.Contains(next.book.String(), "after 4 records: a record is damaged")
	})
	if next.metric(t, "sdp_cache_damaged_files_total") != "1" {
		t.Error("not counted")
	}
	if m := next.ask(t, "udp", "www.demo.example."); len(m.Answer) != 1 {
		t.Errorf("%v", m)
	}
	if err := next.drain(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("of another program"), 0o600); err != nil {
		t.Fatal(err)
	}
	last := start(t, head+keepText(file))
	await(t, "a warning", func() bool { return last.book.count("the kept cache was not read") == 1 })
}

// TestKeptAnswersAge: by the time away, however long the process was gone; what has expired meanwhile is not loaded, and neither is anything if the
// clock was set back.
func TestKeptAnswersAge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cache")
	p := start(t, head+keepText(file))
	p.ask(t, "udp", "www.demo.example.")   // 300 s
	p.ask(t, "udp", "short.demo.example.") // 2 s
	if _, err := p.keeper.dump(context.Background(), file); err != nil {
		t.Fatal(err)
	}
	written := time.Now()
	if _, err := p.group.Flush(context.Background(), worker.CacheMatch{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		away            time.Duration
		loaded, expired uint64
	}{{400 * time.Second, 0, 2}, {-time.Hour, 0, 0}, {100 * time.Second, 1, 1}} {
		p.keeper.now = func() time.Time { return written.Add(c.away) }
		out, err := p.keeper.load(context.Background(), file)
		if out.Answers != c.loaded || out.Expired != c.expired || (err != nil) != (c.away < 0) {
			t.Errorf("away %v: %+v, %v", c.away, out, err)
		}
	}
	if ttl := p.ask(t, "udp", "www.demo.example.").Answer[0].Header().Ttl; ttl > 200 || ttl < 150 {
		t.Errorf("TTL %d after 100 s away, want 200", ttl)
	}
}

func TestKeepAtIntervals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cache")
	p := start(t, head+"upstream = \"embedded:\"\n")
	p.ask(t, "udp", "www.demo.example.")
	writeConfig(t, p.file, head+"upstream = \"embedded:\"\ncache.persist = \""+file+"\"\ncache.persist_interval = \"1s\"\n")
	p.reload()
	await(t, "the file is written, and again", func() bool {
		n := p.metric(t, `sdp_cache_dumps_total{result="written"}`)
		return n != "0" && n != "1" && p.metric(t, "sdp_cache_dump_answers") == "1"
	})
	writeConfig(t, p.file, head+"upstream = \"embedded:\"\ncache.persist = \"/nowhere/cache\"\ncache.persist_interval = \"1s\"\n")
	p.reload()
	await(t, "a failure is told", func() bool {
		return p.metric(t, `sdp_cache_dumps_total{result="failed"}`) != "0" && p.book.count("cache not written, the file of before stays") > 0
	})
	writeConfig(t, p.file, head+"upstream = \"embedded:\"\n")
	p.reload()
}

// TestDumpAndLoadByCommand, to a file of the operator's choice.
func TestDumpAndLoadByCommand(t *testing.T) {
	p, c := commanded(t, `upstream = "embedded:"`)
	ctx, file := context.Background(), control.CacheFile{File: filepath.Join(t.TempDir(), "by-hand")}
	p.ask(t, "udp", "www.demo.example.")
	var d control.Dumped
	if err := c.Do(ctx, "POST", "/v1/cache/dump", file, &d); err != nil || d.Answers != 1 || d.Bytes < 50 || d.File != file.File {
		t.Errorf("dumped %+v, %v", d, err)
	}
	var l control.Loaded
	if err := c.Do(ctx, "POST", "/v1/cache/load", file, &l); err != nil || l != (control.Loaded{File: file.File, Known: 1}) {
		t.Errorf("loaded %+v, %v", l, err)
	}
	if err := c.Do(ctx, "POST", "/v1/cache/flush", control.CacheMatch{All: true}, new(control.Flushed)); err != nil {
		t.Fatal(err)
	}
	if err := c.Do(ctx, "POST", "/v1/cache/load", file, &l); err != nil || l.Answers != 1 {
		t.Errorf("loaded %+v, %v", l, err)
	}
	for _, bad := range []string{"", "relative"} {
		if err := c.Do(ctx, "POST", "/v1/cache/dump", control.CacheFile{File: bad}, &d); err == nil {
			t.Errorf("file %q: no error", bad)
		}
	}
	if err := c.Do(ctx, "POST", "/v1/cache/load", control.CacheFile{File: "/nowhere/file"}, &l); err == nil {
		t.Error("no file, no error")
	}
}
