package listener

import (
	"errors"
	"syscall"
	"time"

	"lb/http1"
	"lb/netloop"
)

// turningAway is how many connections over a limit get a response at a time; more are closed.
const turningAway = 64

// accept is called on the loop that gets the connection.
func (k *socket) accept(in *netloop.Incoming) {
	if k.starving.Load() && k.starving.CompareAndSwap(true, false) {
		k.set.log.Info("accepting connections again", "listener", k.address)
	}
	k.metrics.accepted.Inc()
	l, s := k.current.Load(), k.set
	full := s.open.Add(1) > int64(l.limits.MaxConnections)
	if full {
		s.metrics.rejected(reasonConnections)
		if !s.turnAway() || l.TLS { // a response would take a handshake
			s.away.Add(-1)
			return // which closes it
		}
	}
	c := newConn(l, s.workers[in.Loop().Index()], in.Peer())
	c.away = full
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

// turnAway has a connection that is to be turned away no longer count among those that are open. It reports false if
// so many are being turned away that this one is to be closed at once.
func (s *Set) turnAway() bool {
	s.open.Add(-1)
	return s.away.Add(1) <= turningAway
}

// trouble is called when no connection can be accepted. netloop tries again after a while.
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
