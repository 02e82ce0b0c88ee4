package server

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Versions that a result is about. tools/peers and bench/peers pin them; a binary of another version is not measured.
const (
	coreDNSVersion  = "v1.15.0"
	dnsProxyVersion = "v0.84.1"
)

// Options of Find.
type Options struct {
	Root    string // of the repository
	Dnsdist string // path of the dnsdist to use; empty: Debian's
	Want    []string
	Log     func(format string, arguments ...any)
}

// Find returns the wanted programs in the order of All, each built, installed, or with the reason why it is missing. Our own
// programs must build: they are what is measured.
func Find(ctx context.Context, o Options) ([]Program, error) {
	wanted := map[string]bool{}
	for _, id := range o.Want {
		wanted[id] = true
	}
	var programs []Program
	f := &finder{Options: o, found: map[string]found{}}
	for _, p := range catalogue() {
		if !wanted[p.ID] {
			continue
		}
		delete(wanted, p.ID)
		got := f.find(ctx, p.ID)
		if got.err != nil && (p.ID == URing || p.ID == Mmsg || p.ID == Echo) {
			return nil, fmt.Errorf("build %s: %w", p.ID, got.err)
		}
		if p.Path, p.Version = got.path, got.version; got.err != nil {
			p.Missing = got.err.Error()
		}
		programs = append(programs, p)
	}
	for id := range wanted {
		return nil, fmt.Errorf("unknown program %q, want some of %s", id, strings.Join(All(), ", "))
	}
	return programs, ctx.Err()
}

type found struct {
	path, version string
	err           error
}

// finder remembers what it found: two programs may be one binary.
type finder struct {
	Options
	found map[string]found
}

func (f *finder) find(ctx context.Context, id string) found {
	binary := map[string]string{URing: "proxy", Mmsg: "proxy", DnsdistTuned: Dnsdist}[id]
	if binary == "" {
		binary = id
	}
	if got, ok := f.found[binary]; ok {
		return got
	}
	var got found
	switch binary {
	case "proxy":
		got.path, got.err = Build(ctx, f.Root, f.Root, "bench/secure-dns-proxy", "./appliance/cmd/secure-dns-proxy", "-trimpath")
		got.version = "commit " + Commit(ctx, f.Root)
	case Echo:
		got.path, got.err = Build(ctx, f.Root, f.Root, "bench/echo", "./tools/echo", "-trimpath")
		got.version = "commit " + Commit(ctx, f.Root)
	case CoreDNS:
		f.Log("building CoreDNS %s", coreDNSVersion)
		got.path, got.err = Build(ctx, f.Root, filepath.Join(f.Root, "bench/peers"), "peers/coredns", "./coredns", "-trimpath")
		got = pinned(got, "github.com/coredns/coredns", coreDNSVersion)
	case DNSProxy:
		f.Log("building dnsproxy %s", dnsProxyVersion)
		got.path, got.err = Build(ctx, f.Root, filepath.Join(f.Root, "tools/peers"), "peers/dnsproxy", "github.com/AdguardTeam/dnsproxy")
		got = pinned(got, "github.com/AdguardTeam/dnsproxy", dnsProxyVersion)
	case Dnsdist:
		got = f.packaged(ctx, f.Dnsdist, "dnsdist", "--version")
	case Unbound:
		got = f.packaged(ctx, "", "unbound", "-V")
	}
	f.found[binary] = got
	return got
}

// Build compiles a package of the module in dir to build/<output> under root and returns the path.
func Build(ctx context.Context, root, dir, output, pkg string, flags ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	path := filepath.Join(root, "build", output)
	arguments := append([]string{"build", "-C", dir, "-o", path}, append(flags, pkg)...)
	if out, err := exec.CommandContext(ctx, "go", arguments...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(arguments, " "), err, out)
	}
	return path, nil
}

// pinned makes sure that a binary is of the version that the result will name.
func pinned(got found, module, version string) found {
	if got.err != nil {
		return got
	}
	info, err := buildinfo.ReadFile(got.path)
	if err != nil {
		return found{err: fmt.Errorf("version of %s: %w", got.path, err)}
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module && m.Version == version {
			got.version = version
			return got
		}
	}
	return found{err: fmt.Errorf("%s was not built from %s %s", got.path, module, version)}
}

// packaged finds a Debian program, and installs it if it is not there and we may.
func (f *finder) packaged(ctx context.Context, path, name, versionFlag string) found {
	if path == "" {
		var err error
		if path, err = lookPath(name); err != nil {
			f.Log("installing %s", name)
			if err := install(ctx, name); err != nil {
				return found{err: err}
			}
			if path, err = lookPath(name); err != nil {
				return found{err: err}
			}
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return found{err: fmt.Errorf("find %s: %w", name, err)}
	}
	out, err := exec.CommandContext(ctx, path, versionFlag).CombinedOutput()
	if err != nil {
		return found{err: fmt.Errorf("%s %s: %w\n%s", path, versionFlag, err, out)}
	}
	version := versionPattern.FindString(string(out))
	if version == "" {
		return found{err: fmt.Errorf("%s %s tells no version", path, versionFlag)}
	}
	return found{path: path, version: version}
}

var versionPattern = regexp.MustCompile(`[0-9]+\.[0-9]+\.[0-9]+[-.a-z0-9]*`)

// lookPath also looks where servers are, which may be missing in a user's PATH.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("find %s: %w", name, err)
}

func install(ctx context.Context, name string) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("%s is not installed, and only root could: apt-get install %s", name, name)
	}
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	packages := []string{"install", "-y", "-q", "--no-install-recommends", name}
	// The lists of a fresh machine are empty or old; a first attempt is cheap and spares the update where they are good.
	if aptGet(ctx, packages...) == nil {
		return nil
	}
	if err := aptGet(ctx, "update", "-q"); err != nil {
		return err
	}
	return aptGet(ctx, packages...)
}

func aptGet(ctx context.Context, arguments ...string) error {
	command := exec.CommandContext(ctx, "apt-get", arguments...)
	// invoke-rc.d starts no service in runlevel 1: the harness starts its own, the system's would only take port 53.
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(arguments, " "), err, out)
	}
	return nil
}

// Commit of the working tree at root, with a mark if it differs from it.
func Commit(ctx context.Context, root string) string {
	out, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
