package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"lb/internal/wire"
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
	Timed       bool                // the pool's algorithm goes by how long backends take to answer
	Buffer      Buffering           // zero: bodies are streamed
	Timeouts    *transport.Timeouts // nil: the backend's own
}

// Retry says what is tried again.
type Retry struct {
	Attempts int   // after the first; 0: none
	Body     int64 // bytes of a request body that are kept to be sent again

	Connect, Reset, Timeout bool // which failures
	On502, On503, On504     bool // which answers
}

// Serve implements Action.
func (f *Forward) Serve(x *Exchange) {
	x.poolName = f.Pool.Name()
	if !x.refuseLoop() && !f.holdBody(x) && x.readBody(f.Retry.Body) {
		f.forward(x)
	}
}

// forward passes on a request whose body has been read as far as it is waited for.
func (f *Forward) forward(x *Exchange) {
	x.out = f.request(x, x.out[:0])
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

// try makes tries until the client has been answered, the first at b.
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

// unpicked answers where no backend could be had.
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
// the backend reserved for that; nil says that the client has been answered, or that the request rests.
func (f *Forward) attempt(x *Exchange, b *pool.Backend) *pool.Backend {
	client := b.Conns().(*transport.Client)
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
		if isFailure(conn.Head.Status) {
			took = 0
		}
		b.Settle(wait, took)
		return f.answered(x, b, conn, up), false
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

// avoidsKept reports whether the request wants a new connection because it could not be sent again if a kept one
// died under it.
func (x *Exchange) avoidsKept(client *transport.Client) bool {
	return x.fresh || x.body.live() || !x.idempotent() && client.EndsKept()
}

// died reports whether err says that a kept connection ended without a whole answer.
func died(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.Died()
}

// unsent reports whether it is certain that nothing of the request came to the backend.
func (x *Exchange) unsent(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && !e.Sent && !x.body.spent
}

// mayResend reports whether sending the request again can do no harm: nothing of it was sent, or its
// method is idempotent (RFC 9110 section 9.2.2) or the client says so, and nothing was answered. The beginning of an
// answer is no answer if it came on a kept connection, whose end the backend may have decided on before.
func (x *Exchange) mayResend(err error) bool {
	var e *transport.Error
	switch {
	case !errors.As(err, &e), x.body.spent, x.informed:
		return false
	case e.Answered:
		return e.Died() && x.idempotent()
	}
	return !e.Sent || x.idempotent()
}

// answered handles a response head: it is relayed, or, where its status asks for that and another
// backend is there, given up for another try.
func (f *Forward) answered(x *Exchange, b *pool.Backend, conn *transport.Conn, up *upload) *pool.Backend {
	status := conn.Head.Status
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
	x.Extra = f.Sticky.appendCookie(x.Extra, x, b)
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

// another reserves a backend that has not been tried, if one is free and the budget allows; else
// it returns nil. There is an answer at hand, so it does not wait.
func (f *Forward) another(x *Exchange) *pool.Backend {
	next := f.Pool.TryPick(x.key, x.tried)
	if next != nil && !f.Pool.AllowRetry() {
		next.Release()
		return nil
	}
	return next
}

// failed handles an attempt without an answer: another try where that is safe, else 502 or 504.
func (f *Forward) failed(x *Exchange, b *pool.Backend, err error) *pool.Backend {
	outcome, left := outcomeOf(err), x.departure.happened()
	if x.body.err != nil || left {
		outcome = pool.Aborted
	}
	if outcome == pool.Connect {
		return f.unconnected(x, b, err)
	}
	death := outcome == pool.Reset && died(err)
	switch {
	case death:
		b.ReportDeath()
		x.fresh = true // another kept connection may be as dead
	case outcome == pool.Protocol && unfit(err):
		b.ReportUnfit()
	default:
		b.Report(outcome)
	}
	again := outcome != pool.Aborted && x.retries() < f.Retry.Attempts && f.Retry.onOutcome(outcome) && x.mayResend(err)
	if again && death {
		// It needs no budget: a request meets one at most, and each needs a connection on which another request was
		// answered, so that the attempts are never more than twice the answers. Nor does it wait while b has room.
		next := b
		if !f.staysWith(x, b) {
			if other := f.Pool.TryPick(x.key, x.tried); other != nil {
				b.Release()
				next = other
			}
		}
		f.Pool.Metrics().Retried(outcome, 0)
		return next
	}
	allowed := again && f.Pool.AllowRetry()
	if again && !allowed && outcome == pool.Reset {
		var refused error
		if f.Pool.Others(x.tried) {
			refused = b.Refusal(func() error { return f.refusal(x, b) })
		} else {
			refused = f.refusal(x, b)
		}
		if refused != nil {
			x.tried = append(x.tried, b)
			return f.unconnected(x, b, refused)
		}
	}
	b.Release() // before the wait for another, which may be for the same one
	switch {
	case left:
		x.abandon()
		return nil
	case outcome == pool.Aborted:
		x.refuseBody(x.body.err)
		return nil
	}
	if allowed {
		next, pickErr := f.Pool.Pick(x.departure, x.key, x.tried)
		if pickErr == nil {
			f.Pool.Metrics().Retried(outcome, 0)
			return next
		}
		if x.departure.happened() {
			x.abandon()
			return nil
		}
		err = fmt.Errorf("%w; not tried again: %w", err, pickErr)
	}
	f.Pool.RetriesFailed(x.retries())
	x.tell(err, outcome)
	return nil
}

// refusal returns the error of a backend that refuses connections by now, or nil. One that ends resets at once all the
// connections that it had not accepted yet, more than the budget allows retries for; but it gets no request until it accepts
// again, so that these are as many as it had in hand, once.
func (f *Forward) refusal(x *Exchange, b *pool.Backend) error {
	conn, err := b.Conns().(*transport.Client).Get(x.departure, true)
	if err == nil {
		conn.Abort() // closed, it would leave its port in TIME-WAIT, and where all backends reset connections there are many
		conn.Done(false)
		return nil
	}
	if causeOf(err) != transport.Refused {
		return nil
	}
	return err
}

// unconnected goes on after no connection to b could be made. Nothing was sent, so that another try multiplies nothing: each
// backend is met once, whatever the budget and retry.attempts say. If all refuse, the request waits for one that does not, as
// long as the pool lets requests wait.
func (f *Forward) unconnected(x *Exchange, b *pool.Backend, err error) *pool.Backend {
	x.unmet++
	cause := causeOf(err)
	if cause == transport.Refused {
		b.Refused(brief(err)) // first, or it could be ejected for a time rather than until it accepts
	}
	if cause == transport.Exhausted {
		b.ReportExhausted()
	} else {
		b.Report(pool.Connect)
	}
	b.Release()
	if !f.Retry.Connect || !x.mayResend(err) || cause != transport.Refused && !f.Pool.Others(x.tried) || x.unmet > triesAtMost+len(f.Pool.Backends()) {
		f.Pool.RetriesFailed(x.retries())
		x.tell(err, pool.Connect)
		return nil
	}
	next, pickErr := f.Pool.Pick(x.departure, x.key, x.tried)
	switch {
	case pickErr == nil:
		f.Pool.Metrics().Retried(pool.Connect, 0)
		return next
	case x.departure.happened():
		x.abandon()
	default:
		unpicked(x, pickErr)
		x.reason += ": " + err.Error()
	}
	return nil
}

// triesAtMost bounds, beyond one for each backend, the connections that one request may fail to make where backends accept and
// refuse by turns.
const triesAtMost = 8

// staysWith reports whether a request whose kept connection died is for b again, on a new one: it is the client's own
// backend, or there is no other.
func (f *Forward) staysWith(x *Exchange, b *pool.Backend) bool {
	if own := f.Sticky.of(x); len(own) > 0 && f.Pool.Owner(own) == b && f.Pool.Knows(own) {
		return true
	}
	return !f.Pool.Others(x.tried)
}

// tell answers for a backend that gave none.
func (x *Exchange) tell(err error, outcome pool.Outcome) {
	status, words := http.StatusBadGateway, "the backend could not be reached"
	if isTimeout(err) {
		status = http.StatusGatewayTimeout
	}
	switch outcome {
	case pool.Timeout:
		words = "the backend did not answer in time"
	case pool.Reset:
		words = "the backend ended the connection without an answer"
	case pool.Protocol:
		words = "the backend's answer is no valid HTTP"
		if unfit(err) {
			words = "the head of the backend's response is too large or holds a byte that must not be there"
		}
	}
	x.Fail(status, words, err)
}

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

func (r *Retry) onOutcome(o pool.Outcome) bool {
	switch o {
	case pool.Reset:
		return r.Reset
	case pool.Timeout:
		return r.Timeout
	}
	return false
}

func (r *Retry) onStatus(status int) bool {
	return status == 502 && r.On502 || status == 503 && r.On503 || status == 504 && r.On504
}

// idempotent reports whether the request may be carried out twice without harm.
func (x *Exchange) idempotent() bool {
	switch string(x.Method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return len(x.Lookup(wire.IdempotencyKey)) > 0
}
