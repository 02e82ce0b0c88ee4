package config

import (
	"strings"
	"testing"
)

func TestLimitProblems(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		good             bool
	}{
		{"too much", "limits.ipv4_32_rate = 2000000", "f.toml:2: limits.ipv4_32_rate: 2000000 is out of range (0 to 1000000)", false},
		{"no action", `limits.action = "tarpit"`, `"tarpit" is not one of "drop", "refuse" or "truncate"`, false},
		{"no window", `limits.rrl.window = "0s"`, "limits.rrl.window", false},
		{"burst alone", "limits.tcp_burst = 5", "has no effect without limits.tcp_rate", true},
		{"less than one for a worker", "workers.count = 4\nlimits.ipv4_32_rate = 2", "gets less than one a second", true},
		{"cookies required without cookies", "edns.cookies = false\nlimits.cookie_required_over = true", "needs edns.cookies", false},
		{"an allowance without cookies", "edns.cookies = false\nlimits.cookie_rate = 5", "limits.cookie_rate has no effect", true},
		{"nothing slips", "limits.ipv4_24_rate = 100\nlimits.slip = 0", "no answer at all", true},
		{"a bad prefix", `limits.exempt = "192.0.2.1/24"`, "has bits beyond its length", false},
		{"all of it", "limits.ipv4_32_rate = 100\nlimits.ipv4_32_burst = 5\nlimits.cookie_rate = 500\nlimits.cookie_required_over = true\nlimits.rrl.errors = 10", "", true},
	} {
		checked, problems := checkText(good + tt.text)
		text := ""
		for _, p := range problems {
			text += p.String() + "\n"
		}
		if !strings.Contains(text, tt.want) || (checked != nil) != tt.good || tt.want == "" && text != "" {
			t.Errorf("%s: accepted %v, problems:\n%s", tt.name, checked != nil, text)
		}
	}
}
