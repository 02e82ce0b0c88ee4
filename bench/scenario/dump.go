package scenario

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"secure-dns-proxy/bench/server"
)

// dumpTimeout bounds one dump of the cache.
const dumpTimeout = 10 * time.Second

// dumper returns a function that has the program write its whole cache to a file.
func dumper(ctx context.Context, s server.Setup) func() error {
	socket, file := server.ControlSocket(s), filepath.Join(s.Dir, "dump")
	client := &http.Client{Timeout: dumpTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	return func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/v1/cache/dump", strings.NewReader(fmt.Sprintf(`{"file":%q}`, file)))
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("dump: %w", err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("dump: %s", response.Status)
		}
		return nil
	}
}
