package appliance

import (
	"slices"

	"secure-dns-proxy/appliance/blocks"
	"secure-dns-proxy/appliance/xdp"
)

// openKernelFilter has the kernel drop what blocked sources send, if that is wanted. It is a help and no more: without it the workers do so.
func (s *service) openKernelFilter() {
	interfaces := s.checked.Blocks.KernelInterfaces
	if len(interfaces) == 0 {
		return
	}
	var ports []uint16
	for _, a := range s.listeners.Addrs() {
		if !slices.Contains(ports, a.Port()) {
			ports = append(ports, a.Port())
		}
	}
	var err error
	if s.kernel, err = xdp.Open(interfaces, ports); err != nil {
		s.kernel = nil
		s.log.Warn("blocked sources are not dropped in the kernel, but by the workers", "interfaces", interfaces, "reason", err,
			"advice", "it takes root, or CAP_BPF and CAP_NET_ADMIN, and a kernel of 5.19 or newer")
	}
}

// kernelInterfaces is on how many the kernel drops.
func (s *service) kernelInterfaces() int {
	if s.kernel == nil {
		return 0
	}
	return len(s.checked.Blocks.KernelInterfaces)
}

// newKeeper makes the list of blocks.
func (s *service) newKeeper() *blocks.Keeper {
	var kernel blocks.Kernel
	if s.kernel != nil {
		kernel = s.kernel
	}
	return blocks.NewKeeper(s.log, s.checked.Workers.Count, s.group.Blocks, kernel)
}
