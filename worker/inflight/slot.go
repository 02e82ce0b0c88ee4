package inflight

import "secure-dns-proxy/transport/wire"

// Slot is one question under way. The table writes Hash, Gen, Key, KeyLen and WaiterCount; everything else exported belongs to the
// worker and is zero when the slot is opened.
//
//	bytes     0..64      64..324                      324..336
//	          all state  key                          waiter list
type Slot struct {
	Hash         uint64 // of the key
	Started      int64  // ns: when the first client asked
	Deadline     int64  // ns: when waiting ends
	SentAt       int64  // ns: start of the exchange under way
	Tried        uint64 // bit i: upstream i was asked
	Gen          uint32 // odd while the slot is open, even while it is free; 0 before its first use
	ExchangeKey  uint32 // Do53: the exchange's key while ExchangeOpen
	KeyLen       uint16 // 1..wire.KeyBytesMax
	WaiterCount  uint16 // 0..WaitersPerSlotMax
	Upstream     int16  // upstream of the exchange under way
	Attempts     uint8  // exchanges started
	ExchangeOpen bool   // Do53: ExchangeKey is registered
	Key          [wire.KeyBytesMax]byte
	first        uint32 // number + 1 of the first waiter, 0: none
	last         uint32
	nextFree     uint32 // number + 1 of the next free slot, while free
}

// KeyBytes returns the key: a view of the slot.
func (s *Slot) KeyBytes() []byte { return s.Key[:s.KeyLen] }

// open tells whether the slot is in use.
func (s *Slot) open() bool { return s.Gen&1 == 1 }

// matches tells whether the slot holds this key.
func (s *Slot) matches(hash uint64, key []byte) bool {
	return s.Hash == hash && string(s.Key[:s.KeyLen]) == string(key)
}
