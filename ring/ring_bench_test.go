package ring_test

import (
	"testing"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/enginetest"
	"secure-dns-proxy/ring/mmsg"
)

// BenchmarkEcho compares the engines with the kernel's own ceiling: go test -bench=Echo -benchtime=1000000x -count=3 ./ring
func BenchmarkEcho(b *testing.B) {
	b.Run("ceiling", enginetest.EchoCeiling)
	b.Run("uring", func(b *testing.B) { enginetest.Echo(b, open) })
	b.Run("mmsg", func(b *testing.B) {
		enginetest.Echo(b, func(cfg ring.Config) (enginetest.Engine, error) {
			e, err := mmsg.Open(cfg)
			if err != nil {
				return nil, err
			}
			return e, nil
		})
	})
}
