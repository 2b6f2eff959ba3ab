// Package filter is what happens to a request before the action of its route, and to a response before it goes to the
// client. Each route has a list of either, made when the configuration is built, with what the route uses and nothing else.
//
// A new filter is a type here with one of the two methods, and a line where the server builds routes.
package filter

import (
	"net/netip"

	"lb/message"
)

// Exchange is what a filter sees of a request that is being served, or explained.
type Exchange interface {
	Message() *message.Request
	ClientIP() netip.Addr // that rules go by; not valid on a Unix socket
	Path() []byte         // that rules are matched by
	BodyTooLarge() bool   // the head announces a body over the limit
}

// Request looks at a request. It does not respond, count or log: what it returns says all that is to be done, so that it can be asked about
// requests that are only explained.
type Request interface {
	Request(x Exchange) Verdict
}

// Verdict is what a Request filter makes of a request. The zero value lets it pass.
type Verdict struct {
	Refusal *Refusal
	// Ask, if set, finds out the refusal, or nil, by asking somebody: it may take its time, and is called where that holds
	// nobody else up. It is not called for requests that are only explained.
	Ask func() *Refusal
}

// Pass lets the request pass.
var Pass Verdict

// Refuse has the request be responded to without the route's action.
func Refuse(r *Refusal) Verdict { return Verdict{Refusal: r} }

// Refusal is the response to a request that does not come to its route's action.
type Refusal struct {
	Status   int
	Reason   string          // for a person
	Fields   []message.Field // of the response, beside the usual ones
	Location []byte          // of a redirect, which has no body
	Rejected string          // the label of lb_rejected_requests_total; "": it is not counted there
	Close    bool            // the connection ends
}

// Response changes the head of a response.
type Response interface {
	Response(x Exchange, r *message.Response, kind Kind)
}

// Kind says which responses there are for filters.
type Kind uint8

// The kinds of responses.
const (
	Usual   Kind = iota
	Typed        // its Content-Type belongs to its body: an error of the balancer's own, or several ranges with a boundary
	Outage       // 503 of the balancer's own, which nobody may keep longer than it is true
	Interim      // of status 1xx: nothing is added
)
