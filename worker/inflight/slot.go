package inflight

import "secure-dns-proxy/transport/wire"

// ExchangesMax is how many exchanges one slot can have under way: retries whose predecessors may still answer, hedges, and racers.
const ExchangesMax = 8

// NoUpstream is Exchange.Upstream of an entry that is not in use.
const NoUpstream = -1

// Exchange is one upstream being asked for a slot.
type Exchange struct {
	SentAt   int64  // ns
	Key      uint32 // Do53: the exchange's key while Open
	Upstream int16  // the worker's number for the upstream, or NoUpstream
	Open     bool   // Do53: Key is registered
	Late     bool   // its attempt's time is over: another upstream may be asked, and an answer is still welcome
}

// Passing says why an answer is not kept.
type Passing uint8

const (
	PassesCache   Passing = 1 << iota // a rule or an inspector wants it so
	PassesOptions                     // options of clients are sent, and nobody knows what they mean
)

// Slot is one question under way, with or without clients. The table writes Hash, Gen, Key, KeyLen and WaiterCount and makes the Exchanges unused; everything else
// exported belongs to the worker and is zero when the slot is opened.
//
//	bytes     0..96      96..224     224..576  576..616
//	          all state  exchanges   key       tags, View, waiter list, Detail
type Slot struct {
	Hash        uint64    // of the key
	Started     int64     // ns: when the first client asked
	Deadline    int64     // ns: when waiting ends
	HedgeAt     int64     // ns: when a second upstream is asked if none has answered, or the first one with AskingTier; while an inspector looks at the question, when that ends; 0: never
	Tried       [2]uint64 // bit i: the upstream that the worker numbers i was asked
	Useless     [2]uint64 // and answered SERVFAIL, NOTIMP or REFUSED
	Name        uint64    // hash of the name that upstreams are chosen by; of a slot that waits in another one: seconds, the TTL of the CNAME between the two
	Gen         uint32    // odd while the slot is open, even while it is free; 0 before its first use
	KeyLen      uint16    // 1..wire.KeyBytesMax
	WaiterCount uint16    // 0..WaitersPerSlotMax
	Attempts    uint8     // exchanges started
	Pool        uint8     // the worker's number for the pool
	Hedge       int8      // index + 1 in Exchanges of the hedge; 0: none was sent
	Again       bool      // all upstreams have been tried and may be tried once more
	Step        uint8     // of a question that takes more than one: what is asked now
	Following   bool      // another worker asks, and will tell
	Owned       bool      // this worker asks for others, too, and owes them a word
	Remembered  bool      // its failure is
	NotBefore   uint32    // seconds: an answer that another worker learned earlier will not do; 0: any that is fresh
	AskingTier  bool      // no upstream is asked yet, but the cache that instances share is
	Refuser     uint8     // number + 1 of the upstream that would not have the key's client subnet, which is not sent since then; 0: none
	Passing     Passing   // why the answer is not kept; 0: it is
	StaleDone   bool      // its clients have had what there is of an older answer: who comes later gets that at once
	Exchanges   [ExchangesMax]Exchange
	Key         [wire.KeyBytesMax]byte
	Tags        uint64 // that the inspector has given the question
	ClientTags  uint64 // that rules have given the query of the client who opened the slot
	View        uint8  // the worker's number for the view of the client who opened it; 0: none
	first       uint32 // number + 1 of the first waiter, 0: none
	last        uint32
	nextFree    uint32 // number + 1 of the next free slot, while free
	Detail      uint32 // what the worker has to remember from one step to the next
}

// KeyBytes returns the key: a view of the slot.
func (s *Slot) KeyBytes() []byte { return s.Key[:s.KeyLen] }

// open tells whether the slot is in use.
func (s *Slot) open() bool { return s.Gen&1 == 1 }

// matches tells whether the slot holds this key.
func (s *Slot) matches(hash uint64, key []byte) bool {
	return s.Hash == hash && string(s.Key[:s.KeyLen]) == string(key)
}
