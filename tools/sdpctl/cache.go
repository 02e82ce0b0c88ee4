package main

import (
	"fmt"
	"net/url"
	"strconv"

	"secure-dns-proxy/appliance/control"
)

// cacheCommand is sdpctl cache ...
type cacheCommand struct {
	Look    lookCommand    `cmd:"" help:"Show what the workers' caches have."`
	Flush   flushCommand   `cmd:"" help:"Remove answers, and all remembered failures."`
	Refresh refreshCommand `cmd:"" help:"Ask again for all cached answers of a name; the old ones stay until the new ones are there."`
}

type lookCommand struct {
	Name   string `arg:"" help:"A name."`
	Suffix bool   `help:"The names below it as well."`
	Type   string `help:"Only of this type, such as AAAA."`
	Pool   string `help:"Only of this pool."`
}

func (k *lookCommand) Run(c *session) error {
	q := url.Values{"name": {k.Name}, "suffix": {strconv.FormatBool(k.Suffix)}, "type": {k.Type}, "pool": {k.Pool}}
	var found control.Cached
	return c.do("GET", "/v1/cache?"+q.Encode(), nil, &found, func(t *table) {
		t.row("WORKER", "NAME", "TYPE", "FLAGS", "POOL", "RCODE", "RECORDS", "BYTES", "TTL", "LEFT", "POPULAR")
		for _, a := range found.Answers {
			t.row(a.Worker, a.Name, a.Type, a.Flags, a.Pool, a.RCode, fmt.Sprintf("%d+%d+%d", a.Answer, a.Authority, a.Additional), a.Bytes, a.TTL, a.Left, a.Popular)
		}
		if found.More {
			t.row("(and more)")
		}
	})
}

type flushCommand struct {
	Name   string `arg:"" optional:"" help:"A name."`
	Suffix bool   `help:"The names below it as well."`
	Type   string `help:"Only of this type, such as AAAA."`
	Pool   string `help:"Only of this pool."`
	All    bool   `help:"All names."`
}

func (k *flushCommand) Run(c *session) error {
	m := control.CacheMatch{Name: k.Name, Suffix: k.Suffix, Type: k.Type, Pool: k.Pool, All: k.All}
	var gone control.Flushed
	return c.do("POST", "/v1/cache/flush", m, &gone, func(t *table) {
		t.row(fmt.Sprintf("removed %d answers and %d remembered failures, all workers together", gone.Answers, gone.Failures))
	})
}

type refreshCommand struct {
	Name string `arg:"" help:"A name."`
	Type string `help:"Only of this type, such as AAAA."`
	Pool string `help:"Only of this pool."`
}

func (k *refreshCommand) Run(c *session) error {
	m := control.CacheMatch{Name: k.Name, Type: k.Type, Pool: k.Pool}
	var asked control.Refreshed
	return c.do("POST", "/v1/cache/refresh", m, &asked, func(t *table) {
		t.row(fmt.Sprintf("asking again for %d cached answers, all workers together", asked.Answers))
	})
}
