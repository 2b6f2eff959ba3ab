package pool

import (
	"maps"
	"slices"
)

// maxKeptOverrides is how many members that left are remembered with their overrides.
const maxKeptOverrides = 1000

// keptOverrides keeps the overrides of members that left, so that a backend that discovery loses for a moment does not come
// back from maintenance. It lasts as long as the pool, and is guarded by Pool.mu.
type keptOverrides struct {
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
	all := maps.Clone(p.keptOverrides.overrides)
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

// Restore sets the result of Overrides of another pool, also for members that join later.
func (p *Pool) Restore(overrides map[string]Override, reason string) {
	for address, o := range overrides {
		p.mu.Lock()
		i := slices.IndexFunc(p.members, func(b *Backend) bool { return b.address == address })
		if i < 0 {
			p.keptOverrides.remember(address, o)
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

func (d *keptOverrides) remember(address string, o Override) {
	if o == (Override{}) {
		return
	}
	if len(d.addresses) == maxKeptOverrides {
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
func (d *keptOverrides) take(address string) Override {
	o, ok := d.overrides[address]
	if ok {
		delete(d.overrides, address)
		i := slices.Index(d.addresses, address)
		d.addresses = slices.Delete(d.addresses, i, i+1)
	}
	return o
}
