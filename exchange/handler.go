package exchange

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"lb/telemetry"
)

// Handler answers requests by the State in force.
type Handler struct {
	state      atomic.Pointer[State]
	rejections Rejections
	mark       loopMark
	bodyStatus func(error) int
	entries    sync.Pool
}

// NewHandler returns a handler; Swap must be called before the first request. bodyStatus says
// with which status a failure to read a request's body is answered: 400, 408, 413, 431, or
// 0 where the client is gone.
func NewHandler(rejections Rejections, bodyStatus func(error) int) *Handler {
	h := &Handler{rejections: rejections, mark: newLoopMark(), bodyStatus: bodyStatus}
	h.entries.New = func() any { return &telemetry.Entry{} }
	return h
}

// Swap puts a state in force for all requests to come.
func (h *Handler) Swap(s *State) { h.state.Store(s) }

// Serve begins the exchange of a request and returns what the events of its client go to, unless the exchange has ended
// already; set is told before anything else. It is called on the worker's loop.
func (h *Handler) Serve(w *Worker, client Client, in Inbound, set func(*Exchange)) {
	x := w.take(h)
	set(x)
	x.begin(h.state.Load(), client, in)
	h.dispatch(x)
}

// Refused counts and logs a request that the front answered itself, before there was a site for it.
func (h *Handler) Refused(client netip.Addr, status int, reason string, id []byte, sent int64) {
	state := h.state.Load()
	m := &state.NoSite.Metrics
	m.Requests.Inc(status)
	m.BytesOut.AddInt64(sent)
	state.AccessLog.Write(&telemetry.Entry{
		Time: time.Now(), Client: client, Status: status, Error: reason, RequestID: id, BytesOut: sent,
	})
}

// dispatch finds what responds.
func (h *Handler) dispatch(x *Exchange) {
	site, ok := x.state.Hosts.Match(x.host)
	if !ok {
		x.refuse(noSite)
		return
	}
	x.enter(site)
	if r := x.find(); r != nil {
		x.refuse(r)
		return
	}
	x.route.Action.Serve(x)
}
