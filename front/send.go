package front

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"lb/http1"
	"lb/internal/dormant"
	"lb/internal/poison"
	"lb/internal/progress"
	"lb/message"
)

// Respond begins the final response. Its head goes out with what is sent next, so that this, Send(nil, 0) at least, must
// follow. Until then another Respond takes its place. The connection ends with the response if that has to be.
func (c *Conn) Respond(r *message.Response) {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.ended = c.ended || c.Draining()
	c.respond(r, c.recipient())
}

// recipient says how the present request's client takes a response.
func (c *Conn) recipient() http1.Recipient {
	h := c.kept
	if h == nil {
		h = &c.work.head
	}
	return http1.Recipient{Minor: h.Minor, Head: h.IsHead(), Close: c.ended}
}

// respond is Respond for who holds sending.
func (c *Conn) respond(r *message.Response, to http1.Recipient) {
	c.writer.Reset(c.lendOut())
	c.writer.Respond(r, &to)
	c.begun, c.ended = true, to.Close
}

// Send sends what is left of the head, and then p, the next piece of the body. It returns how much of p was sent, which is
// all of it unless there is an error: os.ErrDeadlineExceeded when no byte moved for Limits.BodyIdleTimeout or, with
// patience, dormant.ErrPaused if the client takes nothing for so long and may yet take the rest, which is to be sent
// again from there on. On a TLS connection it waits.
func (c *Conn) Send(p []byte, patience time.Duration) (int, error) {
	return c.send(p, false, nil, patience)
}

// Finish is Send for the last piece of the body, behind which the trailer fields go. It may have no bytes.
func (c *Conn) Finish(p []byte, trailers []message.Field, patience time.Duration) (int, error) {
	return c.send(p, true, trailers, patience)
}

// Append puts the last piece of the body behind what is to be sent, copied: what follows is Finish without a body.
func (c *Conn) Append(p []byte, trailers []message.Field) {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.writer.Append(p, trailers)
}

func (c *Conn) send(p []byte, end bool, trailers []message.Field, patience time.Duration) (taken int, err error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.cut {
		return 0, net.ErrClosed
	}
	c.responded = true
	if err := c.goOnFromEarly(); err != nil {
		return 0, err
	}
	for {
		head, body, tail := c.writer.Frame(p[taken:], end, trailers)
		n, err := c.writeParts(head, body, tail, patience)
		c.sent += n
		taken += c.writer.Wrote(int(n))
		if err != nil || taken == len(p) {
			return taken, err
		}
	}
}

// goOnFromEarly leaves out what has gone out before the head that it begins.
func (c *Conn) goOnFromEarly() error {
	if c.early > 0 && !c.writer.Skip(http1.StatusLineStart[:c.early]) {
		c.abort() // it cannot go on from the bytes that are out
		return errNoStatusLine
	}
	c.early = 0
	return nil
}

var errNoStatusLine = errors.New("the response does not begin with " + http1.StatusLineStart)

// mostInterims is how many bytes of interim responses go out at a time.
const mostInterims = 4 << 10

// SendInterim sends an interim (1xx, but not 101) response, to a client that understands it; the final one is still owed. With more it may wait
// for what comes next. Nil sends those that wait.
func (c *Conn) SendInterim(r *message.Response, more bool) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	switch {
	case c.cut:
		return net.ErrClosed
	case r != nil && (c.begun || c.responded):
		return ErrClientGone // it has its response, and waits for nothing else
	case r != nil && c.recipient().Minor > 0:
		if c.writer.Pending() == 0 {
			c.writer.Reset(c.lendOut())
		}
		c.writer.Interim(r)
	}
	if n := c.writer.Pending(); n == 0 || c.begun || more && n < mostInterims {
		return nil
	}
	if err := c.goOnFromEarly(); err != nil {
		return err
	}
	head, _, _ := c.writer.Frame(nil, false, nil)
	n, err := c.writeParts(head, nil, nil, 0)
	c.writer.Wrote(int(n))
	c.sent += n
	return err
}

func (c *Conn) writeParts(head, body, tail []byte, patience time.Duration) (int64, error) {
	if c.tls != nil {
		return c.sendRecords(head, body, tail)
	}
	c.raw.SetPatience(patience)
	n, err := c.raw.WriteParts(head, body, tail, c.listener.limits.BodyIdleTimeout)
	return n, c.written(err)
}

// written ends a write with patience, for which sending is held.
func (c *Conn) written(err error) error {
	c.raw.SetPatience(0)
	if err == progress.ErrSlow {
		return dormant.ErrPaused
	}
	return err
}

// sendRecords writes through TLS. What is short is joined, so that there are no more records than need be.
func (c *Conn) sendRecords(parts ...[]byte) (done int64, err error) {
	record := recordPool.Get().(*[recordSize]byte)
	defer giveBack(record)
	joined := 0
	write := func(p []byte) {
		var n int
		n, err = c.tls.Write(p)
		done += int64(n)
	}
	for _, part := range parts {
		for len(part) > 0 && err == nil {
			if whole := len(part) - len(part)%recordSize; joined == 0 && whole > 0 {
				write(part[:whole])
				part = part[whole:]
				continue
			}
			k := copy(record[joined:], part)
			joined, part = joined+k, part[k:]
			if joined == recordSize {
				write(record[:])
				joined = 0
			}
		}
	}
	if joined > 0 && err == nil {
		write(record[:joined])
	}
	return done, err
}

// giveBack returns a record to its pool; nothing may read from it any more.
func giveBack(record *[recordSize]byte) {
	poison.Fill(record[:])
	recordPool.Put(record)
}

// SendFile sends what is left of the head, and then n bytes of f from offset off, of which it returns how many were sent.
// It does not touch f's own offset, so many may send from one f at a time. If f ends early the error is
// io.ErrUnexpectedEOF, and the response cannot be completed: see Abort. The length of the body must be known. Patience is that of Send.
func (c *Conn) SendFile(f *os.File, off, n int64, patience time.Duration) (sent int64, err error) {
	if _, err := c.Send(nil, patience); err != nil || n <= 0 {
		return 0, err
	}
	if c.tls == nil {
		if k, handled, err := c.sendFile(f, off, n, patience); handled {
			return k, err
		}
	}
	piece := recordPool.Get().(*[recordSize]byte)
	defer giveBack(piece)
	for sent < n {
		k, err := f.ReadAt(piece[:min(n-sent, recordSize)], off+sent)
		if k == 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return sent, err
		}
		m, err := c.Send(piece[:k], patience)
		sent += int64(m)
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func (c *Conn) sendFile(f *os.File, off, n int64, patience time.Duration) (sent int64, handled bool, err error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.cut {
		return 0, true, net.ErrClosed
	}
	c.raw.SetPatience(patience)
	sent, handled, err = c.raw.SendFile(f, off, n, c.listener.limits.BodyIdleTimeout)
	c.sent += sent
	return sent, handled, c.written(err)
}

// Sent returns the bytes of the present response that the socket has taken, interim heads included.
func (c *Conn) Sent() int64 {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.sent
}

// Responded reports whether something of the final response was sent.
func (c *Conn) Responded() bool {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.responded
}

func (c *Conn) aborted() bool {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.cut
}

// Abort ends the connection so that the client cannot take the response for whole: a reset on TCP,
// no close_notify on TLS. Sending fails after it, and so does reading the body. It must not be called while a Send runs.
func (c *Conn) Abort() {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.abort()
}

// abort is Abort for who holds sending.
func (c *Conn) abort() {
	if c.cut {
		return
	}
	c.cut, c.ended, c.responded = true, true, true
	c.socket.SetLinger(0)
	c.raw.Close()
}
