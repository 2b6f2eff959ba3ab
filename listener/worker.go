package listener

import (
	"container/list"
	"sync/atomic"

	"lb/http1"
	"lb/http2"
	"lb/http3"
	"lb/netloop"
)

// worker holds the connections of one loop. Only the loop's goroutine uses it.
type worker struct {
	http1.Worker
	http2 http2.Worker
	http3 http3.Worker
	loops int // number of loops

	conns     []*conn
	quic      []*quicConn
	lingerers list.List // of *conn; the oldest first
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
	if n := cap(w.conns); n > 1024 && last < n/8 { // release memory after a peak
		w.conns = append(make([]*conn, 0, n/4), w.conns...)
	}
	if c.lingerer != nil {
		w.lingerers.Remove(c.lingerer)
		c.lingerer = nil
	}
}

// lingerShare limits all lingering connections together to max_connections / lingerShare, divided equally among the loops.
const lingerShare = 4

// linger adds c to the lingering connections. Their number is limited, since they serve no requests and clients may delay the end.
// If there are too many, the oldest is closed: its client has had the most time to read the response.
func (w *worker) linger(c *conn) {
	c.lingerer = w.lingerers.PushBack(c)
	if w.lingerers.Len() > max(c.listener.limits.MaxConnections/lingerShare/w.loops, 1) {
		w.lingerers.Front().Value.(*conn).endHTTP()
	}
}

// each calls do for every connection of a socket, or of all sockets for nil, on its loop. The channel is closed when that is done. A
// connection that opens meanwhile may be left out, and one may be visited twice.
func (s *Set) each(k *socket, do func(*conn)) <-chan struct{} {
	return s.onWorkers(func(w *worker, finish func()) netloop.Task {
		return &visit{worker: w, socket: k, do: do, finish: finish, next: -1}
	})
}

// onWorkers posts a task to the loop of each worker. The channel is closed when all have called finish.
func (s *Set) onWorkers(task func(w *worker, finish func()) netloop.Task) <-chan struct{} {
	done := make(chan struct{})
	var left atomic.Int32
	left.Store(int32(len(s.workers)))
	finish := func() {
		if left.Add(-1) == 0 {
			close(done)
		}
	}
	for _, w := range s.workers {
		if !w.Loop.Post(task(w, finish)) {
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
	next   int // connections from this index on have been visited; -1: not begun
}

// visitsAtOnce is how many connections are visited before the loop handles its events.
const visitsAtOnce = 64

// Run implements netloop.Task. It visits the connections from last to first, because the last one replaces one that is removed.
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
