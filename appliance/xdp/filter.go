package xdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Filter is the program with its tables. Its methods are safe from any goroutine.
type Filter struct {
	mu     sync.Mutex
	tables map[bool]*ebpf.Map // by whether of IPv6
	links  []link.Link
	set    map[netip.Prefix]uint64 // in the tables, with the last count that was read
}

// key4 and key6 are struct bpf_lpm_trie_key with an address behind it.
type key4 struct {
	Bits    uint32
	Address [4]byte
}

type key6 struct {
	Bits    uint32
	Address [16]byte
}

func keyOf(p netip.Prefix) any {
	if p.Addr().Is4() {
		return key4{uint32(p.Bits()), p.Addr().As4()}
	}
	return key6{uint32(p.Bits()), p.Addr().As16()}
}

// Open makes the tables and puts the program on the interfaces, by the driver where it can, else behind it. It takes CAP_BPF (or CAP_SYS_ADMIN) and
// CAP_NET_ADMIN; afterwards no privilege is needed. Nobody is in the tables yet.
func Open(interfaces []string, ports []uint16) (*Filter, error) {
	if err := checkPorts(ports); err != nil {
		return nil, err
	}
	f := &Filter{tables: map[bool]*ebpf.Map{}, set: map[netip.Prefix]uint64{}}
	for six, bytes := range map[bool]uint32{false: ipv4KeyBytes, true: ipv6KeyBytes} {
		table, err := ebpf.NewMap(&ebpf.MapSpec{
			Name: map[bool]string{false: "sdp_blocked4", true: "sdp_blocked6"}[six], Type: ebpf.LPMTrie, KeySize: bytes, ValueSize: 8,
			MaxEntries: prefixesMax, Flags: noPrealloc,
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("table: %w", err), f.Close())
		}
		f.tables[six] = table
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "sdp_blocked", Type: ebpf.XDP, License: "Apache-2.0", Instructions: program(ports, f.tables[false].FD(), f.tables[true].FD()),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("program: %w", err), f.Close())
	}
	defer prog.Close() // the links hold it
	for _, name := range interfaces {
		if err := f.attach(prog, name); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// noPrealloc is BPF_F_NO_PREALLOC, which this kind of table must have.
const noPrealloc = 1

func (f *Filter) attach(prog *ebpf.Program, name string) error {
	card, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: card.Index})
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	f.links = append(f.links, l)
	return nil
}

// Set makes prefixes, each once, those that are dropped. What stays keeps its count. After an error some may be missing.
func (f *Filter) Set(prefixes []netip.Prefix) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := map[netip.Prefix]bool{}
	for _, p := range prefixes {
		wanted[p] = true
	}
	var errs []error
	for p := range f.set {
		if !wanted[p] {
			errs = append(errs, f.tables[p.Addr().Is6()].Delete(keyOf(p)))
			delete(f.set, p)
		}
	}
	for p := range wanted {
		if _, there := f.set[p]; there {
			continue
		}
		if err := f.tables[p.Addr().Is6()].Put(keyOf(p), uint64(0)); err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", p, err))
			continue
		}
		f.set[p] = 0
	}
	return errors.Join(errs...)
}

// Dropped returns how many packets of each source were dropped since the last call; none are left out.
func (f *Filter) Dropped() map[netip.Prefix]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[netip.Prefix]uint64{}
	for p, last := range f.set {
		var now uint64
		if err := f.tables[p.Addr().Is6()].Lookup(keyOf(p), &now); err != nil {
			continue // only we take entries out
		}
		if now > last {
			out[p] = now - last
			f.set[p] = now
		}
	}
	return out
}

// Close takes the program off the interfaces.
func (f *Filter) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, l := range f.links {
		errs = append(errs, l.Close())
	}
	for _, table := range f.tables {
		errs = append(errs, table.Close())
	}
	f.links, f.tables, f.set = nil, nil, nil
	return errors.Join(errs...)
}
