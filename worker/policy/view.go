package policy

import (
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
)

// View is a group of clients. Rules can be for some views only.
type View struct {
	Name    string
	Clients []netip.Prefix // of two views that hold a client, the longer prefix decides
	Pool    int            // number of the pool that takes the place of the default one for its queries; -1: none
	NoCache bool           // its answers are neither taken from the cache nor kept
}

// views finds the number of the view of a client.
type views struct{ table bart.Table[int] }

// newViews builds the table. Errors: too many, a prefix that is none or in two views.
func newViews(list []View) (*views, error) {
	if len(list) > ViewsMax {
		return nil, fmt.Errorf("%d views: at most %d", len(list), ViewsMax)
	}
	v := new(views)
	for i := range list {
		for _, p := range list[i].Clients {
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
				return nil, fmt.Errorf("view %q: %v is no prefix", list[i].Name, p)
			}
			if other, twice := v.table.Get(p); twice {
				return nil, fmt.Errorf("view %q: %v is in view %q already", list[i].Name, p, list[other].Name)
			}
			v.table.Insert(p, i)
		}
	}
	return v, nil
}

// ViewOf returns the number of the view that a client is in, -1 if it is in none.
func (p *Policy) ViewOf(client netip.Addr) int {
	if p.views == nil {
		return -1
	}
	if i, ok := p.views.table.Lookup(client.Unmap()); ok {
		return i
	}
	return -1
}
