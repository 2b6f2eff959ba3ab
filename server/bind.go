package server

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"lb/config"
	"lb/listener"
)

// bindErrors adds to what the front could not bind its place in the configuration and, where this process is in its own
// way, that.
func (s *Server) bindErrors(cfg *config.Config, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var located []error
	for _, err := range joined.Unwrap() {
		var failed *listener.BindError
		if errors.As(err, &failed) {
			if held := s.inOwnWay(failed.Address, err); held != "" && !failed.UDP {
				err = &listener.BindError{Address: failed.Address, Reason: held, Err: failed.Err}
			}
			for i := range cfg.Listeners {
				if c := &cfg.Listeners[i]; c.Address == failed.Address {
					err = fmt.Errorf("%s: %w", c.Pos, err)
					break
				}
			}
		}
		located = append(located, err)
	}
	return errors.Join(located...)
}

// inOwnWay says which listener of this process holds the port of an address that could not be bound for being in
// use, and what to do about it; "" if none does.
func (s *Server) inOwnWay(address string, err error) string {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ""
	}
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return ""
	}
	holder := ""
	for _, l := range s.front.Listeners() {
		if overlap(l.Addr(), want) {
			holder = fmt.Sprintf("listen %q", l.Address)
		}
	}
	if s.admin != nil && overlap(s.admin.listener.Addr(), want) {
		holder = fmt.Sprintf("admin listener %q", s.admin.config.Listen)
	}
	if holder == "" && !s.ready.Load() {
		return s.inPredecessorsWay(want)
	} else if holder == "" {
		return ""
	}
	return fmt.Sprintf("this lb itself holds the port, as %s, and keeps it until a reload has succeeded: leave the address as it is, or restart lb", holder)
}

// inPredecessorsWay says which listener of the process before holds the port of an address that could not be bound; "" if
// none does.
func (s *Server) inPredecessorsWay(want *net.TCPAddr) string {
	for _, held := range s.taken.Addresses() {
		if bound, err := net.ResolveTCPAddr("tcp", held); err == nil && overlap(bound, want) {
			return fmt.Sprintf("the process that this one replaces holds the port, as listen %q: leave the address as it is, or restart lb", held)
		}
	}
	return ""
}

// overlap reports whether one socket conflicts with the other. Any that is bound to [::] may serve IPv4 too.
func overlap(bound net.Addr, want *net.TCPAddr) bool {
	a, ok := bound.(*net.TCPAddr)
	if !ok || a.Port != want.Port {
		return false
	}
	switch {
	case isAny(a.IP) && isAny(want.IP):
		return true
	case isAny(a.IP):
		return !isIPv4(a.IP) || isIPv4(want.IP)
	case isAny(want.IP):
		return !isIPv4(want.IP) || isIPv4(a.IP)
	}
	return a.IP.Equal(want.IP)
}

func isAny(ip net.IP) bool { return ip == nil || ip.IsUnspecified() }

func isIPv4(ip net.IP) bool { return ip.To4() != nil }
