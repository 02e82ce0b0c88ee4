package main

import (
	"fmt"
	"strings"
	"time"

	"secure-dns-proxy/appliance/control"
)

type statusCommand struct{}

func (statusCommand) Run(c *session) error {
	var s control.Status
	return c.do("GET", "/v1/status", nil, &s, func(t *table) {
		engine, file := s.Engine, s.Config
		if s.EngineReason != "" {
			engine += " (" + s.EngineReason + ")"
		}
		if file == "" {
			file = "(the embedded default)"
		}
		t.row("version", s.Version)
		t.row("pid", s.PID)
		t.row("up", time.Since(s.Since).Round(time.Second).String())
		t.row("config", file)
		t.row("reloads", fmt.Sprintf("%d, refused %d", s.ReloadsApplied, s.ReloadsRefused))
		t.row("engine", engine)
		t.row("workers", fmt.Sprintf("%d, steering by %s", s.Workers, s.Steering))
		t.row("listen", strings.Join(s.Listen, " "))
		t.row("queries", s.Queries)
		t.row("hits", fmt.Sprintf("%d (%s)", s.Hits, percent(s.Hits, s.Queries)))
		t.row("misses", s.Misses)
		t.row("failed", s.Failed)
		t.row("shed", s.Shed)
		t.row("in flight", fmt.Sprintf("%d, for %d clients", s.InFlight, s.Waiters))
		t.row("TCP clients", s.TCPOpen)
		t.row("cache", fmt.Sprintf("%d answers, %.1f MiB", s.Cache.Entries, float64(s.Cache.Bytes)/(1<<20)))
	})
}

type upstreamsCommand struct{}

func (upstreamsCommand) Run(c *session) error {
	var list []control.Upstream
	return c.do("GET", "/v1/upstreams", nil, &list, func(t *table) {
		t.row("UPSTREAM", "STATE", "SHARE", "QUERIES", "ANSWERS", "FAILURES", "IN FLIGHT", "CONNECTIONS", "P50", "P99", "LAST FAULT")
		for _, u := range list {
			t.row(u.Name, u.State, fmt.Sprintf("%.0f%%", 100*u.Share), u.Queries, u.Answers, u.Failures, u.InFlight, u.Connections, u.P50, u.P99, u.Reason)
		}
	})
}
