package worker

import (
	"errors"
	"fmt"
	"runtime"

	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/cache/shared"
)

// node is what the workers of one NUMA node have in common: a level of the cache, and the means to ask an upstream once for all of them. Workers
// that are not pinned are all of one node. A worker that is alone on its node has none.
type node struct {
	workers   []int // numbers of the workers; a worker's place in this list is its number in the directory
	cpu       int   // one of the node; -1: not pinned
	directory *shared.Directory
	inboxes   []*shared.Inbox // in the order of workers
	table     *shared.Table   // the current one, nil: off. Group.mu
}

// placeOf returns a worker's number in the directory.
func (n *node) placeOf(worker int) int {
	for i, other := range n.workers {
		if other == worker {
			return i
		}
	}
	panic("worker: not one of its node")
}

// nodeNumbers finds out which NUMA node each worker is on; -1: it is not pinned, or the kernel knows of no nodes.
func (c *Config) nodeNumbers() (numbers []int, err error) {
	for i := range c.Workers {
		number := -1
		if len(c.CPUs) != 0 {
			if err := onCPU(c.CPUs[i], func(n int) error { number = n; return nil }); err != nil {
				return nil, err
			}
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}

// makeNodes makes what workers with the same number, of those that nodeNumbers returned, have in common.
func (g *Group) makeNodes(numbers []int) error {
	byNumber := map[int]*node{}
	var list []*node
	for i, number := range numbers {
		n := byNumber[number]
		if n == nil {
			n = &node{cpu: -1}
			if len(g.cfg.CPUs) != 0 {
				n.cpu = g.cfg.CPUs[i]
			}
			byNumber[number] = n
			list = append(list, n)
		}
		n.workers = append(n.workers, i)
	}
	g.nodeOf = make([]*node, g.cfg.Workers)
	for _, n := range list {
		if len(n.workers) < 2 {
			continue
		}
		g.nodes = append(g.nodes, n)
		if err := n.onNode(func() error { return n.furnish(g) }); err != nil {
			return errors.Join(err, g.closeNodes())
		}
		for _, i := range n.workers {
			g.nodeOf[i] = n
		}
	}
	return nil
}

// furnish maps what does not depend on the size of the cache.
func (n *node) furnish(g *Group) (err error) {
	if n.directory, err = shared.NewDirectory(len(n.workers) * g.cfg.Slots); err != nil {
		return err
	}
	for _, i := range n.workers {
		inbox, err := shared.NewInbox(g.wake(i))
		if err != nil {
			return err
		}
		n.inboxes = append(n.inboxes, inbox)
	}
	return nil
}

// onNode runs do where memory that it maps comes from the node.
func (n *node) onNode(do func() error) error {
	if n.cpu < 0 {
		return do()
	}
	return onCPU(n.cpu, func(int) error { return do() })
}

// onCPU runs do on a thread of that CPU, with the number of its NUMA node; -1 if the kernel does not let memory be bound to it. The thread ends
// afterwards: nothing else is to run where it is bound.
func onCPU(cpu int, do func(node int) error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := sys.PinThread(cpu)
		if err == nil {
			number, placed := sys.PlaceThread()
			if placed != nil {
				number = -1
			}
			err = do(number)
		}
		done <- err
	}()
	return <-done
}

// split divides the memory of the cache into what each node shares, and what each worker has for itself. The workers' shares come first: none is
// left with less than it can do with. reason says why nothing is shared though it was to be.
func (g *Group) split(bytes int64, sharedPercent int) (perNode, perWorker int64, reason string) {
	workers := int64(g.cfg.Workers)
	perWorker = bytes / workers
	if bytes == 0 || sharedPercent == 0 || len(g.nodes) == 0 {
		return 0, perWorker, ""
	}
	nodes := int64(len(g.nodes))
	perNode = min(bytes/100*int64(sharedPercent), bytes-workers*cache.BytesMin) / nodes
	if perNode < shared.BytesMin {
		return 0, perWorker, fmt.Sprintf("%d bytes for %d workers leave less than %d for it", bytes, workers, int64(shared.BytesMin))
	}
	return perNode, (bytes - nodes*perNode) / workers, ""
}

// shareOut returns a table for each node as s wants it: the current one where it has the right size, else a new one that holds what that has.
func (g *Group) shareOut(s *Snapshot) (tables []*shared.Table, err error) {
	p := g.apportion(s)
	bytes := p.perNode
	if p.reason != "" {
		g.cfg.Log.Info("no cache that workers share", "reason", p.reason)
	}
	for _, n := range g.nodes {
		t := n.table
		switch {
		case bytes == 0:
			t = nil
		case t == nil || !t.Is(bytes, p.commons):
			if err = n.onNode(func() error { t, err = shared.New(bytes, p.commons); return err }); err != nil {
				return nil, errors.Join(err, g.discard(tables))
			}
			if n.table != nil {
				n.table.CopyTo(t, secondsOf(int64(transport.Now())))
			}
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// useTables makes tables the current ones and returns those that they replace.
func (g *Group) useTables(tables []*shared.Table) (old []*shared.Table) {
	for i, n := range g.nodes {
		if n.table != tables[i] {
			old = append(old, n.table)
		}
		n.table = tables[i]
	}
	return old
}

// discard closes tables that are not current ones and that no worker knows.
func (g *Group) discard(tables []*shared.Table) error {
	var errs []error
	for _, t := range tables {
		if t != nil && !g.current(t) {
			errs = append(errs, t.Close())
		}
	}
	return errors.Join(errs...)
}

func (g *Group) current(t *shared.Table) bool {
	for _, n := range g.nodes {
		if n.table == t {
			return true
		}
	}
	return false
}

// provideShared has the kernel provide the next part of the shared tables' memory, and reports whether there is more to do.
func (g *Group) provideShared() (more bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.nodes {
		if n.table != nil && n.table.Provide() {
			more = true
		}
	}
	return more
}

// flushShared drops what m means from what workers share, and returns how many answers that were.
func (g *Group) flushShared(m *cache.Match) (dropped uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.nodes {
		if n.table != nil {
			found, _ := n.table.FlushMatching(m.Matches) // what is left is under way
			dropped += uint64(found)
		}
	}
	return dropped
}

// closeNodes gives back what the workers had in common. None of them is left.
func (g *Group) closeNodes() error {
	var errs []error
	for _, n := range g.nodes {
		if n.table != nil {
			errs = append(errs, n.table.Close())
			n.table = nil
		}
		if n.directory != nil {
			errs = append(errs, n.directory.Close())
		}
		for _, inbox := range n.inboxes {
			errs = append(errs, inbox.Close())
		}
	}
	g.nodes = nil
	return errors.Join(errs...)
}
