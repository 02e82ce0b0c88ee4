package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/appliance/control"
)

// TestCache: each command asks for what was typed, and prints what came of it.
func TestCache(t *testing.T) {
	var got control.CacheMatch
	var file control.CacheFile
	path := proxy(t, func(s *control.Server) {
		s.Handle("GET /v1/cache", func(_ context.Context, r *control.Request) (any, error) {
			got = control.CacheMatch{Name: r.Query("name"), Suffix: r.Query("suffix") == "true", Type: r.Query("type"), Pool: r.Query("pool")}
			return control.Cached{More: true, Answers: []control.CachedAnswer{{
				Worker: 1, Name: "a.example.", Type: "A", Flags: "rd do", Pool: "default", RCode: "NOERROR", Answer: 2, Authority: 1, Bytes: 60, TTL: 300, Left: -4,
			}}}, nil
		})
		s.Handle("POST /v1/cache/flush", func(_ context.Context, r *control.Request) (any, error) {
			got = control.CacheMatch{}
			return control.Flushed{Answers: 7, Failures: 2}, r.Decode(&got)
		})
		s.Handle("POST /v1/cache/refresh", func(_ context.Context, r *control.Request) (any, error) {
			got = control.CacheMatch{}
			return control.Refreshed{Answers: 3}, r.Decode(&got)
		})
		s.Handle("POST /v1/cache/dump", func(_ context.Context, r *control.Request) (any, error) {
			file = control.CacheFile{}
			return control.Dumped{File: "/x/y", Answers: 5, Bytes: 3 << 19, Took: 20 * time.Millisecond}, r.Decode(&file)
		})
		s.Handle("POST /v1/cache/load", func(_ context.Context, r *control.Request) (any, error) {
			return control.Loaded{File: "/x/y", Answers: 5, Expired: 4, Known: 3, Foreign: 2, Damaged: 1, Warning: "it ends in a record"}, r.Decode(&file)
		})
	})
	for _, c := range []struct {
		args  string
		want  control.CacheMatch
		holds []string
	}{
		{"look a.example --suffix --pool corp", control.CacheMatch{Name: "a.example", Suffix: true, Pool: "corp"}, []string{
			"WORKER  NAME        TYPE  FLAGS  POOL     RCODE    RECORDS  BYTES  TTL  LEFT  POPULAR\n",
			"1       a.example.  A     rd do  default  NOERROR  2+1+0    60     300  -4    false\n", "(and more)",
		}},
		{"flush a.example --suffix --type AAAA", control.CacheMatch{Name: "a.example", Suffix: true, Type: "AAAA"}, []string{"removed 7 answers and 2 remembered failures"}},
		{"flush --all", control.CacheMatch{All: true}, []string{"removed 7 answers"}},
		{"refresh a.example --type A", control.CacheMatch{Name: "a.example", Type: "A"}, []string{"asking again for 3 cached answers"}},
		{"dump", control.CacheMatch{Name: "a.example", Type: "A"}, []string{"wrote 5 answers, 1.5 MiB, to /x/y in 20ms\n"}},
		{"load /x/y", control.CacheMatch{Name: "a.example", Type: "A"}, []string{"loaded 5 answers of /x/y; left out: 4 expired, 3 known better, 2 of no use here, 1 damaged\n", "it ends in a record"}},
	} {
		out, _ := sdpctl(t, exitDone, append([]string{"--socket", path, "cache"}, strings.Fields(c.args)...)...)
		if got != c.want {
			t.Errorf("%s: asked for %+v, want %+v", c.args, got, c.want)
		}
		for _, part := range c.holds {
			if !strings.Contains(out, part) {
				t.Errorf("%s: %q is not in\n%s", c.args, part, out)
			}
		}
	}
	if file.File != "/x/y" {
		t.Errorf("loaded from %q", file.File)
	}
	sdpctl(t, exitUsage, "--socket", path, "cache", "look")
}
