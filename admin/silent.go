package admin

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// silent holds the connections on which no whole request has arrived. http.Server.Shutdown waits seconds for them but
// drops their requests; so before it they have silentGrace, in which a request that is arriving is served.
type silent struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	none  chan struct{} // set by end, and closed when none is left
}

const silentGrace = 100 * time.Millisecond

func newSilent() *silent { return &silent{conns: map[net.Conn]struct{}{}} }

// note is the server's ConnState.
func (s *silent) note(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
	case http.StateClosed, http.StateHijacked:
		s.remove(c)
	}
}

// silentKey finds a request's connection in its context.
type silentKey struct{}

// name is the server's ConnContext.
func (s *silent) name(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, silentKey{}, c)
}

// received records the requests that reach next.
func (s *silent) received(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(silentKey{}).(net.Conn); ok {
			s.remove(c)
		}
		next.ServeHTTP(w, r)
	})
}

func (s *silent) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.none != nil && len(s.conns) == 0 {
		close(s.none)
		s.none = nil
	}
}

// end waits for them, at most for grace, and closes those that remain. There must be no new ones.
func (s *silent) end(grace time.Duration) {
	none := make(chan struct{})
	s.mu.Lock()
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return
	}
	s.none = none
	s.mu.Unlock()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}
