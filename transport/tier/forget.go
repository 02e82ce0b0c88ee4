package tier

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// forgotten is what a Store does not use any more though the servers have it: an instance cannot find what it would have to delete, for names in the
// tier are hashes. Readers take no lock.
type forgotten struct {
	mu   sync.Mutex // writers
	list atomic.Pointer[[]oblivion]
}

// oblivion is one call of Forget.
type oblivion struct {
	before int64 // Unix time in milliseconds: values stored earlier are meant
	pool   string
	key    func(key []byte) bool // nil: every key
}

// Forget makes this Store find nothing of what was stored before now for keys, as of wire.WithoutPool, that match, of the pool of that name or, for "", of
// every pool. Other instances are not concerned. Beyond forgetMax calls the oldest are taken together: what was stored before them is
// all forgotten.
func (s *Store) Forget(pool string, match func(key []byte) bool) {
	f, now := &s.forgotten, time.Now().UnixMilli()
	f.mu.Lock()
	defer f.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(f.all()), func(o oblivion) bool { return now-o.before > ttlMax*1000 })
	if len(list) >= forgetMax {
		list = append([]oblivion{{before: list[1].before}}, list[2:]...)
	}
	list = append(list, oblivion{before: now + 1, pool: pool, key: match})
	f.list.Store(&list)
}

// Inherit takes over what another Store has forgotten, which this one comes in place of.
func (s *Store) Inherit(from *Store) { s.forgotten.list.Store(from.forgotten.list.Load()) }

func (f *forgotten) all() []oblivion {
	if list := f.list.Load(); list != nil {
		return *list
	}
	return nil
}

// holds reports whether a good value is forgotten.
func (f *forgotten) holds(value, id []byte) bool {
	list := f.all()
	if len(list) == 0 {
		return false
	}
	stored, pool, key := int64(binary.BigEndian.Uint64(value[8:])), string(id[1:1+id[0]]), id[1+id[0]:]
	return slices.ContainsFunc(list, func(o oblivion) bool {
		return stored < o.before && (o.pool == "" || o.pool == pool) && (o.key == nil || o.key(key))
	})
}
