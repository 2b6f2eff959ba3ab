package filter

import "net/http"

// BodySize refuses requests that announce a body over the limit, before any of it is read.
type BodySize struct{}

// LargeBody is the refusal of a body over the limit, also if that is detected while it is read.
var LargeBody = &Refusal{
	Status: http.StatusRequestEntityTooLarge, Reason: "the request body is larger than the limit", Rejected: "body_size", Close: true,
}

// Request implements Request.
func (BodySize) Request(x Exchange) Verdict {
	if x.BodyTooLarge() {
		return Refuse(LargeBody)
	}
	return Pass
}
