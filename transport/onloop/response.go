package onloop

import (
	"io"
	"os"

	"lb/http1"
	"lb/message"
	"lb/netloop"
	"lb/transport"
)

// ReadHead reads the head of the next response into Head. toHead says that the request was HEAD, whose response has no body
// whatever its fields say.
func (c *Conn) ReadHead(toHead bool) error {
	for {
		if end := http1.HeadEnd(c.came, c.look); end >= 0 {
			if end > c.set.opt.HeadSize {
				return c.fail(transport.Head, transport.Protocol, transport.ErrHeadTooLarge)
			}
			if err := c.Head.Parse(c.came[:end]); err != nil {
				return c.fail(transport.Head, transport.Protocol, err)
			}
			c.use(end)
			c.look = 0
			return c.frame(toHead)
		}
		if len(c.came) > 0 {
			if err := implausible(c.came, c.look); err != nil {
				return c.fail(transport.Head, transport.Protocol, err)
			}
		}
		if c.look = len(c.came); c.look >= c.set.opt.HeadSize {
			return c.fail(transport.Head, transport.Protocol, transport.ErrHeadTooLarge)
		}
		if err := c.fill(len(c.came) + 1); err != nil {
			return c.headFailed(err)
		}
		c.responded = true
	}
}

// headFailed returns what a read fails with that wanted a head.
func (c *Conn) headFailed(err error) error {
	if err == netloop.ErrWouldBlock {
		if c.sendErr != nil && !c.CanRead() {
			return c.sendErr
		}
		c.waiting = true
		return err
	}
	if c.sendErr != nil && !c.responded {
		return c.sendErr
	}
	e := c.fail(transport.Head, causeOf(err), unexpectedEOF(err))
	ended := err == io.EOF || err == io.ErrUnexpectedEOF // under TLS without word of it
	e.Sent = c.responded || !ended || !c.unheard()
	return c.death(e)
}

// fill reads more behind what came, into room for at least that many bytes in all.
func (c *Conn) fill(need int) error {
	var buf []byte
	switch {
	case len(c.came) == 0:
		c.giveRoom()
		buf, c.start = c.loop.Scratch(), 0
	case c.room == nil:
		buf = c.loop.Scratch()
	default:
		buf = c.room
	}
	if c.start > 0 && c.start+need > len(buf) {
		copy(buf, c.came)
		c.start = 0
	}
	if c.start+need > len(buf) {
		c.enlarge(need)
		buf = c.room
	}
	w := c.start + len(c.came)
	n, err := c.Socket.Read(buf[w:])
	c.came = buf[c.start : w+n]
	if n > 0 {
		return nil
	}
	return err
}

func (c *Conn) enlarge(need int) {
	var room []byte
	if need <= netloop.LargeBuffer {
		room = c.loop.Borrow(need)
	} else {
		room = make([]byte, 2*need)
	}
	copy(room, c.came)
	c.giveRoom()
	c.room, c.start, c.came = room, 0, room[:len(c.came)]
}

func (c *Conn) giveRoom() {
	if c.room != nil && cap(c.room) <= netloop.LargeBuffer {
		c.loop.Return(c.room)
	}
	c.room = nil
}

// use takes n bytes of what came.
func (c *Conn) use(n int) {
	c.came = c.came[n:]
	c.start += n
}

// Keep makes what came and is not used independent of the loop's scratch buffer. Whoever leaves something is to call it at the
// end of the event.
func (c *Conn) Keep() {
	switch {
	case len(c.came) == 0:
		c.giveRoom()
	case c.room == nil:
		c.enlarge(len(c.came))
	}
}

type framing uint8

// frame decides how the body ends (RFC 9112 section 6.3).
func (c *Conn) frame(toHead bool) error {
	h := &c.Head
	switch {
	case h.Status == 101 && h.Minor == 0: // RFC 9110 section 7.8
		return c.fail(transport.Head, transport.Protocol, http1.ErrFraming)
	case h.Status < 200 || h.Status == 204:
		if h.Chunked || h.ContentLength > 0 {
			return c.fail(transport.Head, transport.Protocol, http1.ErrFraming)
		}
		c.framing, h.Length = noBody, 0
	case toHead || h.Status == 304:
		c.framing = noBody
		h.Length = h.ContentLength
		if !h.Chunked && h.ContentLength < 0 {
			h.Length = 0
		}
	case h.Chunked:
		c.framing, h.Length = byChunks, -1
		c.chunks.Reset(http1.MaxResponseFields)
		c.options = c.options[:0]
		for i := range h.Fields { // which are gone when the trailer section comes
			if f := &h.Fields[i]; f.Kind == message.Connection {
				c.options = append(append(c.options, f.Value...), ',')
			}
		}
	case h.ContentLength >= 0:
		c.framing, c.left, h.Length = byLength, h.ContentLength, h.ContentLength
	default:
		c.framing, h.Close, h.Length = byClose, true, -1
	}
	if c.framing == noBody || c.framing == byLength && c.left == 0 {
		c.clean = h.Status >= 200
	}
	if h.Status == 100 {
		c.responded = len(c.came) > 0 // it asks for the rest of the request, and responds to nothing
	}
	return nil
}

// BodyLength returns the number of bytes of the body that are to come: 0 for none, -1 if only its end will tell.
func (c *Conn) BodyLength() int64 {
	switch c.framing {
	case noBody:
		return 0
	case byLength:
		return c.left
	}
	return -1
}

// ReadBody returns the next piece of the body, good until the next call or the end of the event; together with io.EOF the
// last one. Other errors than netloop.ErrWouldBlock are *transport.Error of phase Body; a body cut short is one.
func (c *Conn) ReadBody() ([]byte, error) {
	for {
		if c.clean {
			return nil, io.EOF
		}
		if len(c.came) > 0 {
			piece, err := c.take()
			if len(piece) > 0 || err != nil || c.clean {
				if err == nil && c.clean {
					err = io.EOF
				}
				return piece, err
			}
			continue
		}
		if err := c.fill(1); err != nil {
			if err == netloop.ErrWouldBlock {
				c.waiting = true
				return nil, err
			}
			if err == io.EOF && c.framing == byClose {
				c.clean = true
				continue
			}
			if err == io.EOF {
				err = transport.ErrTruncated
			}
			return nil, c.fail(transport.Body, causeOf(err), err)
		}
	}
}

// take cuts the payload out of what has come.
func (c *Conn) take() ([]byte, error) {
	unread := c.came
	switch c.framing {
	case byLength:
		n := int(min(c.left, int64(len(unread))))
		c.use(n)
		c.left -= int64(n)
		c.clean = c.left == 0
		return unread[:n], nil
	case byChunks:
		payload, read, err := c.chunks.Decode(unread)
		c.use(read)
		if err != nil {
			return unread[:payload], c.fail(transport.Body, transport.Protocol, err)
		}
		c.clean = c.chunks.Done()
		return unread[:payload], nil
	}
	c.use(len(unread))
	return unread, nil
}

// Trailer returns the trailer fields of a chunked body after its end, nil if there are none.
func (c *Conn) Trailer() []message.Field {
	if c.framing != byChunks || len(c.chunks.Trailer()) == 0 {
		return nil
	}
	head := [1]message.Field{{Kind: message.Connection, Value: c.options}}
	return http1.Trailers(c.chunks.Trailer(), head[:])
}

func (c *Conn) fail(phase transport.Phase, cause transport.Cause, err error) *transport.Error {
	return &transport.Error{Phase: phase, Cause: cause, Sent: true, Responded: c.responded, Reused: c.reused, Err: err}
}

// TimedOut is the error of a wait that has been too long.
func (c *Conn) TimedOut(phase transport.Phase) *transport.Error {
	return c.fail(phase, transport.TimedOut, os.ErrDeadlineExceeded)
}
