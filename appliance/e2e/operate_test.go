package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

const (
	exitTimeout   = 15 * time.Second
	reloadTimeout = 10 * time.Second
)

// --check prints every problem with file, line and key, and exits 2; a good file exits 0.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, text string
		code       int
		want       []string // %s stands for the file
	}{
		{"good", "listen = [\"127.0.0.1:5399\"]\nupstream = [\"udp://127.0.0.1\"]\n", 0, nil},
		{"empty", "", 2, []string{"upstream"}},
		{"unknown key", "upstream = [\"udp://127.0.0.1\"]\nlisen = [\"127.0.0.1:5399\"]\n", 2, []string{"%s:2", "lisen", "listen"}},
		{"unknown nested key", "upstream = [\"udp://127.0.0.1\"]\n[cache]\nbtes = \"1MiB\"\n", 2, []string{"%s:3", "btes", "bytes"}},
		{"wrong type", "upstream = [\"udp://127.0.0.1\"]\nprewarm_pools = 3\n", 2, []string{"%s:2", "prewarm_pools"}},
		{"out of range", "upstream = [\"udp://127.0.0.1\"]\n[udp]\npayload_max = 70000\n", 2, []string{"%s:3", "udp.payload_max", "4096"}},
		{"bad scheme", "upstream = [\"ftp://127.0.0.1\"]\n", 2, []string{"%s:1", "ftp"}},
		{"missing CA file", "[[upstream]]\nurl = \"tls://127.0.0.1\"\nca_file = \"/nowhere.pem\"\n", 2, []string{"%s:3", "/nowhere.pem"}},
		{"syntax", "upstream = [\"udp://127.0.0.1\"\nx", 2, []string{"%s:2"}},
		{"all at once", "upstream = [\"ftp://127.0.0.1\"]\nbackend = \"epoll\"\n[cache]\nbytes = \"1 potato\"\n", 2, []string{"%s:1", "%s:2", "backend", "%s:4", "cache.bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, output, file := rig.Check(t, proxyBinary, c.text)
			if code != c.code {
				t.Errorf("got exit code %d, want %d\n%s", code, c.code, output)
			}
			for _, want := range c.want {
				if want = strings.ReplaceAll(want, "%s", file); !strings.Contains(output, want) {
					t.Errorf("output does not contain %q:\n%s", want, output)
				}
			}
			// The same file must not start, nor print less.
			if c.code != 0 {
				started, err := exec.Command(proxyBinary, "--config", file).CombinedOutput()
				if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != rig.CheckUsage {
					t.Errorf("started with it: got %v, want exit code %d\n%s", err, rig.CheckUsage, started)
				}
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	out, err := exec.Command(proxyBinary, "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "secure-dns-proxy") {
		t.Errorf("--version: got %q, %v", out, err)
	}
	for _, arguments := range [][]string{{"--nonsense"}, {"--config", "/nowhere/proxy.toml"}, {"--check", "--config", "/nowhere/proxy.toml"}} {
		out, err := exec.Command(proxyBinary, arguments...).CombinedOutput()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != rig.CheckUsage {
			t.Errorf("%v: got %v, want exit code %d\n%s", arguments, err, rig.CheckUsage, out)
		}
	}
}

// SIGHUP swaps upstreams and keeps the cache; a bad file changes nothing and is said with all its errors.
func TestReload(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		proxy := startProxy(t, engine, plain("udp", p))
		ask := func(name string) int {
			t.Helper()
			reply, err := rig.Ask(proxy.Addr, "udp", name, 5*time.Second)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return reply.Rcode
		}
		if got := ask("kept.bulk.example"); got != dns.RcodeSuccess {
			t.Fatalf("got %s, want an answer", dns.RcodeToString[got])
		}
		reload := func(text string, done func() bool, what string) {
			t.Helper()
			proxy.WriteConfig(t, text)
			proxy.Signal(syscall.SIGHUP)
			rig.Eventually(t, reloadTimeout, what, done)
		}

		// Every kind in turn, under load: no query is lost over a reload.
		file := rig.BulkNames(t, 100_000)
		wait := rig.Load{Server: proxy.Addr, NamesFile: file, Seconds: 4, QPS: 1000, Timeout: 10}.Start(t)
		for _, kind := range upstreamKinds[1:] {
			next := proxy.Config
			next.Upstreams = []rig.Upstream{kind.config(p)}
			url := next.Upstreams[0].URL
			reload(next.Text(), func() bool {
				ask(freshName())
				return proxy.Metrics(t).Delta(rig.Metrics{}).Values(metricExchanges)[`upstream="`+url+`"`] > 0
			}, "queries go to "+url)
		}
		if result := wait(); result.Lost != 0 || result.RCodes["NOERROR"] != result.Sent {
			t.Errorf("over four reloads dnsperf sent %d, lost %d, got %v: want all answered", result.Sent, result.Lost, result.RCodes)
		}

		hits := proxy.Metrics(t).Sum(t, metricHits)
		if got := ask("kept.bulk.example"); got != dns.RcodeSuccess {
			t.Errorf("got %s, want the cached answer", dns.RcodeToString[got])
		}
		rig.Eventually(t, settleTimeout, "the answer from before the reloads is a hit", func() bool {
			return proxy.Metrics(t).Sum(t, metricHits) == hits+1
		})

		reload("listen = [\"127.0.0.1:1\"]\nnonsense = 1\nupstream = [\"ftp://127.0.0.1\"]\n", func() bool {
			return len(proxy.LogLines("nonsense")) > 0 && len(proxy.LogLines("ftp")) > 0
		}, "both errors of a bad file are logged")
		if got := ask("still" + engine + ".bulk.example"); got != dns.RcodeSuccess {
			t.Errorf("after a bad file: got %s, want an answer", dns.RcodeToString[got])
		}
	})
}

// Upstreams that come and go with reloads leave nothing behind.
func TestReloadsLeaveNothing(t *testing.T) {
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		var upstreams []rig.Upstream
		for _, kind := range upstreamKinds {
			upstreams = append(upstreams, kind.config(p))
		}
		proxy := startProxy(t, engine, upstreams...)
		file := rig.BulkNames(t, 2000)
		rig.Load{Server: proxy.Addr, NamesFile: file, Rounds: 1}.Run(t)
		descriptors, goroutines := proxy.Descriptors(t), proxy.Goroutines(t)
		const rounds = 10
		for i := range rounds {
			next := proxy.Config
			if i%2 == 0 {
				next.Upstreams = upstreams[i%len(upstreams):][:1]
			}
			proxy.WriteConfig(t, next.Text())
			proxy.Signal(syscall.SIGHUP)
			rig.Eventually(t, reloadTimeout, "the reload is logged", func() bool { return len(proxy.LogLines("reloaded")) == i+1 })
			if _, err := rig.Ask(proxy.Addr, "udp", freshName(), 5*time.Second); err != nil {
				t.Errorf("after reload %d: %v", i, err)
			}
		}
		var fds, gs int
		if !rig.Holds(releaseTimeout, func() bool {
			fds, gs = proxy.Descriptors(t), proxy.Goroutines(t)
			return fds <= descriptors && gs <= goroutines
		}) {
			t.Errorf("left behind: %d descriptors after %d, %d goroutines after %d", fds, descriptors, gs, goroutines)
		}
	})
}

// SIGTERM answers what is in flight, takes nothing new, and exits 0; a second one exits at once.
func TestTermination(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		t.Run("idle", func(t *testing.T) {
			proxy := startProxy(t, engine, upstreamKinds[2].config(p))
			rig.Dig(t, proxy.Addr, "www.zone.example")
			wantExit(t, proxy, 0)
		})
		t.Run("SIGINT", func(t *testing.T) {
			proxy := startProxy(t, engine, plain("udp", p))
			proxy.Signal(syscall.SIGINT)
			if code, ended := proxy.Wait(exitTimeout); !ended || code != 0 {
				t.Errorf("got exit code %d (ended %v), want 0", code, ended)
			}
		})
		t.Run("every kind connected", func(t *testing.T) {
			var upstreams []rig.Upstream
			for _, kind := range upstreamKinds {
				upstreams = append(upstreams, kind.config(p))
			}
			proxy := startProxy(t, engine, upstreams...)
			rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 1000), Rounds: 1}.Run(t)
			wantExit(t, proxy, 0)
		})
		t.Run("queries in flight", func(t *testing.T) {
			silent := rig.NewPuppet(t)
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{
				Backend: engine, Upstreams: []rig.Upstream{{URL: fmt.Sprintf("udp://%v", silent.Addr)}},
				Settings: []string{`timeouts.query = "20s"`, `timeouts.upstream = "20s"`, `timeouts.drain = "20s"`},
			}, nil)
			reply := make(chan int, 1)
			go func() {
				answer, err := rig.Ask(proxy.Addr, "udp", "late.bulk.example", exitTimeout)
				if err != nil {
					reply <- silence
					return
				}
				reply <- answer.Rcode
			}()
			rig.Eventually(t, settleTimeout, "the query is at the upstream", silent.Asked)
			proxy.Signal(syscall.SIGTERM)
			// A window in which it must not exit; the answer comes afterwards.
			if code, ended := proxy.Wait(300 * time.Millisecond); ended {
				t.Fatalf("exited with %d while a query was in flight", code)
			}
			silent.AnswerAll()
			if got := <-reply; got != dns.RcodeSuccess {
				t.Errorf("the query in flight got %s, want its answer", rcodeName(got))
			}
			if code, ended := proxy.Wait(exitTimeout); !ended || code != 0 {
				t.Errorf("got exit code %d (ended %v), want 0", code, ended)
			}
		})
		t.Run("twice", func(t *testing.T) {
			silent := rig.NewPuppet(t)
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{
				Backend: engine, Upstreams: []rig.Upstream{{URL: fmt.Sprintf("udp://%v", silent.Addr)}},
				Settings: []string{`timeouts.query = "30s"`, `timeouts.upstream = "30s"`, `timeouts.drain = "1m"`},
			}, nil)
			go rig.Ask(proxy.Addr, "udp", "never.bulk.example", time.Second)
			rig.Eventually(t, settleTimeout, "the query is at the upstream", silent.Asked)
			proxy.Signal(syscall.SIGTERM)
			if code, ended := proxy.Wait(300 * time.Millisecond); ended {
				t.Fatalf("exited with %d while a query was in flight", code)
			}
			proxy.Signal(syscall.SIGTERM)
			if _, ended := proxy.Wait(5 * time.Second); !ended {
				t.Errorf("the second SIGTERM did not end it")
			}
		})
	})
}

func wantExit(t *testing.T, proxy *rig.Proxy, want int) {
	t.Helper()
	proxy.Signal(syscall.SIGTERM)
	if code, ended := proxy.Wait(exitTimeout); !ended || code != want {
		t.Errorf("got exit code %d (ended %v), want %d", code, ended, want)
	}
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it starts the proxy as other users")
	}
}

// Root binds a privileged port and becomes the configured user; a reload still reads what it needs.
func TestRootIsDropped(t *testing.T) {
	requireRoot(t)
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		proxy := rig.StartProxy(t, proxyBinary, rig.Config{
			Listen:  []netip.AddrPort{netip.AddrPortFrom(rig.Loopback, rig.FreeLowPort(t))},
			Backend: engine, Upstreams: []rig.Upstream{upstreamKinds[2].config(p)}, Settings: []string{`user = "nobody"`},
		}, nil)
		if got := rig.Dig(t, proxy.Addr, "www.zone.example"); got.Status != "NOERROR" {
			t.Errorf("got %s, want an answer", got.Status)
		}
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range proxy.UIDs(t) {
			if id != nobody.Uid {
				t.Errorf("got user ids %v, want all %s", proxy.UIDs(t), nobody.Uid)
				break
			}
		}
		if got := strings.Trim(proxy.Capabilities(t), "0"); got != "" {
			t.Errorf("got effective capabilities %s, want none", proxy.Capabilities(t))
		}
		next := proxy.Config
		next.Upstreams = []rig.Upstream{upstreamKinds[4].config(p)}
		proxy.WriteConfig(t, next.Text())
		proxy.Signal(syscall.SIGHUP)
		rig.Eventually(t, reloadTimeout, "a reload as nobody goes to the new upstream", func() bool {
			reply, err := rig.Ask(proxy.Addr, "udp", freshName(), 5*time.Second)
			return err == nil && reply.Rcode == dns.RcodeSuccess &&
				proxy.Metrics(t).Values(metricExchanges)[`upstream="`+next.Upstreams[0].URL+`"`] > 0
		})
		wantExit(t, proxy, 0)
	})
}

// An ordinary user with CAP_NET_BIND_SERVICE, as systemd gives it, binds a privileged port.
func TestPrivilegedPortByCapability(t *testing.T) {
	requireRoot(t)
	p := startPeers(t)
	const netBindService = 10
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Listen:    []netip.AddrPort{netip.AddrPortFrom(rig.Loopback, rig.FreeLowPort(t))},
		Upstreams: []rig.Upstream{plain("udp", p)},
	}, func(path string, arguments ...string) *exec.Cmd {
		command := exec.Command(rig.PublicCopy(t, path), arguments...)
		command.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
			AmbientCaps: []uintptr{netBindService},
		}
		return command
	})
	if got := rig.Dig(t, proxy.Addr, "www.zone.example"); got.Status != "NOERROR" {
		t.Errorf("got %s, want an answer", got.Status)
	}
}

// Where a container denies io_uring, "auto" answers by mmsg and says why; "uring" refuses to start and says why.
func TestIOUringDenied(t *testing.T) {
	p := startPeers(t)
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{plain("udp", p)}}, rig.DenyURing)
	if got := rig.Dig(t, proxy.Addr, "www.zone.example"); got.Status != "NOERROR" {
		t.Errorf("got %s, want an answer", got.Status)
	}
	if lines := proxy.LogLines("mmsg", "io_uring"); len(lines) != 1 {
		t.Errorf("got %d lines that name the engine and the reason, want 1: %q", len(lines), lines)
	}
	if got := engineOf(t, proxy); got != "mmsg" {
		t.Errorf("got engine %q, want mmsg", got)
	}

	file := proxy.Config
	file.Backend, file.Listen, file.Metrics = "uring", []netip.AddrPort{rig.FreeAddr(t)}, rig.FreeAddr(t)
	proxy.WriteConfig(t, file.Text())
	out, err := rig.DenyURing(proxyBinary, "--config", proxy.ConfigFile).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "io_uring") {
		t.Errorf("backend = \"uring\": got %v, want a refusal that says why\n%s", err, out)
	}
}

// On a kernel that allows it, "auto" takes io_uring.
func TestEngineByDefault(t *testing.T) {
	p := startPeers(t)
	proxy := startProxy(t, "auto", plain("udp", p))
	if got := engineOf(t, proxy); got != "uring" {
		t.Errorf("got engine %q, want uring: this kernel is too old (6.1) or forbids it", got)
	}
}
