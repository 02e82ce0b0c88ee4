package cache

import "secure-dns-proxy/transport/wire"

// Match says which entries are meant.
type Match struct {
	Name  []byte // wire form, lower case; nil: every name
	Below bool   // the names below it as well
	In    Names  // nil: every name
	Type  uint16 // 0: every type
	Pools uint32 // bit i: those of the pool with tag i; 0: of every pool
}

// Names is a set of names in wire form, lower case.
type Names interface {
	Lookup(name []byte) (uint8, bool)
}

// Matches reports whether an entry of key is meant.
func (m *Match) Matches(key []byte) bool {
	switch {
	case m.Type != 0 && wire.KeyType(key) != m.Type:
	case m.Pools != 0 && m.Pools>>wire.KeyPool(key)&1 == 0:
	case m.In != nil && !in(m.In, wire.KeyName(key)):
	case m.Name == nil:
		return true
	case m.Below:
		return wire.Below(wire.KeyName(key), m.Name)
	default:
		return string(wire.KeyName(key)) == string(m.Name)
	}
	return false
}

func in(names Names, name []byte) bool {
	_, ok := names.Lookup(name)
	return ok
}
