// Package health probes the backends of a pool and reports to the pool which are up.
//
// Each backend has its own loop, so that a target that hangs does not delay the others. The loop owns the counts of
// passes and failures and reports only flips of the state. A backend's first probe runs at once and decides alone;
// later ones need Config.Rise or Config.Fall results in a row.
package health

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"lb/pool"
)

// Pool receives what the probes find; *pool.Pool is one. Its methods are called from the backends' loops, and may be
// for a moment after Leave.
type Pool interface {
	SetActive(b *pool.Backend, up bool, reason string) // the first result, and each flip
	ProbePassed(b *pool.Backend)                       // each probe that passed

	// SetFlapping reports that the state flips too often, again from time to time with the number of flips, and that
	// it has stopped.
	SetFlapping(b *pool.Backend, flapping bool, reason string)
}

// Options are the settings of a Checker.
type Options struct {
	Config Config
	Pool   Pool

	// Dial connects to a backend as a request would, TLS included. It must give up when the context ends.
	Dial func(ctx context.Context, b *pool.Backend) (net.Conn, error)

	Version string         // of lb, for the User-Agent field; empty: sent without
	Log     hclog.Logger   // failures that change nothing yet, at debug level; nil: no log
	Random  func() float64 // from 0 up to but not 1, for the jitter; nil: math/rand/v2
}

// Checker probes the backends of one pool. It keeps state by backend and not by address, so that two pools with the
// same backend probe it independently.
type Checker struct {
	pool    Pool
	dial    func(context.Context, *pool.Backend) (net.Conn, error)
	version string
	log     hclog.Logger
	random  func() float64

	settings atomic.Pointer[settings]
	buffers  sync.Pool // of *exchange
	loops    sync.WaitGroup
	size     atomic.Int32 // of members

	mu      sync.Mutex
	ctx     context.Context // nil before Start
	cancel  context.CancelFunc
	stopped bool
	members map[*pool.Backend]*member
}

// member is a backend of the Checker, guarded by Checker.mu.
type member struct {
	loop *loop // nil before Start and under maintenance
}

// New makes a Checker that probes nothing before Start.
func New(o Options) *Checker {
	c := &Checker{
		pool:    o.Pool,
		dial:    o.Dial,
		version: o.Version,
		log:     o.Log,
		random:  o.Random,
		members: make(map[*pool.Backend]*member),
	}
	if c.log == nil {
		c.log = hclog.NewNullLogger()
	}
	if c.random == nil {
		c.random = rand.Float64
	}
	c.buffers.New = func() any { return newExchange() }
	c.settings.Store(newSettings(o.Config))
	return c
}

// Start begins to probe the backends that have joined and those that will, until ctx ends or Stop is called. It is
// called once.
func (c *Checker) Start(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || c.ctx != nil {
		return
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	for b, m := range c.members {
		c.begin(b, m)
	}
}

// Stop ends all probes and waits until the last loop has returned.
func (c *Checker) Stop() {
	c.mu.Lock()
	c.stopped = true
	if c.cancel != nil {
		c.cancel()
	}
	c.mu.Unlock()
	c.loops.Wait()
}

// Join adds a backend, which is probed at once. It does nothing if the backend is there already.
func (c *Checker) Join(b *pool.Backend) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members[b] != nil {
		return
	}
	m := &member{}
	c.members[b] = m
	c.size.Store(int32(len(c.members)))
	c.begin(b, m)
}

// Leave removes a backend. It does not wait for a running probe, whose result is dropped.
func (c *Checker) Leave(b *pool.Backend) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.members[b]; m != nil {
		m.end()
		delete(c.members, b)
		c.size.Store(int32(len(c.members)))
	}
}

// AdminChanged is called after the backend's admin state has changed, in the order of the changes. Under maintenance a
// backend is not probed. After maintenance its first probe runs at once and decides alone, since what was known is stale.
func (c *Checker) AdminChanged(b *pool.Backend) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[b]
	switch {
	case m == nil:
	case b.AdminState() == pool.Maint:
		m.end()
	case m.loop == nil:
		c.begin(b, m)
	case m.loop.reported.Load() && b.ActiveState() == pool.ActiveUnknown:
		// Maintenance was over before this call.
		m.end()
		c.begin(b, m)
	}
}

// Reconfigure sets how to probe from the next probe on. It keeps states and counts.
func (c *Checker) Reconfigure(config Config) {
	c.settings.Store(newSettings(config))
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.loop != nil {
			m.loop.wake()
		}
	}
}

// Restart probes all backends at once, on new connections, after a change of what Dial connects with. The first
// result of each decides alone; until then states stay as they are.
func (c *Checker) Restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.loop != nil {
			m.loop.restart.Store(true)
			m.loop.wake()
		}
	}
}

// CheckNow probes a backend at once, and lets one pass bring it up. It is for pools with waiting requests and no
// usable backend.
func (c *Checker) CheckNow(b *pool.Backend) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.members[b]; m != nil && m.loop != nil {
		m.loop.urgent.Store(true)
		m.loop.wake()
	}
}

// begin starts a backend's loop unless it is not to be probed. The caller holds c.mu.
func (c *Checker) begin(b *pool.Backend, m *member) {
	if c.ctx == nil || c.stopped || b.AdminState() == pool.Maint {
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	m.loop = &loop{checker: c, backend: b, cancel: cancel, changed: make(chan struct{}, 1)}
	m.loop.head = int(c.random() * maxUses) // so that not all backends need a new connection at the same time
	l := m.loop
	c.loops.Go(func() { l.run(ctx) })
}

func (m *member) end() {
	if m.loop != nil {
		m.loop.cancel()
		m.loop = nil
	}
}
