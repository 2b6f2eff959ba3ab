package netloop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
)

// handshake is the state of a TLS handshake in progress.
type handshake struct {
	layer   *tlsLayer
	loop    *Loop
	timer   Timer
	started bool
	result  error

	// Shared with the goroutine.
	mu      sync.Mutex
	changed sync.Cond
	in      []byte        // received and not read yet
	out     []byte        // to be sent
	err     error         // what reads return after in
	waiting bool          // the goroutine waits for more to read
	posted  bool          // a task that calls exchange has been posted
	failed  chan struct{} // of Wait; closed when the handshake fails
}

// begin starts the goroutine of the handshake.
func (t *tlsLayer) begin() {
	h := t.handshake
	h.started = true
	conn := t.conn
	h.loop.set.running.Add(1)
	h.loop.workers++
	go func() {
		set := h.loop.set
		defer set.running.Done()
		set.computing <- struct{}{}
		h.result = h.compute(conn)
		<-set.computing
		h.loop.Post(TaskFunc(h.done))
	}()
}

// compute runs the handshake. A panic, as in a function of the configuration, makes it fail.
func (h *handshake) compute(conn *tls.Conn) (err error) {
	if h.loop.set.options.Panicked != nil {
		defer func() {
			if h.loop.recovered(recover()) {
				err = errPanicked
			}
		}()
	}
	return conn.Handshake()
}

// Wait calls f, which may wait for something, in a function of a tls.Config that a handshake calls, and lets another handshake compute
// meanwhile. conn is that of the tls.ClientHelloInfo. f must return when failed is closed, because the handshake has failed by then: its
// socket was closed, its timeout has expired or the loop stops, which waits for f. failed is nil if conn does not belong to a loop.
func Wait(conn net.Conn, f func(failed <-chan struct{})) {
	var failed chan struct{}
	if c, ok := conn.(*tlsConn); ok && c.handshake != nil {
		failed = c.handshake.waitFor()
		computing := c.handshake.loop.set.computing
		<-computing
		defer func() { computing <- struct{}{} }()
	}
	f(failed)
}

// waitFor returns what is closed when the handshake has failed.
func (h *handshake) waitFor() chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	failed := make(chan struct{})
	if h.err != nil {
		close(failed)
	} else {
		h.failed = failed
	}
	return failed
}

// exchange moves bytes between the socket and the goroutine of the handshake.
func (h *handshake) exchange() {
	t := h.layer
	s := t.socket
	if s == nil || t.handshake != h {
		return // the socket was closed, and may now belong to another connection
	}
	h.mu.Lock()
	h.posted = false
	if len(h.out) > 0 {
		t.append(h.out)
		h.out = nil
	}
	wanted := h.waiting && h.err == nil || !h.started
	h.mu.Unlock()
	t.flush()
	if !wanted || s.flags&mayRead == 0 {
		return
	}
	n, err := s.receive(s.loop.Scratch())
	if err == ErrWouldBlock {
		return
	}
	h.mu.Lock()
	h.in = append(h.in, s.loop.scratch[:n]...)
	h.err = err
	h.waiting = false
	h.changed.Signal()
	h.mu.Unlock()
	if !h.started {
		t.begin()
	}
}

// Run is exchange as a task.
func (h *handshake) Run() { h.exchange() }

// Expired ends a handshake that exceeds its timeout.
func (h *handshake) Expired(*Timer) { h.cancel(os.ErrDeadlineExceeded) }

// cancel makes the handshake end.
func (h *handshake) cancel(err error) {
	h.timer.Stop()
	h.mu.Lock()
	h.err = err
	h.in = nil
	h.waiting = false
	if h.failed != nil {
		close(h.failed)
		h.failed = nil
	}
	h.changed.Signal()
	h.mu.Unlock()
	if !h.started {
		h.started = true
		h.loop.workers++
		h.result = err
		h.loop.Later(TaskFunc(h.done))
	}
}

// done is run on the loop after the handshake.
func (h *handshake) done() {
	h.loop.workers--
	h.timer.Stop()
	t := h.layer
	s := t.socket
	if s == nil || t.handshake != h {
		return
	}
	if len(h.out) > 0 {
		t.append(h.out)
	}
	t.in, h.in = h.in, nil
	t.handshake, t.inner.handshake = nil, nil
	t.flush()
	if h.result != nil {
		t.release()
		t.socket, s.tls = nil, nil
		if s.err == nil {
			s.err = h.result
		}
		s.call(Failed)
		return
	}
	e := Secured | Readable
	if s.flags&hungUp != 0 {
		e |= HungUp
	}
	s.call(e)
}

func (h *handshake) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.in) == 0 {
		if h.err != nil {
			return 0, h.err
		}
		h.waiting = true
		h.post()
		<-h.loop.set.computing // while it waits for the peer, another handshake may compute
		for h.waiting {
			h.changed.Wait()
		}
		h.mu.Unlock() // the loop needs it while this waits
		h.loop.set.computing <- struct{}{}
		h.mu.Lock()
	}
	n := copy(p, h.in)
	h.in = h.in[n:]
	return n, nil
}

func (h *handshake) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil && !errors.Is(h.err, io.EOF) {
		return 0, h.err
	}
	h.out = append(h.out, p...)
	h.post()
	return len(p), nil
}

// post asks the loop for an exchange.
func (h *handshake) post() {
	if !h.posted {
		h.posted = true
		h.loop.Post(h)
	}
}
