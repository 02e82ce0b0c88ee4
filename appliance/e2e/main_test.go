package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"secure-dns-proxy/appliance/e2e/rig"
)

// What `make build build-race peers` made.
var proxyBinary, raceBinary, dnsproxyBinary, corednsBinary string

// loadSeconds is how long one dnsperf run lasts. The issue's own figure is 30; CI has less time.
var loadSeconds = 3

func TestMain(m *testing.M) {
	rig.LaunchDenied()
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func prepare() error {
	build, err := filepath.Abs("../../build")
	if err != nil {
		return err
	}
	proxyBinary, raceBinary = filepath.Join(build, "secure-dns-proxy"), filepath.Join(build, "secure-dns-proxy-race")
	dnsproxyBinary, corednsBinary = filepath.Join(build, "peers", "dnsproxy"), filepath.Join(build, "peers", "coredns")
	for _, path := range []string{proxyBinary, raceBinary, dnsproxyBinary, corednsBinary} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: run these tests with make e2e", err)
		}
	}
	if text := os.Getenv("E2E_SECONDS"); text != "" {
		if loadSeconds, err = strconv.Atoi(text); err != nil || loadSeconds < 1 {
			return fmt.Errorf("E2E_SECONDS=%s: want whole seconds, at least 1", text)
		}
	}
	return nil
}
