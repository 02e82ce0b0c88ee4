package policy

import (
	"net/netip"
	"regexp"
	"time"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/subnet"
)

// Chain is when rules are looked at.
type Chain uint8

const (
	ChainQuery Chain = iota
	ChainMiss
	ChainResponse
	ChainOwn

	// ChainCount is the number of chains.
	ChainCount

	// ChainTold is the part of the chain response that begins with the first rule that looks at a client: it is run for each client that is told an answer, not
	// for the answer that is kept. Rules are not of it, but put there by Compile.
	ChainTold = ChainCount
)

// ChainNames are the names used in the configuration, by value.
var ChainNames = [ChainCount]string{"query", "miss", "response", "own"}

func (c Chain) String() string { return ChainNames[c] }

// Rule is one rule as an operator wrote it.
type Rule struct {
	Name   string // unique in its chain
	Chain  Chain
	Views  []int // numbers of the views that it holds for; nil: for all, and for clients in none
	Match  Match
	Action Action
}

// Op joins matches.
type Op uint8

const (
	Is  Op = iota // the selector
	All           // all of Of, which may be empty: then it matches always
	Any           // one of Of
	Not           // not the only one of Of
)

// Match is a tree of selectors. The zero value of Op is a single selector.
type Match struct {
	Op       Op
	Of       []Match
	Selector Selector
}

// Everything matches always.
func Everything() Match { return Match{Op: All} }

// Kind says what a selector looks at, and which of its fields say with what that is compared.
type Kind uint8

const (
	QName           Kind = iota // Names: is one of them
	Suffix                      // Names: ends in one of them, or is one
	InSet                       // Set: the name is in it; the client's address, of a set of prefixes
	Regex                       // Pattern: the name as text, lower case, with its final dot
	Labels                      // Low, High: labels of the name, the root has 0
	NameBytes                   // Low, High: length of the name on the wire
	QType                       // Numbers
	QClass                      // Numbers
	Opcode                      // Numbers
	RD                          // Want: the flag of a query
	DO                          // Want
	CD                          // Want
	EDNS                        // Want: there is an OPT
	EDNSVersion                 // Low, High; without an OPT it does not match
	EDNSOption                  // Numbers: one of these options is there
	Source                      // Prefixes
	SourcePort                  // Low, High
	Destination                 // Prefixes: the address that was asked; over TCP that of the listener
	DestinationPort             // Low, High
	TCP                         // Want
	Size                        // Low, High: bytes of the message; of an answer, its records
	Answers                     // Low, High: records in the answer section
	Authorities                 // Low, High: records in the authority section
	Additionals                 // Low, High: records in the additional section, the OPT of a query included
	RCode                       // Numbers: of an answer
	Chance                      // Share: probability, 0 to 1
	OverRate                    // Rate: what comes exceeds it, all clients together
	OverSourceRate              // Rate: what comes from the client's prefix exceeds it
	PoolAvailable               // Pool: one of its upstreams is worth asking
	PoolOutstanding             // Pool, Low, High: exchanges that this worker has under way with it
	Tagged                      // Tags: the query has one of them
	Clock                       // Schedule

	// KindCount is the number of kinds.
	KindCount
)

// Selector looks at one thing.
type Selector struct {
	Kind      Kind
	Names     [][]byte
	Set       *SetRef
	Pattern   *regexp.Regexp
	Numbers   []uint16
	Prefixes  []netip.Prefix
	Low, High uint32 // inclusive
	Want      bool
	Share     float64
	Rate      Rate
	Pool      int // number of the pool in the snapshot
	Tags      uint64
	Schedule  Schedule
}

// Rate is a token bucket. Per worker: a group of workers divides what an operator allows.
type Rate struct {
	PerSecond, Burst float64 // above 0, RateMax at most
	// By source only.
	Bits4, Bits6 int // length of the prefixes that share a bucket, 1 to 32 and 1 to 128
	Sources      int // how many are known at a time, a power of two, sourceWays to SourcesMax
}

// Do says what an action does, and which of its fields say how. Final ones end the chain.
type Do uint8

const (
	Allow       Do = iota // final: no other rule of the chain is looked at
	Drop                  // final: no answer
	Answer                // final: RCode, Extended, and if it is set Records
	Truncate              // final over UDP: TC, so that the client comes back over TCP; over TCP the chain goes on
	Route                 // final unless Continue: Pool
	Delay                 // Wait: the query rests so long if it came over UDP
	SkipCache             // the answer is neither taken from the cache nor kept
	Extend                // Extended: the extended error of the reply
	LimitTTL              // response: Low, High bound TTLs; query and miss: High bounds what the client is told
	SetTags               // Set, Unset
	NoRecurse             // RD is cleared towards upstreams
	NoVerify              // CD is set towards upstreams
	Log                   // Rate: at most so many lines a second
	Tee                   // Pool: is asked too, its answer ignored
	TellSubnet            // Subnet: what upstreams are told of the client's network, in place of what the pool says
	SetOption             // Option, Codes: upstreams are sent this option, in place of one of its code
	StripOption           // Codes: query and miss: options of the client that are not passed on; response: options of the answer that are not passed back
	Limit                 // Rate, PerSource: what exceeds it is treated as Over says, Drop or Answer or Truncate; the rest goes on
)

// Action is what is done.
type Action struct {
	Do         Do
	RCode      uint16
	Extended   uint16   // wire.EDENone: none
	Records    *Records // of Answer; nil: RCode alone
	Pool       int
	Continue   bool
	Wait       time.Duration
	Low, High  uint32
	Set, Unset uint64
	Rate       Rate
	PerSource  bool
	Over       Do
	Subnet     *subnet.Spec
	Codes      []uint16
	Option     []byte // whole; nil: none
}

// Records are the answers of one action, by type.
type Records struct {
	ByType map[uint16]*wire.Answer
	Any    *wire.Answer // type ANY: all of them
	Other  *wire.Answer // types that are not there; nil: the rule does not act on them
}

// reply is the answer to a type, nil if there is none.
func (r *Records) reply(qtype uint16) *wire.Answer {
	if qtype == wire.TypeANY && r.Any != nil {
		return r.Any
	}
	if a := r.ByType[qtype]; a != nil {
		return a
	}
	return r.Other
}

// OfClient reports whether a rule looks at something that belongs to one client, so that in the chain response it is run when clients are told.
func (r *Rule) OfClient() bool { return r.Views != nil || r.Match.ofClient() }

func (m *Match) ofClient() bool {
	if m.Op == Is {
		return m.Selector.Kind.ofClient(&m.Selector)
	}
	for i := range m.Of {
		if m.Of[i].ofClient() {
			return true
		}
	}
	return false
}

// Pool returns the highest number of a pool that the rule names, -1 if it names none.
func (r *Rule) Pool() int {
	pool := r.Match.pool()
	if r.Action.Do == Route || r.Action.Do == Tee {
		pool = max(pool, r.Action.Pool)
	}
	return pool
}

func (m *Match) pool() int {
	pool := -1
	if k := m.Selector.Kind; m.Op == Is && (k == PoolAvailable || k == PoolOutstanding) {
		pool = m.Selector.Pool
	}
	for i := range m.Of {
		pool = max(pool, m.Of[i].pool())
	}
	return pool
}
