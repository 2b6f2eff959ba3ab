package listener

import (
	"fmt"
	"net"
	"strings"
)

// families are the versions of IP that a listener serves.
type families struct{ ipv4, ipv6 bool }

// wantedFamilies returns what a listener on address should serve: only IPv4 for "0.0.0.0:80", both for ":80", and both for "[::]:80"
// unless ipv6Only; nothing for a unix socket. A host name is resolved; known is false if that fails.
func wantedFamilies(address string, ipv6Only bool) (wanted families, known bool) {
	if strings.HasPrefix(address, unixPrefix) {
		return families{}, true
	}
	a, err := net.ResolveTCPAddr("tcp", address)
	switch {
	case err != nil:
		return families{}, false
	case a.IP == nil:
		return families{true, canIPv6()}, true
	case a.IP.To4() != nil:
		return families{ipv4: true}, true
	case a.IP.IsUnspecified():
		return families{!ipv6Only, true}, true
	}
	return families{ipv6: true}, true
}

// boundFamilies returns what an open listener serves.
func boundFamilies(ln net.Listener) families {
	a, ok := ln.Addr().(*net.TCPAddr)
	switch {
	case !ok:
		return families{}
	case a.IP.To4() != nil:
		return families{ipv4: true}
	case a.IP.IsUnspecified():
		return families{!isIPv6Only(ln), true}
	}
	return families{ipv6: true}
}

func (f families) String() string {
	switch f {
	case families{true, true}:
		return "IPv4 and IPv6"
	case families{ipv4: true}:
		return "IPv4 alone"
	case families{ipv6: true}:
		return "IPv6 alone"
	}
	return "no IP"
}

// network returns package net's name for them.
func (f families) network() string {
	switch f {
	case families{ipv4: true}:
		return "tcp4"
	case families{ipv6: true}:
		return "tcp6" // without IPv4 even on [::]
	}
	return "tcp"
}

// Network returns package net's name for the network of a TCP listener on address: "tcp", "tcp4" or "tcp6". It is for listeners that
// are opened without Bind but should interpret addresses in the same way.
func Network(address string, ipv6Only bool) string {
	wanted, _ := wantedFamilies(address, ipv6Only) // if the name does not resolve, binding reports it
	return wanted.network()
}

// CheckFamilies returns an error if a socket that was opened by another process serves other IP versions than one that Bind opens
// on address.
func CheckFamilies(ln net.Listener, address string, ipv6Only bool) error {
	wanted, known := wantedFamilies(address, ipv6Only)
	if has := boundFamilies(ln); known && has != wanted {
		return fmt.Errorf("the socket that was passed to lb serves %v, and listen %q is for %v", has, address, wanted)
	}
	return nil
}
