package appliance

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/telemetry"
	"secure-dns-proxy/worker/inspect"
)

// Options are what the command line decides.
type Options struct {
	ConfigFile string // empty: the embedded default
	Build      telemetry.Build
	Inspectors inspect.Registry // what inspect.name may be
}

// Run serves until a signal or a fault ends it, and returns the exit code. It owns the process: signals, the Go runtime's settings,
// stdout and stderr.
func Run(o Options) int {
	signals := make(chan os.Signal, 8) // before anything takes time: a signal must not be lost, nor kill a half-started process
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)

	checked, problems := load(o.ConfigFile)
	if checked == nil {
		for _, p := range problems {
			fmt.Fprintln(os.Stderr, p)
		}
		return ExitUsage
	}
	live := &screen{out: os.Stdout, log: os.Stderr}
	level := new(slog.LevelVar)
	level.Set(checked.Logging.Level)
	log := telemetry.NewLog(live, checked.Logging.Format, level)
	slog.SetDefault(log) // for libraries
	logProblems(log, problems)

	s, err := startService(checked, o, log, level, o.ConfigFile == "")
	if err != nil {
		log.Error("not started", "error", err)
		return ExitFailure
	}
	if o.ConfigFile == "" {
		engine, _ := s.group.Engine()
		greet(os.Stdout, s.listeners.Addrs(), s.metricsAddr(), engine)
	}
	return s.serve(signals, live, terminal(os.Stdout))
}

func load(file string) (*config.Checked, config.Problems) {
	if file == "" {
		return demo(os.Stdout)
	}
	return config.Load(file)
}

// serve obeys signals until the end. With figures, it shows a line of them each second.
func (s *service) serve(signals <-chan os.Signal, live *screen, figures bool) int {
	var ticks <-chan time.Time // stays nil, and silent, without figures
	if figures {
		ticker := time.NewTicker(liveInterval)
		defer ticker.Stop()
		ticks = ticker.C
	}
	last := telemetry.Take(s.group)
	var read <-chan *draft // stays nil, and silent, while nothing is being read
	again := false         // the files may have changed since that began
	var began time.Time
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				if again = read != nil; again {
					s.log.Info("a reload is under way, another one will follow it", "for", time.Since(began).Round(time.Millisecond))
				} else {
					read, began = s.read(), time.Now()
				}
				continue
			}
			live.end()
			return s.finish(sig, signals)
		case d := <-read:
			s.settle(d)
			if read = nil; again {
				read, began, again = s.read(), time.Now(), false
			}
		case q := <-s.roster.upgrades:
			q.done <- s.upgrade(q)
		case err := <-s.group.Fault():
			live.end()
			s.log.Error("a worker died, the process ends", "error", err)
			return ExitFailure // at once: what is left cannot be trusted to drain
		case <-ticks:
			now := telemetry.Take(s.group)
			live.show(telemetry.Line(&last, &now))
			last = now
		}
	}
}

// finish drains. A further SIGTERM or SIGINT ends the process where it stands.
func (s *service) finish(sig os.Signal, signals <-chan os.Signal) int {
	from := time.Now()
	s.log.Info("stopping", "signal", sig.String(), "drain", s.checked.Timeouts.Drain)
	drained := make(chan error, 1)
	go func() { drained <- s.drain() }()
	for {
		select {
		case err := <-drained:
			if err != nil {
				s.log.Warn("stopped, not everything was finished", "error", err)
			} else {
				s.log.Info("stopped")
			}
			return ExitDone
		case again := <-signals:
			if again == sig && time.Since(from) < signalEcho {
				continue
			}
			if again != syscall.SIGHUP {
				s.log.Error("stopped at once by a second signal", "signal", again.String())
				return ExitFailure
			}
		case err := <-s.group.Fault():
			s.log.Error("a worker died while stopping", "error", err)
			return ExitFailure
		}
	}
}
