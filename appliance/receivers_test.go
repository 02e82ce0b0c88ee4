package appliance

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// machineTree makes files below a new root.
func machineTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root + "/"
}

func TestReceivers(t *testing.T) {
	const eth0 = "sys/class/net/eth0/"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []int
	}{
		{"interrupts", map[string]string{
			eth0 + "queues/rx-0/rps_cpus": "00000000\n", eth0 + "queues/rx-1/rps_cpus": "00000000\n",
			eth0 + "device/msi_irqs/40": "", eth0 + "device/msi_irqs/41": "",
			"proc/irq/40/effective_affinity_list": "4\n", "proc/irq/40/smp_affinity_list": "0-7\n",
			"proc/irq/41/smp_affinity_list": "2-3,6\n",
		}, []int{2, 3, 4, 6}},
		{"RPS", map[string]string{
			eth0 + "queues/rx-0/rps_cpus": "00000001,0000000c\n", eth0 + "device/msi_irqs/40": "", "proc/irq/40/smp_affinity_list": "0\n",
		}, []int{2, 3, 32}},
		{"virtio", map[string]string{
			eth0 + "queues/rx-0/rps_cpus": "0", eth0 + "device/x": "", "sys/class/net/eth0/msi_irqs/9": "", "proc/irq/9/smp_affinity_list": "1",
		}, []int{1}},
		{"no interrupts of its own", map[string]string{eth0 + "queues/rx-0/rps_cpus": "0"}, nil},
		{"no such interface", nil, nil},
		{"nonsense", map[string]string{
			eth0 + "queues/rx-0/rps_cpus": "zz", eth0 + "device/msi_irqs/9": "", "proc/irq/9/smp_affinity_list": "1-,",
		}, nil},
	} {
		got := receiversOf(machineTree(t, tt.files), "eth0")
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	for _, addr := range []string{"127.0.0.1:53", "[::1]:53", "192.0.2.1:53"} {
		if got := receivers([]netip.AddrPort{netip.MustParseAddrPort(addr)}); got != nil {
			t.Errorf("%s: %v, want not known", addr, got)
		}
	}
}
