package front

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"lb/internal/dormant"
	"lb/internal/poison"
	"lb/internal/progress"
)

// Send writes head and then body with one system call if the socket takes them.
// It returns when all is written, or fails with os.ErrDeadlineExceeded when no byte moved for
// Limits.BodyIdleTimeout. An answer may take several Sends; the bytes go on the wire as they
// are, so chunk framing is the caller's.
func (c *Conn) Send(head, body []byte) (int64, error) {
	return c.send(head, body, true, 0)
}

// SendInterim writes an interim (1xx, but not 101) head; the final answer is still owed.
func (c *Conn) SendInterim(head []byte) error {
	_, err := c.send(head, nil, false, 0)
	return err
}

// SendOrPause is Send for an answer that can rest: it fails with dormant.ErrPaused if the client takes nothing for so long,
// and may yet take the rest. On a TLS connection it waits.
func (c *Conn) SendOrPause(head, body []byte, patience time.Duration) (int64, error) {
	return c.send(head, body, true, patience)
}

// SendFileOrPause is SendFile in the same way.
func (c *Conn) SendFileOrPause(head []byte, f *os.File, off, n int64, patience time.Duration) (int64, error) {
	return c.sendWithFile(head, f, off, n, patience)
}

func (c *Conn) send(head, body []byte, final bool, patience time.Duration) (n int64, err error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	switch {
	case c.cut:
		return 0, net.ErrClosed
	case c.answered && !final:
		return 0, ErrClientGone // it has its answer, and waits for nothing else
	}
	c.answered = c.answered || final
	early := c.early
	if early > 0 {
		if !bytes.HasPrefix(head, []byte(statusLineStart[:early])) {
			c.abort() // it cannot go on from the bytes that are out
			return 0, errNoStatusLine
		}
		c.early = 0
		head = head[early:]
	}
	n, err = c.write(head, body, patience)
	c.sent += n
	return int64(early) + n, err
}

// statusLineStart is what every head sent to a client begins with, whichever version the client speaks (RFC 9110
// section 2.5). Conn.early tells how much of it has gone out before the head itself: see vigil. Every first byte of a
// head passes through send.
const statusLineStart = "HTTP/1.1 "

var errNoStatusLine = errors.New("the answer does not begin with " + statusLineStart)

func (c *Conn) write(head, body []byte, patience time.Duration) (int64, error) {
	if c.tls != nil {
		return c.sendRecords(head, body)
	}
	c.raw.SetPatience(patience)
	n, err := c.raw.WriteParts(head, body, c.listener.limits.BodyIdleTimeout)
	return n, c.written(err)
}

// written ends a write with patience, for which sending is held.
func (c *Conn) written(err error) error {
	c.raw.SetPatience(0)
	if err == progress.ErrSlow {
		c.midChunks = false // what is left may begin anywhere
		return dormant.ErrPaused
	}
	return err
}

// sendRecords writes through TLS: the head and as much of the body as one record holds are joined.
func (c *Conn) sendRecords(head, body []byte) (int64, error) {
	if len(head) == 0 || len(body) == 0 || len(head) >= recordSize {
		n, err := writeBoth(c.tls, head, body)
		return int64(n), err
	}
	record := recordPool.Get().(*[recordSize]byte)
	k := copy(record[:], head)
	joined := copy(record[k:], body)
	n, err := c.tls.Write(record[:k+joined])
	giveBack(record)
	if err != nil || joined == len(body) {
		return int64(n), err
	}
	m, err := c.tls.Write(body[joined:])
	return int64(n) + int64(m), err
}

// giveBack returns a record to its pool; nothing may read from it any more.
func giveBack(record *[recordSize]byte) {
	poison.Fill(record[:])
	recordPool.Put(record)
}

func writeBoth(w io.Writer, head, body []byte) (n int, err error) {
	for _, part := range [2][]byte{head, body} {
		if len(part) > 0 && err == nil {
			var k int
			k, err = w.Write(part)
			n += k
		}
	}
	return n, err
}

// SendFile writes head and then n bytes of f from offset off. It does not touch f's own offset,
// so many may send from one f at a time. If f ends early the error is io.ErrUnexpectedEOF,
// and the answer cannot be completed: see Abort.
func (c *Conn) SendFile(head []byte, f *os.File, off, n int64) (int64, error) {
	return c.sendWithFile(head, f, off, n, 0)
}

func (c *Conn) sendWithFile(head []byte, f *os.File, off, n int64, patience time.Duration) (int64, error) {
	sent, err := c.send(head, nil, true, patience)
	if err != nil || n <= 0 {
		return sent, err
	}
	if c.tls == nil {
		if k, handled, err := c.sendFile(f, off, n, patience); handled {
			return sent + k, err
		}
	}
	piece := recordPool.Get().(*[recordSize]byte)
	defer giveBack(piece)
	for n > 0 {
		k, err := f.ReadAt(piece[:min(n, recordSize)], off)
		if k == 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return sent, err
		}
		m, err := c.send(nil, piece[:k], true, patience)
		sent += m
		if err != nil {
			return sent, err
		}
		off, n = off+int64(k), n-int64(k)
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

// Sent returns the bytes of this request's answer that the socket has taken, interim heads included.
func (c *Conn) Sent() int64 {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.sent
}

// Answered reports whether the final answer was begun.
func (c *Conn) Answered() bool {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.answered
}

func (c *Conn) aborted() bool {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.cut
}

// Abort ends the connection so that the client cannot take the answer for whole: a reset on TCP,
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
	c.cut, c.ended, c.answered = true, true, true
	c.socket.SetLinger(0)
	c.raw.Close()
}
