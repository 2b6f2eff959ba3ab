package pool

// Sticky makes clients return to their backend.
type Sticky struct {
	// Value is what a client of the backend at that address sends: always the same for an address, and impossible to
	// guess.
	Value func(address string) string
	// Key represents Value: if it differs in Apply, all values are computed again.
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

// returning reports whether clients of a backend in that state still go there: while it drains it gets no new clients
// but serves those it has.
func (s *state) returning() bool {
	return s.active == ActiveUp && !s.passive.out() && s.admin != Maint
}

// returning is that of the state, and false for a backend that has left its pool.
func (b *Backend) returning() bool { return b.limit.Load() != removed && b.state.Load().returning() }

// awaited reports whether clients of a backend without room wait for it. They do not wait for the end of a trial,
// which may take long.
func (b *Backend) awaited() bool { return b.returning() && b.limit.Load() != onTrial }

// Moves reports whether a client that sent a value of Sticky, or none, and was served by that backend of the pool
// belongs to it from now on. It does not if it belongs to it already, or if its own backend is on trial and will be
// back soon.
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
