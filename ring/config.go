package ring

import (
	"errors"
	"fmt"
	"math/bits"
	"time"
)

// Config sizes an engine. Except for CPU and BusyPoll, zero means the default from limits.go. It is fixed once the engine is open.
type Config struct {
	CPU             int           // core to pin the calling thread to; negative = do not pin
	BusyPoll        time.Duration // whole microseconds up to BusyPollMax that a wait polls network cards before it sleeps; 0 = not
	Sockets         int           // sockets of all kinds at once, 1..SocketsMax
	Events          int           // events one Turn returns at most
	DatagramBuffers int           // receive buffers for datagrams, a power of two
	StreamBuffers   int           // receive buffers for streams, a power of two
	SendSlots       int           // datagrams queued between two enters
	SQEntries       int           // io_uring submission queue, a power of two; ignored by mmsg
	CQEntries       int           // io_uring completion queue, a power of two; ignored by mmsg
}

// WithDefaults returns the configuration with every zero replaced, or an error that names all fields out of range.
func (c Config) WithDefaults() (Config, error) {
	fields := [...]struct {
		name       string
		value      *int
		normal     int
		max        int
		powerOfTwo bool
	}{
		{"Sockets", &c.Sockets, SocketsDefault, SocketsMax, false},
		{"Events", &c.Events, EventsDefault, EventsMax, false},
		{"DatagramBuffers", &c.DatagramBuffers, DatagramBuffersDefault, BuffersMax, true},
		{"StreamBuffers", &c.StreamBuffers, StreamBuffersDefault, BuffersMax, true},
		{"SendSlots", &c.SendSlots, SendSlotsDefault, SendSlotsMax, false},
		{"SQEntries", &c.SQEntries, SQEntriesDefault, SQEntriesMax, true},
		{"CQEntries", &c.CQEntries, CQEntriesDefault, CQEntriesMax, true},
	}
	var errs []error
	for _, f := range fields {
		if *f.value == 0 {
			*f.value = f.normal
		}
		if *f.value < 1 || *f.value > f.max {
			errs = append(errs, fmt.Errorf("ring config: %s is %d, want 1..%d", f.name, *f.value, f.max))
		} else if f.powerOfTwo && bits.OnesCount(uint(*f.value)) != 1 {
			errs = append(errs, fmt.Errorf("ring config: %s is %d, want a power of two", f.name, *f.value))
		}
	}
	if c.BusyPoll < 0 || c.BusyPoll > BusyPollMax || c.BusyPoll%time.Microsecond != 0 {
		errs = append(errs, fmt.Errorf("ring config: BusyPoll is %v, want whole microseconds from 0 to %v", c.BusyPoll, BusyPollMax))
	}
	if len(errs) == 0 && c.CQEntries < c.SQEntries {
		errs = append(errs, fmt.Errorf("ring config: CQEntries %d is below SQEntries %d", c.CQEntries, c.SQEntries))
	}
	return c, errors.Join(errs...)
}
