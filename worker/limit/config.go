package limit

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Rate is a token bucket. PerSecond 0: no limit; Burst 0: PerSecond.
type Rate struct {
	PerSecond int // 0 to RateMax
	Burst     int // 0 to RateMax
}

// Action is what becomes of a query over UDP that is not admitted, unless it slips through.
type Action uint8

const (
	Drop     Action = iota // no answer; over TCP the connection is closed
	Refuse                 // REFUSED
	Truncate               // TC: ask over TCP; over TCP as Refuse
)

// ActionNames are the names used in the configuration, by value.
var ActionNames = [...]string{"drop", "refuse", "truncate"}

// Config is what an operator decides, for all workers together. The zero value limits nothing.
type Config struct {
	Rates      [KindCount]Rate // of Answers and the kinds behind it only PerSecond counts
	Action     Action
	Slip       int            // every so many-th query or reply over UDP that is held back gets TC; 0: none
	CookieOver bool           // who sends a cookie that proves nothing gets BADCOOKIE in place of the action (RFC 7873 §5.3)
	Exempt     []netip.Prefix // who is not limited, at most ExemptMax

	// Replies.
	Window             time.Duration // how long the longest debt takes to pay, 1 s to WindowMax
	ReplySlip          int           // as Slip
	IPv4Bits, IPv6Bits int           // what a network is: 1 to 32, 1 to 128
}

// Any reports whether anything is limited.
func (c *Config) Any() bool { return c.queries() || c.replies() }

func (c *Config) queries() bool { return anyOf(c.Rates[:Answers]) }
func (c *Config) replies() bool { return anyOf(c.Rates[Answers:]) }

func anyOf(rates []Rate) bool {
	for _, r := range rates {
		if r.PerSecond != 0 {
			return true
		}
	}
	return false
}

// Validate returns everything that is wrong, joined.
func (c *Config) Validate() error {
	var errs []error
	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf("limits: "+format, args...)) }
	for k, r := range c.Rates {
		if r.PerSecond < 0 || r.PerSecond > RateMax || r.Burst < 0 || r.Burst > RateMax {
			complain("%v: %d a second, burst %d: want 0 to %d", Kind(k), r.PerSecond, r.Burst, RateMax)
		}
	}
	if c.Action > Truncate {
		complain("no action %d", c.Action)
	}
	if c.Slip < 0 || c.Slip > SlipMax || c.ReplySlip < 0 || c.ReplySlip > SlipMax {
		complain("slip %d, of replies %d: want 0 to %d", c.Slip, c.ReplySlip, SlipMax)
	}
	if len(c.Exempt) > ExemptMax {
		complain("%d exempt prefixes: want at most %d", len(c.Exempt), ExemptMax)
	}
	for _, p := range c.Exempt {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			complain("%v is no prefix", p)
		}
	}
	if c.replies() && (c.Window < time.Second || c.Window > WindowMax) {
		complain("window of %v: want 1s to %v", c.Window, WindowMax)
	}
	if c.replies() && (c.IPv4Bits < 1 || c.IPv4Bits > 32 || c.IPv6Bits < 1 || c.IPv6Bits > 128) {
		complain("networks of %d and %d bits: want 1 to 32 and 1 to 128", c.IPv4Bits, c.IPv6Bits)
	}
	return errors.Join(errs...)
}
