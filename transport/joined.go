package transport

import "strings"

// Joined is errors.Join on one line, as logs want it: nil without errors, else one that unwraps to them all.
func Joined(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return joined(errs)
}

type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the parts.
func (j joined) Unwrap() []error { return j }
