package blocks

import (
	"net/netip"
	"slices"
	"time"

	"secure-dns-proxy/worker/block"
	"secure-dns-proxy/worker/census"
)

// Watch is what a rule looks at.
type Watch uint8

const (
	QueryRate   Watch = iota // queries a second; of names: those that the cache could not answer
	RCodeRate                // answers with Rule.RCode a second
	RCodeRatio               // percent of answers that have Rule.RCode
	TypeRate                 // queries of Rule.Type a second; sources only
	MissRatio                // percent of queries that the cache could not answer; sources only
	ByteRate                 // bytes of answers a second; sources only
	RandomNames              // different unknown names a second, if Rule.Failed percent of them failed; names only
	watches
)

// WatchNames are the names used in the configuration, by value.
var WatchNames = [watches]string{"query_rate", "rcode_rate", "rcode_ratio", "qtype_rate", "miss_ratio", "byte_rate", "random_names"}

func (w Watch) String() string { return WatchNames[w] }

// Ratio reports whether the rule's thresholds are percentages.
func (w Watch) Ratio() bool { return w == RCodeRatio || w == MissRatio }

// OfSources and OfNames report what can be watched so.
func (w Watch) OfSources() bool { return w != RandomNames }

func (w Watch) OfNames() bool {
	return w == QueryRate || w == RCodeRate || w == RCodeRatio || w == RandomNames
}

// Rule says when somebody is blocked, and how.
type Rule struct {
	Name      string
	Names     bool // names are watched; else sources
	Watch     Watch
	RCode     census.RCode // RCodeRate, RCodeRatio
	Type      uint16       // TypeRate
	Window    time.Duration
	Threshold float64 // a second, or percent: from there on they are blocked
	Warn      float64 // the same: from there on the log says so; 0: never
	Least     float64 // ratios: a second, of what the ratio is of; with less it says nothing
	Failed    float64 // RandomNames: percent
	Action    block.Action
	Rate      int // of block.Limit: queries a second
	Duration  time.Duration
}

// Config is what an operator decides.
type Config struct {
	File               string // where the list is kept over a restart; "": nowhere
	Rules              []Rule
	IPv4Bits, IPv6Bits int            // of an address that tell sources apart
	KernelInterfaces   []string       // where the kernel drops what blocked sources send
	Exempt             []netip.Prefix // sources that no rule blocks
	ExemptNames        []string       // names that no rule blocks, with all below them; fully qualified, lower case
}

// Census returns what the workers are to count; nil: nothing.
func (c *Config) Census() *census.Config {
	if len(c.Rules) == 0 {
		return nil
	}
	out := &census.Config{IPv4Bits: c.IPv4Bits, IPv6Bits: c.IPv6Bits}
	for i := range c.Rules {
		r := &c.Rules[i]
		out.Zones = out.Zones || r.Names
		if r.Watch == TypeRate && !slices.Contains(out.Types, r.Type) {
			out.Types = append(out.Types, r.Type)
		}
	}
	return out
}

// Windows returns the different windows of the rules.
func (c *Config) Windows() []time.Duration {
	var list []time.Duration
	for i := range c.Rules {
		if !slices.Contains(list, c.Rules[i].Window) {
			list = append(list, c.Rules[i].Window)
		}
	}
	return list
}

// WindowsMax is how many different windows there may be.
const WindowsMax = windowsMax
