//go:build e2e

package chaos

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// kind is a way in which a backend, or the network to it, fails.
type kind string

// The kinds of fault. The first two are over at once; the others last.
const (
	reset  kind = "reset"  // its connections are reset, new ones are accepted
	hiccup kind = "hiccup" // the same, and the listener is closed for a moment
	die    kind = "die"    // its connections are closed, new ones are refused
	refuse kind = "refuse" // new connections are refused, the others stay open
	delay  kind = "delay"  // each piece of a response is delayed
	slice  kind = "slice"  // responses are sent in small pieces
	hang   kind = "hang"   // nothing is forwarded in either direction, connections are accepted
	cut    kind = "cut"    // each connection is closed after some bytes of responses
)

// fault is one fault in force.
type fault struct {
	kind  kind
	after int           // bytes of responses on a connection, with cut
	piece int           // bytes, with slice
	wait  time.Duration // with delay
	over  chan struct{} // closed at its end
}

// harm is an entry of a link's journal.
type harm struct {
	kind     kind
	from, to time.Time // to is zero until its end
}

// link is a TCP proxy before one backend, which makes the faults.
type link struct {
	address, target string
	orderly         bool // connections are closed, else reset

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	pairs    map[*pair]struct{}
	fault    *fault // nil: none
	journal  []harm
	running  sync.WaitGroup
}

// pair is a connection from lb and the one to the backend that belongs to it.
type pair struct {
	link            *link
	client, backend *net.TCPConn
	responded       int // bytes
	once            sync.Once
}

func (l *link) listen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln, err := net.Listen("tcp", l.address)
	if err != nil {
		return fmt.Errorf("cannot restart backend %s: %w", l.address, err)
	}
	l.listener = ln
	l.running.Go(func() { l.accept(ln) })
	return nil
}

func (l *link) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", l.target)
		if err != nil {
			c.Close()
			continue
		}
		p := &pair{link: l, client: c.(*net.TCPConn), backend: b.(*net.TCPConn)}
		l.mu.Lock()
		if l.listener != ln { // refused meanwhile
			l.mu.Unlock()
			p.end()
			continue
		}
		l.pairs[p] = struct{}{}
		l.running.Go(p.up)
		l.running.Go(p.down)
		l.mu.Unlock()
	}
}

// set replaces the current fault; nil ends it. It must not be called concurrently.
func (l *link) set(f *fault) error {
	now := time.Now()
	l.mu.Lock()
	if old := l.fault; old != nil {
		close(old.over)
		l.journal[len(l.journal)-1].to = now
	}
	l.fault = f
	var ending []*pair
	wantListener := true
	if f != nil {
		if f.kind == refuse { // the system resets the connections that have not been accepted yet
			l.journal = append(l.journal, harm{kind: reset, from: now, to: now})
		}
		l.journal = append(l.journal, harm{kind: f.kind, from: now})
		wantListener = f.kind != die && f.kind != refuse && f.kind != hiccup
		if f.kind == die || f.kind == reset || f.kind == hiccup {
			for p := range l.pairs {
				ending = append(ending, p)
			}
		}
	}
	ln := l.listener
	if !wantListener {
		l.listener = nil
	}
	l.mu.Unlock()
	if !wantListener && ln != nil {
		ln.Close() // before the connections end, as with a process
	}
	for _, p := range ending {
		p.end()
	}
	if wantListener && ln == nil {
		return l.listen()
	}
	return nil
}

// harmed returns the kinds of the faults that were in force between two moments.
func (l *link) harmed(from, to time.Time) (kinds []kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range slices.Backward(l.journal) {
		if !h.to.IsZero() && h.to.Before(from) {
			return kinds
		}
		if h.from.Before(to) {
			kinds = append(kinds, h.kind)
		}
	}
	return kinds
}

// close ends everything and waits for it.
func (l *link) close() {
	_ = l.set(&fault{kind: die, over: make(chan struct{})})
	l.running.Wait()
}

func (l *link) current() *fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// end resets both connections at once, and discards what is in flight.
func (p *pair) end() { p.finish(p.link.orderly) }

// finish closes both connections; if orderly, lb gets all that was written before.
func (p *pair) finish(orderly bool) {
	p.once.Do(func() {
		if !orderly {
			_ = p.client.SetLinger(0)
		}
		p.client.Close()
		p.backend.Close()
		p.link.mu.Lock()
		delete(p.link.pairs, p)
		p.link.mu.Unlock()
	})
}

// up forwards requests.
func (p *pair) up() {
	buf := make([]byte, 16<<10)
	for {
		n, err := p.client.Read(buf)
		if f := p.link.current(); f != nil && f.kind == hang {
			<-f.over
		}
		if n > 0 {
			if _, err := p.backend.Write(buf[:n]); err != nil {
				p.end()
				return
			}
		}
		if err == io.EOF {
			_ = p.backend.CloseWrite()
			return
		}
		if err != nil {
			p.end()
			return
		}
	}
}

// down forwards responses.
func (p *pair) down() {
	defer p.end()
	buf := make([]byte, 16<<10)
	for {
		n, err := p.backend.Read(buf)
		for b := buf[:n]; len(b) > 0; {
			m := len(b)
			if f := p.link.current(); f != nil {
				switch f.kind {
				case hang:
					<-f.over
				case delay:
					wait(f.wait, f.over)
				case slice:
					m = min(m, f.piece)
					wait(time.Millisecond, f.over)
				case cut:
					if m = min(m, f.after-p.responded); m <= 0 {
						return
					}
				}
			}
			if _, err := p.client.Write(b[:m]); err != nil {
				return
			}
			p.responded += m
			b = b[m:]
		}
		if err == io.EOF {
			p.finish(true) // the backend's own end, which may be that of the response
		}
		if err != nil {
			return
		}
	}
}

// wait waits until over, but no longer than d.
func wait(d time.Duration, over <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-over:
	}
}
