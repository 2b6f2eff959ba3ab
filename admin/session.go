package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

const (
	sessionCookie   = "lb_admin"
	sessionLifetime = 12 * time.Hour
	// maxSessions bounds the open sessions; one more ends the oldest.
	maxSessions = 256
)

// sessions are the logins to the dashboard. They are kept in memory only, so that a logout ends one for every copy of
// its cookie, and none outlives the process or the token.
type sessions struct {
	mu   sync.Mutex
	open map[[sha256.Size]byte]session // by the digest of the cookie's value
}

// session is a context that ends with the session.
type session struct {
	context.Context
	end  context.CancelFunc
	ends time.Time
}

func newSessions() *sessions {
	return &sessions{open: make(map[[sha256.Size]byte]session)}
}

// begin returns the value of a new session's cookie.
func (s *sessions) begin(now time.Time) string {
	value := rand.Text() // 128 random bits
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest [sha256.Size]byte
	for id, other := range s.open {
		if !now.Before(other.ends) {
			s.close(id)
		} else if first, any := s.open[oldest]; !any || other.ends.Before(first.ends) {
			oldest = id
		}
	}
	if len(s.open) >= maxSessions {
		s.close(oldest)
	}
	ends := now.Add(sessionLifetime)
	ctx, cancel := context.WithDeadline(context.Background(), ends)
	s.open[sha256.Sum256([]byte(value))] = session{ctx, cancel, ends}
	return value
}

// find returns the session that the request's cookie names, nil if there is none.
func (s *sessions) find(r *http.Request, now time.Time) context.Context {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, known := s.open[sha256.Sum256([]byte(cookie.Value))]
	if !known || !now.Before(found.ends) {
		return nil
	}
	return found
}

// end ends the session that the request's cookie names, if there is one.
func (s *sessions) end(r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.close(sha256.Sum256([]byte(cookie.Value)))
	}
}

// endAll ends every session.
func (s *sessions) endAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.open {
		s.close(id)
	}
}

func (s *sessions) close(id [sha256.Size]byte) {
	if ended, known := s.open[id]; known {
		ended.end()
		delete(s.open, id)
	}
}
