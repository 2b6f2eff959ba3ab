package proxy

import (
	"errors"
	"fmt"
	"net/http"

	"lb/message"
	"lb/pool"
	"lb/transport"
)

// Retry says what is tried again.
type Retry struct {
	Attempts int   // after the first; 0: none
	Body     int64 // bytes of a request body that are kept to be sent again

	Connect, Reset, Timeout bool // which failures
	On502, On503, On504     bool // which responses
}

// avoidsKept reports whether the request wants a new connection because it could not be sent again if a kept one
// died under it.
func (x *Exchange) avoidsKept(client *transport.Client) bool {
	return x.fresh || x.body.live() || !x.idempotent() && client.EndsKept()
}

// died reports whether err says that a kept connection ended without a whole response.
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
// method is idempotent (RFC 9110 section 9.2.2) or the client says so, and nothing of a response came. The beginning of an
// response is none if it came on a kept connection, whose end the backend may have decided on before.
func (x *Exchange) mayResend(err error) bool {
	var e *transport.Error
	switch {
	case !errors.As(err, &e), x.body.spent, x.informed:
		return false
	case e.Responded:
		return e.Died() && x.idempotent()
	}
	return !e.Sent || x.idempotent()
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

// failed handles an attempt without a response: another try where that is safe, else 502 or 504.
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
		b.ReportStaleConn()
		x.fresh = true // another kept connection may be as dead
	case outcome == pool.Protocol && unfit(err):
		b.ReportUnfit()
	default:
		b.Report(outcome)
	}
	again := outcome != pool.Aborted && x.retries() < f.Retry.Attempts && f.Retry.onOutcome(outcome) && x.mayResend(err)
	if again && death {
		// It needs no budget: a request meets one at most, and each needs a connection on which another request was
		// responded, so that the attempts are never more than twice the responses. Nor does it wait while b has room.
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
		left = x.departure.happened() // perhaps meanwhile
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
	x.refuseFailed(err, outcome)
	return nil
}

// refusal returns the error of a backend that refuses connections by now, or nil. One that ends resets at once all the
// connections that it had not accepted yet, more than the budget allows retries for; but it gets no request until it accepts
// again, so that these are as many as it had in hand, once.
func (f *Forward) refusal(x *Exchange, b *pool.Backend) error {
	conn, err := pool.Conns[*transport.Client](b).Get(x.departure, true)
	if err == nil {
		conn.Abort() // closed, it would leave its port in TIME-WAIT, and where all backends reset connections there are many
		conn.Done(false)
		return nil
	}
	if causeOf(err) != transport.Refused || x.departure.happened() { // a connect that the client's end cut off says nothing
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
		x.refuseFailed(err, pool.Connect)
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

// refuseFailed responds for a backend that did not.
func (x *Exchange) refuseFailed(err error, outcome pool.Outcome) {
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
	switch string(x.Request.Method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return len(x.Lookup(message.IdempotencyKey)) > 0
}
