package rpz

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/control"
	"secure-dns-proxy/worker/rpz"
)

// Handle adds what operators can ask and command. hits says how often triggers of the zone with a tag have fitted.
func (k *Keeper) Handle(server *control.Server, hits func(tag int) uint64) {
	server.Handle("GET /v1/zones", func(context.Context, *control.Request) (any, error) { return k.show(hits), nil })
	server.Handle("GET /v1/zones/lookup", func(_ context.Context, r *control.Request) (any, error) { return k.lookUp(r.Query("what")) })
	server.Handle("POST /v1/zones/refresh", func(_ context.Context, r *control.Request) (any, error) { return k.refresh(r) })
}

func (k *Keeper) show(hits func(tag int) uint64) []control.Zone {
	list := []control.Zone{}
	reports, _ := k.Reports()
	for i := range reports {
		r := &reports[i]
		z := control.Zone{
			Name: r.Name, InForce: r.InForce, Serial: r.Serial, Bytes: r.Bytes, Policy: r.Policy, Source: r.Source, From: r.From, Age: r.Age,
			Error: r.Problem, ErrorTime: r.ProblemAt, Hits: hits(r.Tag), Triggers: map[string]int{},
		}
		for t, n := range r.Triggers {
			if n != 0 {
				z.Triggers[rpz.Trigger(t).String()] = n
			}
		}
		list = append(list, z)
	}
	return list
}

// lookUp tells which triggers fit a name or an address.
func (k *Keeper) lookUp(what string) ([]control.ZoneHit, error) {
	set := k.Set()
	hits := []control.ZoneHit{}
	var found []rpz.Found
	if a, err := netip.ParseAddr(what); err == nil && a.Zone() == "" {
		if set != nil {
			found = set.FindAddress(a.Unmap())
		}
	} else {
		var buf [256]byte
		n, err := dns.PackDomainName(strings.ToLower(dns.Fqdn(what)), buf[:], 0, nil, false)
		var name rpz.Name
		if err != nil || what == "" || !name.Set(buf[:n]) {
			return nil, control.Mistake("what: %q is no address and no name", what)
		}
		if set != nil {
			found = set.FindName(&name)
		}
	}
	decided := false
	for _, f := range found {
		p := set.Policy(f.Zone)
		owner, _, err := dns.UnpackDomainName(f.Owner, 0)
		if err != nil {
			return nil, err
		}
		h := control.ZoneHit{Zone: p.Name, Trigger: f.Trigger.String(), Owner: owner, Action: f.Action.String(), Later: f.Later}
		switch {
		case p.Override == rpz.Disabled:
			h.Action = rpz.OverrideNames[rpz.Disabled]
		case !decided && (f.Trigger == rpz.QName || f.Trigger == rpz.ClientIP):
			h.Counts, decided = true, true
		}
		hits = append(hits, h)
	}
	return hits, nil
}

func (k *Keeper) refresh(r *control.Request) (any, error) {
	var args control.RefreshZones
	if err := r.Decode(&args); err != nil {
		return nil, err
	}
	if args.All == (args.Name != "") {
		return nil, control.Mistake("give the name of a zone, or all")
	}
	k.mu.Lock()
	list := k.sources
	k.mu.Unlock()
	if !args.All {
		e := indexOf(list, dns.CanonicalName(args.Name))
		if e == nil {
			return nil, &control.Error{Status: http.StatusNotFound, Text: "there is no response policy zone " + args.Name}
		}
		list = []*entry{e}
	}
	var done control.ZonesRefreshed
	for _, e := range list {
		if e.spec.File == "" {
			e.askSoon()
			done.Asking = append(done.Asking, e.spec.Name)
			continue
		}
		if err := e.readAgain(); err != nil {
			return nil, err
		}
		done.Read = append(done.Read, e.spec.Name)
	}
	return done, nil
}
