package transport

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"lb/http1"
	"lb/internal/dormant"
	"lb/internal/poison"
	"lb/internal/progress"
	"lb/message"
)

const (
	smallBuffer = 8 << 10  // for a head and a small body
	largeBuffer = 32 << 10 // for long heads and bodies
)

var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

// Conn is a connection to a backend, in use for one exchange at a time:
// Ask, or Begin, SendBody… and FinishBody, and ReadHead; NextHead after each 1xx, ReadBody until io.EOF, then Done.
type Conn struct {
	client *Client
	limits *Timeouts    // of this exchange
	socket dormant.Conn // on a plain connection
	nc     progress.Conn
	under  *socket // TLS; nil: there is none
	look   liveness

	idleSince atomic.Int64 // since the client's start
	silentAt  atomic.Int64 // the same: until when it is set aside
	uses      int
	reused    bool
	sent      bool
	responded bool
	broken    bool // a write has failed: half a request may be out
	// interrupted is set by Interrupt and stays: the connection serves no other exchange.
	interrupted atomic.Bool
	wrote       int64 // bytes, of all exchanges
	before      int64 // bytes that the socket had taken before this exchange

	buf  *[]byte // read buffer, held from the first read to Done
	r, w int     // buf[r:w] is read but not used

	Head http1.ResponseHead // of the response that ReadHead returned last

	writer  http1.Writer // of the request
	frames  [32]byte     // room for what it makes behind the request's head
	framing framing
	clean   bool  // the response ended where it should
	left    int64 // of a body with a length
	chunks  http1.ChunkDecoder
}

type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

func newConn(c *Client, nc net.Conn) *Conn {
	conn := &Conn{client: c}
	if secure, ok := nc.(*tls.Conn); ok {
		conn.nc.Conn = nc
		conn.under, _ = secure.NetConn().(*socket)
	} else {
		conn.socket.Init(nc)
		conn.nc.Conn = &conn.socket
	}
	conn.look.init(conn.nc.Conn)
	return conn
}

// begin makes the connection ready for one more exchange.
func (c *Conn) begin(reused bool) {
	c.reused, c.limits = reused, &c.client.opt.Timeouts
	c.uses++
	c.sent, c.responded, c.clean = false, false, false
	c.framing, c.left = noBody, 0
	c.before = c.taken()
}

// taken returns how many bytes the socket has taken so far.
func (c *Conn) taken() int64 {
	if c.under != nil {
		return c.under.written.Load()
	}
	return c.wrote
}

// Override has t, which must not change, bound the waits of this exchange, and not the client's own timeouts.
func (c *Conn) Override(t *Timeouts) { c.limits = t }

// Reused reports whether the connection has served an exchange before this one.
func (c *Conn) Reused() bool { return c.reused }

// Responded reports whether a byte of a response, other than 100 (Continue), has come in this exchange.
func (c *Conn) Responded() bool { return c.responded }

// Begin sends the head of a request, and then p, the beginning of its body. Each write must make progress within the Idle timeout.
// Every error is an *Error of phase Write.
func (c *Conn) Begin(r *message.Request, p []byte) error {
	c.takeBuffer()
	c.writer.Reset((*c.buf)[:0]) // which is read into only later
	c.writer.Request(r)
	err := c.write(p, false, nil)
	c.writer.Use(c.frames[:0])
	return err
}

// SendBody sends more of the body. It and FinishBody may be called while another goroutine reads.
func (c *Conn) SendBody(p []byte) error { return c.write(p, false, nil) }

// FinishBody ends the body, with those trailer fields behind it if only its end tells how long it is.
func (c *Conn) FinishBody(trailers []message.Field) error { return c.write(nil, true, trailers) }

func (c *Conn) write(p []byte, end bool, trailers []message.Field) error {
	for {
		head, body, tail := c.writer.Frame(p, end, trailers)
		written, err := c.writeParts(head, body, tail)
		c.noteWritten(written)
		p = p[c.writer.Wrote(int(written)):]
		if err != nil {
			return c.writeFailed(err)
		}
		if len(p) == 0 {
			return nil
		}
	}
}

func (c *Conn) writeParts(head, body, tail []byte) (int64, error) {
	if c.under != nil && len(body) > 0 && len(head)+len(tail) > 0 && len(head)+len(body)+len(tail) <= largeBuffer {
		joined := largeBuffers.Get().(*[]byte) // or TLS would make a record, and a system call, of each
		defer giveBack(joined)
		all := append(append(append((*joined)[:0], head...), body...), tail...)
		return c.nc.WriteParts(all, nil, nil, c.limits.Idle)
	}
	return c.nc.WriteParts(head, body, tail, c.limits.Idle)
}

func (c *Conn) noteWritten(n int64) {
	c.wrote += n
	c.sent = c.sent || n > 0
}

// writeFailed makes the error of a write. That nothing was sent is certain if the system refused to take the
// first byte because the peer had ended the connection before.
func (c *Conn) writeFailed(err error) *Error {
	c.broken = true
	sent := c.sent || c.taken() > c.before || !refused(err)
	return c.noteDeath(&Error{Phase: Write, Cause: causeOf(err), Sent: sent, Reused: c.reused, Err: err})
}

// noteDeath has the client remember a kept connection that the backend ended.
func (c *Conn) noteDeath(e *Error) *Error {
	if e.Died() && !c.interrupted.Load() {
		c.client.noteDeath()
	}
	return e
}

// Ask sends a whole request, with p as its body, and reads the head of the first response to it, as Begin, FinishBody and
// ReadHead would. If the request could not be written, sendErr says so, and err whether there is
// a response all the same.
func (c *Conn) Ask(r *message.Request, p []byte, trailers []message.Field) (sendErr, err error) {
	c.takeBuffer()
	c.renewRead(c.limits.Response)
	c.writer.Reset((*c.buf)[:0]) // it is written before anything is read into it
	c.writer.Request(r)
	request, body, tail := c.writer.Frame(p, true, trailers)
	if len(body)+len(tail) > 0 {
		if sendErr = c.write(p, true, trailers); sendErr == nil {
			c.renewRead(c.limits.Response) // the request took its time
		}
		return sendErr, c.readHead(r.IsHead())
	}
	written, n, err := c.nc.Ask(request, *c.buf, c.limits.Idle)
	c.noteWritten(written)
	c.w = n
	switch {
	case written < int64(len(request)):
		sendErr = c.writeFailed(err)
	case err != nil:
		return nil, c.headFailed(err)
	}
	if c.responded = n > 0; !c.responded && sendErr == nil {
		c.renewRead(c.limits.Response) // the request took its time
	}
	return sendErr, c.readHead(r.IsHead())
}

// ReadHead reads the head of the next response into c.Head. head says that the request was
// HEAD, whose response has no body whatever its fields say. Every error is an *Error.
func (c *Conn) ReadHead(head bool) error {
	c.takeBuffer()
	c.renewRead(c.limits.Response)
	return c.readHead(head)
}

// AwaitHead is ReadHead with a shorter wait. After a timeout it or ReadHead may be called again.
func (c *Conn) AwaitHead(head bool, wait time.Duration) error {
	if limit := c.limits.Response; limit > 0 && limit < wait {
		wait = limit
	}
	c.takeBuffer()
	c.renewRead(wait)
	return c.readHead(head)
}

// NextHead is ReadHead behind an interim head: the wait goes on and does not begin anew, so that endless
// interim heads are no response.
func (c *Conn) NextHead(head bool) error {
	c.takeBuffer()
	return c.readHead(head)
}

// renewRead lets reads wait until d from now, unless Interrupt was called: each side stores first
// and looks then, so an interruption is never overwritten.
func (c *Conn) renewRead(d time.Duration) {
	_ = c.nc.RenewRead(d)
	if c.interrupted.Load() {
		_ = c.nc.SetReadDeadline(longAgo)
	}
}

func (c *Conn) takeBuffer() {
	if c.buf == nil {
		c.buf, c.r, c.w = smallBuffers.Get().(*[]byte), 0, 0
	}
}

func (c *Conn) readHead(head bool) error {
	scanned := 0
	for {
		if end := http1.HeadEnd((*c.buf)[c.r:c.w], scanned); end >= 0 {
			if end > c.client.opt.HeadSize {
				return c.fail(Head, Protocol, ErrHeadTooLarge)
			}
			if err := c.Head.Parse((*c.buf)[c.r : c.r+end]); err != nil {
				return c.fail(Head, Protocol, err)
			}
			c.r += end
			return c.frame(head)
		}
		if err := implausible((*c.buf)[c.r:c.w], scanned); err != nil {
			return c.fail(Head, Protocol, err)
		}
		scanned = c.w - c.r
		if scanned >= c.client.opt.HeadSize {
			return c.fail(Head, Protocol, ErrHeadTooLarge)
		}
		c.room()
		n, err := c.nc.Read((*c.buf)[c.w:])
		c.w += n
		if n > 0 {
			c.responded = true
		} else if err != nil {
			return c.headFailed(err)
		}
	}
}

// implausible says why b cannot be the start of a response head, so that a backend which speaks
// something else, or ends its lines otherwise, is found out at once and not after the timeout. The first bytes, so many, were
// looked at before.
func implausible(b []byte, before int) error {
	const start = "HTTP/1."
	n := min(len(b), len(start))
	if string(b[:n]) != start[:n] {
		return http1.StatusLineError(b)
	}
	for at := before; ; at++ {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return nil
		}
		if at += i; b[at-1] != '\r' {
			return http1.ErrStatusLine
		}
	}
}

// room makes space for at least one more byte behind c.w.
func (c *Conn) room() {
	switch {
	case c.w < len(*c.buf):
	case c.r > 0:
		c.w = copy(*c.buf, (*c.buf)[c.r:c.w])
		c.r = 0
	default:
		c.enlarge()
	}
}

// enlarge moves what is unread to a large buffer, from there to one of twice the size.
func (c *Conn) enlarge() {
	var larger *[]byte
	if len(*c.buf) < largeBuffer {
		larger = largeBuffers.Get().(*[]byte)
	} else {
		b := make([]byte, 2*len(*c.buf))
		larger = &b
	}
	n := copy(*larger, (*c.buf)[c.r:c.w])
	giveBack(c.buf)
	c.buf, c.r, c.w = larger, 0, n
}

// giveBack puts a buffer back to its pool. Of those that are larger than both kinds there is none: few heads need one.
func giveBack(buf *[]byte) {
	poison.Fill(*buf)
	switch len(*buf) {
	case smallBuffer:
		smallBuffers.Put(buf)
	case largeBuffer:
		largeBuffers.Put(buf)
	}
}

// frame decides how the body ends (RFC 9112 section 6.3).
func (c *Conn) frame(head bool) error {
	h := &c.Head
	switch {
	case h.Status == 101 && h.Minor == 0: // RFC 9110 section 7.8
		return c.fail(Head, Protocol, http1.ErrStatusLine)
	case h.Status < 200 || h.Status == 204:
		if h.Chunked || h.ContentLength > 0 {
			return c.fail(Head, Protocol, http1.ErrFraming)
		}
		c.framing = noBody
	case head || h.Status == 304:
		c.framing = noBody
	case h.Chunked:
		c.framing = byChunks
		c.chunks.Reset(http1.MaxResponseFields)
	case h.ContentLength >= 0:
		c.framing, c.left = byLength, h.ContentLength
	default:
		c.framing, h.Close = byClose, true
	}
	if c.framing == noBody || c.framing == byLength && c.left == 0 {
		c.clean = h.Status >= 200
	}
	if h.Length = c.Length(); head && h.Chunked {
		h.Length = -1
	}
	if h.Status == 100 {
		c.responded = c.r < c.w // it asks for the rest of the request, and responds to nothing
	}
	return nil
}

// Length returns the number of bytes of the body: 0 for none, -1 if only its end will tell.
func (c *Conn) Length() int64 {
	switch c.framing {
	case noBody:
		return 0
	case byLength:
		return c.left
	}
	return -1
}

// ReadBody returns the next piece of the body, valid until the next call; together with
// io.EOF the last one. What is already there is returned without reading. Other errors
// are *Error of phase Body; a body cut short is one.
func (c *Conn) ReadBody() ([]byte, error) {
	for {
		if c.clean {
			return nil, io.EOF
		}
		if c.r < c.w {
			piece, err := c.take()
			if len(piece) > 0 || err != nil || c.clean {
				if err == nil && c.clean {
					err = io.EOF
				}
				return piece, err
			}
			continue
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// take cuts the payload out of what has been read.
func (c *Conn) take() ([]byte, error) {
	unread := (*c.buf)[c.r:c.w]
	switch c.framing {
	case byLength:
		n := int(min(c.left, int64(len(unread))))
		c.r += n
		c.left -= int64(n)
		c.clean = c.left == 0
		return unread[:n], nil
	case byChunks:
		payload, read, err := c.chunks.Decode(unread)
		c.r += read
		if err != nil {
			return unread[:payload], c.fail(Body, Protocol, err)
		}
		c.clean = c.chunks.Done()
		return unread[:payload], nil
	}
	c.r = c.w
	return unread, nil
}

// fill reads more of the body; the buffer is empty.
func (c *Conn) fill() error {
	if len(*c.buf) < largeBuffer && (c.framing != byLength || c.left > smallBuffer) {
		c.enlarge()
	}
	c.r, c.w = 0, 0
	c.renewRead(c.limits.Idle)
	n, err := c.nc.Read(*c.buf)
	c.w = n
	if n > 0 || err == nil {
		return nil
	}
	if err == io.EOF && c.framing == byClose && (c.under == nil || !c.under.ended) {
		c.clean = true
		return nil
	}
	if err == io.EOF {
		err = ErrTruncated
	}
	return c.fail(Body, causeOf(err), err)
}

// Response returns the head that was read last. It holds until the connection is given back, or Suspend is called.
func (c *Conn) Response() *message.Response { return &c.Head.Response }

// Trailers returns the trailer fields of a body after its end, as far as they may be passed on.
func (c *Conn) Trailers() []message.Field {
	if c.framing != byChunks {
		return nil
	}
	return http1.Trailers(c.chunks.Trailer(), c.Head.Fields)
}

// headFailed makes the error of a read that wanted a head.
func (c *Conn) headFailed(err error) *Error {
	e := c.fail(Head, causeOf(err), unexpectedEOF(err))
	e.Sent = c.responded || err != io.EOF || !c.unheard()
	return c.noteDeath(e)
}

func (c *Conn) fail(phase Phase, cause Cause, err error) *Error {
	return &Error{Phase: phase, Cause: cause, Sent: true, Responded: c.responded, Reused: c.reused, Err: err}
}

// Done ends the exchange: the connection is kept for another if the whole response was
// read, nothing stands behind it and both sides want to go on; else it is closed. After a response without a body it is
// not used at once, see silence. complete says that the whole request was sent.
func (c *Conn) Done(complete bool) {
	client := c.client
	client.active.Add(-1)
	fit := complete && c.clean && !c.broken && !c.Head.Close && c.r == c.w && !c.interrupted.Load() &&
		(client.opt.MaxRequests == 0 || c.uses < client.opt.MaxRequests)
	silence := c.silence()
	c.release()
	c.writer.Reset(nil)
	if fit {
		client.keep(c, silence)
		return
	}
	c.nc.Close()
}

// release gives the buffer back; nothing may read from it any more.
func (c *Conn) release() {
	if c.buf == nil {
		return
	}
	giveBack(c.buf)
	c.buf, c.r, c.w = nil, 0, 0
	clear(c.Head.Fields)
	fields := c.Head.Fields[:0]
	c.Head = http1.ResponseHead{} // an idle connection holds on to no buffer
	c.Head.Fields = fields
}

// HeadBuffered reports whether NextHead returns without waiting.
func (c *Conn) HeadBuffered() bool { return http1.HeadEnd((*c.buf)[c.r:c.w], 0) >= 0 }

// Buffered reports whether ReadBody has something to return without waiting.
func (c *Conn) Buffered() bool { return c.clean || c.r < c.w }

// BufferedWhole reports whether ReadBody returns all of the body without waiting, which it knows of one with a length.
func (c *Conn) BufferedWhole() bool {
	return c.clean || c.framing == byLength && c.left <= int64(c.w-c.r)
}

// ResponseTimeout is how long ReadHead waits.
func (c *Conn) ResponseTimeout() time.Duration { return c.limits.Response }

// Suspend returns what can sleep while nothing comes from the backend; Resume must be called after it has woken. Nil says that
// there is something to be read, or that the connection cannot sleep: TLS may hold bytes that nobody could see.
func (c *Conn) Suspend() *dormant.Conn {
	socket := c.Plain()
	if socket == nil || c.r < c.w {
		return nil
	}
	c.release()
	return socket
}

// Plain returns what can sleep while nobody reads or writes; Resume must be called after it has woken. Nil: the connection
// is one of TLS.
func (c *Conn) Plain() *dormant.Conn {
	if _, secure := c.nc.Conn.(*tls.Conn); secure {
		return nil
	}
	return &c.socket
}

// Resume takes the connection into use again.
func (c *Conn) Resume() { c.nc.ForgetDeadlines() }

// Interrupt makes reads and writes, those of other goroutines too, fail at once and from now on.
// The connection is not kept afterwards.
func (c *Conn) Interrupt() {
	c.interrupted.Store(true)
	socket := c.nc.Conn
	if secure, ok := socket.(*tls.Conn); ok {
		socket = secure.NetConn()
	}
	if half, ok := socket.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // a write renews its deadline and would overwrite the one below
	}
	_ = c.nc.SetDeadline(longAgo)
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)
