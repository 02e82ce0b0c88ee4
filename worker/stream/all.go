package stream

import "iter"

// All yields every connection that is not shut, the one that has been quiet longest first. The loop's body may shut the connection that
// it was given, and no other. For rare work, such as the start of a drain.
func (t *Table) All() iter.Seq[ConnID] {
	return func(yield func(ConnID) bool) {
		for index := t.conns[0].newer; index != 0; {
			c := &t.conns[index]
			next := c.newer
			if !yield(idOf(index, c.gen)) {
				return
			}
			index = next
		}
	}
}
