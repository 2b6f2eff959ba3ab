package transport

import (
	"context"
	"fmt"
	"io"

	"lb/internal/proxyprotocol"
	"lb/netloop"
)

// announcement is the content of a connection's PROXY header. Such a connection belongs to a client's connection: it serves only
// requests for which the header would be the same.
type announcement struct {
	key    string // the header without a unique ID
	header []byte // to be sent, again if another address of the backend is tried; nil: the connection is established
	length int    // bytes of the header that were sent

	next, previous *Conn // among the loop's idle connections with the same key
}

// header returns what distinguishes the idle connections for a user from others, valid until the next call on the loop; nil without PROXY headers.
func (c *Client) header(l *netloop.Loop, user User) []byte {
	v := c.opt.ProxyProtocol
	if v == proxyprotocol.None {
		return nil
	}
	w := c.workers[l.Index()]
	w.described = proxyprotocol.Connection{}
	w.uniqueID = user.DescribeClient(&w.described)
	w.header = proxyprotocol.Append(w.header[:0], v, &w.described)
	return w.header
}

// announce prepares the PROXY header of a new connection.
func (c *Conn) announce(header []byte) {
	if header == nil {
		return
	}
	c.announced = &announcement{key: string(header)}
	c.announced.header = proxyprotocol.AppendUniqueID([]byte(c.announced.key), 0, c.client.opt.ProxyProtocol, c.worker.uniqueID)
}

// sendHeader sends the PROXY header on a connection that has just been established, before TLS. It reports whether the dial may go on. A
// new connection has room for a header.
func (c *Conn) sendHeader() bool {
	a := c.announced
	n, err := c.Socket.Write(a.header, nil)
	if err == nil && n < len(a.header) {
		err = io.ErrShortWrite
	}
	if err != nil {
		c.attemptFailed(dialError(context.Background(), fmt.Errorf("cannot send the PROXY header: %w", err)))
		return false
	}
	a.length = n
	c.before = int64(n)
	return true
}

// pushIdle makes a connection the first one to be reused.
func (own *loopConns) pushIdle(c *Conn) {
	own.idle.push(c)
	a := c.announced
	if a == nil {
		return
	}
	if own.announced == nil {
		own.announced = map[string]*Conn{}
	}
	a.next, a.previous = own.announced[a.key], nil
	if a.next != nil {
		a.next.announced.previous = c
	}
	own.announced[a.key] = c
}

// removeIdle removes an idle connection, for use or because it is closed.
func (own *loopConns) removeIdle(c *Conn) {
	own.idle.remove(c)
	a := c.announced
	if a == nil {
		return
	}
	switch {
	case a.previous != nil:
		a.previous.announced.next = a.next
	case a.next != nil:
		own.announced[a.key] = a.next
	default:
		delete(own.announced, a.key)
	}
	if a.next != nil {
		a.next.announced.previous = a.previous
	}
	a.next, a.previous = nil, nil
}

// reusable returns the idle connection to reuse for requests with that header; nil: there is none.
func (own *loopConns) reusable(header []byte) *Conn {
	if header == nil {
		return own.idle.first
	}
	return own.announced[string(header)]
}

// makeIdleRoom closes the connection of the loop that has been idle the longest if there are more than Options.MaxIdle. Without that, those
// of clients that have disconnected would keep others from being kept.
func (c *Client) makeIdleRoom(own *loopConns) {
	if c.opt.ProxyProtocol == proxyprotocol.None || c.idle.Load() < int64(c.opt.MaxIdle) {
		return
	}
	if oldest := own.idle.last; oldest != nil {
		own.removeIdle(oldest)
		c.idle.Add(-1)
		oldest.closeUnused()
	}
}
