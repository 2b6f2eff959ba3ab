package listener

import (
	"errors"
	"syscall"
	"time"

	"lb/http1"
	"lb/netloop"
)

// maxRefusing is how many connections over a limit get a response at a time; further ones are closed.
const maxRefusing = 64

// accept is called on the loop that will own the connection.
func (k *socket) accept(in *netloop.Incoming) {
	if k.starving.Load() && k.starving.CompareAndSwap(true, false) {
		k.set.log.Info("accepting connections again", "listener", k.address)
	}
	k.metrics.accepted.Inc()
	l, s := k.current.Load(), k.set
	full := s.open.Add(1) > int64(l.limits.MaxConnections)
	if full {
		s.metrics.rejected(reasonConnections)
		if !s.beginRefusing() || l.TLS { // a response would need a handshake
			s.refusing.Add(-1)
			return // without Open the connection is closed
		}
	}
	c := newConn(l, s.workers[in.Loop().Index()], in.Peer())
	c.refusing = full
	k.open.Add(1)
	if err := in.Open(&c.Socket, c); err != nil {
		s.log.Debug("cannot open a connection", "peer", in.Peer(), "listener", k.address, "error", err)
		c.uncount()
		return
	}
	c.worker.add(c)
	if full {
		c.refuse(http1.TooManyConnections)
		return
	}
	c.begin()
}

// beginRefusing counts a connection as being refused instead of open. It returns false if the connection must be closed at once, because
// maxRefusing others are being refused.
func (s *Set) beginRefusing() bool {
	s.open.Add(-1)
	return s.refusing.Add(1) <= maxRefusing
}

// trouble is called when accepting fails. netloop tries again after a while.
func (k *socket) trouble(err error, _ time.Duration) {
	if !k.starving.Swap(true) {
		k.set.log.Warn("cannot accept connections; waiting", "listener", k.address, "error", err, "remedy", acceptRemedy(err))
	}
}

func acceptRemedy(err error) string {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return "raise the limit of open files, or lower limits.max_connections"
	}
	return "free memory, or lower limits.max_connections"
}
