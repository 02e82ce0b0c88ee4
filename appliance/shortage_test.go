package appliance

import (
	"log/slog"
	"strings"
	"testing"

	"secure-dns-proxy/worker"
)

func TestShortagesAreLoggedOnceWithAdvice(t *testing.T) {
	var book logBook
	l := shortageLog{log: slog.New(slog.NewTextHandler(&book, nil))}
	var stats worker.Stats
	for i, step := range []struct {
		name             string
		descriptors, cap uint64 // events in the interval
		warned, over     string
	}{
		{"nothing", 0, 0, "", ""},
		{"descriptors", 7, 0, "out of file descriptors", ""},
		{"still", 3, 0, "", ""},
		{"connections too", 0, 2, "as many are open as may be", ""},
		{"a pause", 0, 0, "", ""},
		{"again", 1, 1, "", ""},
		{"1", 0, 0, "", ""},
		{"2", 0, 0, "", ""},
		{"3", 0, 0, "", ""},
		{"4", 0, 0, "", ""},
		{"5", 0, 0, "", ""},
		{"6", 0, 0, "", "out of file descriptors"},
		{"over", 0, 0, "", ""},
		{"another time", 0, 5, "as many are open as may be", ""},
	} {
		before := len(book.String())
		stats.Streams[worker.StreamAcceptFailed] += step.descriptors
		stats.Streams[worker.StreamRefusedTotal] += step.cap
		l.see(stats)
		got := book.String()[before:]
		if strings.Contains(got, "level=WARN") != (step.warned != "") || !strings.Contains(got, step.warned) || strings.Count(got, "advice=") != strings.Count(got, "level=WARN") {
			t.Errorf("step %d, %s: got %q, want a warning: %q", i, step.name, got, step.warned)
		}
		if strings.Contains(got, "over: ") != (step.over != "") || !strings.Contains(got, step.over) {
			t.Errorf("step %d, %s: got %q, want an end: %q", i, step.name, got, step.over)
		}
	}
	if text := book.String(); !strings.Contains(text, "events=11") || strings.Contains(text, "wait for upstreams") {
		t.Errorf("got %s; want 11 events in all, and no word of queries", text)
	}
}
