package wire

import "hash/maphash"

// Bits of a key's flags byte.
const (
	KeyDO = 1 << 0
	KeyCD = 1 << 1
	KeyRD = 1 << 2

	keyPoolShift = 3 // above: the tag of the pool
)

// keyPartition follows the flags byte of a key that is of a partition of the cache, with the partition's number behind it: variants begin with other bytes.
const keyPartition = 5

// KeyPartitionsMax is how many numbers of partitions a key can tell apart; 0 is none.
const KeyPartitionsMax = 256

// KeyPoolsMax is how many tags of pools a key can hold.
const KeyPoolsMax = 256 >> keyPoolShift

// SetKeyPool puts the tag of a pool, below KeyPoolsMax, into a key of Query.Key that has no variant yet: pools may give different answers
// to one question.
func SetKeyPool(key []byte, tag uint8) { key[len(key)-1] |= tag << keyPoolShift }

// AppendPartition makes a key without a variant one of a partition of the cache, which no other key finds the answers of; 0: of none, as it was. key has room
// for two more bytes if nothing shall be allocated.
func AppendPartition(key []byte, n uint8) []byte {
	if n == 0 {
		return key
	}
	return append(key, keyPartition, n)
}

// KeyPartition is the partition that a key is of; 0: none.
func KeyPartition(key []byte) uint8 {
	if at := keyFlagsAt(key) + 1; at > 0 && at+1 < len(key) && key[at] == keyPartition {
		return key[at+1]
	}
	return 0
}

// MovePartition gives a key that has a partition another one, not 0.
func MovePartition(key []byte, n uint8) {
	if KeyPartition(key) != 0 {
		key[keyFlagsAt(key)+2] = n
	}
}

// keyFlagsAt is where the flags byte of a key is; -1: it was not made by Query.Key.
func keyFlagsAt(key []byte) int {
	if end := plainNameEnd(key, 0); end > 0 && end+5 <= len(key) {
		return end + 4
	}
	return -1
}

// WithoutPool appends to dst what key, which is of no partition, is outside of this process, where the tags of pools mean nothing; its variant stays.
func WithoutPool(dst, key []byte) []byte {
	start := len(dst)
	dst = append(dst, key...)
	if at := keyFlagsAt(dst[start:]); at >= 0 {
		dst[start+at] &= 1<<keyPoolShift - 1
	}
	return dst
}

// Key writes the key of a parsed query to dst and returns the part that was written, without a partition and a variant: lower-cased qname | type |
// class | flags byte. q must have been parsed without a fault.
func (q *Query) Key(dst *[KeyBytesMax]byte) []byte {
	n := q.NameLen
	question := q.Question[:n+4]
	lowerName(dst[:], question, n)
	copy(dst[n:n+4], question[n:])
	flags := byte(q.Flags>>(8-2)&KeyRD) | byte(q.Flags>>(4-1)&KeyCD)
	if q.DO {
		flags |= KeyDO
	}
	dst[n+4] = flags
	return dst[:n+5]
}

// KeyPlain is a key without its variant: up to and with the flags byte, and the partition if it is of one. A key that was not made by Query.Key is returned
// as it is.
func KeyPlain(key []byte) []byte {
	at := keyFlagsAt(key)
	if at < 0 {
		return key
	}
	if at+2 < len(key) && key[at+1] == keyPartition {
		return key[:at+3]
	}
	return key[:at+1]
}

// KeyVariant is what follows that: nothing for most, else see variant.go.
func KeyVariant(key []byte) []byte { return key[len(KeyPlain(key)):] }

// KeyQuestion is the question part of a key: folded qname, type, class.
func KeyQuestion(key []byte) []byte {
	if at := keyFlagsAt(key); at >= 0 {
		return key[:at]
	}
	return key[:len(key)-1]
}

// KeyName is the folded qname of a key.
func KeyName(key []byte) []byte {
	question := KeyQuestion(key)
	return question[:len(question)-4]
}

// DeriveKey writes to dst the key of another question like that of key, of the same class, with the same flags, pool, partition and variant: for name, whole and
// folded, and qtype. It returns the part written. dst must not hold key.
func DeriveKey(dst *[KeyBytesMax]byte, key, name []byte, qtype uint16) []byte {
	question := KeyQuestion(key)
	n := copy(dst[:], name)
	dst[n], dst[n+1] = byte(qtype>>8), byte(qtype)
	n += 2 + copy(dst[n+2:], key[len(question)-2:])
	return dst[:n]
}

// RestoreQuestion writes the question of key to dst in the case that CaseBits took from the client, and returns the part written.
func RestoreQuestion(dst *[QuestionBytesMax]byte, key []byte, set *[32]byte) []byte {
	n := copy(dst[:], KeyQuestion(key))
	ApplyCase(dst[:n-4], set)
	return dst[:n]
}

// Hash is the keyed hash of a key. The seed is per process and secret, so clients cannot choose names that collide.
func Hash(seed maphash.Seed, key []byte) uint64 { return maphash.Bytes(seed, key) }
