package pool

import (
	"context"
	"errors"
)

// Picker chooses a backend from the fixed set it was made from, and reserves it in the
// same step (Backend.Reserve). It returns nil if none has room. It never blocks or allocates.
type Picker interface {
	Pick() *Backend
}

// The reasons why Pick has no backend.
var (
	ErrNoBackend    = errors.New("no usable backend")
	ErrFull         = errors.New("every usable backend is at max_conns")
	ErrQueueFull    = errors.New("every usable backend is at max_conns and the queue is full")
	ErrQueueTimeout = errors.New("every usable backend stayed at max_conns until the queue timeout")
)

// Pool is a named set of backends. One Pool object lives as long as its name stays in the configuration.
type Pool struct{}

// New returns a pool that can be picked from at once. It starts nothing: see Start.
func New(o Options) *Pool { panic("todo") }

// Start runs the pool's timers and hooks in one goroutine until ctx ends or, after Close,
// the last backend has finished. Call it at most once.
func (p *Pool) Start(ctx context.Context) { panic("todo") }

// Wait returns when the goroutine of Start has ended; at once if there was none.
func (p *Pool) Wait() { panic("todo") }

// Close takes all members out. Their connections are closed as soon as their requests have ended,
// or when the context of Start ends. It does not wait.
func (p *Pool) Close() { panic("todo") }

// Apply takes over new options in one step. A backend whose address stays, stays the same object with all
// its state, counters, requests and connections, unless TransportKey changed. It cannot fail:
// what can be wrong in options is checked before.
func (p *Pool) Apply(o Options) { panic("todo") }

// SetMembers replaces the members that one source knows of. The pool's members are the union over the
// sources; where two know the same address, the settings of the first hold: the configuration, then
// Options.Sources in their order.
func (p *Pool) SetMembers(source string, members []Member) { panic("todo") }

// SetActive is called with the first result of a backend's health checks, and at each flip.
func (p *Pool) SetActive(b *Backend, up bool, reason string) { panic("todo") }

// ProbePassed is called after every probe that passed: it ends an ejection. It costs one load otherwise.
func (p *Pool) ProbePassed(b *Backend) { panic("todo") }

// SetAdmin sets the administrator's state of a backend. It survives a reload.
func (p *Pool) SetAdmin(b *Backend, a Admin, reason string) { panic("todo") }

// SetWeight sets a backend's weight at run time. It survives a reload. The error names the range allowed.
func (p *Pool) SetWeight(b *Backend, weight int, reason string) error { panic("todo") }

// Pick reserves a backend that is not in tried, unless only tried ones are left.
// The caller must Release it. The context bounds the wait in the queue only.
func (p *Pool) Pick(ctx context.Context, tried []*Backend) (*Backend, error) { panic("todo") }

// AllowRetry tells whether the retry budget allows one more retry, and takes it from the budget.
func (p *Pool) AllowRetry() bool { panic("todo") }

// Name returns the pool's name.
func (p *Pool) Name() string { panic("todo") }

// Metrics returns the series of the pool.
func (p *Pool) Metrics() *PoolMetrics { panic("todo") }

// Backends returns all members in their order. The slice must not be changed.
func (p *Pool) Backends() []*Backend { panic("todo") }

// Backend returns the member with that address, or nil.
func (p *Pool) Backend(address string) *Backend { panic("todo") }

// Status returns the pool as the admin API shows it.
func (p *Pool) Status() PoolStatus { panic("todo") }
