//go:build !linux

package transport

import "net"

// liveness has no way to look at an idle connection here; a dead one shows at its first use.
type liveness struct{}

func (l *liveness) init(net.Conn) {}

func (c *Conn) alive() bool { return true }

// socket is what TLS reads from and writes to.
type socket struct{ net.Conn }

// CloseWrite ends the socket's sending half, not that of TLS.
func (s *socket) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
