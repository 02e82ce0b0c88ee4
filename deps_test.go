// Package deps_test holds the import graph of this module as text and fails on any import that is not in it.
//
// The graph is policy: `ring` and `transport` never import each other, `worker` joins them, `appliance` sees only what it
// needs to assemble the product, and nobody imports `tools` or `bench`. To import something new, change the text below in
// the same commit and say why. The root folder has no other Go code.
package deps_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "secure-dns-proxy"

// lattice: "a, b: c, d" lets the folders a and b import the folders c and d, and nothing else of this module. A folder
// that is not on the left of a colon may not exist.
//
// A name that ends in /... stands for the folder and all below it, on either side.
const lattice = `
	# Nothing of ours: the kernel's door, the table of handles, and the wire format.
	ring/sys, ring/slots, transport/wire:

	# One ring per thread; knows nothing of DNS.
	ring: ring/sys, ring/slots
	ring/mmsg: ring, ring/sys, ring/slots
	ring/probe: ring, ring/sys
	ring/enginetest: ring, ring/sys

	# An exchange with an upstream; knows nothing of rings.
	# Certificates, pins, ECH: what a TLS server has to prove. The standard library only.
	transport/trust:
	transport: transport/wire, transport/trust
	transport/pool: transport, transport/wire
	transport/dot, transport/do53: transport, transport/wire
	transport/doq, transport/doh: transport, transport/wire, transport/pool
	transport/lanetest: transport, transport/wire, transport/trust
	transport/health: transport, transport/wire
	transport/client: transport, transport/drive, transport/wire
	# What is no query, carried to an upstream over a connection of its own; its lines are lanes.
	transport/relay: transport, transport/wire, transport/doh, transport/doq
	worker: transport/relay
	# The cache that instances share; its lines are lanes. Redis, Valkey and memcached by their client libraries.
	transport/tier: transport, transport/wire
	# Real servers for the tests of it, here and end to end.
	transport/tier/tiertest:
	transport/balance, transport/concurrency:
	transport/drive: transport, transport/dot, transport/doq, transport/doh

	# The per-core engine joins the two.
	worker/cache, worker/stream, worker/inflight, worker/policy, worker/admission, worker/cookie: ring, ring/sys, transport/wire
	# Zones from files and primaries.
	appliance/rpz: worker/rpz, appliance/control
	appliance, appliance/telemetry: appliance/rpz, worker/rpz
	appliance/config: appliance/rpz, worker/rpz
	# What dynamic blocks are decided on: counted by the sources of admission.
	worker/census: worker/admission, transport/wire
	# Who is blocked; telemetry names the actions.
	worker/block:
	appliance/telemetry: worker/block
	# The level that all workers of a node share.
	worker/cache/shared: ring/sys, transport/wire
	appliance/telemetry: worker/block, appliance/blocks
	# Who is to be: from the workers' counts to their list. config fills in the very Config that the judge goes by.
	appliance/blocks: appliance/control, appliance/persist, worker, worker/admission, worker/block, worker/census
	appliance, appliance/config: appliance/blocks, worker/block, worker/census, worker/admission
	# The same in the kernel, for sources.
	appliance/xdp: worker/block
	appliance, appliance/config: appliance/xdp
	worker/route, worker/policy/acl:
	# Response policy zones, compiled.
	worker/rpz: transport/wire
	# What is answered without asking.
	worker/local: worker/route, transport/wire
	# DNS64, rebinding: answers that are changed.
	worker/synth: worker/route, transport/wire
	worker, appliance, appliance/config: worker/synth
	worker: ring, ring/sys, ring/mmsg, ring/probe
	worker: transport, transport/wire, transport/do53, transport/health, transport/balance, transport/drive
	# The cache that instances share; its limits are those of its keys.
	worker, appliance, appliance/config, appliance/telemetry: transport/tier
	# What is asked and answered is shown to an inspector, in Go or as a WebAssembly module; its lines are lanes, what it says is kept in mapped memory.
	worker/inspect: transport, transport/wire, ring/sys
	worker, appliance, appliance/config, appliance/telemetry, appliance/wasm: worker/inspect
	appliance, appliance/config: appliance/wasm
	worker/subnet: ring/sys, transport/wire
	# A rule says what is told of a client's network.
	worker/policy: worker/subnet
	worker: transport/concurrency, worker/route, worker/local, worker/rpz, worker/policy/acl, worker/subnet
	worker: worker/cache, worker/stream, worker/inflight, worker/policy, worker/admission, worker/census, worker/block
	worker: worker/cookie
	worker: worker/cache/shared

	# The product. worker/stream only for the limits in worker.Config.
	appliance/config: worker, worker/stream, transport, transport/balance
	# Secrets of cookies; the bound of the NSID.
	appliance/config: worker/cookie, worker/limit, transport/wire
	# Who may ask how much; exempt prefixes are a list like those of who may ask.
	worker/limit: ring, ring/sys, worker/policy/acl
	worker: worker/limit
	# What is answered here, as the configuration says it.
	appliance, appliance/config: worker/local, worker/subnet
	appliance, appliance/config: worker/local
	# Rules, as the configuration says them; their names in metrics and the log.
	appliance, appliance/config, appliance/telemetry: worker/policy
	appliance/config: transport/wire
	# Telemetry names wire's faults in a label, and shows how names are looked up.
	appliance/telemetry: transport/wire, appliance/bootstrap, appliance/ddr
	# config fills in the very Config that the state machine goes by.
	appliance/config: transport/health
	# The certificates that were seen, for metrics and log; pins and client certificates to be checked.
	appliance, appliance/config, appliance/telemetry: transport/trust
	# Records over a restart: a file, and nothing of what is in it.
	appliance/persist:
	appliance: appliance/persist
	# Large files are read in bursts, beside the workers.
	appliance/pace:
	appliance, appliance/config, appliance/rpz: appliance/pace
	# Commands come from their own packages; sdpctl needs the client and the shapes only.
	appliance/control:
	appliance, appliance/config, appliance/telemetry, tools/sdpctl: appliance/control
	# Who may read the figures is a list like that of who may ask.
	appliance, appliance/telemetry: worker/policy/acl
	appliance/telemetry: worker, transport, transport/health, transport/balance, ring/probe, appliance/config
	appliance/embedded, appliance/privilege, appliance/image:
	# Names are looked up through the upstreams themselves.
	appliance/bootstrap: transport, transport/client
	# A probe goes over the upstream's own transport.
	appliance/prober: transport, transport/client, transport/health
	# Upstreams that forward to us are found by asking them, and kept out of use.
	appliance/loop: worker, transport, transport/client, transport/health
	appliance: appliance/loop
	appliance: worker, worker/stream, transport, transport/health, transport/balance, ring/probe
	appliance/ddr: transport, transport/client
	appliance: appliance/config, appliance/bootstrap, appliance/ddr, appliance/prober, appliance/privilege, appliance/control, appliance/telemetry, appliance/embedded
	appliance/cmd/...: appliance, appliance/config
	# The example of a program with an inspector of its own.
	appliance/cmd/inspected-dns-proxy: worker/inspect
	appliance/e2e/rig:
	appliance/e2e: appliance/e2e/rig

	# Programs beside the product; nobody imports them.
	tools/...: tools/..., ring/probe, transport/wire, appliance/config, appliance/e2e/rig
	bench/...: bench/..., appliance/e2e/rig
`

// testLattice adds to lattice what the tests of a folder, and only they, may import.
const testLattice = `
	# Both engines run one suite, and have one shape.
	ring, ring/mmsg: ring, ring/mmsg, ring/enginetest
	transport/...: transport, transport/wire, transport/health, transport/trust, transport/lanetest
	transport/tier: transport/tier/tiertest
	worker/...: ring, ring/mmsg, ring/enginetest, transport, transport/health, transport/balance
	worker, appliance/...: transport/tier/tiertest
	# Its relay: a path between the product and a server that a test can cut and move.
	appliance/e2e: transport/lanetest
	appliance/...: appliance, appliance/config, appliance/embedded, transport, transport/wire, transport/lanetest
`

// A ban forbids an import in the folders named, in tests too unless exempt says otherwise.
type ban struct {
	in        string // as on the left of the lattice
	path      string // an import path, or with /... all below it
	reason    string
	testsFree bool // the tests of these folders may use it
}

var bans = []ban{
	{"ring/..., worker/..., transport/wire", "net", "the data plane has its own sockets; addresses are net/netip", true},
	{"ring/..., worker/..., transport/wire", "net/http", "no HTTP in the data plane", true},
	{"transport, transport/do53, transport/balance, transport/health, transport/dot, transport/doq", "net/http", "only transport/doh speaks HTTP", true},
	{"ring/..., worker/..., transport/..., appliance", "math/rand", "ids and ports must not be guessable: crypto/rand, or math/rand/v2 with a ChaCha8 source", true},
	{"ring/..., worker/..., transport/..., appliance/...", "log", "logs are structured: log/slog, and never from the hot path", true},
	{"ring/..., worker/...", "golang.org/x/sys/unix", "one door to the kernel: ring/sys", false},
	{"transport/wire", "golang.org/x/...", "transport/wire imports the standard library only", false},
	{"transport/dot, transport/doq, transport/doh, transport/do53, transport/health, transport/balance, transport/drive", "golang.org/x/sys/unix", "only transport itself holds an eventfd", true},
	{"ring/..., worker/..., transport/..., appliance/...", "github.com/iceber/iouring-go/...", "one door to the kernel: ring/sys", false},
	{"ring/..., worker/..., transport/...", "github.com/miekg/dns", "whole messages are for tests and for appliance/embedded; the data plane works in place: transport/wire", true},
	{"ring/..., worker/..., transport/...", "github.com/VictoriaMetrics/metrics", "the data plane counts in plain fields; appliance exports them", false},
	{"ring/..., worker/..., transport/...", "github.com/BurntSushi/toml", "configuration text ends at appliance/config", false},
	{"ring/..., worker/..., transport/...", "github.com/tailscale/hujson", "configuration text ends at appliance/config", false},
	{"ring/..., worker/..., appliance, appliance/config, appliance/telemetry", "github.com/valkey-io/valkey-go", "Redis ends at transport/tier", true},
	{"ring/..., worker/..., appliance, appliance/config, appliance/telemetry", "github.com/bradfitz/gomemcache/...", "memcached ends at transport/tier", true},
	{"ring/..., worker/..., transport/..., appliance, appliance/config", "github.com/tetratelabs/wazero/...", "WebAssembly ends at appliance/wasm", false},
	{"ring/..., worker/...", "github.com/quic-go/quic-go/...", "QUIC ends at transport/doq", true},
	{"ring/..., transport/wire", "crypto/tls", "TLS ends at transport", true},
}

// unbanned holds the exceptions, each the reason why its ban exists at all.
var unbanned = map[string]string{
	"ring/sys": "golang.org/x/sys/unix, github.com/iceber/iouring-go/syscall",
	// Only tests import these two.
	"ring/enginetest":    "net",
	"transport/lanetest": "github.com/miekg/dns",
}

// iouring-go's parent package serialises every request on a lock, a map and a channel (DESIGN.md §5): only its syscall
// package may appear, even indirectly.
const iouringParent = "github.com/iceber/iouring-go"

type goPackage struct {
	Dir, ImportPath                    string
	Imports, TestImports, XTestImports []string
	Deps                               []string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Error                              *struct{ Err string }
}

// folder is the path below the module's root, "" for the root.
func (p *goPackage) folder() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list printed what is not JSON: %v", err)
		}
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		packages = append(packages, p)
	}
	return packages
}

// matches tells whether a folder or import path is what pattern names.
func matches(pattern, path string) bool {
	below, all := strings.CutSuffix(pattern, "/...")
	if !all {
		return path == pattern
	}
	return path == below || strings.HasPrefix(path, below+"/")
}

func anyMatches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

func splitList(s string) []string {
	var list []string
	for f := range strings.SplitSeq(s, ",") {
		if f = strings.TrimSpace(f); f != "" {
			list = append(list, f)
		}
	}
	return list
}

type rule struct{ importers, imported []string }

func parseLattice(t *testing.T, text string) []rule {
	t.Helper()
	var rules []rule
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		left, right, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("lattice line without a colon: %q", line)
		}
		rules = append(rules, rule{splitList(left), splitList(right)})
	}
	return rules
}

// allowed collects what folder may import; known tells whether any rule speaks of it.
func allowed(rules []rule, folder string) (imports []string, known bool) {
	for _, r := range rules {
		if anyMatches(r.importers, folder) {
			imports, known = append(imports, r.imported...), true
		}
	}
	return imports, known
}

func TestImportsFollowTheLattice(t *testing.T) {
	product, tests := parseLattice(t, lattice), parseLattice(t, testLattice)
	for _, p := range listPackages(t) {
		folder := p.folder()
		if folder == "" {
			continue
		}
		may, known := allowed(product, folder)
		if !known {
			t.Errorf("%s: no such folder in the lattice of deps_test.go; add it there, with what it may import", folder)
			continue
		}
		mayInTests, _ := allowed(tests, folder)
		mayInTests = append(append(mayInTests, may...), folder)
		check := func(kind string, imports, may []string) {
			for _, imported := range imports {
				ours, ok := strings.CutPrefix(imported, module+"/")
				if ok && !anyMatches(may, ours) {
					t.Errorf("%s: %s import of %s is not in the lattice of deps_test.go", folder, kind, ours)
				}
			}
		}
		check("product", p.Imports, may)
		check("test", p.TestImports, mayInTests)
		check("test", p.XTestImports, mayInTests)
	}
}

func TestNoForbiddenImports(t *testing.T) {
	for _, p := range listPackages(t) {
		folder := p.folder()
		for _, b := range bans {
			if !anyMatches(splitList(b.in), folder) {
				continue
			}
			imports := p.Imports
			if !b.testsFree {
				imports = slices.Concat(p.Imports, p.TestImports, p.XTestImports)
			}
			for _, imported := range imports {
				if matches(b.path, imported) && !anyMatches(splitList(unbanned[folder]), imported) {
					t.Errorf("%s imports %s: %s", folder, imported, b.reason)
				}
			}
		}
		for _, imported := range slices.Concat(p.Deps, p.TestImports, p.XTestImports) {
			if imported == iouringParent {
				t.Errorf("%s depends on %s: its lock, map and channel per request cost more than the kernel; use its syscall package through ring/sys", folder, iouringParent)
			}
		}
	}
}

func TestWireImportsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.folder() != "transport/wire" {
			continue
		}
		for _, imported := range p.Imports {
			if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
				t.Errorf("transport/wire imports %s: it must work with the standard library alone", imported)
			}
		}
	}
}

// Exactly one file of a folder carries the package's doc, so that there is one place to read and to keep true.
func TestOnePackageDocPerFolder(t *testing.T) {
	for _, p := range listPackages(t) {
		files := p.GoFiles
		if len(files) == 0 { // a folder of tests only
			files = slices.Concat(p.TestGoFiles, p.XTestGoFiles)
		}
		var documented []string
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			if file.Doc != nil {
				documented = append(documented, name)
			}
		}
		if len(documented) != 1 {
			t.Errorf("%s: package doc in %d files %v, want exactly 1", p.ImportPath, len(documented), documented)
		}
	}
}

// The rules of this file must themselves reject what they are for.
func TestLatticeRejects(t *testing.T) {
	product := parseLattice(t, lattice)
	for _, c := range []struct {
		importer, imported string
		want               bool
	}{
		{"ring", "ring/sys", true},
		{"ring", "transport", false},
		{"transport", "ring", false},
		{"transport/dot", "ring/sys", false},
		{"ring/sys", "ring", false},
		{"worker", "transport/drive", true},
		{"worker/cache", "worker", false},
		{"appliance", "worker/cache", false},
		{"appliance", "tools/dnsload", false},
		{"bench/scenario", "bench/measure", true},
	} {
		may, _ := allowed(product, c.importer)
		if got := anyMatches(may, c.imported); got != c.want {
			t.Errorf("%s may import %s: got %v, want %v", c.importer, c.imported, got, c.want)
		}
	}
}
