package filter

import (
	"net/http"
	"net/netip"

	"lb/route"
)

// Access says by address who may use a route. The zero value lets everybody in.
type Access struct {
	Allow []netip.Prefix // if there are any, all others are refused
	Deny  []netip.Prefix // refused in any case
}

// Permits reports whether a client with that address may pass. A client without an address (on a
// unix socket) passes only where no rule stands.
func (a *Access) Permits(client netip.Addr) bool {
	if len(a.Deny) == 0 && len(a.Allow) == 0 {
		return true
	}
	if !client.IsValid() || route.Contains(a.Deny, client) {
		return false
	}
	return len(a.Allow) == 0 || route.Contains(a.Allow, client)
}

// Denied is the refusal of a client that may not use the route.
var Denied = &Refusal{Status: http.StatusForbidden, Reason: "this address may not use the route", Rejected: "acl"}

// Request implements Request.
func (a *Access) Request(x Exchange) Verdict {
	if a.Permits(x.ClientIP()) {
		return Pass
	}
	return Refuse(Denied)
}
