package main

import (
	"fmt"

	"secure-dns-proxy/appliance/control"
)

// inspectCommand is sdpctl inspect ...
type inspectCommand struct {
	Show   showInspection   `cmd:"" default:"1" help:"Who looks at questions and answers, where, and how often."`
	Forget forgetInspection `cmd:"" help:"Have the workers keep none of the verdicts that it has said to hold for a while."`
}

type showInspection struct{}

func (showInspection) Run(c *session) error { return c.inspection("GET", "/v1/inspect") }

type forgetInspection struct{}

func (forgetInspection) Run(c *session) error { return c.inspection("POST", "/v1/inspect/forget") }

func (c *session) inspection(method, path string) error {
	var i control.Inspection
	return c.do(method, path, nil, &i, func(t *table) {
		t.row("kind", i.Kind)
		t.row("source", i.Source)
		t.row("verdicts kept", i.Kept)
		for _, p := range i.Points {
			t.row(p.Point, fmt.Sprintf("within %s, else %s: %d asked, %d recalled, %d without a verdict, %d denied", p.Budget, p.OnFailure, p.Asked, p.Recalled, p.Missing, p.Denied))
		}
	})
}
