package transport

import "fmt"

// Fault says why an exchange with an upstream brought no answer. It is the peer's or the network's doing, never a bug of ours.
type Fault uint8

const (
	FaultNone     Fault = iota // there is an answer
	FaultDial                  // no connection: refused, unreachable, timed out, or backing off after such a failure
	FaultClosed                // the connection was lost, or declared dead, with the query outstanding
	FaultTimeout               // the query's own deadline passed
	FaultTLS                   // no connection: handshake or certificate verification failed
	FaultProtocol              // the server broke the protocol or answered something else
	FaultFull                  // a limit was reached: outstanding queries here, or the server said that it has too much to do
	FaultShutdown              // the lane is being closed
	FaultCount                 // how many there are; not a Fault
)

var faultNames = [FaultCount]string{"none", "dial", "closed", "timeout", "tls", "protocol", "full", "shutdown"}

// String returns the name used as a metric label.
func (f Fault) String() string {
	if f < FaultCount {
		return faultNames[f]
	}
	return fmt.Sprintf("fault(%d)", uint8(f))
}
