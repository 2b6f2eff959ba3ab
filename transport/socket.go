package transport

import (
	"io"
	"net"
	"sync/atomic"
)

// socket is what TLS reads from and writes to.
type socket struct {
	net.Conn
	hasty bool // belongs to the reader; see read
	// ended says that the stream has ended below TLS. If TLS then reports its end too, the peer has not said that
	// there is no more (close_notify), and what came may be a part (RFC 9112 section 9.8). Belongs to the reader.
	ended   bool
	written atomic.Int64 // bytes, the handshake's among them
}

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.read(p)
	if err == io.EOF {
		s.ended = true
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	s.written.Add(int64(n))
	return n, err
}

// CloseWrite ends the socket's sending half, not that of TLS.
func (s *socket) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
