package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// sameSocket reports whether two listeners cannot both be bound: they have the same address, or one listens on all
// addresses of an IP version and the other on one of them. Port 0 is a new socket each time.
func sameSocket(a, b Listener) bool {
	if strings.HasPrefix(a.Address, "unix:") || strings.HasPrefix(b.Address, "unix:") {
		return filepath.Clean(a.Address) == filepath.Clean(b.Address)
	}
	hostA, portA, errA := net.SplitHostPort(a.Address)
	hostB, portB, errB := net.SplitHostPort(b.Address)
	if errA != nil || errB != nil {
		return a.Address == b.Address
	}
	numberA, _ := strconv.ParseUint(portA, 10, 16)
	numberB, _ := strconv.ParseUint(portB, 10, 16)
	if numberA != numberB || numberA == 0 {
		return false
	}
	hostA, hostB = canonicalHost(hostA), canonicalHost(hostB)
	if hostA == hostB && hostA != "" && !wildcard(hostA) {
		return true
	}
	a4, a6 := hostFamilies(hostA, a.IPv6Only)
	b4, b6 := hostFamilies(hostB, b.IPv6Only)
	return (wildcard(hostA) || wildcard(hostB)) && (a4 && b4 || a6 && b6)
}

func canonicalHost(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String()
	}
	if strings.EqualFold(host, "localhost") {
		return "127.0.0.1" // the one of its addresses that is bound
	}
	return strings.ToLower(host)
}

// wildcard reports whether a host means all addresses.
func wildcard(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "" || err == nil && a.Unmap().IsUnspecified()
}

// hostFamilies reports of which IP versions a host has addresses. A name may have any.
func hostFamilies(host string, ipv6Only bool) (ipv4, ipv6 bool) {
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return true, true
	case a.Unmap().Is4():
		return true, false
	}
	return a.IsUnspecified() && !ipv6Only, true
}

// takesIPv6Only reports whether ipv6_only has a meaning for an address.
func takesIPv6Only(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && !a.Unmap().Is4()
}

// widest explains why two listeners conflict.
func widest(a, b Listener) string {
	for _, l := range [...]Listener{a, b} {
		if host, _, err := net.SplitHostPort(l.Address); err == nil && canonicalHost(host) == "::" && !l.IPv6Only {
			return "\"[::]\" also serves IPv4 unless it has ipv6_only = true"
		}
	}
	return "\"0.0.0.0\" is all IPv4 addresses; without a host, as in \":8080\", IPv6 is served, too"
}
