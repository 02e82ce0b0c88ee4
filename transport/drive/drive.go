// Package drive knows which driver serves which scheme.
package drive

import (
	"context"
	"fmt"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/doh"
	"secure-dns-proxy/transport/doq"
	"secure-dns-proxy/transport/dot"
)

// Start runs the driver for the lane's endpoint until the lane is closed. The error is for a scheme that has no lanes: udp is
// exchanged on the worker's own ring.
func Start(lane *transport.Lane) error {
	run, err := driver(lane.Endpoint().Scheme)
	if err != nil {
		return err
	}
	lane.Start(run)
	return nil
}

// driver returns the driver of a scheme.
func driver(scheme transport.Scheme) (func(context.Context, *transport.Lane), error) {
	switch scheme {
	case transport.TCP, transport.TLS:
		return dot.Run, nil
	case transport.QUIC:
		return doq.Run, nil
	case transport.HTTPS:
		return doh.Run, nil
	}
	return nil, fmt.Errorf("drive: no driver for scheme %s", scheme)
}
