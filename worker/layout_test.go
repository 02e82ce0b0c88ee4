package worker

import (
	"reflect"
	"testing"
	"unsafe"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/mmsg"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/tier"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/cache/shared"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/inspect"
	"secure-dns-proxy/worker/limit"
)

// linePair is two cache lines: the one next to a line is often fetched with it.
const linePair = 128

// TestWorkersShareNoLine: what workers write on a query's way lies on lines that no other worker touches. The allocator puts objects of one
// size side by side; those above 3 KiB begin at multiples of linePair, smaller ones must have empty bytes at both ends.
func TestWorkersShareNoLine(t *testing.T) {
	for _, of := range []reflect.Type{
		reflect.TypeFor[worker](), reflect.TypeFor[upstream](), reflect.TypeFor[ring.Ring](), reflect.TypeFor[mmsg.Engine](),
		reflect.TypeFor[ring.Waker](), reflect.TypeFor[cache.Shard](), reflect.TypeFor[inflight.Table](), reflect.TypeFor[limit.Limiter](), reflect.TypeFor[pool](), reflect.TypeFor[poolState](), reflect.TypeFor[viewState](),
		reflect.TypeFor[shared.Inbox](),
		reflect.TypeFor[tierLink](), reflect.TypeFor[tier.Line](), reflect.TypeFor[inspectLink](), reflect.TypeFor[inspect.Line](),
	} {
		first, last := of.Field(0), of.Field(of.NumField()-1)
		padded := first.Name == "_" && first.Type.Size() >= linePair && last.Name == "_" && last.Type.Size() >= linePair
		if of.Size() < 3072 && !padded {
			t.Errorf("%v has %d bytes and no padding of %d at both ends", of, of.Size(), linePair)
		}
	}
}

// TestRunningWorkersShareNoLine looks at the workers of a group, where the allocator put them.
func TestRunningWorkersShareNoLine(t *testing.T) {
	z := newZone(t)
	cfg := testConfig(t, BackendUring)
	cfg.Workers = 4
	g, _ := serve(t, cfg, testSnapshot(z.endpoint(transport.TCP)))
	type span struct {
		name        string
		first, last uintptr
	}
	var spans []span
	add := func(name string, p unsafe.Pointer, of reflect.Type) { // without the padding at both ends
		begin, end := uintptr(p), uintptr(p)+of.Size()
		if first := of.Field(0); first.Name == "_" {
			begin, end = begin+first.Type.Size(), end-of.Field(of.NumField()-1).Type.Size()
		}
		spans = append(spans, span{name, begin / linePair, (end - 1) / linePair})
	}
	for i, w := range g.workers {
		name := string(rune('0' + i))
		add("worker "+name, unsafe.Pointer(w), reflect.TypeFor[worker]())
		add("engine of worker "+name, unsafe.Pointer(w.eng.(*ring.Ring)), reflect.TypeFor[ring.Ring]())
		add("cache of worker "+name, unsafe.Pointer(w.cache), reflect.TypeFor[cache.Shard]())
		add("in-flight table of worker "+name, unsafe.Pointer(w.table), reflect.TypeFor[inflight.Table]())
		add("upstream of worker "+name, unsafe.Pointer(w.upstreams[0]), reflect.TypeFor[upstream]())
	}
	for i, a := range spans {
		for _, b := range spans[i+1:] {
			if a.name[len(a.name)-1] != b.name[len(b.name)-1] && a.first <= b.last && b.first <= a.last {
				t.Errorf("%s and %s share a line", a.name, b.name)
			}
		}
	}
}
