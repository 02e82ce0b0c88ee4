package tier

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/valkey-io/valkey-go"
)

// redis is a client of Redis or Valkey. The library pipelines what its callers ask at a time over few connections, and follows clusters and
// sentinels by itself.
type redis struct {
	client valkey.Client
	max    int64 // bytes read of a value: whoever else writes to the server may have stored anything
}

// newRedis connects once, so it may take a few times Config.Timeout.
func newRedis(c *Config) (client, error) {
	o := valkey.ClientOption{
		InitAddress: c.Addresses, Username: c.Username, Password: c.Password, SelectDB: c.DB, TLSConfig: c.TLS,
		Dialer:            net.Dialer{Timeout: c.Timeout, KeepAlive: pingGap},
		ConnWriteTimeout:  c.Timeout,
		ClientSetInfo:     valkey.DisableClientSetInfo,
		RingScaleEachConn: clientRing, ReadBufferEachConn: clientBuffer, WriteBufferEachConn: clientBuffer,
		PipelineMultiplex: 1,    // two connections to each server
		AlwaysPipelining:  true, // else a call that is given up costs its connection
		DisableRetry:      true, // nobody waits for a second attempt
		DisableCache:      true, // the workers' own caches come before this one
		ForceSingleClient: c.Mode == Single,
		ClusterOption:     valkey.ClusterOption{ShardsRefreshInterval: topologyInterval},
	}
	if c.Mode == Sentinel {
		o.Sentinel = valkey.SentinelOption{
			MasterSet: c.Master, Username: c.SentinelUsername, Password: c.SentinelPassword, Dialer: o.Dialer, TLSConfig: c.TLS,
			TopologyRefreshInterval: topologyInterval,
		}
	}
	client, err := valkey.NewClient(o)
	if err != nil {
		return nil, err
	}
	return &redis{client: client, max: int64(valueHeader + idBytesMax + c.MessageBytesMax)}, nil
}

func (r *redis) close() { r.client.Close() }

// get reads no more of a value than a good one can be long: GETRANGE, which is empty for a name that there is not.
func (r *redis) get(ctx context.Context, names []string, tell func(i int, value []byte, err error)) {
	commands := make(valkey.Commands, len(names))
	for i, name := range names {
		commands[i] = r.client.B().Getrange().Key(name).Start(0).End(r.max - 1).Build()
	}
	for i, result := range r.client.DoMulti(ctx, commands...) {
		value, err := result.AsBytes()
		if said, ok := valkey.IsValkeyErr(err); ok && strings.HasPrefix(said.Error(), "WRONGTYPE") {
			value, err = []byte{0}, nil // something else of that name: no value of ours
		}
		tell(i, value, err)
	}
}

func (r *redis) set(ctx context.Context, items []item, tell func(err error)) {
	commands := make(valkey.Commands, len(items))
	for i := range items {
		it := &items[i]
		commands[i] = r.client.B().Set().Key(it.name).Value(valkey.BinaryString(it.value)).Ex(it.ttl).Build()
	}
	for _, result := range r.client.DoMulti(ctx, commands...) {
		err := result.Error()
		if errors.Is(err, valkey.Nil) {
			err = errNotStored
		}
		tell(err)
	}
}

var errNotStored = errors.New("not stored")
