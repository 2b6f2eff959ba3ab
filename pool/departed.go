package pool

import (
	"maps"
	"slices"
)

// maxDeparted is how many members that left are remembered with their overrides.
const maxDeparted = 1000

// departed keeps the overrides of members that left, so that a backend that discovery loses for a moment does not come
// back from maintenance. It lasts as long as the pool, and is guarded by Pool.mu.
type departed struct {
	overrides map[string]Override // by address; nil: none yet
	addresses []string            // the oldest first
}

// Override is what an administrator set for a backend at run time; the zero value is nothing.
type Override struct {
	Admin  Admin `json:"admin"`
	Weight int   `json:"weight"` // 0: none
}

// Overrides returns by address what was set at run time for members, and for some that have left: see Restore.
func (p *Pool) Overrides() map[string]Override {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := maps.Clone(p.departed.overrides)
	if all == nil {
		all = map[string]Override{}
	}
	for _, b := range p.members {
		if o := b.state.Load().overridden(); o != (Override{}) {
			all[b.address] = o
		}
	}
	return all
}

// Restore sets what Overrides of another pool returned, for members that join later too.
func (p *Pool) Restore(overrides map[string]Override, reason string) {
	for address, o := range overrides {
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
		_ = p.SetWeight(b, o.Weight, reason) // another pool has accepted it
	}
}

func (s *state) overridden() Override { return Override{s.admin, s.override} }

func (d *departed) remember(address string, o Override) {
	if o == (Override{}) {
		return
	}
	if len(d.addresses) == maxDeparted {
		delete(d.overrides, d.addresses[0])
		d.addresses = slices.Delete(d.addresses, 0, 1)
	}
	if d.overrides == nil {
		d.overrides = map[string]Override{}
	}
	d.overrides[address] = o
	d.addresses = append(d.addresses, address)
}

// take returns the overrides of a member that joins, and forgets them: its state has them from now on.
func (d *departed) take(address string) Override {
	o, ok := d.overrides[address]
	if ok {
		delete(d.overrides, address)
		i := slices.Index(d.addresses, address)
		d.addresses = slices.Delete(d.addresses, i, i+1)
	}
	return o
}
