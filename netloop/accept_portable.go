//go:build !linux || !(amd64 || arm64) || portable

package netloop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Listener accepts connections on loops.
type Listener struct {
	set     *Loops
	ln      net.Listener
	addr    net.Addr
	accept  func(*Incoming)
	trouble func(error, time.Duration)

	close sync.Once
	stop  chan struct{} // closed: accept what is queued and end
	ended chan struct{}
}

// lastAccept is how long Close waits for connections in the queue.
const lastAccept = 10 * time.Millisecond

// Listen accepts connections of ln on all loops, which must have been started, and calls accept with each on the connection's loop. It
// takes ownership of ln: only the Listener must be closed, which does not remove the file of a unix socket. If accepting fails for lack
// of descriptors or memory, Listen waits between 5 ms and a second before it tries again, and calls trouble, which may be nil, on a loop
// with the error and the wait.
func (ls *Loops) Listen(ln net.Listener, accept func(*Incoming), trouble func(error, time.Duration)) (*Listener, error) {
	if _, ok := ln.(interface{ SetDeadline(time.Time) error }); !ok {
		return nil, fmt.Errorf("cannot listen on %s: it takes no deadline", ln.Addr())
	}
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	listener := &Listener{set: ls, ln: ln, addr: ln.Addr(), accept: accept, trouble: trouble, stop: make(chan struct{}), ended: make(chan struct{})}
	ls.running.Add(1)
	go listener.run()
	context.AfterFunc(ls.ctx, listener.end)
	return listener, nil
}

func (ln *Listener) run() {
	defer ln.set.running.Done()
	defer close(ln.ended)
	defer ln.ln.Close()
	wait := firstBackoff
	first := ln.set.loops[0]
	for {
		conn, err := ln.ln.Accept()
		switch {
		case err == nil:
			wait = firstBackoff
			g := &given{Incoming{peer: addrPort(conn.RemoteAddr()), incoming: incoming{conn}}, ln.accept}
			g.loop = first.owner()
			if !g.loop.Post(g) {
				g.Close()
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		case errors.Is(err, syscall.ECONNABORTED):
		default:
			if ln.trouble != nil {
				trouble, wait := ln.trouble, wait
				first.Post(TaskFunc(func() { trouble(err, wait) }))
			}
			select {
			case <-time.After(wait):
			case <-ln.stop:
			}
			wait = min(2*wait, lastBackoff)
			if errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}
}

// File returns a duplicate of the listening socket, for another process. Close does not close it.
func (ln *Listener) File() (*os.File, error) {
	if f, ok := ln.ln.(interface{ File() (*os.File, error) }); ok {
		return f.File()
	}
	return nil, errors.ErrUnsupported
}

// Close accepts what the kernel has queued and stops accepting. It must not be called on a loop.
func (ln *Listener) Close() error {
	ln.end()
	<-ln.ended
	return nil
}

func (ln *Listener) end() {
	ln.close.Do(func() {
		close(ln.stop)
		_ = ln.ln.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(lastAccept))
	})
}

// incoming is the driver's part of an Incoming.
type incoming struct {
	conn net.Conn // nil: opened or closed
}

// Open makes the connection a socket of its loop. On an error the connection is closed.
func (in *Incoming) Open(s *Socket, handler Handler) error {
	if in.conn == nil {
		return net.ErrClosed
	}
	if err := s.attach(in.loop, in.conn, in.peer, handler, accepted|mayWrite); err != nil {
		in.Close()
		return err
	}
	in.conn = nil
	return nil
}

// Close closes the connection without opening it.
func (in *Incoming) Close() {
	if in.conn != nil {
		in.conn.Close()
		in.conn = nil
		in.loop.open.Add(-1)
	}
}
