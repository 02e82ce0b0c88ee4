package admission

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Config is what an operator decides. The zero value is off.
type Config struct {
	Enabled      bool
	Target       time.Duration  // what is left of the queue's delay under overload; TargetMin to TargetMax
	Exempt       []netip.Prefix // sources that are refused nothing; at most ExemptMax
	ShedMisses   bool           // questions of heavy sources and zones are not asked while upstreams have no room
	Shed         Shed           // what becomes of queries that are not asked for want of room; also where the rest is off
	KernelFilter bool           // refuse in the kernel; else, and where the kernel does not let us, the worker drops what it has received
}

// Shed is what a client gets whose query is not asked.
type Shed uint8

const (
	ShedServFail Shed = iota
	ShedRefuse
	ShedDrop     // over TCP its connection is closed
	ShedTruncate // over UDP an empty answer with TC, over TCP SERVFAIL
	sheds
)

// ShedNames are the names used in the configuration, by value.
var ShedNames = [sheds]string{"servfail", "refuse", "drop", "truncate"}

// Validate returns everything that is wrong, joined.
func (c *Config) Validate() error {
	if !c.Enabled {
		return nil
	}
	var errs []error
	if c.Target < TargetMin || c.Target > TargetMax {
		errs = append(errs, fmt.Errorf("target delay %v: want %v to %v", c.Target, TargetMin, TargetMax))
	}
	if len(c.Exempt) > ExemptMax {
		errs = append(errs, fmt.Errorf("%d exempt prefixes: want at most %d", len(c.Exempt), ExemptMax))
	}
	for _, p := range c.Exempt {
		if !p.IsValid() {
			errs = append(errs, errors.New("exempt prefix without an address"))
		}
	}
	return errors.Join(errs...)
}

// Exempts reports whether any of a source's addresses is in an exempt prefix.
func (c *Config) Exempts(s Source) bool {
	if len(c.Exempt) == 0 {
		return false
	}
	own := s.Prefix()
	for _, p := range c.Exempt {
		if p.Overlaps(own) {
			return true
		}
	}
	return false
}
