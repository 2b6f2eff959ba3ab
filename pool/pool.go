package pool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/telemetry"
)

// Picker chooses a backend from the fixed set it was made from, and reserves it in the same step (Backend.Reserve).
// It returns nil if none has room. It never blocks or allocates.
//
// The key is the hash of what keeps requests together; pickers that do not hash ignore it.
type Picker interface {
	Pick(key uint64) *Backend
}

// The reasons why Pick has no backend.
var (
	ErrNoBackend    = errors.New("no usable backend")
	ErrFull         = errors.New("every usable backend is at max_conns")
	ErrQueueFull    = errors.New("the queue is full and no backend is free")
	ErrQueueTimeout = errors.New("the queue timeout passed before a backend was free")
)

// Pool is a named set of backends. One Pool object lives as long as its name stays in the configuration.
//
// Requests read one immutable snapshot through one atomic pointer. Every change of membership, state or
// options happens under mu and ends in publish, which stores the next snapshot.
type Pool struct {
	name     string
	snapshot atomic.Pointer[snapshot]
	queue    queue
	budget   budget
	metrics  PoolMetrics
	scope    *telemetry.Scope
	registry *telemetry.Registry
	outbox   outbox
	digest   digest
	done     chan struct{} // closed when the goroutine of Start has ended

	// mu is taken before the queue's lock and the outbox's, never after.
	mu            sync.Mutex
	options       Options
	sources       []source
	kept          []Member   // members that no source has any more: see keep
	members       []*Backend // never changed in place, since snapshots share it
	keptOverrides keptOverrides
	leaving       map[*Backend]struct{} // not in the snapshot, with requests that have not ended
	grown         time.Time             // when shares last grew: see growShares
	closed        bool
	down          down

	checkedNow time.Time      // when CheckNow was last called; used by the goroutine alone
	started    atomic.Bool    // Start was called
	redials    sync.WaitGroup // under way
}

// source is a set of members from the configuration or a discoverer.
type source struct {
	name    string
	members []Member
	awaited bool // it has not published since an Apply in which it was new or restarted
}

// New returns a pool that can be picked from at once. It starts nothing: see Start.
func New(o Options) *Pool {
	p := &Pool{
		name:     o.Name,
		registry: o.Telemetry,
		leaving:  map[*Backend]struct{}{},
		done:     make(chan struct{}),
	}
	if p.registry == nil {
		p.registry = telemetry.NewRegistry()
	}
	p.outbox.wake = make(chan struct{}, 1)
	p.budget.start(time.Now())
	p.register()
	p.Apply(o)
	return p
}

// Name returns the pool's name.
func (p *Pool) Name() string { return p.name }

// Metrics returns the series of the pool.
func (p *Pool) Metrics() *PoolMetrics { return &p.metrics }

// Backends returns all members in order. The slice must not be changed.
func (p *Pool) Backends() []*Backend { return p.snapshot.Load().members }

// Backend returns the member with that address, or nil.
func (p *Pool) Backend(address string) *Backend {
	for _, b := range p.Backends() {
		if b.address == address {
			return b
		}
	}
	return nil
}

// Start runs the pool's timers and hooks in one goroutine until ctx ends or, after Close,
// the last backend has finished. Call it at most once.
func (p *Pool) Start(ctx context.Context) {
	p.started.Store(true)
	go p.run(ctx)
}

// Wait returns when the goroutine of Start has ended; at once if there was none.
func (p *Pool) Wait() {
	if p.started.Load() {
		<-p.done
	}
}

func (p *Pool) run(ctx context.Context) {
	defer close(p.done)
	ctx, cancel := context.WithCancel(ctx)
	defer p.redials.Wait()
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		wait := min(p.endEjections(now), p.growShares(now), p.renewTrials(), p.startRedials(ctx, now), p.tend(now))
		p.outbox.deliver()
		wait = min(wait, p.digest.wait(time.Now()))
		if ctx.Err() != nil || p.finished() {
			p.digest.flush()
			p.closeAll()
			return
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-p.outbox.wake:
		case <-timer.C:
		}
	}
}

func (p *Pool) finished() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed && len(p.leaving) == 0
}

// closeAll closes everything that is left when the pool stops.
func (p *Pool) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, b := range p.members {
		b.scope.Close()
		b.closeConns()
	}
	for b := range p.leaving {
		b.closeConns()
	}
	p.scope.Close()
}

// Close removes all members. Their connections are closed as soon as their requests have ended, or when the context
// of Start ends. It does not wait.
func (p *Pool) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	p.sources, p.kept = nil, nil
	p.updateMembers("pool removed", false)
	p.publish()
	p.scope.Close() // now, so that a new pool of that name can use the series
	p.mu.Unlock()
	if p.started.Load() {
		p.outbox.nudge()
	} else {
		p.closeAll()
	}
}

// Apply applies new options in one step. A backend whose address stays is the same object with its state, counters
// and requests, and with its connections unless TransportKey changed. It cannot fail; options are validated before.
// Name and Telemetry stay those of New.
func (p *Pool) Apply(o Options) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	reconnect := o.TransportKey != p.options.TransportKey && o.Connect != nil
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	p.options = o

	p.setSources(o)
	p.updateMembers("configuration", reconnect)
	p.publish()
}

// SetMembers replaces the members of one source. The pool's members are the union of all sources. If two have the
// same address, the settings of the first are used: the configuration, then Options.Sources in order. The next Apply
// removes sources that are not among them.
//
// Members that an Apply removed while it waits for sources stay until the last of these has published.
func (p *Pool) SetMembers(name string, members []Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	members = slices.Clone(members)
	i := slices.IndexFunc(p.sources, func(s source) bool { return s.name == name })
	if i < 0 {
		p.sources = append(p.sources, source{name: name, members: members})
	} else {
		p.sources[i].members, p.sources[i].awaited = members, false
	}
	p.dropKept(members)
	p.updateMembers(name, false)
	p.publish()
}
