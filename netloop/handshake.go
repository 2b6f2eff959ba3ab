package netloop

import (
	"errors"
	"io"
	"os"
	"sync"
)

// handshake is what is needed until it is done.
type handshake struct {
	layer   *tlsLayer
	loop    *Loop
	timer   Timer
	started bool
	result  error

	// Shared with the goroutine.
	mu      sync.Mutex
	changed sync.Cond
	in      []byte // has come and is not read
	out     []byte // to be sent
	err     error  // what reads return after in
	waiting bool   // the goroutine has read all
	posted  bool   // a task is on its way that sends and receives
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
		h.result = conn.Handshake()
		<-set.computing
		h.loop.Post(TaskFunc(h.done))
	}()
}

// exchange moves bytes between the socket and the goroutine of the handshake.
func (h *handshake) exchange() {
	t := h.layer
	s := t.socket
	if s == nil || t.handshake != h {
		return // the socket was closed, and may belong to another connection by now
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

// Expired ends a handshake that takes too long.
func (h *handshake) Expired(*Timer) { h.cancel(os.ErrDeadlineExceeded) }

// cancel makes the handshake end.
func (h *handshake) cancel(err error) {
	h.timer.Stop()
	h.mu.Lock()
	h.err = err
	h.in = nil
	h.waiting = false
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
		<-h.loop.set.computing // who waits for the peer does not compute
		for h.waiting {
			h.changed.Wait()
		}
		h.mu.Unlock() // the loop needs it while this waits for its turn
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
