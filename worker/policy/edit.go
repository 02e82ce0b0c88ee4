package policy

import (
	"errors"
	"fmt"

	"secure-dns-proxy/transport/wire"
)

// Edits are what rules change of the options that upstreams are sent, in the order of the rules. The zero value changes nothing.
type Edits struct {
	actions [editsMax]*Action
	count   int
	Over    bool // there were more than fit: the query must not go on without them
}

// add notes an action.
func (e *Edits) add(a *Action) {
	if e.count == editsMax {
		e.Over = true
		return
	}
	e.actions[e.count] = a
	e.count++
}

// Append notes all of other behind those of e.
func (e *Edits) Append(other *Edits) {
	for _, a := range other.actions[:other.count] {
		e.add(a)
	}
	e.Over = e.Over || other.Over
}

// Reset forgets them all.
func (e *Edits) Reset() { e.count, e.Over = 0, false }

// Any reports whether there are any.
func (e *Edits) Any() bool { return e.count != 0 || e.Over }

// Apply makes them in options, which are whole, in place, and returns what they have become; false: they do not fit into its capacity.
func (e *Edits) Apply(options []byte) (out []byte, fits bool) {
	for _, a := range e.actions[:e.count] {
		options = wire.DropOptions(options, a.Codes)
		if len(options)+len(a.Option) > cap(options) {
			return nil, false
		}
		options = append(options, a.Option...)
	}
	return options, !e.Over
}

// Strip is Apply in an answer, to which nothing is added, and reports whether the answer's extended error goes, too.
func (e *Edits) Strip(options []byte) (out []byte, extended bool) {
	for _, a := range e.actions[:e.count] {
		for _, code := range a.Codes {
			extended = extended || code == wire.OptionEDE
		}
		options = wire.DropOptions(options, a.Codes)
	}
	return options, extended
}

// validateEdit reports what is wrong with SetOption and StripOption.
func (a *Action) validateEdit(c Chain) error {
	if len(a.Codes) == 0 || a.Do == SetOption && len(a.Codes) != 1 {
		return errors.New("no option is named")
	}
	for _, code := range a.Codes {
		if wire.OwnOption(code) && !(a.Do == StripOption && c == ChainResponse && code == wire.OptionEDE) {
			return fmt.Errorf("option %d is between two neighbours, or has an action of its own", code)
		}
	}
	if len(a.Option) > wire.PassedOptionsMax {
		return fmt.Errorf("an option of %d bytes with its header: at most %d", len(a.Option), wire.PassedOptionsMax)
	}
	return nil
}

// Tells reports whether a rule may have upstreams told of clients' networks, so that what they say without is not good for everybody.
func (p *Policy) Tells() bool { return p.tells }

// Tailors reports whether a rule changes which options upstreams are sent.
func (p *Policy) Tailors() bool { return p.tailors }
