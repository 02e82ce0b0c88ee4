package xdp

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf/asm"
)

// Offsets in frames and headers: IEEE 802.3 and 802.1Q, RFC 791, RFC 8200, RFC 768 and 9293 (ports are at the same place in both).
const (
	etherBytes, vlanBytes       = 14, 4
	etherTypeAt                 = 12
	ipv4Bytes, ipv6Bytes        = 20, 40
	ipv4FragmentAt, ipv4ProtoAt = 6, 9
	ipv4SourceAt                = 12
	ipv6NextAt, ipv6SourceAt    = 6, 8
	portAt, portEnd             = 2, 4
	etherIPv4, etherIPv6        = 0x0800, 0x86DD
	etherVLAN                   = 0x8100
	fragmentMask                = 0x1FFF
	protoTCP, protoUDP          = 6, 17
	xdpDrop, xdpPass            = 1, 2    // enum xdp_action, uapi/linux/bpf.h
	ipv4KeyAt, ipv6KeyAt        = -8, -32 // on the stack: prefix length, then address
	dataAt, dataEndAt           = 0, 4    // struct xdp_md
	ipv4KeyBytes, ipv6KeyBytes  = 8, 20
)

// network is a number of 16 bits in the byte order of the wire, as the machine reads it.
func network(n uint16) int32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return int32(binary.NativeEndian.Uint16(b[:]))
}

// program drops UDP and TCP to one of ports from sources that are in the tables, and counts there.
//
// Registers: R6 end of the frame, R7 the IP header, R8 the header behind it, R9 the protocol.
func program(ports []uint16, table4, table6 int) asm.Instructions {
	p := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, dataAt, asm.Word),
		asm.LoadMem(asm.R6, asm.R1, dataEndAt, asm.Word),
		asm.Mov.Reg(asm.R7, asm.R2),
		asm.Add.Imm(asm.R7, etherBytes),
		asm.JGT.Reg(asm.R7, asm.R6, "pass"),
		asm.LoadMem(asm.R5, asm.R2, etherTypeAt, asm.Half),
		asm.JNE.Imm(asm.R5, network(etherVLAN), "type"),
		asm.Add.Imm(asm.R7, vlanBytes),
		asm.JGT.Reg(asm.R7, asm.R6, "pass"),
		asm.LoadMem(asm.R5, asm.R2, etherTypeAt+vlanBytes, asm.Half),
		asm.JEq.Imm(asm.R5, network(etherIPv4), "ipv4").WithSymbol("type"),
		asm.JEq.Imm(asm.R5, network(etherIPv6), "ipv6"),
		asm.Ja.Label("pass"),
	}
	p = append(p, ipv4()...)
	p = append(p, lookUp(ports, "4", table4, ipv4KeyAt)...)
	p = append(p, ipv6()...)
	p = append(p, lookUp(ports, "6", table6, ipv6KeyAt)...)
	return append(p,
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
		asm.Return(),
	)
}

// ipv4 reads the header at R7: R8 becomes what is behind it, R9 the protocol, and the key is on the stack.
func ipv4() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R8, asm.R7).WithSymbol("ipv4"),
		asm.Add.Imm(asm.R8, ipv4Bytes),
		asm.JGT.Reg(asm.R8, asm.R6, "pass"),
		asm.LoadMem(asm.R5, asm.R7, ipv4FragmentAt, asm.Half),
		asm.And.Imm(asm.R5, network(fragmentMask)),
		asm.JNE.Imm(asm.R5, 0, "pass"), // has no ports
		asm.LoadMem(asm.R9, asm.R7, ipv4ProtoAt, asm.Byte),
		asm.LoadMem(asm.R5, asm.R7, ipv4SourceAt, asm.Word),
		asm.StoreMem(asm.RFP, ipv4KeyAt+4, asm.R5, asm.Word),
		asm.StoreImm(asm.RFP, ipv4KeyAt, 32, asm.Word),
		asm.LoadMem(asm.R5, asm.R7, 0, asm.Byte),
		asm.And.Imm(asm.R5, 0x0F),
		asm.LSh.Imm(asm.R5, 2),
		asm.Mov.Reg(asm.R8, asm.R7),
		asm.Add.Reg(asm.R8, asm.R5),
	}
}

// ipv6 does the same for IPv6.
func ipv6() asm.Instructions {
	p := asm.Instructions{
		asm.Mov.Reg(asm.R8, asm.R7).WithSymbol("ipv6"),
		asm.Add.Imm(asm.R8, ipv6Bytes),
		asm.JGT.Reg(asm.R8, asm.R6, "pass"),
		asm.LoadMem(asm.R9, asm.R7, ipv6NextAt, asm.Byte),
		asm.StoreImm(asm.RFP, ipv6KeyAt, 128, asm.Word),
	}
	for word := int16(0); word < 16; word += 4 {
		p = append(p,
			asm.LoadMem(asm.R5, asm.R7, ipv6SourceAt+word, asm.Word),
			asm.StoreMem(asm.RFP, ipv6KeyAt+4+word, asm.R5, asm.Word))
	}
	return p
}

// lookUp drops the frame if it is to one of ports and its source, whose key is on the stack, is in the table.
func lookUp(ports []uint16, family string, table int, keyAt int32) asm.Instructions {
	protocol, port, found := "protocol"+family, "port"+family, "found"+family
	p := asm.Instructions{
		asm.JEq.Imm(asm.R9, protoUDP, protocol),
		asm.JNE.Imm(asm.R9, protoTCP, "pass"),
		asm.Mov.Reg(asm.R5, asm.R8).WithSymbol(protocol),
		asm.Add.Imm(asm.R5, portEnd),
		asm.JGT.Reg(asm.R5, asm.R6, "pass"),
		asm.LoadMem(asm.R5, asm.R8, portAt, asm.Half),
	}
	for _, n := range ports {
		p = append(p, asm.JEq.Imm(asm.R5, network(n), port))
	}
	return append(p,
		asm.Ja.Label("pass"),
		asm.LoadMapPtr(asm.R1, table).WithSymbol(port),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, keyAt),
		asm.FnMapLookupElem.Call(),
		asm.JNE.Imm(asm.R0, 0, found),
		asm.Ja.Label("pass"),
		asm.Mov.Imm(asm.R1, 1).WithSymbol(found),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, xdpDrop),
		asm.Return(),
	)
}

// checkPorts refuses what program cannot be made of.
func checkPorts(ports []uint16) error {
	if len(ports) < 1 || len(ports) > portsMax {
		return fmt.Errorf("%d ports: want 1 to %d", len(ports), portsMax)
	}
	return nil
}
