package blocks

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"secure-dns-proxy/appliance/control"
	"secure-dns-proxy/worker/block"
)

// Handle adds what operators can ask and command.
func (k *Keeper) Handle(server *control.Server) {
	server.Handle("GET /v1/blocks", func(context.Context, *control.Request) (any, error) { return k.show(), nil })
	server.Handle("POST /v1/blocks/add", func(_ context.Context, r *control.Request) (any, error) { return k.add(r) })
	server.Handle("POST /v1/blocks/remove", func(_ context.Context, r *control.Request) (any, error) { return k.remove(r) })
}

func (k *Keeper) show() []control.Block {
	list := []control.Block{}
	for _, b := range k.List() {
		list = append(list, control.Block{
			Who: subject{b.Prefix, b.Name}.String(), Action: b.Action.String(), Rate: b.Rate, By: b.By,
			Since: b.Since, Until: b.Until, Value: round(b.Value), Blocked: b.Blocked,
		})
	}
	return list
}

// parse reads IP, IP/length or a name.
func parse(who string) (subject, error) {
	if a, err := netip.ParseAddr(who); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return subject{prefix: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	if p, err := netip.ParsePrefix(who); err == nil && !p.Addr().Is4In6() {
		return subject{prefix: p.Masked()}, nil
	}
	name, err := Wire(who)
	if err != nil {
		return subject{}, control.Mistake("who: %q is no address, no IP/length and no name", who)
	}
	return subject{name: name}, nil
}

// span reads a duration from a second up; "" is standard.
func span(text string, standard time.Duration) (time.Duration, error) {
	if text == "" {
		return standard, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		return 0, control.Mistake("for: %q is no duration of a second and more, such as \"10m\"", text)
	}
	return d, nil
}

func (k *Keeper) add(r *control.Request) (any, error) {
	args := control.AddBlock{Action: block.Drop.String()}
	if err := r.Decode(&args); err != nil {
		return nil, err
	}
	who, err := parse(args.Who)
	if err != nil {
		return nil, err
	}
	action := slices.Index(block.ActionNames[:], args.Action)
	if action < 0 {
		return nil, control.Mistake("action: %q is none of %v", args.Action, block.ActionNames)
	}
	length, err := span(args.For, 0)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	b := Block{Prefix: who.prefix, Name: who.name, Action: block.Action(action), Rate: args.Rate}
	if length > 0 {
		b.Until = now.Add(length)
	}
	if err := k.Add(b, now); err != nil {
		return nil, control.Mistake("%v", err)
	}
	return control.BlockDone{Who: who.String()}, nil
}

// pardonStandard is how long no rule blocks again what an operator has taken off the list.
const pardonStandard = 10 * time.Minute

func (k *Keeper) remove(r *control.Request) (any, error) {
	var args control.RemoveBlock
	if err := r.Decode(&args); err != nil {
		return nil, err
	}
	who, err := parse(args.Who)
	if err != nil {
		return nil, err
	}
	length, err := span(args.For, pardonStandard)
	if err != nil {
		return nil, err
	}
	if err := k.Remove(who.prefix, who.name, time.Now().Add(length)); err != nil {
		return nil, &control.Error{Status: http.StatusNotFound, Text: who.String() + " " + err.Error()}
	}
	return control.BlockDone{Who: who.String()}, nil
}
