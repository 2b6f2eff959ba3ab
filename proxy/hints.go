package proxy

import (
	"bytes"
	"net/http"

	"lb/message"
)

// EarlyHints are the fields of a 103 response (RFC 8297), by which browsers load what a page needs before the page has come.
type EarlyHints []message.Field

// wanted reports whether the request is that of a browser for a page. Other clients have no use for a 103, and some take it for the final
// response.
func (h EarlyHints) wanted(r *message.Request) bool {
	if len(h) == 0 || !r.Interim || string(r.Method) != http.MethodGet {
		return false
	}
	for i := range r.Fields {
		if f := &r.Fields[i]; message.EqualFold(f.Name, "sec-fetch-mode") {
			return string(f.Value) == "navigate"
		}
	}
	return bytes.Contains(message.Lookup(r.Fields, message.Accept), []byte("text/html"))
}

// hint sends the early hints of the route, and then has its action respond.
func (x *Exchange) hint() {
	x.response.Reset(http.StatusEarlyHints)
	x.response.Fields = append(x.response.Fields, x.route.Hints...)
	if x.client.SendInterim(&x.response) {
		x.route.Action.Serve(x)
		return
	}
	x.holdState()
	x.phase = phaseHint
	x.wait(0)
}

// hinted goes on when the early hints have been written to the client's socket.
func (x *Exchange) hinted() {
	x.releaseState()
	x.route.Action.Serve(x)
}
