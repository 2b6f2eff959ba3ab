package server

import (
	"net"
	"strings"
)

// httpsPort returns what redirect_https puts after the host, as ":8443", given the addresses of the listeners with TLS: the
// port of the first of them, or nothing if one is on 443 or there is none.
func httpsPort(addresses []string) string {
	first := ""
	for _, address := range addresses {
		switch port := portOf(address); {
		case port == "443":
			return ""
		case port != "" && first == "":
			first = ":" + port
		}
	}
	return first
}

// portOf returns the port of an address; "" for a Unix socket, and for port 0, which the system chooses.
func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil || strings.HasPrefix(address, "unix:") || port == "0" {
		return ""
	}
	return port
}

// findHTTPSPort notes where redirect_https leads from now on.
func (s *Server) findHTTPSPort() {
	var secure []string
	for _, l := range s.front.Listeners() {
		if l.TLS {
			secure = append(secure, l.Addr().String())
		}
	}
	port := httpsPort(secure)
	s.httpsPort.Store(&port)
}
