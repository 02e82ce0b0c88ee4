package main

import (
	"time"

	"secure-dns-proxy/appliance/control"
)

type blocksCommand struct {
	List   listBlocks  `cmd:"" default:"1" help:"Who is blocked, and which names."`
	Add    addBlock    `cmd:"" help:"Block a source or a name by hand."`
	Remove removeBlock `cmd:"" help:"Take a block off the list."`
}

type listBlocks struct{}

func (listBlocks) Run(c *session) error {
	var list []control.Block
	return c.do("GET", "/v1/blocks", nil, &list, func(t *table) {
		t.row("WHO", "ACTION", "RATE", "BY", "MEASURED", "SINCE", "UNTIL", "BLOCKED")
		for _, b := range list {
			until := "removed"
			if !b.Until.IsZero() {
				until = b.Until.Local().Format(time.DateTime)
			}
			t.row(b.Who, b.Action, b.Rate, b.By, b.Value, b.Since.Local().Format(time.DateTime), until, b.Blocked)
		}
	})
}

type addBlock struct {
	Who    string `arg:"" help:"IP, IP/length, or a name with all below it."`
	Action string `help:"drop, refuse, truncate or limit." default:"drop" enum:"drop,refuse,truncate,limit"`
	Rate   int    `help:"limit: queries a second that pass."`
	For    string `help:"How long, such as 10m; left out: until it is removed."`
}

func (a addBlock) Run(c *session) error {
	var done control.BlockDone
	return c.do("POST", "/v1/blocks/add", control.AddBlock(a), &done, func(t *table) { t.row("blocked", done.Who) })
}

type removeBlock struct {
	Who string `arg:"" help:"As in the list."`
	For string `help:"How long no rule blocks it again." default:"10m"`
}

func (r removeBlock) Run(c *session) error {
	var done control.BlockDone
	return c.do("POST", "/v1/blocks/remove", control.RemoveBlock(r), &done, func(t *table) { t.row("no longer blocked", done.Who) })
}
