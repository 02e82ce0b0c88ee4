package report

import (
	"errors"
	"fmt"

	"secure-dns-proxy/bench/figure"
)

// State is the outcome of a criterion.
type State string

const (
	Met         State = "met"
	Missed      State = "missed"
	NotMeasured State = "not measured"
)

// Criterion is one bar.
type Criterion struct {
	ID   string
	Text string
	Bar  float64
	// AtMost: values up to the bar meet it; else values from the bar on.
	AtMost bool
	Unit   string
	// Value of the run; its error wraps figure.ErrNotMeasured.
	Value func(*Results) (figure.Spread, error)
}

// Verdict is a criterion and what came out.
type Verdict struct {
	ID    string        `json:"id"`
	Text  string        `json:"text"`
	Bar   float64       `json:"bar"`
	Most  bool          `json:"at_most"`
	Unit  string        `json:"unit"`
	Value figure.Spread `json:"value"`
	State State         `json:"state"`
	// Distance of the median from the bar, as a share of the bar: positive is the right side.
	Distance float64 `json:"distance"`
	Reason   string  `json:"reason,omitempty"`
}

// judge holds the median of the turns to the bar.
func (c *Criterion) judge(r *Results) Verdict {
	v := Verdict{ID: c.ID, Text: c.Text, Bar: c.Bar, Most: c.AtMost, Unit: c.Unit, State: NotMeasured}
	value, err := c.Value(r)
	if err == nil && value.Turns == 0 {
		err = figure.ErrNotMeasured
	}
	if err != nil {
		v.Reason = err.Error()
		return v
	}
	v.Value = value
	v.Distance = (value.Median - c.Bar) / c.Bar
	if c.AtMost {
		v.Distance = -v.Distance
	}
	v.State = Missed
	if v.Distance >= 0 {
		v.State = Met
	}
	return v
}

// String is one line: the state, what was wanted, what came out, how far it is.
func (v *Verdict) String() string {
	sign := ">="
	if v.Most {
		sign = "<="
	}
	if v.State == NotMeasured {
		return fmt.Sprintf("%-12s %-58s %s %s%s: %s", v.State, v.Text, sign, number(v.Bar), v.Unit, v.Reason)
	}
	return fmt.Sprintf("%-12s %-58s %s %s%s: %s (%s..%s), %+.0f %%", v.State, v.Text, sign, number(v.Bar), v.Unit,
		number(v.Value.Median), number(v.Value.Min), number(v.Value.Max), 100*v.Distance)
}

// number with three digits that mean something.
func number(v float64) string {
	switch {
	case v != 0 && v < 0.01 && v > -0.01:
		return fmt.Sprintf("%.4f", v)
	case v < 10 && v > -10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// missing names what a criterion lacks.
func missing(err error, what string) error {
	if errors.Is(err, figure.ErrNotMeasured) {
		return fmt.Errorf("%w: %s", figure.ErrNotMeasured, what)
	}
	return err
}
