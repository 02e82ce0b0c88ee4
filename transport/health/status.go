package health

import "fmt"

// Status is what is believed of an upstream.
type Status uint32

const (
	// Untried is the state before the first exchange; it is used like Up.
	Untried Status = iota
	// Up means that all is well.
	Up
	// Down means that the upstream is asked only by trials, or when nothing better is left.
	Down
	// Suspect means that something looks wrong, not enough to do without the upstream; it is used like Up.
	Suspect
	// Trial means that the upstream was Down and that trials go well so far, not often enough to trust it.
	Trial
	// Recovering means that the upstream is used again, with a Share that still grows.
	Recovering
	// Draining is the operator's word: no new exchanges; probes go on.
	Draining
	// ForcedUp is the operator's word: used whatever happens.
	ForcedUp
	// ForcedDown is the operator's word, or Bar: no exchanges; no probes if it is the operator's.
	ForcedDown
	// StatusCount is how many there are; not a Status.
	StatusCount
)

var statusNames = [StatusCount]string{"untried", "up", "down", "suspect", "trial", "recovering", "draining", "forced_up", "forced_down"}

// String returns the name used in logs and metrics.
func (s Status) String() string {
	if s < StatusCount {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint32(s))
}

// InUse reports whether queries are sent to an upstream of this status in the ordinary way.
func (s Status) InUse() bool {
	switch s {
	case Untried, Up, Suspect, Recovering, ForcedUp:
		return true
	}
	return false
}
