//go:build !linux || !(amd64 || arm64) || portable

package netloop

import (
	"context"
	"net"
	"net/netip"
)

// Dial opens the socket and connects it to the address. The handler gets Connected or Failed, always later. The only timeout is the
// system's, which is minutes: to end the dial earlier, close the socket. Dial returns an error if the socket could not be opened.
func (l *Loop) Dial(s *Socket, address netip.AddrPort, handler Handler) error {
	return l.dial(s, "tcp", address.String(), address, handler)
}

// DialUnix is Dial for a unix socket.
func (l *Loop) DialUnix(s *Socket, path string, handler Handler) error {
	return l.dial(s, "unix", path, netip.AddrPort{}, handler)
}

func (l *Loop) dial(s *Socket, network, address string, peer netip.AddrPort, handler Handler) error {
	if err := s.attach(l, nil, peer, handler, connecting); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := s.port
	p.dial = cancel
	l.set.running.Add(1)
	go func() {
		defer l.set.running.Done()
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case err != nil:
			p.err = portError(err)
			p.raise(Failed)
		case p.closed:
			conn.Close()
		default:
			p.conn = conn
			p.start()
			p.raise(Connected)
		}
	}()
	return nil
}
