package worker

import (
	"errors"
	"fmt"
	"slices"

	"secure-dns-proxy/ring/sys"
)

// How datagrams and connections are spread over the workers, as in the configuration key `workers.steering`.
const (
	SteeringAuto = "auto" // by CPU where every worker's CPU is known to receive, else by hash
	SteeringCPU  = "cpu"  // to the worker on the CPU that received them
	SteeringHash = "hash" // by the hash of their flow
)

// chooseSteering returns SteeringCPU or SteeringHash, and why auto did not take CPU, "" if it did or was not asked.
func (c *Config) chooseSteering() (mode, reason string) {
	if c.Steering == SteeringCPU || c.Steering == SteeringHash {
		return c.Steering, ""
	}
	switch {
	case c.Workers == 1:
		return SteeringHash, "one worker"
	case len(c.CPUs) == 0:
		return SteeringHash, "the workers are not pinned (workers.cpus)"
	case len(c.Receivers) == 0:
		return SteeringHash, "it is not known which CPUs receive"
	}
	for _, cpu := range c.CPUs {
		if !slices.Contains(c.Receivers, cpu) {
			return SteeringHash, fmt.Sprintf("CPU %d of a worker does not receive (CPUs that do: %v)", cpu, c.Receivers)
		}
	}
	return SteeringCPU, ""
}

// validateSteering returns everything that is wrong with the fields for steering.
func (c *Config) validateSteering() error {
	switch c.Steering {
	case SteeringAuto, SteeringHash, "":
		return nil
	case SteeringCPU:
	default:
		return fmt.Errorf("unknown steering %q: auto, cpu or hash", c.Steering)
	}
	if len(c.CPUs) == 0 {
		return errors.New("steering by CPU without CPUs")
	}
	for i, cpu := range c.CPUs {
		if slices.Contains(c.CPUs[:i], cpu) {
			return fmt.Errorf("steering by CPU with CPU %d for two workers", cpu)
		}
	}
	return nil
}

// steer lets every group of sockets choose by CPU. Listen has bound the sockets of each address in the order of the workers, which is the
// order of the kernel's group; none may have been closed. The workers close theirs only when they stop, and then all do: while that lasts
// the kernel's choice is another worker, not none.
func (l *Listeners) steer(cpus []int) error {
	for i, addr := range l.addrs {
		first := &l.workers[0][i]
		if err := sys.SteerByCPU(first.udp, cpus); err != nil {
			return fmt.Errorf("steer udp %v: %w", addr, err)
		}
		if err := sys.SteerByCPU(first.tcp, cpus); err != nil {
			return fmt.Errorf("steer tcp %v: %w", addr, err)
		}
	}
	return nil
}

// Steering returns how the group's sockets are chosen, SteeringCPU or SteeringHash, and why it is not by CPU where that was left to it.
func (g *Group) Steering() (mode, reason string) { return g.steering, g.steeringReason }

// WorkerReport is what one worker took in: the figures that tell whether the workers are evenly loaded.
type WorkerReport struct {
	CPU                    int // -1: not pinned
	QueriesUDP, QueriesTCP uint64
}

// Workers returns a report for every worker.
func (g *Group) Workers() []WorkerReport {
	list := make([]WorkerReport, len(g.workers))
	for i, w := range g.workers {
		r := &list[i]
		if r.CPU = -1; len(g.cfg.CPUs) != 0 {
			r.CPU = g.cfg.CPUs[i]
		}
		var s Stats
		addTo(&w.public, &s, statsWords)
		r.QueriesUDP, r.QueriesTCP = s.QueriesUDP, s.QueriesTCP
	}
	return list
}

// Skew returns how much more queries than the mean the busiest worker took between two reports: 1 if all took the same, the number of
// workers if one took all, 0 if there were none.
func Skew(before, now []WorkerReport) float64 {
	var most, sum uint64
	for i := range now {
		n := now[i].QueriesUDP + now[i].QueriesTCP - before[i].QueriesUDP - before[i].QueriesTCP
		most, sum = max(most, n), sum+n
	}
	if sum == 0 {
		return 0
	}
	return float64(most) * float64(len(now)) / float64(sum)
}
