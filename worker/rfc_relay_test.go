package worker

import (
	"fmt"
	"strings"

	"secure-dns-proxy/transport"
)

// reportCarried says what is to be carried, and to whom.
func (c *rfcConversation) reportCarried() {
	if c.w.relays.link == nil {
		return
	}
	line := c.w.relays.link.line
	for asked, ok := line.Next(); ok; asked, ok = line.Next() {
		if !asked.Begin {
			c.t.Fatalf("a request with one answer goes on, or stops\n%s", c.out.String())
		}
		job := &line.Jobs[asked.Place]
		var to []string
		for _, e := range job.Endpoints {
			to = append(to, strings.TrimPrefix(e.Name, "udp://127.0.0.1:"))
		}
		once := ""
		if job.Once {
			once = " once"
		}
		c.carried = append(c.carried, asked)
		fmt.Fprintf(&c.out, "> %v relay carries to upstream %s%s%s\n", c.now-c.began, strings.Join(to, ", else "), once, describe(unpack(c.t, job.Message)))
	}
}

// carry lets the oldest request that is being carried end.
func (c *rfcConversation) carry(line string, words []string) {
	if len(c.carried) == 0 {
		c.t.Fatalf("nothing is being carried\n%s", c.out.String())
	}
	asked, served := c.carried[0], c.w.relays.link.line
	c.carried = c.carried[1:]
	if words[2] == "fails" {
		fault := transport.FaultNone
		for fault.String() != words[3] {
			fault++
		}
		served.Fail(asked.Place, asked.Gen, fault)
	} else {
		_, what, _ := strings.Cut(line, "answers")
		served.Give(asked.Place, asked.Gen, c.reply(sentDatagram{data: served.Jobs[asked.Place].Message}, what))
	}
	served.Publish()
	c.report(c.turn())
}
