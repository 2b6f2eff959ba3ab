package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"lb/transport"
)

// departure is what is to be done when the client leaves while a pool works for it. It is the
// context of that work; its zero value is ready.
type departure struct {
	mu   sync.Mutex
	gone bool
	conn *transport.Conn // to be interrupted; nil: none is in use
	done chan struct{}   // made when somebody asks for it
}

var _ context.Context = (*departure)(nil)

// happen is called when the client has left.
func (d *departure) happen() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return // who rests is watched again when he goes on
	}
	d.gone = true
	if d.conn != nil {
		d.conn.Interrupt()
	}
	if d.done != nil {
		close(d.done)
	}
}

// ends puts the connection under watch that is to be interrupted. A connection must be taken out again,
// by nil, before it is given back.
func (d *departure) ends(conn *transport.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn = conn
	if conn != nil && d.gone {
		conn.Interrupt()
	}
}

// happened reports whether the client has left.
func (d *departure) happened() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone
}

// used reports whether somebody has taken d for a context, or it has happened. Then it cannot serve another
// exchange: contexts made from it may ask for Done long after the work has ended.
func (d *departure) used() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone || d.done != nil
}

// Done implements context.Context.
func (d *departure) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
		if d.gone {
			close(d.done)
		}
	}
	return d.done
}

// Err implements context.Context.
func (d *departure) Err() error {
	if d.happened() {
		return context.Canceled
	}
	return nil
}

// Deadline implements context.Context.
func (d *departure) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Value implements context.Context.
func (d *departure) Value(any) any { return nil }

var errClientLeft = errors.New("the client went away before the answer was complete")

// abandon ends an exchange whose client has left.
func (x *Exchange) abandon() {
	x.status = statusClientGone
	x.cut(errClientLeft.Error())
}
