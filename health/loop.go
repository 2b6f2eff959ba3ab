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

// loop probes one backend until its context ends. Its goroutine alone touches the fields from state on.
type loop struct {
	checker *Checker
	backend *pool.Backend
	cancel  context.CancelFunc
	changed chan struct{} // holds one token: the settings are new, or anew is set
	anew    atomic.Bool   // the next probe is due, and is to be like the first
	hurry   atomic.Bool   // the next probe is due, and a pass decides alone
	told    atomic.Bool   // the pool knows of the first result
	running running

	alone      bool // a pass of the probe under way is enough
	state      state
	flapping   flapping
	unresolved int // probes in a row whose name did not resolve
	settings   *settings
	request    [2][]byte // see settings.request; the second asks to keep the connection
	kept       net.Conn  // for the next probe; nil: none
	uses       int       // probes that the connection in use, or kept, has served
	head       int       // what uses is for the first connection
}

// running is the connection of the probe under way, for whoever ends the loop.
type running struct {
	mu    sync.Mutex
	conn  net.Conn
	ended bool
}

// begin lets reads and writes of conn wait until the deadline, or until end.
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
	// keepFrom is how many backends a pool must have for probes to share connections, as it is then that their
	// cost counts.
	keepFrom = 100
	// maxUses is how many probes share one. A backend that has stopped accepting, but still
	// answers on what is open, is found out by the next one.
	maxUses = 10
)

// takeKept returns the connection that the last probe left; nil if there is none. While there is any doubt
// about the backend each probe has a new one.
func (l *loop) takeKept() net.Conn {
	if l.settings.Type == TCP || l.state.changing() || !l.backend.Usable() {
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

// nudge makes the loop look at the settings again. It never blocks.
func (l *loop) nudge() {
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
		if l.anew.Swap(false) {
			l.forget()
		}
		start := time.Now()
		l.alone = l.hurry.Swap(false)
		if !l.check(ctx, start) || !l.wait(ctx, start, timer) {
			return
		}
	}
}

// forget drops what the probes of before have left: their results in a row and their connection.
func (l *loop) forget() {
	l.state, l.unresolved = state{}, 0
	l.dropKept()
}

// dropKept closes the connection that the last probe left, if it left one.
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
	if s.Type != TCP {
		l.request = [2][]byte{s.request(l.backend, l.checker.version, "close"), s.request(l.backend, l.checker.version, "keep-alive")}
	}
}

// check runs one probe and reports it. It returns false once ctx has ended, when the result, if any,
// says nothing of the backend.
func (l *loop) check(ctx context.Context, start time.Time) bool {
	x := l.checker.buffers.Get().(*exchange)
	defer l.checker.buffers.Put(x)
	defer func() { l.kept = x.end() }() // after the report: the rest of an answer's body delays no verdict

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

// report hands one result on, and the state if it flips it.
func (l *loop) report(check pool.Check) {
	c := l.checker
	l.backend.RecordCheck(check)
	reason, first, rise := check.Error, !l.state.known, l.flapping.rise(l.settings.Rise)
	if l.alone {
		rise = 1
	}
	if check.OK {
		c.pool.ProbePassed(l.backend)
		reason = "first check passed"
		if !first && l.alone {
			reason = "a check passed while requests wait for the pool"
		} else if !first {
			reason = fmt.Sprintf("%d checks passed in a row", rise)
		}
	}
	if l.state.add(check.OK, rise, l.settings.Fall) {
		c.pool.SetActive(l.backend, l.state.up, reason)
		l.told.Store(true)
		if !first {
			l.flapping.flip(check.Time, l.state.up)
		}
	} else if !check.OK && c.log.IsDebug() {
		c.log.Debug("health check failed", "backend", l.backend.Address(), "reason", reason, "took", check.Duration)
	}
	if news, on := l.flapping.news(check.Time, l.settings); news != "" {
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
			if l.anew.Load() || l.hurry.Load() && l.unresolved == 0 { // a resolver must not be hammered
				return true
			}
			l.configure()
			timer.Reset(time.Until(l.due(start)))
		}
	}
}

// due returns the time of the next probe. To wake a process that sleeps costs more than a probe does, so that loops
// wake together: at the twentieths of an interval, each 100 ms at 2 s.
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
		// A name often appears soon after its service has been started, but a
		// resolver must not be hammered for one that never does.
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

// state is a backend's active state with the results in a row that speak against it.
type state struct {
	known    bool
	up       bool
	contrary int
}

// add counts one result and tells whether the state flipped; a first result always does.
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

// changing tells whether the last result spoke against the state without flipping it.
func (s *state) changing() bool { return s.contrary > 0 }
