package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

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
	TunnelIdle  time.Duration       // after which an upgraded connection without traffic is ended; 0: never
	HashKey     HashKey             // zero: the pool does not hash
	Sticky      *Sticky             // nil: clients need not return to their backend
	Timed       bool                // the pool's algorithm goes by how long backends take to respond
	Buffer      Buffering           // zero: bodies are streamed
	Timeouts    *transport.Timeouts // nil: the backend's own
}

// Serve implements Action.
func (f *Forward) Serve(x *Exchange) {
	x.poolName = f.Pool.Name()
	if !f.holdBody(x) && x.readBody(f.Retry.Body) {
		f.forward(x)
	}
}

// forward passes on a request whose body has been read as far as it is waited for.
func (f *Forward) forward(x *Exchange) {
	f.request(x)
	x.key = f.HashKey.of(x)
	x.client.Await(x.onLeaving)
	defer x.client.EndAwait()
	b, err := f.pick(x)
	if err != nil {
		unpicked(x, err)
		return
	}
	f.try(x, b)
}

// try makes tries until the client has its response, the first at b.
func (f *Forward) try(x *Exchange, b *pool.Backend) {
	for b != nil {
		x.tried = append(x.tried, b)
		b = f.attempt(x, b)
	}
}

// pick reserves the backend for the first try.
func (f *Forward) pick(x *Exchange) (*pool.Backend, error) {
	if own := f.Sticky.of(x); len(own) > 0 {
		return f.Pool.PickSticky(x.departure, own, x.key)
	}
	return f.Pool.Pick(x.departure, x.key, nil)
}

// unpicked responds where no backend could be had.
func unpicked(x *Exchange, err error) {
	switch {
	case errors.Is(err, pool.ErrNoBackend):
		x.Unavailable("no backend of the pool is usable")
	case errors.Is(err, context.Canceled):
		x.abandon()
	default:
		x.Unavailable(err.Error())
	}
}

// attempt makes one try at b, and another on a new connection if a kept one turns out to have
// been closed by the backend before the request came. It gives b back. If the request may be tried again it returns
// the backend reserved for that; nil says that the client has its response, or that the request rests.
func (f *Forward) attempt(x *Exchange, b *pool.Backend) *pool.Backend {
	client := pool.Conns[*transport.Client](b)
	for fresh := x.avoidsKept(client); ; fresh = true {
		var wait pool.Waiting
		if f.Timed && !x.body.live() { // else the client's own pace would count as the backend's
			wait = b.Await()
		}
		conn, err := client.Get(x.departure, fresh)
		if err != nil {
			b.Settle(wait, 0)
			return f.failed(x, b, err)
		}
		if f.Timeouts != nil {
			conn.Override(f.Timeouts)
		}
		x.departure.ends(conn)
		begin := time.Now()
		up, err := f.ask(x, b, conn, begin)
		if next, again := f.asked(x, b, conn, up, begin, wait, err); !again {
			return next
		}
	}
}

// asked is the part of attempt that comes after ask. again says that it is to be made once more.
func (f *Forward) asked(x *Exchange, b *pool.Backend, conn *transport.Conn, up *upload, begin time.Time, wait pool.Waiting, err error) (next *pool.Backend, again bool) {
	switch err {
	case errResting:
		return nil, false
	case nil:
		x.upstream = time.Since(begin)
		b.Observe(x.upstream)
		took := x.upstream
		if isFailure(conn.Response().Status) {
			took = 0
		}
		b.Settle(wait, took)
		return f.responded(x, b, conn, up), false
	}
	b.Settle(wait, 0)
	up.stop(x)
	x.release(conn, false)
	f.regain(x)
	if died(err) && x.unsent(err) && !x.departure.happened() {
		return nil, true // neither a try nor a failure: the backend has heard nothing of the request
	}
	return f.failed(x, b, err), false
}

// responded handles a response head: it is relayed, or, where its status asks for that and another
// backend is there, given up for another try.
func (f *Forward) responded(x *Exchange, b *pool.Backend, conn *transport.Conn, up *upload) *pool.Backend {
	status := conn.Response().Status
	b.Metrics.Requests.Inc(status)
	failure := isFailure(status)
	if failure && f.Retry.onStatus(status) && x.idempotent() && !x.informed && x.retries() < f.Retry.Attempts && f.repeatable(x, up) {
		if next := f.another(x); next != nil {
			b.Report(pool.Status)
			f.Pool.Metrics().Retried(pool.Status, status)
			x.release(conn, false)
			b.Release()
			return next
		}
	}
	if failure {
		f.Pool.RetriesFailed(x.retries())
	} else {
		b.HeadArrived()
	}
	f.Sticky.setCookie(x, b)
	if status == http.StatusSwitchingProtocols {
		x.status = status
		up.stop(x) // nobody may have asked for it, and the body may still be on its way
		b.Report(f.switchProtocols(x, conn))
		b.Release()
		return nil
	}
	if f.buffersResponse(conn) && up.sentWhole(x, overtaken) {
		up.stop(x)
		f.relayAhead(x, b, conn)
		return nil
	}
	f.relayed(x, b, conn, up, x.relay(conn, up))
	return nil
}

// relayed is what comes after relay and relayBody.
func (f *Forward) relayed(x *Exchange, b *pool.Backend, conn *transport.Conn, up *upload, outcome pool.Outcome) {
	if outcome == outcomeResting {
		f.restRelaying(x, b, conn, up)
		return
	}
	if !x.givenBack {
		x.giveBack(conn, up, outcome == pool.Success)
	}
	if outcome == pool.Success && isFailure(x.status) {
		outcome = pool.Status
	}
	b.Report(outcome)
	b.Release()
}

// repeatable reports whether there is a whole request to be sent again.
func (f *Forward) repeatable(x *Exchange, up *upload) bool {
	if !x.body.replayable() && !up.sentWhole(x, lastWrite) {
		return false
	}
	up.stop(x)
	return f.regain(x)
}

// release gives a connection back, for nothing to interrupt it any more.
func (x *Exchange) release(conn *transport.Conn, complete bool) {
	x.departure.ends(nil)
	conn.Done(complete)
}

// isFailure reports whether a status says that the backend, or what is behind it, failed.
func isFailure(status int) bool { return status == 502 || status == 503 || status == 504 }

// unfit reports whether err says that a response was refused for what is in its head, see transport.Error.Unfit.
func unfit(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.Unfit()
}

// causeOf returns the cause of a transport.Error.
func causeOf(err error) transport.Cause {
	var e *transport.Error
	errors.As(err, &e)
	return e.Cause
}

// brief is the reason of a transport.Error, for the status of the backend.
func brief(err error) string {
	var e *transport.Error
	errors.As(err, &e)
	return e.Brief()
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
