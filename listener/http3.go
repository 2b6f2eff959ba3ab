package listener

import (
	"runtime/debug"

	"lb/http1"
	"lb/http3"
	"lb/netloop"
)

// quicConn is a client's connection by QUIC.
type quicConn struct {
	*http3.Conn

	info     http1.Info
	listener *Listener
	socket   *quicSocket
	worker   *worker
	place    int  // in worker.quic
	counted  bool // in Set.addresses

	announced bool // Conn.AnnounceEnd was called
}

// quicOpened is a quicConn as the task of its beginning.
type quicOpened quicConn

func (t *quicOpened) Run() {
	c := (*quicConn)(t)
	c.place = len(c.worker.quic)
	c.worker.quic = append(c.worker.quic, c)
	if c.ending() {
		c.End()
	}
}

func (c *quicConn) ending() bool { return c.socket.stopped.Load() || c.listener.ending() }

// Retiring implements http3.Owner.
func (c *quicConn) Retiring() bool { return c.listener.retired.Load() || c.ending() }

// Closed implements http3.Owner.
func (c *quicConn) Closed() {
	w, s := c.worker, c.listener.socket.set
	last := len(w.quic) - 1
	moved := w.quic[last]
	w.quic[c.place], moved.place = moved, c.place
	w.quic[last] = nil
	w.quic = w.quic[:last]
	if c.counted {
		s.addresses.leaveAddress(c.info.Peer.Addr())
	}
	s.open.Add(-1)
	c.listener.socket.leave()
}

// eachQUIC is each for the connections by QUIC, of one UDP socket, or of all for nil.
func (s *Set) eachQUIC(q *quicSocket, do func(*quicConn)) <-chan struct{} {
	return s.onWorkers(func(w *worker, finish func()) netloop.Task {
		return netloop.TaskFunc(func() {
			for i := len(w.quic) - 1; i >= 0; i-- {
				if i < len(w.quic) && (q == nil || w.quic[i].socket == q) {
					do(w.quic[i])
				}
			}
			finish()
		})
	})
}

// http3Handler is a Set as the http3.Handler of its connections.
type http3Handler Set

func (h *http3Handler) Serve(s *http3.Stream) { (*h.handle3.Load())(s) }

func (h *http3Handler) Refused(c *http3.Conn, r *http3.Refusal) {
	(*handler)(h).note(c.Info.(*http1.Info).Peer, r.Status, r.Label, r.Reason)
	if refused := *h.refused3.Load(); refused != nil && r.Status != 0 {
		refused(c, r)
	}
}

func (h *http3Handler) Panicked(v any) { (*Set)(h).Panicked(v, debug.Stack()) }
