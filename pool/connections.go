package pool

import (
	"io"
	"slices"
)

// Connections is a set of connections to one backend, as far as a pool needs to know it; see Conns.
type Connections interface {
	io.Closer // closes the idle connections at once, and those in use when they are done
	Counts() (active, idle int)
}

// connections are the set in use and the sets that it replaced. A value never changes.
type connections struct {
	now    Connections
	before []Connections // closed; some had connections in use at the last check
}

// Conns returns the connections to a backend in the type that Options.Connect of its pool makes; the zero value without
// Options.Connect. It panics if C is another type. The set is replaced when Options.TransportKey changes, so an exchange
// asks for it once; a set that has been replaced still works.
func Conns[C Connections](b *Backend) C {
	if c := b.conns.Load(); c != nil {
		return c.now.(C)
	}
	var none C
	return none
}

// connect gives the backend a set of connections. The one that it replaces finishes what it does and is closed. The
// caller holds Pool.mu.
func (b *Backend) connect(to Connections) {
	next := &connections{now: to}
	old := b.conns.Load()
	if old != nil {
		next.before = append(slices.Clone(old.before), old.now)
		next.before = slices.DeleteFunc(next.before, func(c Connections) bool {
			active, idle := c.Counts()
			return c != old.now && active == 0 && idle == 0
		})
	}
	b.conns.Store(next)
	if old != nil {
		b.pool.outbox.add(func() { old.now.Close() })
	}
}

// countConns counts the connections in use and the idle ones, those of replaced sets included.
func (b *Backend) countConns() (active, idle int) {
	c := b.conns.Load()
	if c == nil {
		return 0, 0
	}
	active, idle = c.now.Counts()
	for _, old := range c.before {
		a, i := old.Counts()
		active, idle = active+a, idle+i
	}
	return active, idle
}

func (b *Backend) closeConns() {
	b.closing.Do(func() {
		if c := b.conns.Load(); c != nil {
			for _, old := range c.before {
				old.Close() // most are closed already
			}
			c.now.Close()
		}
	})
}
