package health

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"lb/pool"
)

// loop probes one backend until its context ends. Only its goroutine uses the fields from onePass on.
type loop struct {
	checker  *Checker
	backend  *pool.Backend
	cancel   context.CancelFunc
	changed  chan struct{} // holds one token: settings, restart or urgent have changed
	restart  atomic.Bool   // the next probe is due, and counts as the first
	urgent   atomic.Bool   // the next probe is due, and one pass brings the backend up
	reported atomic.Bool   // the pool has the first result
	running  running

	onePass    bool // one pass of the current probe brings the backend up
	state      state
	flapping   flapping
	unresolved int // probes in a row for which the name did not resolve
	settings   *settings
	request    [2][]byte // see settings.request: the second one keeps the connection; and grpcRequest: the second one is for TLS
	kept       net.Conn  // for the next probe; nil: none
	uses       int       // probes that the connection in use, or the kept one, has served
	head       int       // initial value of uses for the first connection
}

// running is the connection of the current probe, for the goroutine that ends the loop.
type running struct {
	mu    sync.Mutex
	conn  net.Conn
	ended bool
}

// begin sets the deadline of conn, which end brings forward.
func (r *running) begin(conn net.Conn, deadline time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn = conn; r.ended {
		deadline = longAgo
	}
	_ = conn.SetDeadline(deadline)
}

func (r *running) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended = true; r.conn != nil {
		_ = r.conn.SetDeadline(longAgo)
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

const (
	// keepFrom is the size of a pool from which on probes share connections, since their cost matters then.
	keepFrom = 100
	// maxUses is how many probes share a connection. The next one notices a backend that has stopped accepting
	// connections but responds on open ones.
	maxUses = 10
)

// takeKept returns the connection that the last probe kept; nil if there is none. While the state of the backend is
// in doubt, every probe uses a new one.
func (l *loop) takeKept() net.Conn {
	if l.settings.Type != HTTP || l.state.changing() || !l.backend.Usable() {
		l.dropKept()
	}
	conn := l.kept
	l.kept = nil
	return conn
}

// dial opens a new connection.
func (l *loop) dial(ctx context.Context, deadline time.Time) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := l.checker.dial(ctx, l.backend)
	l.uses, l.head = l.head, 0
	return conn, err
}

// nextRequest returns what to send on the connection in use, and whether to keep that afterwards.
func (l *loop) nextRequest() (request []byte, keep bool) {
	l.uses++
	if l.uses < maxUses && l.checker.size.Load() >= keepFrom {
		return l.request[1], true
	}
	return l.request[0], false
}

// wake makes the loop look at its flags and settings. It never blocks.
func (l *loop) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *loop) run(ctx context.Context) {
	defer l.cancel()
	context.AfterFunc(ctx, l.running.end)
	defer l.dropKept()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.configure()
		if l.restart.Swap(false) {
			l.forget()
		}
		start := time.Now()
		l.onePass = l.urgent.Swap(false)
		if !l.check(ctx, start) || !l.wait(ctx, start, timer) {
			return
		}
	}
}

// forget drops the results in a row and the kept connection.
func (l *loop) forget() {
	l.state, l.unresolved = state{}, 0
	l.dropKept()
}

// dropKept closes the kept connection, if there is one.
func (l *loop) dropKept() {
	if l.kept != nil {
		_ = l.kept.Close()
		l.kept = nil
	}
}

// configure takes over the settings in force.
func (l *loop) configure() {
	s := l.checker.settings.Load()
	if s == l.settings {
		return
	}
	l.settings = s
	switch version := l.checker.version; s.Type {
	case HTTP:
		l.request = [2][]byte{s.request(l.backend, version, "close"), s.request(l.backend, version, "keep-alive")}
	case GRPC:
		l.request = [2][]byte{s.grpcRequest(l.backend, version, "http"), s.grpcRequest(l.backend, version, "https")}
	}
}

// check runs one probe and reports the result. It returns false once ctx has ended; the result says nothing then.
func (l *loop) check(ctx context.Context, start time.Time) bool {
	x := l.checker.buffers.Get().(*exchange)
	defer l.checker.buffers.Put(x)
	defer func() { l.kept = x.end() }() // after the report, so that reading the rest of a body does not delay it

	v := x.probe(ctx, start.Add(l.settings.Timeout), l)
	if ctx.Err() != nil {
		return false
	}
	if v.unresolved {
		l.unresolved++
	} else {
		l.unresolved = 0
	}
	l.report(pool.Check{
		Time:     start,
		OK:       v.failure == "",
		Duration: time.Since(start),
		Status:   v.status,
		Error:    v.failure,
	})
	return true
}

// report passes a result to the pool, and the state if it flips.
func (l *loop) report(check pool.Check) {
	c := l.checker
	l.backend.RecordCheck(check)
	reason, first, rise := check.Error, !l.state.known, l.flapping.rise(l.settings.Rise)
	if l.onePass {
		rise = 1
	}
	if check.OK {
		c.pool.ProbePassed(l.backend)
		reason = "first check passed"
		if !first && l.onePass {
			reason = "a check passed while requests wait for the pool"
		} else if !first {
			reason = fmt.Sprintf("%d checks passed in a row", rise)
		}
	}
	if l.state.add(check.OK, rise, l.settings.Fall) {
		c.pool.SetActive(l.backend, l.state.up, reason)
		l.reported.Store(true)
		if !first {
			l.flapping.flip(check.Time, l.state.up)
		}
	} else if !check.OK && c.log.IsDebug() {
		c.log.Debug("health check failed", "backend", l.backend.Address(), "reason", reason, "took", check.Duration)
	}
	if news, on := l.flapping.report(check.Time, l.settings); news != "" {
		c.pool.SetFlapping(l.backend, on, news)
	}
}

// wait sleeps until the next probe is due. It returns false when ctx has ended.
func (l *loop) wait(ctx context.Context, start time.Time, timer *time.Timer) bool {
	timer.Reset(time.Until(l.due(start)))
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-l.changed:
			if l.restart.Load() || l.urgent.Load() && l.unresolved == 0 { // do not query a resolver that often
				return true
			}
			l.configure()
			timer.Reset(time.Until(l.due(start)))
		}
	}
}

// due returns the time of the next probe. Waking a sleeping process costs more than a probe, so loops wake together:
// at multiples of a twentieth of the interval, every 100 ms at 2 s.
func (l *loop) due(start time.Time) time.Time {
	delay := l.delay()
	slot := max(delay/20, 1)
	jitter := time.Duration(float64(delay) * l.settings.Jitter * (2*l.checker.random() - 1))
	due := start.Add(delay + jitter + slot/2)
	return due.Add(-time.Duration(due.UnixNano() % int64(slot)))
}

// delay returns the time from the start of the last probe to that of the next, without jitter.
func (l *loop) delay() time.Duration {
	s := l.settings
	switch {
	case l.unresolved > 0:
		// A name often appears soon after its service has started, but a resolver must not be queried often for one
		// that never does.
		d := s.FastInterval
		for n := 1; n < l.unresolved && d < s.Interval; n++ {
			d *= 2
		}
		return min(d, s.Interval)
	case l.state.changing():
		return s.FastInterval
	}
	return s.Interval
}

// state is a backend's active state and the number of results in a row against it.
type state struct {
	known    bool
	up       bool
	contrary int
}

// add counts a result and reports whether the state flipped; a first result always flips it.
func (s *state) add(pass bool, rise, fall int) bool {
	if !s.known {
		*s = state{known: true, up: pass}
		return true
	}
	if pass == s.up {
		s.contrary = 0
		return false
	}
	s.contrary++
	needed := fall
	if pass {
		needed = rise
	}
	if s.contrary < needed {
		return false
	}
	*s = state{known: true, up: pass}
	return true
}

// changing reports whether the last result was against the state without flipping it.
func (s *state) changing() bool { return s.contrary > 0 }
