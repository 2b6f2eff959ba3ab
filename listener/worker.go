package listener

import (
	"container/list"
	"sync/atomic"

	"lb/http1"
)

// worker is the connections of one loop. It belongs to the loop's goroutine.
type worker struct {
	http1.Worker
	loops int // how many there are

	conns     []*conn
	lingerers list.List // of *conn; the oldest is the first
}

func (w *worker) add(c *conn) {
	c.place = int32(len(w.conns))
	w.conns = append(w.conns, c)
}

func (w *worker) remove(c *conn) {
	last := len(w.conns) - 1
	moved := w.conns[last]
	w.conns[c.place], moved.place = moved, c.place
	w.conns[last] = nil
	w.conns = w.conns[:last]
	if n := cap(w.conns); n > 1024 && last < n/8 { // give memory back after a crowd
		w.conns = append(make([]*conn, 0, n/4), w.conns...)
	}
	if c.lingerer != nil {
		w.lingerers.Remove(c.lingerer)
		c.lingerer = nil
	}
}

// lingerShare is the part of max_connections that all lingering connections together may take: one in so many. Each loop has
// an equal share of that.
const lingerShare = 4

// linger has c wait for its client to close. Their number is bounded, since a client may be in no hurry, and they serve no
// requests. Where there are too many now, the oldest is closed: it had the most time to be read.
func (w *worker) linger(c *conn) {
	c.lingerer = w.lingerers.PushBack(c)
	if w.lingerers.Len() > max(c.listener.limits.MaxConnections/lingerShare/w.loops, 1) {
		w.lingerers.Front().Value.(*conn).Conn.End()
	}
}

// each does something to every connection of a socket, or of all for nil, on its loop. The channel is closed when that is done. A
// connection that opens meanwhile may be left out, and one may be visited twice.
func (s *Set) each(k *socket, do func(*conn)) <-chan struct{} {
	done := make(chan struct{})
	var left atomic.Int32
	left.Store(int32(len(s.workers)))
	finish := func() {
		if left.Add(-1) == 0 {
			close(done)
		}
	}
	for _, w := range s.workers {
		v := &visit{worker: w, socket: k, do: do, finish: finish, next: -1}
		if !w.Loop.Post(v) {
			finish() // the loop has stopped, and has no connections
		}
	}
	return done
}

// visit is the part of each on one loop.
type visit struct {
	worker *worker
	socket *socket
	do     func(*conn)
	finish func()
	next   int // all connections from this place on have been visited; -1: it has not begun
}

// visitsAtOnce is how many connections are visited before the loop looks at its events again.
const visitsAtOnce = 64

// Run implements netloop.Task. It goes down from the last connection, because the last takes the place of one that ends.
func (v *visit) Run() {
	conns := &v.worker.conns
	if v.next < 0 {
		v.next = len(*conns)
	}
	for range visitsAtOnce {
		if v.next = min(v.next, len(*conns)); v.next == 0 {
			v.finish()
			return
		}
		v.next--
		if c := (*conns)[v.next]; v.socket == nil || c.listener.socket == v.socket {
			v.do(c)
		}
	}
	v.worker.Loop.Later(v)
}
