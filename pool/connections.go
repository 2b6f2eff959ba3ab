package pool

import (
	"io"
	"slices"
)

// Connections is the transport's side of a backend; the proxy knows its concrete type.
// Close closes the idle connections and makes the busy ones close when they are done.
type Connections interface {
	io.Closer
	Counts() (active, idle int)
}

// connections are those in force and those that they replaced. A value never changes.
type connections struct {
	now    Connections
	before []Connections // closed, some of them in use when that was last looked at
}

// Conns returns what connects to the backend; nil where Options.Connect was. It is replaced when Options.TransportKey
// changes, so that an exchange asks for it once. One that has been replaced can still be used.
func (b *Backend) Conns() Connections {
	if c := b.conns.Load(); c != nil {
		return c.now
	}
	return nil
}

// connect gives the backend its connections. Those that it has already finish what they do and are closed. The
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

// countConns returns the connections in use and those kept for the next request, with what is left of those before.
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
