package mmsg

import (
	"testing"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/enginetest"
)

func open(cfg ring.Config) (enginetest.Engine, error) {
	e, err := Open(cfg)
	if err != nil {
		return nil, err // not a nil *Engine in a non-nil interface
	}
	return e, nil
}

func TestEngine(t *testing.T) { enginetest.Run(t, open) }
