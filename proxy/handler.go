package proxy

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"lb/filter"
	"lb/telemetry"
)

// Handler serves requests according to the current State.
type Handler struct {
	// Panicked, set before the first request, is called with the value of a panic, which ends only its exchange: the client gets 500. It
	// may be nil.
	Panicked func(value any, stack []byte)

	// Bans are clients whose requests are all refused.
	Bans filter.Bans

	state      atomic.Pointer[State]
	rejections Rejections
	mark       loopMark
	bodyStatus func(error) int
	entries    sync.Pool
}

// NewHandler returns a handler; Swap must be called before the first request. bodyStatus returns the status of the response when
// a request body cannot be read: 400, 408, 413, 431, or 0 if the client has disconnected.
func NewHandler(rejections Rejections, bodyStatus func(error) int) *Handler {
	h := &Handler{rejections: rejections, mark: newLoopMark(), bodyStatus: bodyStatus}
	h.entries.New = func() any { return &telemetry.Entry{} }
	return h
}

// Swap puts a state in force for all further requests.
func (h *Handler) Swap(s *State) { h.state.Store(s) }

// Serve begins the exchange of a request. It first calls set with the exchange, which gets the events of the client from then on. The
// exchange may end before Serve returns. Serve must be called on the worker's loop.
func (h *Handler) Serve(w *Worker, client Client, in Inbound, set func(*Exchange)) {
	x := w.take(h)
	defer x.recover()
	set(x)
	x.begin(h.state.Load(), client, in)
	h.dispatch(x)
}

// Refused counts and logs a request that was refused before there was an exchange for it.
func (h *Handler) Refused(client netip.Addr, status int, reason string, id []byte, sent int64) {
	state := h.state.Load()
	m := &state.NoSite.Metrics
	m.Requests.Inc(status)
	m.BytesOut.Add(0, sent)
	state.AccessLog.Write(&telemetry.Entry{
		Time: time.Now(), Client: client, Status: status, Error: reason, RequestID: id, BytesOut: sent,
	})
}

// challengePath is where an ACME server asks for the proof that lb has a name.
var challengePath = []byte("/.well-known/acme-challenge/")

// dispatch finds what responds.
func (h *Handler) dispatch(x *Exchange) {
	if f := x.in.Challenge; f != nil && bytes.HasPrefix(x.path, challengePath) {
		if body := f(string(x.host), string(x.path)); body != nil {
			x.own(http.StatusOK, "text/plain; charset=utf-8", body)
			return
		}
	}
	if h.Bans.Has(x.clientIP) {
		x.refuse(filter.Banned)
		return
	}
	site, ok := x.state.Hosts.Match(x.host)
	if !ok {
		x.refuse(noSite)
		return
	}
	x.enter(site)
	x.proceed()
}

// proceed goes on with the search for the route, and has its action respond.
func (x *Exchange) proceed() {
	switch v := x.find(); {
	case v.Refusal != nil:
		x.refuse(v.Refusal)
	case v.Ask != nil:
		x.question(v)
	case x.route.Hints.wanted(x.Request):
		x.hint()
	default:
		x.route.Action.Serve(x)
	}
}

// question has the question of a filter asked, upon which the request is refused or goes on.
func (x *Exchange) question(v filter.Verdict) {
	x.holdState()
	var refusal *filter.Refusal
	x.InBackground(func(ctx context.Context) { refusal = v.Ask(ctx) }, func() {
		x.releaseState()
		if refusal != nil {
			x.refuse(refusal)
			return
		}
		x.grant(v.Grant)
		x.proceed()
	}, nil)
}
