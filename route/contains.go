package route

import "net/netip"

// Contains reports whether one of the prefixes covers addr; an IPv4 address written
// as IPv6 counts as the IPv4 one, and a zone does not count.
func Contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
