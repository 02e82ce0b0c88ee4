package appliance

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"secure-dns-proxy/appliance/telemetry"
	"secure-dns-proxy/ring/probe"
)

// BuildInfo says which program this is. version comes from the linker and may be empty; the rest is what the go command recorded.
func BuildInfo(version string) telemetry.Build {
	b := telemetry.Build{Version: version, Revision: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	dirty := ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			b.Revision = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "-dirty"
		}
	}
	b.Revision += dirty
	return b
}

// PrintVersion writes the program's identity and what this kernel lets it do.
func PrintVersion(w io.Writer, b telemetry.Build) {
	fmt.Fprintf(w, "secure-dns-proxy %s\ncommit %s\nbuilt with %s for %s/%s\n%s\n",
		b.Version, b.Revision, b.Go, runtime.GOOS, runtime.GOARCH, probe.Probe().String())
}
