package tier

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestBreaker plays conversations: a word is a step, and the state after each is what is expected.
//
//	good, bad       a question is asked, if that is allowed, and ends so; *N repeats it
//	+DURATION       time passes
//	in, out, trial  the state must be this
//	asks, silent    a question would be, would not be asked; asks begins one that never ends
func TestBreaker(t *testing.T) {
	for name, steps := range map[string]string{
		"well":                                     "good*1000 in asks",
		"ten bad ones in a row":                    "good*5 bad*9 in bad out silent",
		"a good one between":                       "bad*9 good bad*9 in",
		"half of a window":                         "bad*5 good*9 bad*5 in bad out",
		"below the percentage":                     "good*30 bad*5 good*20 bad*5 good*20 bad*5 in",
		"too few for a percentage":                 "good*2 bad*6 good*1 bad*6 in",
		"windows are apart":                        "good*10 bad*9 good +1s good*10 bad*9 in",
		"trials bring it back":                     "bad*10 out +999ms silent +1ms good trial good trial good in good*10 in",
		"one trial at a time":                      "bad*10 +1s asks trial silent +999ms silent +1ms asks",
		"a bad trial doubles the rest":             "bad*10 +1s bad out +1999ms silent +1ms good trial bad out +3999ms silent +1ms good*3 in",
		"the rest has an end":                      "bad*10 +1s bad +2s bad +4s bad +8s bad +8s bad out +7999ms silent +1ms asks",
		"soon again: no first rest":                "bad*10 +1s good*3 in bad*10 out +1999ms silent +1ms asks",
		"well for long: a first rest":              "bad*10 +1s good*3 in +8001ms good bad*10 out +999ms silent +1ms asks",
		"late results of earlier questions":        "bad*10 out late late out +1s good*3 in",
		"what was counted is gone when it is back": "bad*10 +1s good*3 bad*9 in",
	} {
		t.Run(name, func(t *testing.T) {
			b := Breaker{Config: BreakerConfig{Percent: 50, Rest: time.Second, RestMax: 8 * time.Second}}
			now := int64(time.Hour)
			for i, step := range strings.Fields(steps) {
				if err := play(&b, &now, step); err != nil {
					t.Fatalf("step %d (%s): %v, in state %v", i+1, step, err, b.State())
				}
			}
		})
	}
}

func play(b *Breaker, now *int64, step string) error {
	word, times := step, 1
	if w, n, many := strings.Cut(step, "*"); many {
		word = w
		if _, err := fmt.Sscan(n, &times); err != nil {
			return err
		}
	}
	if d, passes := strings.CutPrefix(word, "+"); passes {
		d, err := time.ParseDuration(d)
		*now += int64(d)
		return err
	}
	for range times {
		switch word {
		case "good", "bad":
			if !b.Allow(*now) {
				return fmt.Errorf("not allowed")
			}
			if word == "good" {
				b.Good(*now)
			} else {
				b.Bad(*now)
			}
		case "late":
			b.Bad(*now)
		case "asks", "silent":
			if got := b.Allow(*now); got != (word == "asks") {
				return fmt.Errorf("allowed: %t", got)
			}
		default:
			if got := b.State().String(); got != word {
				return fmt.Errorf("want %s", word)
			}
		}
	}
	return nil
}

// The percentage decides: what takes one breaker out leaves another in.
func TestBreakerPercent(t *testing.T) {
	for percent, want := range map[int]BreakerState{20: Out, 60: In} {
		b := Breaker{Config: BreakerConfig{Percent: percent, Rest: time.Second, RestMax: time.Second}}
		for i := range 40 {
			if i%2 == 0 {
				b.Bad(1)
			} else {
				b.Good(1)
			}
		}
		if b.State() != want {
			t.Errorf("half of them bad, at %d percent: %v, want %v", percent, b.State(), want)
		}
	}
}

func TestBreakerConfig(t *testing.T) {
	good := BreakerConfig{Percent: 50, Rest: time.Second, RestMax: time.Minute}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, edit := range []func(*BreakerConfig){
		func(c *BreakerConfig) { c.Percent = 0 }, func(c *BreakerConfig) { c.Percent = 101 }, func(c *BreakerConfig) { c.Rest = 0 },
		func(c *BreakerConfig) { c.RestMax = time.Millisecond }, func(c *BreakerConfig) { c.RestMax = time.Hour },
	} {
		c := good
		if edit(&c); c.Validate() == nil {
			t.Errorf("%+v is taken for good", c)
		}
	}
}
