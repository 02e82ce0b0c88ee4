package worker

import (
	"fmt"
	"time"
	"unsafe"

	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/inspect"
	"secure-dns-proxy/worker/policy"
)

// held is where answers are that wait for a verdict. It has no room until the first one comes; then it is mapped, and the kernel gives memory only to
// what is used.
type held struct {
	places []heldAnswer
	mem    []byte
	free   []uint16 // numbers of places
}

// heldAnswer is one of them. Its views are of mem.
type heldAnswer struct {
	answer wire.Answer
	told   wire.Told
	since  int64 // ns
}

// heldStride is the memory of one answer: TTL offsets, then records and the options beside them, which were in one message.
const heldStride = 2*wire.RecordsMax + wire.MessageBytesMax + 1 // a multiple of 2

// furnish maps the memory.
func (h *held) furnish() error {
	mem, err := sys.Map(heldMax * heldStride)
	if err != nil {
		return fmt.Errorf("memory of held answers: %w", err)
	}
	h.mem, h.places, h.free = mem, make([]heldAnswer, heldMax), make([]uint16, heldMax)
	for n := range h.free {
		h.free[n] = uint16(heldMax - 1 - n)
	}
	return nil
}

func (h *held) close() error {
	if h.mem == nil {
		return nil
	}
	err := sys.Unmap(h.mem)
	*h = held{}
	return err
}

// take copies a into a place that is free, and returns its number; false: there is none, or the kernel gives no memory.
func (h *held) take(a *wire.Answer, now int64) (place uint32, ok bool) {
	if h.mem == nil && h.furnish() != nil {
		return 0, false
	}
	options := 0
	if a.Told != nil {
		options = len(a.Told.Options)
	}
	if len(h.free) == 0 || 2*len(a.TTLs)+len(a.Records)+options > heldStride {
		return 0, false
	}
	n := h.free[len(h.free)-1]
	h.free = h.free[:len(h.free)-1]
	room := h.mem[int(n)*heldStride:][:heldStride]
	p := &h.places[n]
	*p = heldAnswer{answer: *a, since: now}
	p.answer.TTLs = unsafe.Slice((*uint16)(unsafe.Pointer(&room[0])), len(a.TTLs))
	copy(p.answer.TTLs, a.TTLs)
	room = room[2*len(a.TTLs):]
	p.answer.Records = room[:copy(room, a.Records)]
	if a.Told != nil {
		p.told = wire.Told{Scope: a.Told.Scope}
		room = room[len(a.Records):]
		p.told.Options = room[:copy(room, a.Told.Options)]
		p.answer.Told = &p.told
	}
	return uint32(n), true
}

// at is since when the answer of a slot is held.
func (h *held) at(s *inflight.Slot) int64 { return h.places[s.Detail].since }

// release makes a place free.
func (h *held) release(place uint32) {
	h.places[place] = heldAnswer{}
	h.free = append(h.free, uint16(place))
}

// inspectAnswer shows w.answer to the inspector, what a slot has come to, and reports whether the slot goes on later, or has ended.
func (w *worker) inspectAnswer(slot uint32, s *inflight.Slot) bool {
	i := w.active.inspect
	p, stats := &i.points[inspect.AtResponse], &w.stats.Inspect[inspect.AtResponse]
	if !p.On {
		return false
	}
	w.show(i, slot, s)
	i.question.SetAnswer(&w.answer, wire.KeyQuestion(s.KeyBytes()), &i.records)
	if v, ok := w.recall(i); ok {
		return w.ruleAnswer(slot, s, &v)
	}
	until := w.until(p.Budget)
	if !w.holdAnswer(slot, s, i, until) {
		stats.Full++
		if p.Refuse {
			w.fillTier(false)
		}
		return w.unruled(slot, s, inspect.AtResponse)
	}
	stats.Asked++
	// What the shared tier has is shown each time that it is taken from there. Where rules may say that it is not to be kept, it is not brought there.
	w.fillTier(s.Passing == 0 && (w.rules.policy == nil || !w.rules.policy.Has(policy.ChainResponse)))
	w.expect(s, until)
	w.table.Schedule(slot, until)
	return true
}

// holdAnswer keeps w.answer and asks for a verdict on it; false: there is no room.
func (w *worker) holdAnswer(slot uint32, s *inflight.Slot, i *inspectLink, until int64) bool {
	place, ok := w.held.take(&w.answer, w.now)
	if !ok {
		return false
	}
	for n := range s.Exchanges {
		if e := &s.Exchanges[n]; e.Upstream != inflight.NoUpstream {
			w.giveUp(slot, s, e)
		}
	}
	w.table.Renew(slot) // other answers may yet come
	if !i.line.Ask(slot, s.Gen, time.Duration(until), &i.question) {
		w.held.release(place)
		return false
	}
	s.Step, s.Detail, s.HedgeAt = stepAnswer, place, until
	return true
}

// goOnWithAnswer ends a slot with the answer that was held for it, as the verdict says; nil: there is none.
func (w *worker) goOnWithAnswer(slot uint32, s *inflight.Slot, v *inspect.Verdict) {
	place := s.Detail
	w.answer = w.held.places[place].answer
	s.Detail = 0
	if v == nil && !w.unruled(slot, s, inspect.AtResponse) || v != nil && !w.ruleAnswer(slot, s, v) {
		w.finish(slot, s, w.poolOf(s))
	}
	w.held.release(place)
}

// ruleAnswer carries out a verdict on w.answer, which it may change, and reports whether that was the end of the slot.
func (w *worker) ruleAnswer(slot uint32, s *inflight.Slot, v *inspect.Verdict) (ended bool) {
	if i := w.active.inspect; i != nil {
		s.Tags |= i.meant(v.Tags)
	}
	switch v.Do {
	case inspect.Answer:
		w.fillTier(false)
		w.blockSlot(slot, s, v.RCode)
		return true
	case inspect.Drop:
		w.fillTier(false)
		w.forsake(s, slot)
		return true
	case inspect.Once:
		s.Passing |= inflight.PassesCache
	default:
	}
	if v.TTLMax != 0 {
		clampTTLs(&w.answer, 0, uint32(v.TTLMax))
	}
	return false
}
