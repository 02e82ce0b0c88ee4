package tier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// memcached is a client of one or more memcached servers, each with a part of the names. Its library knows no contexts: its calls are bounded by
// Config.Timeout for each server.
type memcached struct{ client *memcache.Client }

// memcachedTTLMax: a longer time would be taken for a Unix time.
const memcachedTTLMax = 30 * 24 * time.Hour

func newMemcached(c *Config) (client, error) {
	servers := new(memcache.ServerList)
	if err := servers.SetServers(c.Addresses...); err != nil {
		return nil, fmt.Errorf("memcached: %w", err)
	}
	m := memcache.NewFromSelector(servers)
	m.Timeout, m.MaxIdleConns = c.Timeout, askCalls+fillCalls
	if c.TLS != nil {
		dialer := tls.Dialer{Config: c.TLS}
		m.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		}
	}
	return &memcached{m}, nil
}

func (m *memcached) close() { m.client.Close() }

func (m *memcached) get(_ context.Context, names []string, tell func(i int, value []byte, err error)) {
	items, err := m.client.GetMulti(names)
	for i, name := range names {
		if it := items[name]; it != nil {
			tell(i, it.Value, nil)
		} else {
			tell(i, nil, err)
		}
	}
}

func (m *memcached) set(ctx context.Context, items []item, tell func(err error)) {
	for i := range items {
		it := &items[i]
		if err := ctx.Err(); err != nil {
			tell(err)
			continue
		}
		err := m.client.Set(&memcache.Item{Key: it.name, Value: it.value, Expiration: int32(min(it.ttl, memcachedTTLMax) / time.Second)})
		if errors.Is(err, memcache.ErrServerError) {
			err = fmt.Errorf("memcached: %w", err)
		}
		tell(err)
	}
}
