package ring_test

import (
	"testing"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/enginetest"
	"secure-dns-proxy/ring/mmsg"
)

func open(cfg ring.Config) (enginetest.Engine, error) {
	r, err := ring.Open(cfg)
	if err != nil {
		return nil, err // not a nil *Ring in a non-nil interface
	}
	return r, nil
}

// Both engines have the methods that package worker declares for them.
var (
	_ enginetest.Engine = (*ring.Ring)(nil)
	_ enginetest.Engine = (*mmsg.Engine)(nil)
)

func TestEngine(t *testing.T) { enginetest.Run(t, open) }
