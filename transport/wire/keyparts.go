package wire

import "encoding/binary"

// KeyType is the type of the question of a key.
func KeyType(key []byte) uint16 { return binary.BigEndian.Uint16(key[len(KeyName(key)):]) }

// KeyClass is the class of the question of a key.
func KeyClass(key []byte) uint16 { return binary.BigEndian.Uint16(key[len(KeyName(key))+2:]) }

// KeyFlags is the flags byte of a key without the pool's tag: KeyDO, KeyCD and KeyRD.
func KeyFlags(key []byte) byte { return key[len(KeyName(key))+4] & (1<<keyPoolShift - 1) }

// KeyPool is the tag of the pool that a key is of.
func KeyPool(key []byte) uint8 { return key[len(KeyName(key))+4] >> keyPoolShift }

// MoveKey makes key one of the pool with that tag, whichever it was of.
func MoveKey(key []byte, tag uint8) {
	at := len(KeyName(key)) + 4
	key[at] = key[at]&(1<<keyPoolShift-1) | tag<<keyPoolShift
}

// Below reports whether name is suffix or ends in it at the border of a label. Both are in wire form without compression, lower case.
func Below(name, suffix []byte) bool {
	for len(name) > len(suffix) {
		n := 1 + int(name[0])
		if n > len(name) {
			return false
		}
		name = name[n:]
	}
	return string(name) == string(suffix)
}

// KeyHeader returns the header flags of the queries that a key is of: RD and CD.
func KeyHeader(key []byte) uint16 {
	bits := uint16(KeyFlags(key))
	return bits&KeyRD<<(8-2) | bits&KeyCD<<(4-1)
}

// ChangeKey clears RD, or sets CD, or both, in a key.
func ChangeKey(key []byte, clearRD, setCD bool) {
	flags := &key[len(KeyName(key))+4]
	if clearRD {
		*flags &^= KeyRD
	}
	if setCD {
		*flags |= KeyCD
	}
}
