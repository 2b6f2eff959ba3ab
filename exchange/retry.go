package exchange

import (
	"net/http"

	"lb/message"
	"lb/pool"
	"lb/transport"
	"lb/transport/onloop"
)

// Retry says what is tried again.
type Retry struct {
	Attempts int   // after the first; 0: none
	Body     int64 // bytes of a request body that are kept to be sent again

	Connect, Reset, Timeout bool // which failures
	On502, On503, On504     bool // which responses
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

// avoidsKept reports whether the request wants a new connection because it could not be sent again if a kept one
// died under it.
func (x *Exchange) avoidsKept() bool {
	return x.fresh || x.streams() || !x.idempotent() && pool.Conns[*onloop.Set](x.backend).EndsKept()
}

// idempotent reports whether the request may be carried out twice without harm.
func (x *Exchange) idempotent() bool {
	switch string(x.Request.Method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return len(x.Lookup(message.IdempotencyKey)) > 0
}

// mayResend reports whether sending the request again can do no harm: nothing of it was sent, or its
// method is idempotent (RFC 9110 section 9.2.2) or the client says so, and nothing of a response came. The beginning of a
// response is none if it came on a kept connection, whose end the backend may have decided on before.
func (x *Exchange) mayResend(err *transport.Error) bool {
	switch {
	case !x.body.repeatable(), x.informed:
		return false
	case err.Responded:
		return err.Died() && x.idempotent()
	}
	return !err.Sent || x.idempotent()
}

// another reserves a backend that has not been tried, if one is free and the budget allows; else
// it returns nil. There is a response at hand, so it does not wait.
func (f *Forward) another(x *Exchange) *pool.Backend {
	next := f.Pool.TryPick(x.key, x.tried)
	if next != nil && !f.Pool.AllowRetry() {
		next.Release()
		return nil
	}
	return next
}

// attemptFailed goes on after a try without a response: another one where that is safe, else 502 or 504. The connection has been
// given back, the backend has not.
func (x *Exchange) attemptFailed(err *transport.Error) {
	f, b := x.forward, x.backend
	outcome := outcomeOf(err)
	if outcome == pool.Connect {
		x.unconnected(err)
		return
	}
	death := outcome == pool.Reset && err.Died()
	switch {
	case death:
		b.ReportStaleConn()
		x.fresh = true // another kept connection may be as dead
	case outcome == pool.Protocol && unfit(err):
		b.ReportUnfit()
	default:
		b.Report(outcome)
	}
	again := x.retries() < f.Retry.Attempts && f.Retry.onOutcome(outcome) && x.mayResend(err)
	if again && death {
		x.repeatAfterDeath(outcome)
		return
	}
	allowed := again && f.Pool.AllowRetry()
	if again && !allowed && outcome == pool.Reset {
		x.lookForRefusal(err)
		return
	}
	x.repeatOrTell(err, outcome, allowed)
}

// repeatAfterDeath repeats a request whose kept connection has ended. It needs no budget: a request meets one such end at most, and each
// needs a connection on which another request was responded to, so that the attempts are never more than twice the responses. Nor
// does it wait while the backend has room.
func (x *Exchange) repeatAfterDeath(outcome pool.Outcome) {
	f, next := x.forward, x.backend
	if !x.staysWith(next) {
		if other := f.Pool.TryPick(x.key, x.tried); other != nil {
			next.Release()
			next = other
		}
	}
	f.Pool.Metrics().Retried(outcome, 0)
	x.try(next)
}

// staysWith reports whether a request whose kept connection died is for b again, on a new one: it is the client's own
// backend, or there is no other.
func (x *Exchange) staysWith(b *pool.Backend) bool {
	f := x.forward
	if own := f.Sticky.of(x); len(own) > 0 && f.Pool.Owner(own) == b && f.Pool.Knows(own) {
		return true
	}
	return !f.Pool.Others(x.tried)
}

// lookForRefusal finds out whether a backend that has reset the connection refuses connections by now. One that ends resets at once
// all those that it had not accepted yet, more than the budget allows retries for; but it gets no request until it accepts again,
// so that these are as many as it had in hand, once.
func (x *Exchange) lookForRefusal(err *transport.Error) {
	f, b := x.forward, x.backend
	set := pool.Conns[*onloop.Set](b)
	dial := func() error { return set.Refusal() }
	look := func() error { return dial() }
	if f.Pool.Others(x.tried) {
		look = func() error { return b.Refusal(dial) }
	}
	var refused error
	x.Elsewhere(func() { refused = look() }, func() {
		if refusal, ok := refused.(*transport.Error); ok {
			x.tried = append(x.tried, b)
			x.unconnected(refusal)
			return
		}
		x.repeatOrTell(err, pool.Reset, false)
	}, nil)
}

// repeatOrTell gives the backend back, and makes another try if that is allowed.
func (x *Exchange) repeatOrTell(err *transport.Error, outcome pool.Outcome, allowed bool) {
	x.releaseBackend() // before the wait for another, which may be for the same one
	if allowed {
		x.failure, x.failed = err, outcome
		x.pick(nil)
		return
	}
	x.forward.Pool.RetriesFailed(x.retries())
	x.refuseFailed(err, err, outcome)
}

// unconnected goes on after no connection to the backend could be made. Nothing was sent, so that another try multiplies nothing: each
// backend is met once, whatever the budget and retry.attempts say. If all refuse, the request waits for one that does not, as
// long as the pool lets requests wait.
func (x *Exchange) unconnected(err *transport.Error) {
	f, b := x.forward, x.backend
	x.unmet++
	if err.Cause == transport.Refused {
		b.Refused(err.Brief()) // first, or it could be ejected for a time rather than until it accepts
	}
	if err.Cause == transport.Exhausted {
		b.ReportExhausted()
	} else {
		b.Report(pool.Connect)
	}
	x.releaseBackend()
	if !f.Retry.Connect || !x.mayResend(err) || err.Cause != transport.Refused && !f.Pool.Others(x.tried) || x.unmet > triesAtMost+len(f.Pool.Backends()) {
		f.Pool.RetriesFailed(x.retries())
		x.refuseFailed(err, err, pool.Connect)
		return
	}
	x.failure, x.failed = err, pool.Connect
	x.pick(nil)
}

// triesAtMost bounds, beyond one for each backend, the connections that one request may fail to make where backends accept and
// refuse by turns.
const triesAtMost = 8

// refuseFailed responds for a backend that has not. The log gets err; failure is what the backend did.
func (x *Exchange) refuseFailed(err error, failure *transport.Error, outcome pool.Outcome) {
	status, words := http.StatusBadGateway, "the backend could not be reached"
	if failure.Cause == transport.TimedOut {
		status = http.StatusGatewayTimeout
	}
	switch outcome {
	case pool.Timeout:
		words = "the backend did not answer in time"
	case pool.Reset:
		words = "the backend ended the connection without an answer"
	case pool.Protocol:
		words = "the backend's answer is no valid HTTP"
		if unfit(failure) {
			words = "the head of the backend's response is too large or holds a byte that must not be there"
		}
	}
	x.Fail(status, words, err)
}
