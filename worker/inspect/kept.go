package inspect

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/bits"
	"time"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// Kept is what one worker remembers of verdicts that hold for a while (Verdict.Keep), so that it need not ask.
//
// Memory is fixed: a set of keptWays entries for each hash modulo the number of sets, of which one that is over, else the one that ends first, makes room.
// Entries are told apart by keyed 64-bit hashes alone, as failures are (worker/cache). A verdict is of an epoch (Host.Epoch): with the next one it is
// over. Find looks only for kinds of Keep that there are, so that a table with verdicts on names alone costs one look.
//
// One thread; times are ns and never go back. Nothing allocates but NewKept.
type Kept struct {
	sets    []keptSet
	mem     []byte
	seed    maphash.Seed
	epoch   uint32
	present [2]uint64 // bit by kind: there are, or were in this epoch, verdicts of it
	key     []byte    // scratch
}

type keptSet [keptWays]kept

// kept is one verdict. The zero value is none, for it is over.
type kept struct {
	hash, word uint64
	until      int64 // ns
	epoch      uint32
	_          uint32
}

// NewKept maps an empty table with room for so many verdicts, KeptMin to KeptMax.
func NewKept(entries int) (*Kept, error) {
	if entries < KeptMin || entries > KeptMax {
		return nil, fmt.Errorf("room for %d verdicts: want %d to %d", entries, KeptMin, KeptMax)
	}
	count := 1 << bits.Len(uint((entries+keptWays-1)/keptWays-1))
	mem, err := sys.Map(count * int(unsafe.Sizeof(keptSet{})))
	if err != nil {
		return nil, fmt.Errorf("memory of verdicts: %w", err)
	}
	return &Kept{
		sets: unsafe.Slice((*keptSet)(unsafe.Pointer(unsafe.SliceData(mem))), count), mem: mem, seed: maphash.MakeSeed(), key: make([]byte, 0, keptKeyMax),
	}, nil
}

// Close gives the memory back.
func (k *Kept) Close() error {
	err := sys.Unmap(k.mem)
	*k = Kept{}
	return err
}

// A kind is a number for Labels, Who and AnyType of a Keep, the smaller the more particular: first the name alone, then its ends, the longest first; of these
// first the client, then its network, then everybody; of these first the type.
const kinds = (LabelsMax + 1) * int(whos) * 2

func kindOf(keep *Keep) int {
	end := 0
	if keep.Labels != 0 {
		end = LabelsMax + 1 - int(keep.Labels)
	}
	kind := (end*int(whos) + int(whos-1-keep.Who)) * 2
	if keep.AnyType {
		kind++
	}
	return kind
}

// keepOf is the inverse of kindOf.
func keepOf(kind int) Keep {
	keep := Keep{AnyType: kind&1 != 0, Who: whos - 1 - Who(kind/2%int(whos))}
	if end := kind / 2 / int(whos); end != 0 {
		keep.Labels = uint8(LabelsMax + 1 - end)
	}
	return keep
}

// Find returns the most particular verdict on q that still holds.
func (k *Kept) Find(q *Question, epoch uint32, now int64) (Verdict, bool) {
	k.follow(epoch)
	if k.present == [2]uint64{} {
		return Verdict{}, false
	}
	labels := countLabels(q.Name)
	for i, word := range k.present {
		for ; word != 0; word &= word - 1 {
			keep := keepOf(i*64 + bits.TrailingZeros64(word))
			hash, ok := k.hash(q, &keep, labels)
			if !ok {
				continue
			}
			for n := range keptWays {
				if e := &k.sets[hash&uint64(len(k.sets)-1)][n]; e.hash == hash && e.epoch == epoch && now < e.until {
					return decode(e.word), true
				}
			}
		}
	}
	return Verdict{}, false
}

// Add keeps v, a verdict on q of an epoch, if it says so, and reports whether it did, and whether one that still held had to make room.
func (k *Kept) Add(q *Question, v *Verdict, epoch uint32, now int64) (added, displaced bool) {
	k.follow(epoch)
	if v.Keep.Seconds == 0 {
		return false, false
	}
	labels := countLabels(q.Name)
	keep := v.Keep
	keep.Labels = uint8(min(int(keep.Labels), labels))
	hash, ok := k.hash(q, &keep, labels)
	if !ok {
		return false, false
	}
	set := &k.sets[hash&uint64(len(k.sets)-1)]
	place := &set[0]
	for n := range set {
		e := &set[n]
		if e.hash == hash {
			place = e
			break
		}
		if e.end(epoch) < place.end(epoch) {
			place = e
		}
	}
	displaced = place.hash != hash && place.end(epoch) > now
	*place = kept{hash: hash, word: v.word(), until: now + int64(v.Keep.Seconds)*int64(time.Second), epoch: epoch}
	kind := kindOf(&keep)
	k.present[kind/64] |= 1 << (kind % 64)
	return true, displaced
}

// end is when an entry is over; one of another epoch always was.
func (e *kept) end(epoch uint32) int64 {
	if e.epoch != epoch {
		return 0
	}
	return e.until
}

// follow begins another epoch.
func (k *Kept) follow(epoch uint32) {
	if k.epoch != epoch {
		k.epoch, k.present = epoch, [2]uint64{}
	}
}

// hash is that of all which a Keep looks at in q, whose name has so many labels; false: q has not what it looks at.
func (k *Kept) hash(q *Question, keep *Keep, labels int) (uint64, bool) {
	key := append(k.key[:0], byte(kindOf(keep)), byte(q.Point))
	if !keep.AnyType {
		key = binary.LittleEndian.AppendUint16(key, q.Type)
	}
	if keep.Who != Everybody {
		if !q.Client.IsValid() {
			return 0, false
		}
		address := q.Client.As16()
		if keep.Who == Network {
			whole, n := address, networkBytes6
			if q.Client.Is4() {
				n = networkBytes4
			}
			address = [16]byte{}
			copy(address[:n], whole[:])
		}
		key = append(key, address[:]...)
	}
	name := q.Name
	if keep.Labels != 0 {
		if int(keep.Labels) > labels {
			return 0, false
		}
		name = lastLabels(name, labels-int(keep.Labels))
	}
	pool := q.Pool[:min(len(q.Pool), PoolNameMax)]
	key = append(append(append(key, byte(len(pool))), pool...), name...)
	return maphash.Bytes(k.seed, key), true
}

// countLabels is how many labels a name has, the root's not among them.
func countLabels(name []byte) (n int) {
	for at := 0; at < len(name) && name[at] != 0; at += 1 + int(name[at]) {
		n++
	}
	return n
}

// lastLabels is a name without the first so many of its labels.
func lastLabels(name []byte, skip int) []byte {
	for range skip {
		name = name[1+int(name[0]):]
	}
	return name
}

// Bytes of an address, in the form of 16, that are a network: /24, and /56 of IPv6. The first 12 of IPv4 say that it is.
const (
	networkBytes4 = 12 + 3
	networkBytes6 = 7
)
