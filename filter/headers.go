package filter

import (
	"lb/message"
	"lb/route"
)

// Headers changes the fields of responses.
type Headers struct {
	Usual route.HeaderRules
	// Typed are the same rules without Content-Type, and Outage those without Content-Type and Cache-Control.
	Typed, Outage route.HeaderRules
}

// Response implements Response.
func (h *Headers) Response(_ Exchange, r *message.Response, kind Kind) {
	rules := &h.Usual
	switch kind {
	case Typed:
		rules = &h.Typed
	case Outage:
		rules = &h.Outage
	}
	r.Fields = rules.Cut(r.Fields)
	if kind != Interim {
		r.Fields = rules.Append(r.Fields)
	}
}
