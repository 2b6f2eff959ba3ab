package proxy

import (
	"errors"
	"net/http"
	"time"

	"lb/internal/proxyprotocol"
	"lb/pool"
	"lb/route"
	"lb/transport"
)

// Forward passes requests on to a pool.
type Forward struct {
	Pool        *pool.Pool
	StripPrefix bool
	Rewrite     route.Template // zero: the path as it is
	Host        string         // "": the client's
	Retry       Retry
	TunnelIdle  time.Duration       // idle timeout of upgraded connections; 0: none
	HashKey     HashKey             // zero: the pool does not hash
	Sticky      *Sticky             // nil: not sticky
	Timed       bool                // the pool's algorithm depends on response times
	Buffer      Buffering           // zero: bodies are streamed
	Timeouts    *transport.Timeouts // nil: the backend's
	HTTP2       bool                // the backends speak HTTP/2
}

// Serve implements Action.
func (f *Forward) Serve(x *Exchange) {
	x.poolName, x.forward = f.Pool.Name(), f
	if f.HTTP2 && x.asked(webSocket) && !x.opensWebSocket() {
		x.Refuse(http.StatusBadRequest, "a WebSocket begins with a GET that has a Sec-WebSocket-Key of 24 characters")
		return
	}
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
		x.body.expected = false // reading the body sends the 100 (Continue)
	} else {
		x.wait(promptWait)
	}
	x.readBody()
}

// choose picks a backend for the first try.
func (f *Forward) choose(x *Exchange) {
	x.releaseState()
	x.key = f.HashKey.of(x)
	x.pick(f.Sticky.of(x))
}

// pick reserves a backend for the next try, at once or later.
func (x *Exchange) pick(own []byte) {
	f := x.forward
	b, waiting, err := f.Pool.PickOrWait(&x.place, x.key, own, x.tried, x.grantedFunc)
	if waiting {
		x.holdState()
		x.phase = phaseQueue
		x.wait(x.place.Timeout())
		return
	}
	x.picked(b, err)
}

// granted is called when the pool may have a backend for a queued request.
func (x *Exchange) granted() {
	if !x.place.Granted() {
		return // meant for an earlier exchange that used the same struct
	}
	x.wait(0)
	x.picked(x.place.Result())
}

func (x *Exchange) queueTimeout() { x.picked(x.place.Expire()) }

// leaveQueue ends an exchange whose client disconnected while it was queued.
func (x *Exchange) leaveQueue() {
	x.place.Cancel()
	x.abandon()
}

// picked continues with the backend that the pool has picked, or with its error.
func (x *Exchange) picked(b *pool.Backend, err error) {
	x.releaseState()
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

// unpicked responds if the pool returned no backend.
func (x *Exchange) unpicked(err error) {
	if x.staleOnFailure(nil) {
		return
	}
	if errors.Is(err, pool.ErrNoBackend) {
		x.Unavailable("no backend of the pool is usable")
		return
	}
	x.Unavailable(err.Error())
}

// try starts a try with a reserved backend.
func (x *Exchange) try(b *pool.Backend) {
	x.tried = append(x.tried, b)
	x.backend, x.resent = b, false
	x.connect(x.avoidsKept())
}

// connect gets a connection to the backend, with fresh a new one.
func (x *Exchange) connect(fresh bool) {
	f, b := x.forward, x.backend
	if f.Timed && !x.streams() { // a slow upload must not count as a slow backend
		x.waiting = b.Await()
	} else {
		x.waiting = 0
	}
	conn, ready := pool.Conns[*transport.Client](b).Exchange(x.worker.Loop, x, fresh)
	x.conn = conn
	if !ready {
		x.phase = phaseDial
		return
	}
	x.sendRequest()
}

// DescribeClient says of the client's connection what a backend may want to know. The ID is that of the request, since there is none of a
// connection.
func (x *Exchange) DescribeClient(c *proxyprotocol.Connection) (uniqueID []byte) {
	c.Source, c.Destination = x.in.Peer, x.client.Local()
	c.TLSVersion, c.ALPN, c.ClientCert = x.in.TLSVersion, x.in.ALPN, len(x.in.ClientCert) > 0
	if n := x.in.ServerName; n != nil {
		c.Authority = n.name
	}
	return x.id
}

// settle ends the wait for a response head, if it has not ended yet. took is how long it lasted; 0: there was none, or one that means
// failure.
func (x *Exchange) settle(took time.Duration) {
	x.backend.Settle(x.waiting, took)
	x.waiting = 0
}

// dialed continues when the dial has succeeded or failed.
func (x *Exchange) dialed() {
	if err := x.dialErr; err != nil {
		x.dialErr = nil
		x.settle(0)
		x.releaseConn(false)
		x.attemptFailed(err)
		return
	}
	x.sendRequest()
}

// releaseConn releases the connection. complete says that the whole request was sent.
func (x *Exchange) releaseConn(complete bool) {
	if x.conn != nil {
		x.conn.Done(complete)
		x.conn = nil
	}
}

// streams reports whether the body is forwarded while the client sends it.
func (x *Exchange) streams() bool { return !x.body.whole }

// timeouts returns the timeouts of the current try.
func (x *Exchange) timeouts() *transport.Timeouts {
	if t := x.forward.Timeouts; t != nil {
		return t
	}
	return x.conn.Timeouts()
}

// releaseBackend releases the reservation of the backend.
func (x *Exchange) releaseBackend() {
	x.backend.Release()
	x.backend = nil
}

// unfit reports whether a response was rejected because of the content of its head, see transport.Error.Unfit.
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
	case e.Phase == transport.Dial: // for any cause: nothing was sent
		return pool.Connect
	case e.Cause == transport.TimedOut:
		return pool.Timeout
	case e.Cause == transport.Protocol:
		return pool.Protocol
	}
	return pool.Reset
}
