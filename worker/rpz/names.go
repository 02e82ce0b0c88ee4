package rpz

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// names maps names to rules. Exact names and wildcards are apart; a wildcard *.example stands under the name example.
//
//	slots  hash table with linear probing: 40 bits of offset + 1 in text, 24 bits of hash; 0: empty
//	text   entries one after the other: action and wildcard bit, length, name, and for local data 4 bytes of offset
type names struct {
	slots []uint64
	text  []byte
	count int
	used  int       // slots that are not empty: those of names that have gone too
	waste int       // bytes of text that no slot names
	depth [2]depths // which numbers of labels occur, of exact names and of wildcards
}

// depths is a set of numbers of labels, 0 to 127.
type depths [2]uint64

func (d *depths) add(n int)      { d[n>>6] |= 1 << (n & 63) }
func (d *depths) has(n int) bool { return d[n>>6]&(1<<(n&63)) != 0 }

const (
	wildcardBit = 0x80 // in an entry's first byte, beside the action
	gone        = ^uint64(0)
	offsetMask  = 1<<40 - 1
)

// hashOf is the hash of the suffix of n from label first on, as an exact name or a wildcard.
func hashOf(n *Name, first int, wildcard bool) uint64 {
	h := n.hash[first]
	if wildcard {
		h = fold(h, secret[1]^0x55)
	}
	return h
}

// place is the slot at which the search for a hash begins: all of its high bits count, so that the table may have any size.
func (t *names) place(hash uint64) int {
	high, _ := bits.Mul64(hash, uint64(len(t.slots)))
	return int(high)
}

// find returns the slot of a name, -1 if it is not there.
func (t *names) find(hash uint64, name []byte, wildcard bool) int {
	if len(t.slots) == 0 {
		return -1
	}
	tag := hash << 40
	for i := t.place(hash); ; {
		s := t.slots[i]
		if s == 0 {
			return -1
		}
		if s != gone && s&^offsetMask == tag && t.holds(int(s&offsetMask)-1, name, wildcard) {
			return i
		}
		if i++; i == len(t.slots) {
			i = 0
		}
	}
}

func (t *names) holds(at int, name []byte, wildcard bool) bool {
	e := t.text[at:]
	return e[0]&wildcardBit != 0 == wildcard && int(e[1]) == len(name) && bytes.Equal(e[2:2+len(name)], name)
}

// ruleAt reads the entry that a slot names.
func (t *names) ruleAt(slot int) rule {
	e := t.text[int(t.slots[slot]&offsetMask)-1:]
	r := rule{action: Action(e[0] &^ wildcardBit)}
	if r.action == Local {
		r.data = binary.LittleEndian.Uint32(e[2+int(e[1]):])
	}
	return r
}

// lookup returns the rule of the longest trigger that fits n: n itself, else a wildcard above it. labels is how long that is, and a wildcard is
// one label longer than the name under which it stands.
func (t *names) lookup(n *Name) (r rule, labels int, ok bool) {
	if t.count == 0 {
		return rule{}, 0, false
	}
	if t.depth[0].has(n.labels) {
		if i := t.find(n.hash[0], n.wire, false); i >= 0 {
			return t.ruleAt(i), n.labels, true
		}
	}
	if t.depth[1] == (depths{}) {
		return rule{}, 0, false
	}
	for first := 1; first <= n.labels; first++ {
		if !t.depth[1].has(n.labels - first) {
			continue
		}
		if i := t.find(hashOf(n, first, true), n.suffix(first), true); i >= 0 {
			return t.ruleAt(i), n.labels - first, true
		}
	}
	return rule{}, 0, false
}

// put enters or replaces the rule of a name.
func (t *names) put(n *Name, wildcard bool, r rule) {
	hash := hashOf(n, 0, wildcard)
	slot := t.find(hash, n.wire, wildcard)
	if slot >= 0 {
		t.waste += t.entryBytes(int(t.slots[slot]&offsetMask) - 1)
	} else {
		slot = t.free(hash)
		t.count++
		t.depth[btoi(wildcard)].add(n.labels)
	}
	first := byte(r.action)
	if wildcard {
		first |= wildcardBit
	}
	at := len(t.text)
	t.text = append(t.text, first, byte(len(n.wire)))
	t.text = append(t.text, n.wire...)
	if r.action == Local {
		t.text = binary.LittleEndian.AppendUint32(t.text, r.data)
	}
	t.slots[slot] = hash<<40 | uint64(at+1)
}

// remove takes a name out.
func (t *names) remove(n *Name, wildcard bool) {
	if slot := t.find(hashOf(n, 0, wildcard), n.wire, wildcard); slot >= 0 {
		t.waste += t.entryBytes(int(t.slots[slot]&offsetMask) - 1)
		t.slots[slot] = gone
		t.count--
	}
}

// get returns the rule of exactly this name.
func (t *names) get(n *Name, wildcard bool) (rule, bool) {
	slot := t.find(hashOf(n, 0, wildcard), n.wire, wildcard)
	if slot < 0 {
		return rule{}, false
	}
	return t.ruleAt(slot), true
}

// free returns an empty slot for a hash. A quarter of the slots stays empty.
func (t *names) free(hash uint64) int {
	if 4*(t.used+1) > 3*len(t.slots) {
		t.resize(max(slotsMin, 2*(t.count+1)))
	}
	t.used++
	for i := t.place(hash); ; {
		if t.slots[i] == 0 {
			return i
		}
		if i++; i == len(t.slots) {
			i = 0
		}
	}
}

// resize makes the table anew with n slots, without those that have gone.
func (t *names) resize(n int) {
	old := t.slots
	t.slots, t.used = make([]uint64, n), 0
	var name Name
	for _, s := range old {
		if s == 0 || s == gone {
			continue
		}
		e := t.text[int(s&offsetMask)-1:]
		name.Set(e[2 : 2+int(e[1])])
		t.slots[t.free(hashOf(&name, 0, e[0]&wildcardBit != 0))] = s
	}
}

// settle makes the table as small as it is quick: a third of the slots is empty.
func (t *names) settle() {
	if n := max(slotsMin, t.count*3/2); t.count != 0 && len(t.slots) != n {
		t.resize(n)
	}
	if cap(t.text)-len(t.text) > len(t.text)/8 {
		t.text = append(make([]byte, 0, len(t.text)), t.text...)
	}
}

// clone returns a copy that can be changed.
func (t *names) clone() names {
	c := *t
	c.slots = append([]uint64(nil), t.slots...)
	c.text = append(make([]byte, 0, len(t.text)+len(t.text)/16), t.text...)
	return c
}

func (t *names) entryBytes(at int) int {
	n := 2 + int(t.text[at+1])
	if Action(t.text[at]&^wildcardBit) == Local {
		n += 4
	}
	return n
}

// all calls yield for each name, in no order.
func (t *names) all(yield func(name []byte, wildcard bool, r rule) bool) bool {
	for i, s := range t.slots {
		if s == 0 || s == gone {
			continue
		}
		e := t.text[int(s&offsetMask)-1:]
		if !yield(e[2:2+int(e[1])], e[0]&wildcardBit != 0, t.ruleAt(i)) {
			return false
		}
	}
	return true
}

// bytes is what the table takes.
func (t *names) bytes() int { return 8*cap(t.slots) + cap(t.text) }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
