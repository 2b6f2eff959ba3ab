package route

import "net/netip"

// Access says by address who may use a rule. The zero value lets everybody in.
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
	if !client.IsValid() || Contains(a.Deny, client) {
		return false
	}
	return len(a.Allow) == 0 || Contains(a.Allow, client)
}

// Contains reports whether one of the prefixes covers addr; an IPv4 address written
// as IPv6 counts as the IPv4 one.
func Contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
