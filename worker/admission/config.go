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
	KernelFilter bool           // refuse in the kernel; else, and where the kernel does not let us, the worker drops what it has received
}

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

// exempts reports whether any of a source's addresses is in an exempt prefix.
func (c *Config) exempts(s Source) bool {
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
