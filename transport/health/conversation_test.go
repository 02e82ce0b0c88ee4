package health

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what conversations really say into their files")

// conversation runs one file of testdata: events with their times, and below each, on lines that begin with ">", what must come of it:
// changes of state with their reasons, and the answers to questions.
//
//	config key=value ...       Default with these changes; once at the beginning, later it is a reload
//	1.5s ok 20ms [x30 +10ms]   answered live exchanges: latency; how many, and the time from one to the next
//	     declined 20ms | fail | connected | refused | allow | eligible | share
//	     good 5ms | bad reason  probes (rcode, timeout, fault)
//	     probe                  asks when the next probe is due
//
// Time is virtual. A line without a time happens at the time of the one before.
type conversation struct {
	t     *testing.T
	now   int64
	state *State
	cfg   Config
	out   strings.Builder
}

func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := &conversation{t: t, cfg: Default()}
			c.state = New(func() int64 { return c.now })
			for line := range strings.Lines(string(text)) {
				if !strings.HasPrefix(line, ">") {
					c.out.WriteString(line)
					c.line(strings.TrimSpace(line))
				}
			}
			got := c.out.String()
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("it goes:\n%s\nwant:\n%s", got, text)
			}
		})
	}
}

func (c *conversation) say(format string, args ...any) {
	fmt.Fprintf(&c.out, "> "+format+"\n", args...)
}

func (c *conversation) line(line string) {
	words := strings.Fields(line)
	if len(words) == 0 || words[0][0] == '#' {
		return
	}
	if words[0] == "config" {
		c.configure(words[1:])
		c.report()
		return
	}
	if at, err := time.ParseDuration(words[0]); err == nil {
		if int64(at) < c.now {
			c.t.Fatalf("%q: time runs backwards", line)
		}
		c.now = int64(at)
		words = words[1:]
	}
	times, step := 1, time.Duration(0)
	for len(words) > 1 {
		last := words[len(words)-1]
		if d, err := time.ParseDuration(strings.TrimPrefix(last, "+")); err == nil && last[0] == '+' {
			step = d
		} else if n, err := strconv.Atoi(strings.TrimPrefix(last, "x")); err == nil && last[0] == 'x' {
			times = n
		} else {
			break
		}
		words = words[:len(words)-1]
	}
	for i := range times {
		if i > 0 {
			c.now += int64(step)
		}
		c.event(line, words)
		c.report()
	}
}

func (c *conversation) event(line string, words []string) {
	var latency time.Duration
	if len(words) > 1 {
		latency, _ = time.ParseDuration(words[1])
	}
	switch words[0] {
	case "ok":
		c.state.Succeeded(c.now, int64(latency))
	case "declined":
		c.state.Declined(c.now, int64(latency))
	case "fail":
		c.state.Failed(c.now)
	case "connected":
		c.state.Up()
	case "refused":
		c.state.Down(errors.New("connection refused"))
	case "allow":
		c.say("allow %t", c.state.Allow(c.now))
	case "eligible":
		c.say("eligible %t", c.state.Eligible(c.now))
	case "share":
		c.say("share %d", c.state.Share(c.now))
	case "good":
		c.state.Probed(c.now, ProbeGood, int64(latency), nil)
	case "bad":
		result := map[string]ProbeResult{"rcode": ProbeRCode, "timeout": ProbeTimeout, "fault": ProbeFault}[words[1]]
		c.state.Probed(c.now, result, 0, errors.New(words[1]))
	case "probe":
		if at := c.state.ProbeAt(); at == Never {
			c.say("probe never")
		} else {
			c.say("probe at %v", time.Duration(at))
		}
	default:
		c.t.Fatalf("%q: what is %q?", line, words[0])
	}
}

func (c *conversation) configure(settings []string) {
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		n, _ := strconv.Atoi(value)
		d, _ := time.ParseDuration(value)
		switch key {
		case "failures":
			c.cfg.Failures = n
		case "successes":
			c.cfg.Successes = n
		case "window":
			c.cfg.Window = d
		case "samples":
			c.cfg.Samples = n
		case "budget":
			c.cfg.Budget = n
		case "slow":
			c.cfg.SlowAfter = d
		case "slow_percent":
			c.cfg.SlowPercent = n
		case "rest_min":
			c.cfg.RestMin = d
		case "rest_max":
			c.cfg.RestMax = d
		case "slow_start":
			c.cfg.SlowStart = d
		case "interval":
			c.cfg.Interval = d
		case "mode":
			c.cfg.Mode = map[string]Mode{"passive": Passive, "lazy": Lazy, "active": Active}[value]
		case "state":
			c.cfg.Manual = map[string]Manual{"auto": Auto, "up": Use, "down": Avoid, "drain": Drain}[value]
		default:
			c.t.Fatalf("no setting %q", key)
		}
	}
	c.state.Configure(c.now, c.cfg)
}

// report says what has changed.
func (c *conversation) report() {
	list, dropped := c.state.Transitions(nil)
	for _, t := range list {
		c.say("%v %v -> %v: %v", time.Duration(t.At), t.From, t.To, &t.Reason)
	}
	if dropped != 0 {
		c.say("%d changes dropped", dropped)
	}
}
