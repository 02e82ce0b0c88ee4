package rig

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Proxy is the product, running.
type Proxy struct {
	*Process
	Addr, Addr6 netip.AddrPort // first listening address of each family; invalid without one
	MetricsURL  string
	ConfigFile  string
	Config      Config // as completed by StartProxy
}

// Command makes the command that runs a program; exec.Command is one.
type Command func(path string, arguments ...string) *exec.Cmd

// StartProxy starts the binary with the configuration and waits until its metrics page answers. A nil command is exec.Command.
func StartProxy(tb testing.TB, binary string, config Config, command Command) *Proxy {
	tb.Helper()
	if len(config.Listen) == 0 {
		port := FreePort(tb)
		config.Listen = []netip.AddrPort{netip.AddrPortFrom(Loopback, port), netip.AddrPortFrom(Loopback6, port)}
	}
	if !config.Metrics.IsValid() {
		config.Metrics = FreeAddr(tb)
	}
	if command == nil {
		command = exec.Command
	}
	p := &Proxy{
		Config:     config,
		MetricsURL: "http://" + config.Metrics.String() + "/metrics",
		ConfigFile: filepath.Join(SharedDir(tb), "proxy.toml"),
	}
	for _, a := range config.Listen {
		if slot := p.family(a.Addr()); !slot.IsValid() {
			*slot = a
		}
	}
	p.WriteConfig(tb, config.Text())
	p.Process = startProcess(tb, "secure-dns-proxy", command(binary, "--config", p.ConfigFile))
	p.awaitMetrics(tb)
	return p
}

// StartDefault starts the binary with no arguments and its standard output on a terminal, as `make run` does by hand. addr
// is where it listens then, and on ::1 with the same port.
func StartDefault(tb testing.TB, binary string, addr netip.AddrPort, metricsURL string) *Proxy {
	tb.Helper()
	p := &Proxy{Addr: addr, Addr6: netip.AddrPortFrom(Loopback6, addr.Port()), MetricsURL: metricsURL}
	p.Process = start(tb, "secure-dns-proxy", exec.Command(binary), true)
	p.awaitMetrics(tb)
	return p
}

func (p *Proxy) awaitMetrics(tb testing.TB) {
	tb.Helper()
	Eventually(tb, startTimeout, "the proxy's metrics page answers", func() bool {
		if !p.Running() {
			tb.Fatalf("the proxy ended:\n%s", p.Log())
		}
		response, err := metricsClient.Get(p.MetricsURL)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func (p *Proxy) family(a netip.Addr) *netip.AddrPort {
	if a.Is4() {
		return &p.Addr
	}
	return &p.Addr6
}

// WriteConfig replaces the configuration file at once, as an editor does; the proxy looks at it when it gets SIGHUP.
func (p *Proxy) WriteConfig(tb testing.TB, text string) {
	tb.Helper()
	draft := p.ConfigFile + ".new"
	if err := os.WriteFile(draft, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(draft, p.ConfigFile); err != nil {
		tb.Fatal(err)
	}
}

// Metrics scrapes the proxy.
func (p *Proxy) Metrics(tb testing.TB) Metrics {
	tb.Helper()
	return Scrape(tb, p.MetricsURL)
}

// UIDs are the real, effective, saved and file-system user ids.
func (p *Proxy) UIDs(tb testing.TB) []string {
	tb.Helper()
	var ids []string
	for id := range bytes.FieldsSeq(p.status(tb, "Uid:")) {
		ids = append(ids, string(id))
	}
	return ids
}

// Capabilities is the effective set, as /proc prints it: all zeros without any.
func (p *Proxy) Capabilities(tb testing.TB) string {
	tb.Helper()
	return string(p.status(tb, "CapEff:"))
}

// Descriptors counts the open file descriptors.
func (p *Proxy) Descriptors(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries)
}

// Goroutines counts the goroutines, by the metrics page.
func (p *Proxy) Goroutines(tb testing.TB) int {
	tb.Helper()
	return int(p.Metrics(tb).Sum(tb, "go_goroutines"))
}

// CheckUsage is the exit code of a command line that was not understood, and of a configuration that is wrong.
const CheckUsage = 2

// Check runs the binary with --check on a configuration text and returns its exit code and what it printed.
func Check(tb testing.TB, binary, text string) (code int, output, file string) {
	tb.Helper()
	file = filepath.Join(SharedDir(tb), "proxy.toml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
	command := exec.Command(binary, "--check", "--config", file)
	timer := time.AfterFunc(commandTimeout, func() { command.Process.Kill() })
	defer timer.Stop()
	out, err := command.CombinedOutput()
	if command.ProcessState == nil {
		tb.Fatalf("%s --check: %v", binary, err)
	}
	return command.ProcessState.ExitCode(), string(out), file
}

// PublicCopy copies a program to where every user may run it: the checkout may lie below a folder that is root's alone.
func PublicCopy(tb testing.TB, path string) string {
	tb.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	public := filepath.Join(SharedDir(tb), filepath.Base(path))
	if err := os.WriteFile(public, content, 0o755); err != nil {
		tb.Fatal(err)
	}
	return public
}
