package admin

import (
	"net"
	"net/http"
	"sync"
)

// silent are the connections that no byte of a request has come by. http.Server.Shutdown waits seconds for them, as one
// may be on its way; but what the admin API could tell then would be of a process that has ended.
type silent struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	ended bool
}

// note is the server's ConnState.
func (s *silent) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(s.conns, c)
	case s.ended:
		_ = c.Close()
	default:
		s.conns[c] = struct{}{}
	}
}

// end closes them, and those to come.
func (s *silent) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for c := range s.conns {
		_ = c.Close()
	}
}
