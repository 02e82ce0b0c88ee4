package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/rpz"
	"secure-dns-proxy/worker/stream"
)

// Config is what stays fixed for the life of the process.
type Config struct {
	Workers         int           // threads, 1 to WorkersMax
	CPUs            []int         // one per worker; empty: not pinned
	Steering        string        // SteeringAuto, SteeringCPU or SteeringHash
	Receivers       []int         // CPUs on which the kernel receives from the network; empty: not known. Only for SteeringAuto
	Backend         string        // BackendAuto, BackendUring or BackendMmsg
	BusyPoll        time.Duration // the engines' waits poll network cards for so long before they sleep, 0 to ring.BusyPollMax; see Listeners.BusyPoll
	Slots           int           // exchanges under way per worker, at least SlotsMin
	Waiters         int           // clients waiting for them per worker, at least Slots
	UDPSizeMax      uint16        // largest reply over UDP in bytes, 512 to 4096; also announced as our EDNS size
	TCP             stream.Config
	RecvBufferBytes int // asked for upstream sockets; 0 leaves the kernel's default
	Log             *slog.Logger
	Beacons         *Beacons // nil: nobody looks for loops
	Policies        *rpz.Set // response policy zones at the start, nil: none; see Group.ResponsePolicies
}

// validate returns everything that is wrong, joined.
func (c *Config) validate() error {
	var errs []error
	if c.Workers < 1 || c.Workers > WorkersMax {
		errs = append(errs, fmt.Errorf("workers %d: want 1 to %d", c.Workers, WorkersMax))
	}
	if len(c.CPUs) != 0 && len(c.CPUs) != c.Workers {
		errs = append(errs, fmt.Errorf("%d CPUs for %d workers: want one each, or none", len(c.CPUs), c.Workers))
	}
	if err := c.validateSteering(); err != nil {
		errs = append(errs, err)
	}
	if c.Slots < SlotsMin {
		errs = append(errs, fmt.Errorf("in-flight slots %d: want at least %d", c.Slots, SlotsMin))
	}
	if c.Waiters < c.Slots {
		errs = append(errs, fmt.Errorf("waiters %d: want at least as many as slots (%d)", c.Waiters, c.Slots))
	}
	if c.UDPSizeMax < 512 || c.UDPSizeMax > UDPSizeLimit {
		errs = append(errs, fmt.Errorf("UDP payload size %d: want 512 to %d", c.UDPSizeMax, UDPSizeLimit))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("no logger"))
	}
	return errors.Join(errs...)
}

// inflightConfig returns the sizes of one worker's in-flight table.
func (c *Config) inflightConfig() inflight.Config {
	return inflight.Config{Slots: c.Slots, Waiters: c.Waiters}
}
