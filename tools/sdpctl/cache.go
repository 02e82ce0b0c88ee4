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
	Dump    dumpCommand    `cmd:"" help:"Have the proxy write its cache to a file of its machine."`
	Load    loadCommand    `cmd:"" help:"Have the proxy read such a file."`
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

type dumpCommand struct {
	File string `arg:"" optional:"" help:"Path of the file; without it that of cache.persist." type:"path"`
}

func (k *dumpCommand) Run(c *session) error {
	var d control.Dumped
	return c.do("POST", "/v1/cache/dump", control.CacheFile{File: k.File}, &d, func(t *table) {
		t.row(fmt.Sprintf("wrote %d answers, %.1f MiB, to %s in %s", d.Answers, float64(d.Bytes)/(1<<20), d.File, durationText(d.Took)))
	})
}

type loadCommand struct {
	File string `arg:"" optional:"" help:"Path of the file; without it that of cache.persist." type:"path"`
}

func (k *loadCommand) Run(c *session) error {
	var l control.Loaded
	return c.do("POST", "/v1/cache/load", control.CacheFile{File: k.File}, &l, func(t *table) {
		t.row(fmt.Sprintf("loaded %d answers of %s; left out: %d expired, %d known better, %d of no use here, %d damaged", l.Answers, l.File, l.Expired, l.Known, l.Foreign, l.Damaged))
		if l.Warning != "" {
			t.row("not read to its end: " + l.Warning)
		}
	})
}
