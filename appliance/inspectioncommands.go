package appliance

import (
	"context"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/control"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/inspect"
)

// handle adds the commands about the inspector; stats are those of the workers.
func (i *inspection) handle(server *control.Server, stats func() worker.Stats) {
	server.Handle("GET /v1/inspect", func(context.Context, *control.Request) (any, error) {
		s := stats()
		return i.show(&s), nil
	})
	server.Handle("POST /v1/inspect/forget", func(context.Context, *control.Request) (any, error) {
		if !i.forget() {
			return nil, control.Mistake("nothing is inspected: inspect.kind is \"off\"")
		}
		s := stats()
		return i.show(&s), nil
	})
}

// forget makes all verdicts that are kept not hold any more, and reports whether there is an inspector. Any goroutine.
func (i *inspection) forget() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.host == nil {
		return false
	}
	i.host.Forget()
	return true
}

// show: any goroutine.
func (i *inspection) show(s *worker.Stats) control.Inspection {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := &i.cfg
	out := control.Inspection{Kind: config.InspectOff, Kept: s.VerdictsKept}
	if i.host == nil {
		return out
	}
	if out.Kind, out.Source = c.Kind, c.Name; c.Kind == config.InspectWASM {
		out.Source = c.Module
	}
	for at, name := range inspect.PointNames {
		if c.Asks(inspect.Point(at)) {
			f := &s.Inspect[at]
			out.Points = append(out.Points, control.InspectionPoint{
				Point: name, Budget: c.Budget[at].String(), OnFailure: c.OnFailure[at],
				Asked: f.Asked, Recalled: f.Recalled, Missing: f.Late + f.Failed + f.Full, Denied: f.Denied,
			})
		}
	}
	return out
}
