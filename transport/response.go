package transport

import (
	"io"
	"os"

	"lb/http1"
	"lb/message"
	"lb/netloop"
)

// ReadHead reads the head of the next response, see Head. toHead says that the request method is HEAD, whose response has no body
// regardless of its fields.
func (c *Conn) ReadHead(toHead bool) error {
	c.headRead = false
	for {
		if end := http1.HeadEnd(c.unread, c.scanned); end >= 0 {
			if end > c.client.opt.HeadSize {
				return c.fail(Head, Protocol, ErrHeadTooLarge)
			}
			if err := c.worker.head.Parse(c.unread[:end]); err != nil {
				return c.fail(Head, Protocol, err)
			}
			c.consume(end)
			c.scanned, c.headRead = 0, true
			return c.frame(toHead)
		}
		if len(c.unread) > 0 {
			if err := checkHeadStart(c.unread, c.scanned); err != nil {
				return c.fail(Head, Protocol, err)
			}
		}
		if c.scanned = len(c.unread); c.scanned >= c.client.opt.HeadSize {
			return c.fail(Head, Protocol, ErrHeadTooLarge)
		}
		if err := c.fill(len(c.unread) + 1); err != nil {
			return c.headFailed(err)
		}
		c.responded = true
	}
}

// headFailed returns the error of ReadHead after a read failed with err.
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
	e := c.fail(Head, causeOf(err), unexpectedEOF(err))
	ended := err == io.EOF || err == io.ErrUnexpectedEOF // the latter under TLS without close_notify
	e.Sent = c.responded || !ended || !c.undelivered()
	return c.checkStale(e)
}

// fill reads more and appends it to unread, in a buffer that has room for at least need bytes in total.
func (c *Conn) fill(need int) error {
	var buf []byte
	switch {
	case len(c.unread) == 0 && c.headRead: // read behind the head
		buf = c.buffer
		if buf == nil {
			buf = c.loop.Scratch()
		}
		if c.start == len(buf) {
			c.Again()
			return netloop.ErrWouldBlock
		}
	case len(c.unread) == 0:
		c.freeBuffer()
		buf, c.start = c.loop.Scratch(), 0
	case c.buffer == nil:
		buf = c.loop.Scratch()
	default:
		buf = c.buffer
	}
	if c.start > 0 && c.start+need > len(buf) {
		copy(buf, c.unread)
		c.start = 0
	}
	if c.start+need > len(buf) {
		c.growBuffer(need)
		buf = c.buffer
	}
	w := c.start + len(c.unread)
	n, err := c.Socket.Read(buf[w:])
	c.unread = buf[c.start : w+n]
	if n > 0 {
		return nil
	}
	return err
}

func (c *Conn) growBuffer(need int) {
	var buf []byte
	if need <= netloop.LargeBuffer {
		buf = c.loop.Borrow(need)
	} else {
		buf = make([]byte, 2*need)
	}
	copy(buf, c.unread)
	c.freeBuffer()
	c.buffer, c.start, c.unread = buf, 0, buf[:len(c.unread)]
}

func (c *Conn) freeBuffer() {
	if c.buffer != nil && cap(c.buffer) <= netloop.LargeBuffer {
		c.loop.Return(c.buffer)
	}
	c.buffer = nil
}

// consume drops the first n bytes of unread.
func (c *Conn) consume(n int) {
	c.unread = c.unread[n:]
	c.start += n
}

// Keep copies unread data out of the loop's scratch buffer. The user must call it at the end of each event in which it has not
// read everything.
func (c *Conn) Keep() {
	switch {
	case len(c.unread) == 0:
		c.freeBuffer()
	case c.buffer == nil:
		c.growBuffer(len(c.unread))
	}
}

type framing uint8

// frame decides how the body ends (RFC 9112 section 6.3).
func (c *Conn) frame(toHead bool) error {
	h := c.head()
	switch {
	case h.Status == 101 && h.Minor == 0: // RFC 9110 section 7.8
		return c.fail(Head, Protocol, http1.ErrFraming)
	case h.Status < 200 || h.Status == 204:
		if h.Chunked || h.ContentLength > 0 {
			return c.fail(Head, Protocol, http1.ErrFraming)
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
		for i := range h.Fields { // they are no longer valid when the trailer section is read
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
	c.closes, c.silence = h.Close, c.probation(h)
	if h.Status == 100 {
		c.responded = len(c.unread) > 0 // a 100 only asks for the body
	}
	return nil
}

// BodyLength returns how many bytes of the body have not been read yet, -1 if that is not known.
func (c *Conn) BodyLength() int64 {
	switch c.framing {
	case noBody:
		return 0
	case byLength:
		return c.left
	}
	return -1
}

// ReadBody returns the next piece of the body, valid until the next call or until the current event has been handled. The last piece
// may come together with io.EOF. Errors other than io.EOF and netloop.ErrWouldBlock are an *Error of phase Body, as for a truncated
// body.
func (c *Conn) ReadBody() ([]byte, error) {
	defer func() { c.headRead = false }()
	for {
		if c.clean {
			return nil, io.EOF
		}
		if len(c.unread) > 0 {
			piece, err := c.decode()
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
				err = ErrTruncated
			}
			return nil, c.fail(Body, causeOf(err), err)
		}
	}
}

// decode consumes unread data and returns the payload in it.
func (c *Conn) decode() ([]byte, error) {
	unread := c.unread
	switch c.framing {
	case byLength:
		n := int(min(c.left, int64(len(unread))))
		c.consume(n)
		c.left -= int64(n)
		c.clean = c.left == 0
		return unread[:n], nil
	case byChunks:
		payload, read, err := c.chunks.Decode(unread)
		c.consume(read)
		if err != nil {
			return unread[:payload], c.fail(Body, Protocol, err)
		}
		c.clean = c.chunks.Done()
		return unread[:payload], nil
	}
	c.consume(len(unread))
	return unread, nil
}

// Trailer returns the trailer fields of a chunked body that has been read to its end, nil if there are none.
func (c *Conn) Trailer() []message.Field {
	if c.framing != byChunks || len(c.chunks.Trailer()) == 0 {
		return nil
	}
	head := [1]message.Field{{Kind: message.Connection, Value: c.options}}
	return http1.Trailers(c.chunks.Trailer(), head[:])
}

func (c *Conn) fail(phase Phase, cause Cause, err error) *Error {
	return &Error{Phase: phase, Cause: cause, Sent: true, Responded: c.responded, Reused: c.reused, Err: err}
}

// TimedOut returns the error of a wait that exceeded its timeout.
func (c *Conn) TimedOut(phase Phase) *Error {
	return c.fail(phase, TimedOut, os.ErrDeadlineExceeded)
}
