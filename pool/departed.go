package pool

import (
	"maps"
	"slices"
)

// rememberAtMost is how many members that left a pool keeps in mind what the administrator said of.
const rememberAtMost = 1000

// departed remembers what the administrator said of members that left: who drops out of discovery for a moment
// must not come back from maintenance by it. It lasts as long as the pool, and is guarded by Pool.mu.
type departed struct {
	said  map[string]Order // by address; nil: nobody has left yet
	order []string         // the addresses, the oldest first
}

// Order is what the administrator said of a backend; the zero value is nothing.
type Order struct {
	Admin  Admin `json:"admin"`
	Weight int   `json:"weight"` // 0: none
}

// Orders returns by address what the administrator said of members, and of such as have left: see Obey.
func (p *Pool) Orders() map[string]Order {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := maps.Clone(p.departed.said)
	if all == nil {
		all = map[string]Order{}
	}
	for _, b := range p.members {
		if s := b.state.Load(); s.order() != (Order{}) {
			all[b.address] = s.order()
		}
	}
	return all
}

// Obey takes over what the administrator said of another pool's members, of those that are not here yet too.
func (p *Pool) Obey(orders map[string]Order, reason string) {
	for address, o := range orders {
		p.mu.Lock()
		i := slices.IndexFunc(p.members, func(b *Backend) bool { return b.address == address })
		if i < 0 {
			p.departed.remember(address, o)
			p.mu.Unlock()
			continue
		}
		b := p.members[i]
		p.mu.Unlock()
		p.SetAdmin(b, o.Admin, reason)
		_ = p.SetWeight(b, o.Weight, reason) // another pool has taken it
	}
}

func (s *state) order() Order { return Order{s.admin, s.override} }

func (d *departed) remember(address string, o Order) {
	if o == (Order{}) {
		return
	}
	if len(d.order) == rememberAtMost {
		delete(d.said, d.order[0])
		d.order = slices.Delete(d.order, 0, 1)
	}
	if d.said == nil {
		d.said = map[string]Order{}
	}
	d.said[address] = o
	d.order = append(d.order, address)
}

// recall returns what was said of a member that joins, and forgets it: from now on its state says it.
func (d *departed) recall(address string) Order {
	o, ok := d.said[address]
	if ok {
		delete(d.said, address)
		i := slices.Index(d.order, address)
		d.order = slices.Delete(d.order, i, i+1)
	}
	return o
}
