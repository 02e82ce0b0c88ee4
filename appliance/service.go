package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"secure-dns-proxy/appliance/blocks"
	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/control"
	"secure-dns-proxy/appliance/loop"
	"secure-dns-proxy/appliance/privilege"
	"secure-dns-proxy/appliance/rpz"
	"secure-dns-proxy/appliance/telemetry"
	"secure-dns-proxy/appliance/xdp"
	"secure-dns-proxy/worker"
)

// service is the running product. Its methods belong to one goroutine; what read leaves running beside them has a copy of what it needs, and things with locks.
type service struct {
	log    *slog.Logger
	level  *slog.LevelVar
	notify notifier

	checked   *config.Checked // what is in force
	listeners *worker.Listeners
	roster    *roster
	caps      connCaps
	group     *worker.Group
	metrics   *telemetry.Server // nil: off
	control   *control.Server   // nil: off
	reloads   telemetry.Reloads
	trend     telemetry.Trend
	remote    *remote
	inspector *inspection
	watch     *watch
	papers    *certificates
	sets      *setWatch
	keeper    *keeper
	loops     *loop.Watch
	blocks    *blocks.Keeper
	zones     *rpz.Keeper // response policy zones
	kernel    *xdp.Filter // nil: the workers alone drop what blocked sources send

	ending sync.Once
	ended  error // what drain returned first

	background sync.WaitGroup
	ctx        context.Context // of what runs in background
	stopAll    context.CancelFunc
}

// startService brings everything up; on an error nothing is left behind. roam lets the metrics take another port.
func startService(c *config.Checked, o Options, log *slog.Logger, level *slog.LevelVar, roam bool) (*service, error) {
	s := &service{caps: connCaps{}, log: log, level: level, notify: newNotifier(), checked: c, roster: &roster{log: log, upgrades: make(chan upgrade)}, watch: newWatch(log), papers: newCertificates(log), sets: &setWatch{log: log}, keeper: newKeeper(log)}
	s.loops = loop.NewWatch(log, new(worker.Beacons))
	s.remote = &remote{log: log}
	s.inspector = &inspection{log: log, registry: o.Inspectors}
	build := o.Build
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx, s.stopAll = ctx, cancel
	tune(c.Workers.Count)
	for _, step := range []func() error{
		func() error { return s.bind(roam) },
		func() error { return s.allow(c) },
		s.dropPrivileges, // nothing of ours is locked to a thread yet
		s.startWorkers,
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, s.release())
		}
	}
	s.background.Go(func() { s.watch.run(ctx) })
	s.background.Go(func() { s.remote.run(ctx, s.group, c.Workers.Count) })
	s.background.Go(func() { s.observe(ctx, c.Workers.Count) })
	s.background.Go(func() { newOverloadLog(s.log).run(ctx, s.group) })
	s.background.Go(func() { newLimitLog(s.log).run(ctx, s.group) })
	s.background.Go(func() { ruleLog{s.log}.run(ctx, s.group) })
	s.background.Go(func() { s.sets.run(ctx) })
	s.background.Go(func() { s.papers.run(ctx) })
	s.keeper.group = s.group
	s.keeper.adopt(&c.Cache)
	s.background.Go(func() { s.keeper.run(ctx) })
	s.background.Go(func() { s.loops.Run(ctx) })
	s.background.Go(func() { s.blocks.Run(ctx, s.group) })
	s.background.Go(func() { s.zones.Run(ctx, s.group) })
	if s.metrics != nil {
		page := telemetry.NewMetrics(s.group, build, &s.reloads, &s.trend)
		telemetry.AddRemote(page, s.remote.figures)
		telemetry.AddInspection(page, s.inspector.figures)
		telemetry.AddLookups(page, &s.roster.lookups)
		telemetry.AddDesignations(page, s.roster.designations)
		telemetry.AddPoolUpstreams(page, s.watch.poolsUp)
		telemetry.AddSets(page, s.sets.sizes, &s.sets.reloads)
		telemetry.AddControl(page, s.control)
		telemetry.AddAccess(page, s.metrics)
		telemetry.AddKept(page, &s.keeper.figures)
		telemetry.AddBlocks(page, s.blocks, s.kernelInterfaces())
		telemetry.AddZones(page, s.zones.Reports, s.group.ZoneStats)
		s.metrics.Serve(page, log)
	}
	s.takeCommands(build)
	s.announce(build)
	return s, nil
}

// bind opens every socket that may need privileges.
func (s *service) bind(roam bool) error {
	if err := unoccupied(s.checked.Listen); err != nil {
		return bindHelp(err)
	}
	var err error
	if s.listeners, err = worker.Listen(s.checked.Listen, s.checked.Workers.Count, s.checked.UDP.ReceiveBuffer); err != nil {
		return bindHelp(err)
	}
	if limit := s.checked.Workers.BusyPoll; limit > 0 {
		if err := s.listeners.BusyPoll(limit); err != nil {
			return fmt.Errorf("workers.busy_poll (takes root or CAP_NET_ADMIN, and a kernel with busy polling): %w", err)
		}
	}
	if err := s.bindControl(); err != nil {
		return err
	}
	if s.zones, err = rpz.NewKeeper(&s.checked.RPZ, s.log); err != nil {
		return bindHelp(err)
	}
	s.openKernelFilter()
	if !s.checked.Metrics.Listen.IsValid() {
		return nil
	}
	if s.metrics, err = listenMetrics(s.checked.Metrics.Listen, roam); err != nil {
		return bindHelp(err)
	}
	return nil
}

// dropPrivileges keeps nothing that binding needed: not root if a user is configured, no capability if we are not root.
func (s *service) dropPrivileges() error {
	var err error
	switch u := s.checked.User; {
	case u != nil:
		err = privilege.Become(privilege.Identity{Name: u.Name, UID: u.UID, GID: u.GID, Groups: u.Groups})
	case os.Geteuid() == 0:
		s.log.Warn("running as root: set user to give that up once the sockets are bound")
	default:
		err = privilege.DropCapabilities()
	}
	if errors.Is(err, privilege.ErrCapabilitiesKept) {
		s.log.Info("not all privileges dropped", "reason", err)
		return nil
	}
	return err
}

// startWorkers gives names a moment to resolve, so that the first connections have somewhere to go, but does not insist: one name that
// nobody knows must not keep a resolver from starting.
func (s *service) startWorkers() error {
	planned, err := s.roster.plan(s.checked)
	if err != nil {
		return err
	}
	select {
	case <-s.roster.adopt(planned, s.checked):
	case <-time.After(s.checked.Bootstrap.Timeout):
		s.log.Warn("starting although not all upstream names are resolved yet")
	}
	commit, err := s.zones.Plan(&s.checked.RPZ)
	if err != nil {
		return err
	}
	commit()
	s.caps.apply(s.checked, planned)
	store, err := s.remote.plan(&s.checked.Cache.Remote)
	if err != nil {
		return err
	}
	eye, err := s.inspector.plan(&s.checked.Inspect)
	if err != nil {
		s.remote.discard(store)
		return err
	}
	snap := snapshot(s.checked, planned)
	snap.Tier, snap.Inspection = tierOf(store, &s.checked.Cache.Remote), eye.snapshot()
	s.watch.follow(planned)
	cfg := workerConfig(s.checked, s.zones.Set(), s.log)
	cfg.Beacons = s.loops.Beacons()
	s.sets.follow(s.checked.Sets)
	if s.group, err = worker.Start(cfg, s.listeners, snap); err != nil {
		s.remote.discard(store)
		s.inspector.discard(eye)
		return fmt.Errorf("start workers: %w", err)
	}
	if store != nil {
		s.remote.adopt(store, &s.checked.Cache.Remote)
	}
	s.inspector.adopt(eye)
	s.blocks = s.newKeeper()
	s.blocks.Adopt(s.checked.Blocks)
	s.blocks.Restore(time.Now())
	s.papers.follow(endpointsOf(planned), s.roster.openKeyLogs(), s.checked.TLS.ExpiryWarning)
	s.roster.serving.Store(true)
	s.loops.Follow(plainOf(planned), s.checked.LoopInterval)
	return nil
}

// announce logs what is running and tells the service manager.
func (s *service) announce(build telemetry.Build) {
	engine, reason := s.group.Engine()
	var upstreams []string
	for _, e := range endpointsOf(s.roster.entries) {
		upstreams = append(upstreams, e.Name)
	}
	steering, why := s.group.Steering()
	fields := []any{
		"version", build.Version, "pid", os.Getpid(), "engine", engine, "workers", s.checked.Workers.Count, "steering", steering,
		"listen", s.listeners.Addrs(), "upstreams", upstreams, "pools", poolsText(s.checked), "config", s.checked.File,
	}
	if s.metrics != nil {
		fields = append(fields, "metrics", s.metrics.Addr())
	}
	if s.checked.Control.Socket != "" {
		fields = append(fields, "control", s.checked.Control.Socket)
	}
	s.log.Info("serving", fields...)
	if reason != "" {
		s.log.Warn("io_uring is not used", "engine", engine, "reason", reason)
	}
	s.log.Debug("steering", "by", steering, "reason", why)
	s.tell(s.notify.ready("serving with engine " + engine))
}

// tell logs what the service manager could not be told; the service goes on without.
func (s *service) tell(err error) {
	if err != nil {
		s.log.Warn("service manager not notified", "error", err)
	}
}

// metricsAddr is invalid when metrics are off.
func (s *service) metricsAddr() netip.AddrPort {
	if s.metrics == nil {
		return netip.AddrPort{}
	}
	return s.metrics.Addr()
}

// drain stops the service: queries in flight have until timeouts.drain.
func (s *service) drain() error {
	s.ending.Do(func() { s.ended = s.end() })
	return s.ended
}

func (s *service) end() error {
	s.tell(s.notify.stopping())
	s.keeper.finish() // while the workers still serve
	ctx, cancel := context.WithTimeout(context.Background(), s.checked.Timeouts.Drain)
	defer cancel()
	err := s.group.Drain(ctx)
	return errors.Join(err, s.release())
}

// release gives back everything that is there, in the reverse order of the start. The workers have stopped, or never ran.
func (s *service) release() error {
	s.stopAll()
	s.background.Wait()
	var errs []error
	if s.kernel != nil {
		errs = append(errs, s.kernel.Close())
	}
	if s.control != nil {
		errs = append(errs, s.control.Close())
	}
	if s.metrics != nil {
		errs = append(errs, s.metrics.Close())
	}
	if s.zones != nil {
		errs = append(errs, s.zones.Close())
	}
	s.remote.close()
	s.inspector.close()
	s.watch.close()
	errs = append(errs, s.roster.close())
	if s.listeners != nil {
		errs = append(errs, s.listeners.Close())
	}
	return errors.Join(errs...)
}
