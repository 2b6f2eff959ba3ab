// Package filter contains the filters that run on a request before the action of its route, and on a response before it is sent to
// the client. Each route has a list of each kind, built with the configuration, with only the filters that the route uses.
//
// A new filter is a type here with one of the two methods, and a line where the server builds routes.
//
// A Request filter is called on an event loop and must not block. It lets the request pass (Pass), refuses it (Refuse), or returns a
// question that may block (Verdict.Ask). The filters of a request are called in their order, each once. A filter that follows a question is
// called after the question has let the request pass.
package filter

import (
	"context"
	"net/netip"

	"lb/message"
)

// Exchange is what a filter sees of a request that is being served, or explained.
type Exchange interface {
	Message() *message.Request
	ClientIP() netip.Addr // the client's address, behind trusted proxies; not valid on a unix socket
	Path() []byte         // the decoded, cleaned path, by which routes are found
	BodyTooLarge() bool   // the head announces a body over the limit
	// Claims are those of the token that a filter before has accepted (Grant); nil: no token has been accepted.
	Claims() map[string][]byte
}

// Request checks a request. It does not respond, count or log: its result says everything, so that it can also be called for requests
// that are only explained.
type Request interface {
	Request(x Exchange) Verdict
}

// Verdict is the result of a Request filter. The zero value lets the request pass.
type Verdict struct {
	Refusal *Refusal
	// Ask, if set and Refusal is not, returns the refusal, or nil. It may block, for example by a call to another service. It runs in a
	// goroutine of its own, and the request waits for it, also during a reload or a shutdown. Ask needs its own timeout, since nothing else
	// limits that wait. It must not use the Exchange: Request has to copy what Ask needs.
	//
	// ctx ends when the client disconnects, or when its connection is cut at the end of a shutdown's grace. Ask must return soon then; its
	// result is ignored. If it panics, the client gets 500. It is not called for requests that are only explained.
	Ask func(ctx context.Context) *Refusal
	// Hold is what the request occupies until its exchange ends. With a Refusal it is ignored.
	Hold Hold
	// Grant, if not nil, applies if this filter lets the request pass. Ask may still change it.
	Grant *Grant
}

// Hold is a place that a request occupies. The zero value is none.
type Hold struct {
	By  Releaser
	Key uint64 // for By
}

// Releaser gets back what requests have occupied.
type Releaser interface {
	// Release is called once, on any goroutine, when the exchange ends. It must not block.
	Release(key uint64)
}

// Grant is what a filter has found out about a request that it lets pass. It is not changed any more once the request has passed.
type Grant struct {
	User   string          // for the access log; "": unknown
	Fields []message.Field // for the request to the backend
	// Claims of a token (RFC 7519), by name, that later filters of the route need. Not nil if a token was accepted.
	Claims map[string][]byte
}

// Explainer is a Request filter whose Request has an effect, such as counting. Explain, which has none, replaces it for requests that are
// only explained.
type Explainer interface {
	Explain(x Exchange) Verdict
}

// Pass lets the request pass.
var Pass Verdict

// Refuse refuses the request; nil lets it pass.
func Refuse(r *Refusal) Verdict { return Verdict{Refusal: r} }

// Refusal is the response to a request that does not reach its route's action.
type Refusal struct {
	Status   int
	Reason   string          // for people: in the response and the log
	Fields   []message.Field // additional fields of the response
	Location []byte          // of a redirect, which has no body
	Rejected string          // the reason in lb_rejected_requests_total; "": not counted there
	Close    bool            // close the connection after the response
	// Whole says that Fields and Body are all of the response: it gets no text of lb's own.
	Whole bool
	Body  []byte
}

// Response changes the head of a response.
type Response interface {
	Response(x Exchange, r *message.Response, kind Kind)
}

// Kind is the kind of a response, by which filters decide what they may change.
type Kind uint8

// The kinds of responses.
const (
	Usual   Kind = iota
	Typed        // its Content-Type must not be changed: lb's own error, or multipart ranges
	Outage       // lb's own 503, whose Content-Type and Cache-Control must not be changed
	Interim      // status 1xx: nothing must be added
)
