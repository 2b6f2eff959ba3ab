// Package pool holds the backends of a pool, their state, and the ready snapshot that requests pick from.
package pool

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/cpu"

	"lb/telemetry"
)

// Outcome is how one attempt on a backend ended.
type Outcome uint8

// The outcomes of an attempt.
const (
	Success  Outcome = iota // a response that is no failure
	Connect                 // could not connect
	Reset                   // the connection ended before the response did
	Timeout                 // no progress in time
	Protocol                // no valid HTTP
	Status                  // a whole response with 502, 503 or 504
	Aborted                 // the client disconnected; says nothing about the backend
)

// Backend is one member of a pool.
type Backend struct {
	Metrics Metrics

	address string
	conns   atomic.Pointer[connections] // nil without Options.Connect
	pool    *Pool
	scope   *telemetry.Scope
	clock   Clock

	state                  atomic.Pointer[state] // stored under Pool.mu only
	lastCheck              atomic.Pointer[Check]
	stickyKey, stickyValue string // of Options.Sticky; under Pool.mu
	failed                 atomic.Uint64
	budgeted               uint64 // of counters.asked, as counted by the retry budget
	closing                sync.Once
	redial                 redial  // under Pool.mu
	refusal                refusal // whether it refuses connections

	// Requests write these; they have their own cache line, so that requests to different backends do not slow each
	// other down.
	_ cpu.CacheLinePad
	counters
	_ cpu.CacheLinePad
}

// counters are written by each request.
type counters struct {
	limit    atomic.Int64 // of inFlight; or noLimit, onTrial, removed
	inFlight atomic.Int64
	asked    atomic.Uint64 // requests that came here first, without retries
	ewma     atomic.Uint64 // bits of a float64, nanoseconds
	recent   recentFailures
	peak     peak
	waiting  waiting
	inARow   atomic.Int32  // failures since the last success
	trial    atomic.Uint32 // on trial: the tick at which the one request began; 0: there is none
}

// Values of counters.limit that are not a number of requests.
const (
	noLimit = 0
	onTrial = -1
	removed = -2 // no longer in its pool
)

// retired is the in-flight count of a backend whose connections have been closed. It is so far below zero that a late
// Reserve, which increments before it looks, notices.
const retired = math.MinInt64 / 2

// NewBackend returns a backend without a pool, for tests and benchmarks of pickers.
func NewBackend(m Member) *Backend { return NewBackendWith(m, Monotonic) }

// NewBackendWith is NewBackend with another clock, for simulations.
func NewBackendWith(m Member, clock Clock) *Backend { return newBackend(m, ActiveUp, clock) }

func newBackend(m Member, a Active, clock Clock) *Backend {
	if clock == nil {
		clock = Monotonic
	}
	b := &Backend{address: m.Address, clock: clock}
	b.set(&state{active: a, configured: m.Weight, maxConns: m.MaxConns, backup: m.Backup})
	return b
}

// set stores a state and the limit that follows from it.
func (b *Backend) set(s *state) {
	b.state.Store(s)
	if s.passive == PassiveTrial {
		b.limit.Store(onTrial)
	} else {
		b.limit.Store(int64(s.maxConns))
	}
}

// Address returns the address as configured or discovered: "127.0.0.1:5000", "unix:/run/app.sock".
func (b *Backend) Address() string { return b.address }

// Pool returns the pool that the backend is or was a member of; nil for one made by NewBackend.
func (b *Backend) Pool() *Pool { return b.pool }

// Weight returns the weight in force, at least 1.
func (b *Backend) Weight() int { return b.state.Load().weight() }

// Tenths returns how many tenths of the weight count now: 1 to 9 during a slow start, 10 otherwise.
func (b *Backend) Tenths() int {
	if tenths := b.state.Load().tenths; tenths != 0 {
		return tenths
	}
	return fullShare
}

// MaxConns returns the most requests at a time; 0: no limit.
func (b *Backend) MaxConns() int { return b.state.Load().maxConns }

// AdminState returns the administrator's state; in Maint there are no probes.
func (b *Backend) AdminState() Admin { return b.state.Load().admin }

// ActiveState returns the result of the health checks.
func (b *Backend) ActiveState() Active { return b.state.Load().active }

// Usable reports whether all three axes allow requests.
func (b *Backend) Usable() bool { return b.state.Load().usable() }

// InFlight returns the number of requests that have reserved the backend and not released it.
func (b *Backend) InFlight() int64 {
	if n := b.inFlight.Load(); n > retired/2 {
		return max(n, 0)
	}
	return 0
}

// Load returns the requests in flight, and whether Reserve would find room now; for a backend on trial this is an
// approximation. It is small enough to be inlined, since a picker may call it for many backends.
func (b *Backend) Load() (inFlight int64, room bool) {
	inFlight = b.inFlight.Load()
	limit := b.limit.Load()
	if limit >= 0 {
		return inFlight, inFlight >= 0 && (limit == noLimit || inFlight < limit)
	}
	return inFlight, limit == onTrial && b.trial.Load() == 0
}

// Reserve takes one place and reports whether there was one. Pickers call it; the caller of Pick releases.
func (b *Backend) Reserve() bool {
	switch limit := b.limit.Load(); {
	case limit == noLimit:
		if b.inFlight.Add(1) > 0 {
			return true
		}
		b.inFlight.Add(-1)
		return false
	case limit > 0:
		return b.reserveBelow(limit)
	case limit == onTrial:
		return b.reserveTrial()
	}
	return false
}

func (b *Backend) reserveBelow(limit int64) bool {
	for {
		n := b.inFlight.Load()
		if n < 0 || n >= limit {
			return false
		}
		if b.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release releases what Pick reserved. It is called exactly once for each pick.
func (b *Backend) Release() {
	b.giveBack()
	// The count goes down before the queue is checked, and a waiter enters the queue before it checks the counts, so
	// that one of the two sees the other.
	if p := b.pool; p != nil && p.queue.waiting.Load() != 0 {
		p.serveQueue()
	}
}

// giveBack is Release without serving the queue.
func (b *Backend) giveBack() {
	n := b.inFlight.Add(-1)
	switch b.limit.Load() {
	case onTrial:
		b.trial.Store(0)
	case removed:
		if n == 0 {
			b.retire()
		}
	}
}

// retire closes the connections of a backend that has left, once its last request has ended.
func (b *Backend) retire() {
	if b.inFlight.CompareAndSwap(0, retired) {
		b.pool.outbox.add(func() { b.pool.forget(b) })
	}
}

// Report records how an attempt ended, for passive ejection, the error counters and, for failures, Latency. It does
// not release.
func (b *Backend) Report(o Outcome) {
	if c := b.Metrics.errors[o]; c != nil {
		c.Inc()
	}
	switch o {
	case Aborted:
	case Success:
		if b.inARow.Load() != 0 {
			b.inARow.Store(0)
		}
		if b.limit.Load() == onTrial {
			b.pool.endTrial(b)
		}
	default:
		b.failed.Add(1)
		b.peak.fail(b.clock())
		b.recent.add(b.clock())
		if n := b.inARow.Add(1); b.pool != nil {
			b.pool.countFailure(b, int(n), o)
		}
	}
}

// ewmaShare is the weight of the newest time in the moving average, which is then mostly of the last 16.
const ewmaShare = 1.0 / 16

// Observe adds the time to a response head to lb_backend_duration_seconds and to the backend's mean for the status, on the event loop with
// that index, or 0. Pickers use the times given to Settle.
func (b *Backend) Observe(loop int, d time.Duration) {
	if b.Metrics.Duration != nil {
		b.Metrics.Duration.ObserveOn(loop, d)
	}
	for {
		old := b.ewma.Load()
		mean := float64(d)
		if old != 0 {
			was := math.Float64frombits(old)
			mean = was + (mean-was)*ewmaShare
		}
		if b.ewma.CompareAndSwap(old, math.Float64bits(mean)) {
			return
		}
	}
}

// RecordCheck records the result of a probe for the status and counts it. It does not change the state: see
// Pool.SetActive and Pool.ProbePassed.
func (b *Backend) RecordCheck(c Check) {
	c.Millis = millis(float64(c.Duration))
	b.lastCheck.Store(&c)
	counter := b.Metrics.ChecksFailed
	if c.OK {
		counter = b.Metrics.ChecksPassed
	}
	if counter != nil {
		counter.Inc()
	}
}
