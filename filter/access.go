package filter

import (
	"net/http"
	"net/netip"
	"sync/atomic"

	"lb/internal/networks"
	"lb/route"
)

// Access allows or denies clients by address. The zero value allows all.
type Access struct {
	Allow []netip.Prefix // if not empty, all other addresses are denied
	Deny  []netip.Prefix // takes precedence over Allow
	// AllowFile and DenyFile are the networks of files, which may be replaced at any time; nil: none. An AllowFile without networks allows
	// nobody.
	AllowFile, DenyFile *atomic.Pointer[networks.Set]
}

// IsZero reports whether there are no rules.
func (a *Access) IsZero() bool {
	return len(a.Deny) == 0 && len(a.Allow) == 0 && a.AllowFile == nil && a.DenyFile == nil
}

// Permits reports whether a client with that address is allowed. A client without an address (on a unix socket) is allowed only if
// there are no rules.
func (a *Access) Permits(client netip.Addr) bool {
	if a.IsZero() {
		return true
	}
	if !client.IsValid() || route.Contains(a.Deny, client) || a.DenyFile != nil && a.DenyFile.Load().Contains(client) {
		return false
	}
	return len(a.Allow) == 0 && a.AllowFile == nil || route.Contains(a.Allow, client) || a.AllowFile != nil && a.AllowFile.Load().Contains(client)
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
