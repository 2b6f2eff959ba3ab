package proxy

import (
	"context"
	"net/http"

	"lb/message"
	"lb/pool"
	"lb/transport"
)

// Retry says which requests are retried.
type Retry struct {
	Attempts int   // retries after the first try; 0: none
	Body     int64 // bytes of a request body that are kept for retries

	Connect, Reset, Timeout bool // failures to retry after
	On502, On503, On504     bool // responses to retry after
	Unavailable             bool // likewise UNAVAILABLE of gRPC without a message, whatever the method does
}

// On returns the words of the configuration for what requests are retried after.
func (r *Retry) On() (words []string) {
	for _, cause := range [...]struct {
		set  bool
		word string
	}{
		{r.On502, "502"}, {r.On503, "503"}, {r.On504, "504"}, {r.Connect, "connect"}, {r.Reset, "reset"}, {r.Timeout, "timeout"},
		{r.Unavailable, "unavailable"},
	} {
		if cause.set {
			words = append(words, cause.word)
		}
	}
	return words
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

// avoidsKept reports whether the request needs a new connection because it could not be retried if an idle one turned out to be
// stale.
func (x *Exchange) avoidsKept() bool {
	return x.fresh || x.streams() || !x.idempotent() && pool.Conns[*transport.Client](x.backend).RecentlyStale()
}

// idempotent reports whether it does no harm to execute the request twice.
func (x *Exchange) idempotent() bool {
	switch string(x.Request.Method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return len(x.Lookup(message.IdempotencyKey)) > 0
}

// mayResend reports whether it does no harm to send the request again: nothing of it was sent; or it is idempotent, by its method
// (RFC 9110 section 9.2.2) or an Idempotency-Key, and no response was received. An incomplete response head on a reused connection
// does not count as a response: the backend may have decided to close the connection before the request.
func (x *Exchange) mayResend(err *transport.Error) bool {
	switch {
	case !x.body.repeatable(err.Sent), x.informed:
		return false
	case err.Responded:
		return err.StaleConn() && x.idempotent()
	}
	return !err.Sent || x.idempotent()
}

// another reserves a backend that has not been tried, or returns nil if none is free or the budget is exhausted. It does not wait,
// since there is a response to forward.
func (f *Forward) another(x *Exchange) *pool.Backend {
	next := f.Pool.TryPick(x.key, x.tried)
	if next != nil && !f.Pool.AllowRetry() {
		next.Release()
		return nil
	}
	return next
}

// attemptFailed continues after a try without a response: with a retry if that is safe, else with 502 or 504. The connection has been
// released, the backend has not.
func (x *Exchange) attemptFailed(err *transport.Error) {
	f, b := x.forward, x.backend
	outcome := outcomeOf(err)
	if outcome == pool.Connect {
		x.unconnected(err)
		return
	}
	stale := outcome == pool.Reset && err.StaleConn()
	switch {
	case stale:
		b.ReportStaleConn()
		x.fresh = true // other idle connections may be stale too
	case outcome == pool.Protocol && unfit(err):
		b.ReportUnfit()
	default:
		b.Report(outcome)
	}
	again := x.retries() < f.Retry.Attempts && f.Retry.onOutcome(outcome) && x.mayResend(err)
	if again && stale {
		x.retryStale(outcome)
		return
	}
	allowed := again && f.Pool.AllowRetry()
	if again && !allowed && outcome == pool.Reset {
		x.lookForRefusal(err)
		return
	}
	x.retryOrFail(err, outcome, allowed)
}

// retryStale retries a request whose idle connection was stale. It needs no budget: it happens at most once per request, and each stale
// connection has served another request, so that there are never more than twice as many tries as responses. It does not wait if the
// backend has room.
func (x *Exchange) retryStale(outcome pool.Outcome) {
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

// staysWith reports whether a request whose connection to b was stale is retried on b, with a new connection: b is the client's sticky
// backend, or there is no other.
func (x *Exchange) staysWith(b *pool.Backend) bool {
	f := x.forward
	if own := f.Sticky.of(x); len(own) > 0 && f.Pool.Owner(own) == b && f.Pool.Knows(own) {
		return true
	}
	return !f.Pool.Others(x.tried)
}

// lookForRefusal checks whether a backend that has reset the connection now refuses connections. A backend that exits resets all
// connections in its accept queue at once, possibly more than the retry budget. Since it gets no more requests until it accepts
// connections again, retrying them without budget is safe.
func (x *Exchange) lookForRefusal(err *transport.Error) {
	f, b := x.forward, x.backend
	dial := pool.Conns[*transport.Client](b).Refusal
	look := dial
	if f.Pool.Others(x.tried) {
		look = func() error { return b.Refusal(dial) }
	}
	var refused error
	x.InBackground(func(context.Context) { refused = look() }, func() {
		if refusal, ok := refused.(*transport.Error); ok {
			x.tried = append(x.tried, b)
			x.unconnected(refusal)
			return
		}
		x.retryOrFail(err, pool.Reset, false)
	}, nil)
}

// retryOrFail releases the backend and retries if that is allowed, else responds with an error.
func (x *Exchange) retryOrFail(err *transport.Error, outcome pool.Outcome, allowed bool) {
	x.releaseBackend() // before waiting for another one, which may be the same
	if allowed {
		x.failure, x.failed = err, outcome
		x.pick(nil)
		return
	}
	x.forward.Pool.RetriesFailed(x.retries())
	x.refuseFailed(err, err, outcome)
}

// unconnected continues after a failed dial. Nothing was sent, so that a retry adds no load: each backend is tried once, regardless of
// retry.budget and retry.attempts. If all refuse connections, the request waits in the queue for one that accepts them.
func (x *Exchange) unconnected(err *transport.Error) {
	f, b := x.forward, x.backend
	x.unmet++
	if err.Cause == transport.Refused {
		b.Refused(err.Brief()) // before Report, which could eject it for a fixed time rather than until it accepts
	}
	if err.Cause == transport.Exhausted {
		b.ReportExhausted()
	} else {
		b.Report(pool.Connect)
	}
	x.releaseBackend()
	if !f.Retry.Connect || !x.mayResend(err) || err.Cause != transport.Refused && !f.Pool.Others(x.tried) || x.unmet > extraDials+len(f.Pool.Backends()) {
		f.Pool.RetriesFailed(x.retries())
		x.refuseFailed(err, err, pool.Connect)
		return
	}
	x.failure, x.failed = err, pool.Connect
	x.pick(nil)
}

// extraDials limits the failed dials of one request, beyond one for each backend, while backends alternate between accepting and
// refusing connections.
const extraDials = 8

// refuseFailed responds with an error after a backend failed. err is logged; failure and outcome determine the response.
func (x *Exchange) refuseFailed(err error, failure *transport.Error, outcome pool.Outcome) {
	if x.staleOnFailure(failure) {
		return
	}
	status, reason := http.StatusBadGateway, "the backend could not be reached"
	if failure.Cause == transport.TimedOut {
		status = http.StatusGatewayTimeout
	}
	switch outcome {
	case pool.Timeout:
		reason = "the backend did not respond in time"
	case pool.Reset:
		reason = "the backend closed the connection without a response"
	case pool.Protocol:
		reason = "the backend sent an invalid HTTP response"
		if unfit(failure) {
			reason = "the head of the backend's response is too large or contains an invalid byte"
		}
	}
	x.Fail(status, reason, err)
}
