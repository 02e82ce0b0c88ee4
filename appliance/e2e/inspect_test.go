package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// TestInspectionModule: the worked example decides on queries of the built binary; hits are not shown to it; a module that is wrong is named with file, line and
// reason by --check and at a reload, and what is in force stays.
func TestInspectionModule(t *testing.T) {
	module := filepath.Join(rig.SharedDir(t), "module.wasm")
	put := func(from string) {
		t.Helper()
		code, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(module, code, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("../wasm/example/tunnels.wasm")
	proxy := actorProxy(t, rig.NewActor(t), `inspect.kind = "wasm"`, fmt.Sprintf("inspect.module = %q", module), `inspect.budget = "100ms"`)
	asked := 0
	refused := func(what string) {
		t.Helper()
		rig.Eventually(t, 30*time.Second, what, func() bool { // on a busy machine a verdict may be late
			asked++
			long := fmt.Sprintf("n%d.%sexample.", asked, strings.Repeat("abcdefghijklmnopqrstuvwxyz012345.", 3))
			return strings.HasPrefix(outcome(t, proxy.Addr, "udp", long, dns.TypeTXT), "REFUSED")
		})
	}
	refused("a long TXT question is refused")
	for range 5 {
		if got := outcome(t, proxy.Addr, "udp", "host1.example.", dns.TypeA); !strings.HasPrefix(got, "NOERROR") {
			t.Errorf("a short one: %s", got)
		}
	}
	rig.Eventually(t, settleTimeout, "all questions were shown, and none of the hits", func() bool { // figures are published a moment later
		return proxy.Metrics(t).Sum(t, "sdp_inspection_asked_total") == float64(asked+1)
	})
	put("../wasm/testdata/imports.wasm")
	want := "imports the function wasi_snapshot_preview1.fd_write"
	if code, output, file := rig.Check(t, proxyBinary, proxy.Config.Text()); code != rig.CheckUsage || !strings.Contains(output, want) ||
		!strings.Contains(output, file+":") || !strings.Contains(output, "inspect.module") || !strings.Contains(output, module) {
		t.Errorf("--check of a bad module: %d\n%s", code, output)
	}
	proxy.Signal(syscall.SIGHUP)
	rig.Eventually(t, 10*time.Second, "the reload is refused", func() bool { return len(proxy.LogLines("reload refused")) == 1 })
	if len(proxy.LogLines(want)) != 1 {
		t.Errorf("the log does not say %q:\n%s", want, proxy.Log())
	}
	refused("the running module stays")
}
