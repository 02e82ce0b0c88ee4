package xdp

import "secure-dns-proxy/worker/block"

const (
	// InterfacesMax bounds the interfaces.
	InterfacesMax = 16
	// portsMax bounds the ports that the program compares with: as many as there are listeners. More: Open refuses.
	portsMax = 64
	// prefixesMax bounds each table, of IPv4 and of IPv6; the kernel allocates an entry when it is used. More: Set refuses.
	prefixesMax = block.EntriesMax
)
