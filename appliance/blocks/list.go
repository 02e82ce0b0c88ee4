package blocks

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"secure-dns-proxy/worker/block"
)

// Operator is who has blocked what was put on the list by hand.
const Operator = "operator"

// Block is one line of the list.
type Block struct {
	Prefix  netip.Prefix // invalid: Name is blocked
	Name    string       // wire form
	Action  block.Action
	Rate    int // of block.Limit
	By      string
	Since   time.Time
	Until   time.Time // zero: until it is removed
	Value   float64   // what the rule measured when it found it
	Blocked uint64    // queries
}

// Totals are figures since the start, by the name of the rule, or Operator.
type Totals struct {
	Added   map[string]uint64
	Blocked map[string]uint64 // queries, of blocks that have ended; those of the list are to be added
	Full    uint64            // findings that the list had no room for
	Early   uint64            // of Blocked: what the kernel dropped

	Saved, Unsaved uint64 // times that the file was written, and could not be
	Restored       uint64 // lines that were taken from it
}

// ErrUnknown is for what is not on the list.
var ErrUnknown = errors.New("is not blocked")

// Add puts a block on the list by hand, in place of what a rule, or somebody, has put there. Of b only Prefix or Name, Action, Rate and Until count.
func (k *Keeper) Add(b Block, now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	who := subject{b.Prefix.Masked(), b.Name}
	old := k.list[who]
	delete(k.list, who)
	entry, err := k.entry(who, b.Action, b.Rate)
	if err != nil {
		if old != nil {
			k.list[who] = old
		}
		return err
	}
	if old != nil {
		k.totals.Blocked[old.by] += old.blocked()
	}
	k.list[who] = &kept{entry: entry, by: Operator, since: now, until: b.Until}
	k.totals.Added[Operator]++
	delete(k.pardons, who)
	k.publish()
	return nil
}

// Remove takes a block off the list; until pardon no rule puts it back. ErrUnknown: there is none.
func (k *Keeper) Remove(prefix netip.Prefix, name string, pardon time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	who := subject{prefix.Masked(), name}
	b := k.list[who]
	if b == nil {
		return ErrUnknown
	}
	if b.by != Operator {
		k.pardons[who] = pardon
	}
	k.lines = 0
	k.end(who, b, Operator)
	k.publish()
	return nil
}

// List returns the list, what blocks most first.
func (k *Keeper) List() []Block {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := []Block{}
	for who, b := range k.list {
		list = append(list, Block{
			Prefix: who.prefix, Name: who.name, Action: b.entry.Action, Rate: b.entry.Rate, By: b.by, Since: b.since, Until: b.until,
			Value: b.value, Blocked: b.blocked(),
		})
	}
	slices.SortFunc(list, func(a, b Block) int {
		return cmp.Or(cmp.Compare(b.Blocked, a.Blocked), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Totals returns the figures since the start, those of the list included.
func (k *Keeper) Totals() Totals {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.totals
	t.Added, t.Blocked = maps.Clone(t.Added), maps.Clone(t.Blocked)
	for _, b := range k.list {
		t.Blocked[b.by] += b.blocked()
	}
	return t
}
