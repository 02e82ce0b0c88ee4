package appliance

import (
	"context"
	"os"
	"time"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/control"
	"secure-dns-proxy/appliance/telemetry"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/policy/acl"
)

// bindControl makes the socket for operators, if there is to be one. It is theirs whom the process becomes.
func (s *service) bindControl() error {
	path := s.checked.Control.Socket
	if path == "" {
		return nil
	}
	file, c := control.Own(), &s.checked.Control
	if u := s.checked.User; u != nil && os.Geteuid() == 0 {
		file = control.File{UID: u.UID, GID: u.GID, Folder: true}
	}
	if file.Mode = c.Mode; c.Owner != nil {
		file.UID = c.Owner.ID
	}
	if c.Group != nil {
		file.GID = c.Group.ID
	}
	var err error
	s.control, err = control.Listen(path, file)
	return err
}

// allow puts in force who may read the figures and give commands.
func (s *service) allow(c *config.Checked) error {
	if s.control != nil {
		s.control.Allow(c.Control.Access())
	}
	if s.metrics == nil {
		return nil
	}
	list, err := acl.New(c.Metrics.Allow, nil)
	if err == nil {
		s.metrics.Allow(list)
	}
	return err
}

// takeCommands begins to answer operators.
func (s *service) takeCommands(build telemetry.Build) {
	if s.control == nil {
		return
	}
	since, file := time.Now(), s.checked.File // a reload replaces checked
	s.control.Handle("GET /v1/status", func(context.Context, *control.Request) (any, error) { return s.status(build, file, since), nil })
	s.control.Handle("GET /v1/upstreams", func(context.Context, *control.Request) (any, error) { return upstreamList(s.group.Upstreams()), nil })
	s.blocks.Handle(s.control)
	s.zones.Handle(s.control, s.zoneHits)
	s.inspector.handle(s.control, s.group.Stats)
	s.handleCache()
	s.handleFiles()
	s.control.Serve(s.log)
}

// zoneHits is how often triggers of the zone with that tag have fitted, those of a disabled one included.
func (s *service) zoneHits(tag int) uint64 {
	stats := s.group.ZoneStats()
	n := stats.Disabled[tag]
	for _, of := range stats.Hits[tag] {
		n += of
	}
	return n
}

// status: any goroutine; what it reads of the service does not change after the start.
func (s *service) status(build telemetry.Build, file string, since time.Time) control.Status {
	st := s.group.Stats()
	engine, why := s.group.Engine()
	steering, _ := s.group.Steering()
	out := control.Status{
		Version: build.Version, PID: os.Getpid(), Since: since, Config: file,
		Engine: engine, EngineReason: why, Steering: steering, Workers: len(s.group.Workers()),
		ReloadsApplied: s.reloads.Applied.Load(), ReloadsRefused: s.reloads.Refused.Load(),
		Queries: st.Queries(), Hits: st.Hits, Misses: st.Misses, Failed: st.Failed, Shed: st.Shed,
		InFlight: st.InFlight, Waiters: st.Waiters, TCPOpen: st.Connections,
		Cache: control.CacheUse{Entries: st.CacheEntries, Bytes: st.CacheBytes},
	}
	for _, a := range s.listeners.Addrs() {
		out.Listen = append(out.Listen, a.String())
	}
	return out
}

func upstreamList(reports []worker.UpstreamReport) []control.Upstream {
	list := []control.Upstream{}
	for i := range reports {
		r := &reports[i]
		if r.Endpoint == nil {
			continue // only its figures are left
		}
		u := control.Upstream{
			Name: r.Name, Queries: r.Stats.Exchanges, Answers: r.Stats.Answers,
			InFlight: r.Stats.InFlight, Connections: r.Connections,
			P50: r.Stats.Latency.Quantile(0.5), P99: r.Stats.Latency.Quantile(0.99),
		}
		for fault := transport.FaultNone + 1; fault < transport.FaultCount; fault++ {
			u.Failures += r.Stats.Faults[fault]
		}
		if state, ok := r.Endpoint.Health.(*health.State); ok {
			u.State = state.Status().String()
			u.Share = float64(state.Share(int64(transport.Now()))) / health.ShareFull
			if why := state.Reason(); why != nil {
				u.Reason = why.Error()
			}
		}
		list = append(list, u)
	}
	return list
}
