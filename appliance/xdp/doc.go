// Package xdp drops what blocked sources send in the network card's driver, or right behind it: an XDP program on each interface that is named,
// with a table of prefixes that the process keeps up to date. What it drops costs a few tens of nanoseconds instead of the way through the kernel
// and half of an answer. It only ever looks at UDP and TCP to the ports that the proxy listens on.
//
// It is an addition: the workers block the same sources by themselves (worker/block), so whatever the program lets through (fragments, IPv6
// with extension headers, two VLAN tags, other interfaces) meets the same fate later.
//
// The link belongs to the process: when that ends, however it does, the kernel takes the program off the interface.
package xdp
