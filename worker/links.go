package worker

import (
	"context"
	"errors"
	"slices"
)

// link is what joins a worker with goroutines that are no upstream's: *tierLink, *inspectLink, *relayLink.
type link interface {
	comparable
	close(ctx context.Context) error
}

// retireLinks closes the links that were in use before, if they are others than now. adopted: no worker uses them any more; else that has to wait until the workers have ended.
func retireLinks[L link](g *Group, before, now []L, lost *[]L, adopted bool) {
	switch {
	case len(before) == 0 || len(now) != 0 && now[0] == before[0]:
	case adopted:
		g.farewells.Go(func() {
			if err := closeLinks(before); err != nil {
				g.cfg.Log.Error("goroutines beside the workers have not ended", "error", err)
			}
		})
	default:
		*lost = append(*lost, before...)
	}
}

// closeFresh closes links unless they are those in use.
func closeFresh[L link](links, inUse []L) error {
	if slices.Equal(links, inUse) {
		return nil
	}
	return closeLinks(links)
}

// closeLinks ends the drivers of links that no worker uses.
func closeLinks[L link](links []L) error {
	ctx, cancel := context.WithTimeout(context.Background(), laneCloseTimeout)
	defer cancel()
	var errs []error
	for _, l := range links {
		errs = append(errs, l.close(ctx))
	}
	return errors.Join(errs...)
}
