package exchange

import (
	"errors"
	"time"

	"lb/pool"
	"lb/route"
	"lb/transport"
	"lb/transport/onloop"
)

// Forward passes requests on to a pool.
type Forward struct {
	Pool        *pool.Pool
	StripPrefix bool
	Rewrite     route.Template // zero: the path as it is
	Host        string         // "": the client's
	Retry       Retry
	TunnelIdle  time.Duration       // after which an upgraded connection without traffic is ended; 0: never
	HashKey     HashKey             // zero: the pool does not hash
	Sticky      *Sticky             // nil: clients need not return to their backend
	Timed       bool                // the pool's algorithm goes by how long backends take to respond
	Buffer      Buffering           // zero: bodies are streamed
	Timeouts    *transport.Timeouts // nil: the backend's own
}

// Serve implements Action.
func (f *Forward) Serve(x *Exchange) {
	x.poolName, x.forward = f.Pool.Name(), f
	x.holds = f.Buffer.Request > 0 && x.Request.Length <= f.Buffer.Request
	limit := f.Retry.Body
	if x.holds {
		limit = min(spoolMemory, f.Buffer.Request)
	}
	if !x.beginBody(limit) || !x.holds && (x.body.expected || x.body.passed) {
		x.holds = false
		f.choose(x)
		return
	}
	x.phase = phaseBody
	if x.holds {
		x.body.expected = false // the client is asked for it here: reading does that
	} else {
		x.wait(promptly)
	}
	x.readBody()
}

// choose takes a backend for the first try.
func (f *Forward) choose(x *Exchange) {
	x.key = f.HashKey.of(x)
	x.pick(f.Sticky.of(x))
}

// pick reserves a backend for the next try, at once or later.
func (x *Exchange) pick(own []byte) {
	f := x.forward
	b, waiting, err := f.Pool.PickOrWait(&x.place, x.key, own, x.tried, x.grantedFunc)
	if waiting {
		x.phase = phaseQueue
		x.wait(x.place.Timeout())
		return
	}
	x.picked(b, err)
}

// granted is called when the pool may have a backend for a request that waits.
func (x *Exchange) granted() {
	if !x.place.Granted() {
		return // an exchange before this one was meant
	}
	x.wait(0)
	x.picked(x.place.Result())
}

func (x *Exchange) queueTimeout() { x.picked(x.place.Expire()) }

// leaveQueue ends an exchange whose client has left the queue.
func (x *Exchange) leaveQueue() {
	x.place.Cancel()
	x.abandon()
}

// picked goes on with the backend that the pool has granted.
func (x *Exchange) picked(b *pool.Backend, err error) {
	if err == nil {
		if x.failure != nil {
			x.forward.Pool.Metrics().Retried(x.failed, 0)
			x.failure = nil
		}
		x.try(b)
		return
	}
	failure := x.failure
	x.failure = nil
	switch {
	case failure == nil:
		x.unpicked(err)
	case x.failed == pool.Connect:
		x.cause = ": " + failure.Error()
		x.unpicked(err)
	default:
		x.forward.Pool.RetriesFailed(x.retries())
		x.refuseFailed(errors.Join(failure, err), failure, x.failed)
	}
}

// unpicked responds where no backend could be had.
func (x *Exchange) unpicked(err error) {
	if errors.Is(err, pool.ErrNoBackend) {
		x.Unavailable("no backend of the pool is usable")
		return
	}
	x.Unavailable(err.Error())
}

// try makes a try at a reserved backend.
func (x *Exchange) try(b *pool.Backend) {
	x.tried = append(x.tried, b)
	x.backend = b
	x.connect(x.avoidsKept())
}

// connect takes a connection to the backend.
func (x *Exchange) connect(fresh bool) {
	f, b := x.forward, x.backend
	if f.Timed && !x.streams() { // else the client's own pace would count as the backend's
		x.waiting = b.Await()
	} else {
		x.waiting = 0
	}
	conn, ready := pool.Conns[*onloop.Set](b).Get(x.worker.Loop, x, fresh)
	x.conn = conn
	if !ready {
		x.phase = phaseDial
		return
	}
	x.ask()
}

// dialed goes on when the connection is there, or could not be made.
func (x *Exchange) dialed() {
	if err := x.dialErr; err != nil {
		x.dialErr = nil
		x.backend.Settle(x.waiting, 0)
		x.releaseConn(false)
		x.attemptFailed(err)
		return
	}
	x.ask()
}

// releaseConn gives the connection back. complete says that the whole request was sent.
func (x *Exchange) releaseConn(complete bool) {
	if x.conn != nil {
		x.conn.Done(complete)
		x.conn = nil
	}
}

// streams reports whether the body goes on as the client sends it.
func (x *Exchange) streams() bool { return !x.body.whole }

// timeouts are those of the present try.
func (x *Exchange) timeouts() *transport.Timeouts {
	if t := x.forward.Timeouts; t != nil {
		return t
	}
	return x.conn.Timeouts()
}

// releaseBackend gives the reservation back.
func (x *Exchange) releaseBackend() {
	x.backend.Release()
	x.backend = nil
}

// unfit reports whether err says that a response was refused for what is in its head, see transport.Error.Unfit.
func unfit(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.Unfit()
}

func outcomeOf(err error) pool.Outcome {
	var e *transport.Error
	if !errors.As(err, &e) {
		return pool.Aborted
	}
	switch {
	case e.Phase == transport.Dial: // for whatever cause: nothing was sent
		return pool.Connect
	case e.Cause == transport.TimedOut:
		return pool.Timeout
	case e.Cause == transport.Protocol:
		return pool.Protocol
	}
	return pool.Reset
}
