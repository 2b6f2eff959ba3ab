package pool

// Sticky makes clients return to their backend.
type Sticky struct {
	// Value is what a client of the backend at that address brings back: the same for the same address,
	// and for nobody to make up.
	Value func(address string) string
	// Key stands for Value: if it differs in Apply, all values are computed again.
	Key string
}

// stickyMembers returns the members by their value; nil if the pool is not sticky. The caller holds p.mu.
func (p *Pool) stickyMembers() map[string]*Backend {
	sticky := p.options.Sticky
	if sticky == nil {
		return nil
	}
	byValue := make(map[string]*Backend, len(p.members))
	for _, b := range p.members {
		if b.stickyKey != sticky.Key || b.stickyValue == "" {
			b.stickyKey, b.stickyValue = sticky.Key, sticky.Value(b.address)
		}
		byValue[b.stickyValue] = b
	}
	return byValue
}

// returning reports whether clients that belong to a backend in that state still go there: new ones
// do not come while it drains, but those it has are served to their end.
func (s *state) returning() bool {
	return s.active == ActiveUp && !s.passive.out() && s.admin != Maint
}

// returning is the state's, and false for a backend that has left its pool.
func (b *Backend) returning() bool { return b.limit.Load() != gone && b.state.Load().returning() }

// awaited reports whether clients that belong to a backend without room wait for it: not for the end of a trial, which
// may take long.
func (b *Backend) awaited() bool { return b.returning() && b.limit.Load() != onTrial }

// Moves reports whether a client that brought a value of Sticky, or none, and was served by that backend of the
// pool is to belong to it from now on. It is not if it does already, or if its own is on trial: it will be back soon.
func (p *Pool) Moves(value []byte, to *Backend) bool {
	own := p.Owner(value)
	return own == nil || own != to && (own.awaited() || !own.returning())
}

// Owner returns the backend of the pool that a value of Sticky belongs to, nil if there is none.
func (p *Pool) Owner(value []byte) *Backend { return p.snapshot.Load().sticky[string(value)] }

// Knows reports whether a value of Sticky belongs to a backend of the pool that can be used.
func (p *Pool) Knows(value []byte) bool {
	own := p.Owner(value)
	return own != nil && own.returning()
}
