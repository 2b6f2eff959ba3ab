package front

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second

	// turningAway is how many connections over a limit are told so at a time; more are closed.
	turningAway = 64
)

// acceptLoop accepts until the socket is stopped. A lack of descriptors or memory only makes it wait.
func (s *socket) acceptLoop() {
	defer s.closeListener()
	backoff := time.Duration(0)
	for {
		nc, err := s.ln.Accept()
		switch {
		case err == nil:
			if backoff > 0 {
				backoff = 0
				s.front.log.Info("accepting connections again", "listener", s.address)
			}
			s.accepted(nc)
		case errors.Is(err, net.ErrClosed) || s.gone.Load() && errors.Is(err, os.ErrDeadlineExceeded):
			return
		case errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EINTR):
			// The client has given up in the queue.
		default:
			if backoff == 0 {
				s.front.log.Warn("cannot accept connections; waiting", "listener", s.address, "error", err, "remedy", acceptRemedy(err))
			}
			backoff = min(max(2*backoff, firstBackoff), lastBackoff)
			if !s.pause(backoff) {
				return
			}
		}
	}
}

func acceptRemedy(err error) string {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return "raise the limit of open files, or lower limits.max_connections"
	}
	return "free memory, or lower limits.max_connections"
}

// pause waits, and reports false if the socket was stopped meanwhile.
func (s *socket) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stopped:
		return false
	}
}

// accepted starts the goroutine of a connection. It never blocks.
func (s *socket) accepted(nc net.Conn) {
	f, l := s.front, s.current.Load()
	s.metrics.accepted.Inc()
	full := f.open.Add(1) > int64(l.limits.MaxConnections)
	c := newConn(l, nc)
	s.add(c)
	f.running.Add(1)
	if !full {
		go c.run()
		return
	}
	f.metrics.rejected(reasonConnections)
	if !c.leaveOpen() {
		c.finish()
		return
	}
	go func() {
		c.turnAway(tooManyConnections)
		c.depart()
	}()
}

// leaveOpen has a connection that is to be turned away no longer count among those that are open. It reports false if
// so many are being turned away that this one is to be closed at once.
func (c *Conn) leaveOpen() bool {
	f := c.listener.socket.front
	f.open.Add(-1)
	c.away, c.resident = true, true // parked, it would be in Load
	return f.away.Add(1) <= turningAway
}
