package worker

import (
	"context"
	"errors"

	"secure-dns-proxy/transport/tier"
	"secure-dns-proxy/worker/cache"
)

// linkTier returns the links of the workers to the Store of a snapshot: those in use if it is the same, new ones that are served if not; nil for none.
func (g *Group) linkTier(store *tier.Store) ([]*tierLink, error) {
	if store == nil {
		return nil, nil
	}
	if len(g.tier) != 0 && g.tier[0].store == store {
		return g.tier, nil
	}
	var links []*tierLink
	for i := range g.cfg.Workers {
		line, err := tier.NewLine(g.wake(i), store.Limits())
		if err != nil {
			return nil, errors.Join(err, closeLinks(links))
		}
		store.Serve(line)
		links = append(links, &tierLink{store: store, line: line})
	}
	return links, nil
}

// forgetTier makes the tier's Store, if there is one, find nothing that it has now of what m means; pool is the name of m's.
func (g *Group) forgetTier(m *cache.Match, pool string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.tier) == 0 {
		return
	}
	keys := *m
	keys.Pools = 0 // keys in the tier have no tags
	g.tier[0].store.Forget(pool, keys.Matches)
}

// close ends the driver.
func (t *tierLink) close(ctx context.Context) error { return t.line.Close(ctx) }
