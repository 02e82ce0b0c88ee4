package appliance

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// receivers returns the CPUs on which the kernel receives what comes to the given addresses, as the network cards' interrupts and the
// kernel's own spreading (RPS) are set now; nil if that is not known. On loopback the CPU that sends receives: not known.
func receivers(listen []netip.AddrPort) []int {
	names := interfacesOf(listen)
	var all []int
	for _, name := range names {
		cpus := receiversOf("/", name)
		if cpus == nil {
			return nil
		}
		all = append(all, cpus...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// interfacesOf names the interfaces that have one of the addresses, all for a wildcard; none if any of the addresses is a loopback one.
func interfacesOf(listen []netip.AddrPort) []string {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var names []string
	for _, addr := range listen {
		if addr.Addr().IsLoopback() {
			return nil
		}
		for _, i := range interfaces {
			if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 && (addr.Addr().IsUnspecified() || hasAddr(&i, addr.Addr())) {
				names = append(names, i.Name)
			}
		}
	}
	return names
}

func hasAddr(i *net.Interface, addr netip.Addr) bool {
	addrs, err := i.Addrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == addr
	})
}

// receiversOf reads sysfs and procfs below root: the masks of RPS if any is set, else the CPUs that the device's interrupts go to. The
// interrupts of a card that sends, too, are among them: so there may be some too many, never one too few.
func receiversOf(root, name string) []int {
	device := root + "sys/class/net/" + name
	var cpus []int
	queues, err := os.ReadDir(device + "/queues")
	if err != nil {
		return nil
	}
	for _, q := range queues {
		if mask, err := os.ReadFile(device + "/queues/" + q.Name() + "/rps_cpus"); err == nil {
			cpus = append(cpus, parseMask(string(mask))...)
		}
	}
	if cpus != nil {
		return cpus
	}
	for _, dir := range []string{device + "/device/msi_irqs", device + "/device/../msi_irqs"} { // virtio's are its parent's
		irqs, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, irq := range irqs {
			for _, file := range []string{"effective_affinity_list", "smp_affinity_list"} {
				if list, err := os.ReadFile(root + "proc/irq/" + irq.Name() + "/" + file); err == nil {
					cpus = append(cpus, parseList(string(list))...)
					break
				}
			}
		}
		return cpus
	}
	return nil
}

// parseMask reads "00000000,0000000c": CPUs 2 and 3.
func parseMask(text string) []int {
	var cpus []int
	words := strings.Split(strings.TrimSpace(text), ",")
	slices.Reverse(words)
	for i, w := range words {
		bits, err := strconv.ParseUint(w, 16, 32)
		if err != nil {
			return nil
		}
		for b := range 32 {
			if bits>>b&1 != 0 {
				cpus = append(cpus, 32*i+b)
			}
		}
	}
	return cpus
}

// parseList reads "0-2,8".
func parseList(text string) []int {
	var cpus []int
	for span := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		low, high, wide := strings.Cut(span, "-")
		if !wide {
			high = low
		}
		a, errA := strconv.Atoi(low)
		b, errB := strconv.Atoi(high)
		if errA != nil || errB != nil || b-a >= 1<<16 {
			return nil
		}
		for cpu := a; cpu <= b; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}
