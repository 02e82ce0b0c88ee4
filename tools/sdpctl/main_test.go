package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/appliance/control"
)

// proxy answers as the product does, with fixed figures.
func proxy(t *testing.T, more ...func(*control.Server)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	s, err := control.Listen(path, control.Own())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Handle("GET /v1/status", func(context.Context, *control.Request) (any, error) {
		return control.Status{
			Version: "v1", PID: 7, Since: time.Now(), Engine: "mmsg", EngineReason: "io_uring is forbidden", Steering: "hash", Workers: 2,
			Listen: []string{"127.0.0.1:53", "[::1]:53"}, Queries: 200, Hits: 150, Cache: control.CacheUse{Entries: 40, Bytes: 3 << 19},
		}, nil
	})
	s.Handle("GET /v1/upstreams", func(context.Context, *control.Request) (any, error) {
		return []control.Upstream{{Name: "tls://192.0.2.1", State: "recovering", Share: 0.25, Queries: 9, Failures: 2, P50: 1234 * time.Microsecond, Reason: "line\nbreak"}}, nil
	})
	for _, add := range more {
		add(s)
	}
	s.Serve(slog.New(slog.DiscardHandler))
	return path
}

func sdpctl(t *testing.T, want int, args ...string) (string, string) {
	t.Helper()
	var out, problems bytes.Buffer
	if code := run(args, &out, &problems); code != want {
		t.Fatalf("%v: exit %d, want %d\n%s%s", args, code, want, out.String(), problems.String())
	}
	return out.String(), problems.String()
}

func TestStatus(t *testing.T) {
	path := proxy(t)
	out, _ := sdpctl(t, exitDone, "--socket", path, "status")
	for _, want := range []string{
		"engine       mmsg (io_uring is forbidden)\n", "workers      2, steering by hash\n", "listen       127.0.0.1:53 [::1]:53\n",
		"hits         150 (75.0%)\n", "cache        40 answers, 1.5 MiB\n", "config       (the embedded default)\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if out, _ = sdpctl(t, exitDone, "--socket", path, "--json", "status"); !strings.Contains(out, `"queries":200,"hits":150`) {
		t.Errorf("JSON: %s", out)
	}
}

func TestUpstreams(t *testing.T) {
	out, _ := sdpctl(t, exitDone, "--socket", proxy(t), "upstreams")
	want := "UPSTREAM         STATE       SHARE  QUERIES  ANSWERS  FAILURES  IN FLIGHT  CONNECTIONS  P50     P99  LAST FAULT\n" +
		"tls://192.0.2.1  recovering  25%    9        0        2         0          0            1.23ms  -    line.break\n"
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

func TestExitCodes(t *testing.T) {
	if _, problems := sdpctl(t, exitFailure, "--socket", filepath.Join(t.TempDir(), "none"), "status"); !strings.Contains(problems, "no such file") {
		t.Error(problems)
	}
	if _, problems := sdpctl(t, exitUsage, "statu"); !strings.Contains(problems, "status") {
		t.Error(problems)
	}
	if out, _ := sdpctl(t, exitDone, "--help"); !strings.Contains(out, "upstreams") {
		t.Error(out)
	}
	if code := run(nil, io.Discard, io.Discard); code != exitUsage {
		t.Errorf("without a command: exit %d", code)
	}
}

// TestInspect: what there is is shown, and shown again when it is told to forget.
func TestInspect(t *testing.T) {
	forgotten := 0
	path := proxy(t, func(s *control.Server) {
		i := control.Inspection{
			Kind: "wasm", Source: "/a.wasm", Kept: 5,
			Points: []control.InspectionPoint{{Point: "response", Budget: "10ms", OnFailure: "refuse", Asked: 6, Recalled: 7, Missing: 8, Denied: 9}},
		}
		s.Handle("GET /v1/inspect", func(context.Context, *control.Request) (any, error) { return i, nil })
		s.Handle("POST /v1/inspect/forget", func(context.Context, *control.Request) (any, error) {
			forgotten++
			return i, nil
		})
	})
	for n, args := range [][]string{{"inspect"}, {"inspect", "forget"}} {
		out, _ := sdpctl(t, exitDone, append([]string{"--socket", path}, args...)...)
		for _, want := range []string{"/a.wasm", "within 10ms, else refuse: 6 asked, 7 recalled, 8 without a verdict, 9 denied"} {
			if !strings.Contains(out, want) || forgotten != n {
				t.Errorf("%v: forgotten %d times, want %q in\n%s", args, forgotten, want, out)
			}
		}
	}
}
