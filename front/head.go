package front

import (
	"bytes"
	"io"
	"runtime"
	"time"

	"lb/internal/wire"
)

// Read gives fasthttp the next request's head, whole and checked, and nothing else. It returns
// io.EOF when there is none, after a refusal was sent where one is due.
func (c *Conn) Read(p []byte) (int, error) {
	if c.suspended != nil || c.ended || !c.dropBody() {
		return 0, io.EOF
	}
	c.head, c.longer = wire.RequestHead{}, false
	n := c.awaitRequest(p)
	if n > 0 {
		n = c.readHead(p, n)
	}
	if n == 0 {
		c.ended = c.next == toEnd
		return 0, io.EOF
	}
	c.idleUntil, c.headUntil, c.parkings = time.Time{}, time.Time{}, 0
	c.sent, c.early, c.answered, c.midChunks, c.headRead = 0, 0, false, false, true
	c.requests++
	return n, nil
}

// awaitRequest returns the number of bytes that came first of a request, 0 if the connection ends or is to be parked (see Conn.next).
func (c *Conn) awaitRequest(p []byte) int {
	n := copy(p, c.rest)
	if c.longer = n < len(c.rest); !c.longer {
		c.rest = nil // it may keep a buffer that is fasthttp's
	}
	if n > 0 {
		return n
	}
	parking := &c.listener.socket.front.parking
	wait, park := c.listener.limits.IdleTimeout, parking.after
	if c.requests == 0 {
		wait, park = c.listener.limits.HeaderTimeout, parking.newAfter
	}
	begins := c.idleUntil.IsZero()
	if begins && c.requests > 0 {
		// Under load others are ready to run, and when they have, the next request is often here:
		// one read instead of one in vain, a wait and another.
		runtime.Gosched()
	}
	c.phase.Store(waiting)
	defer c.phase.Store(busy)
	now := time.Now()
	if begins {
		c.idleUntil = now.Add(wait)
	}
	c.waitUntil(c.idleUntil, now.Add(park))
	ending, lastLook := false, false
	for {
		// Whoever makes us end sets its mark first and looks at the phase then, so either
		// we see the mark here or it interrupts the Read below.
		if !ending && c.listener.ending() {
			ending = true
			c.raw.SetReadDeadline(minTime(c.idleUntil, time.Now().Add(idleGrace)))
		}
		n, err := c.receive(p)
		switch {
		case n > 0:
			return n
		case isInterrupt(err):
		case isTimeout(err) && !ending && time.Now().Before(c.idleUntil):
			if !c.listener.ending() {
				c.next = toPark
				return 0
			}
		case isTimeout(err) && !lastLook && readable(&c.socket):
			lastLook = true // a request has come this moment; or the client's end of the connection
			c.raw.RenewRead(closeTime)
		default:
			return 0
		}
	}
}

// waitUntil has the reads that follow wait until end, or until it is time to park the connection.
func (c *Conn) waitUntil(end, park time.Time) {
	if !c.resident {
		end = minTime(end, park)
	}
	c.raw.SetReadDeadline(end)
}

// readHead completes the head of which n bytes are in p. It returns its length, and leaves what
// came beyond it in c.rest; 0 if the connection leaves fasthttp's loop (see Conn.next), then with all that has come in c.rest.
func (c *Conn) readHead(p []byte, n int) int {
	var scan headScan
	started, ending := false, false
	for {
		end, refused := scan.find(p[:n])
		if refused != nil {
			c.refuseHead(refused, p[:n])
			return 0
		}
		if end > 0 {
			return c.acceptHead(p, end, n)
		}
		switch {
		case n < len(p):
		case !c.large && n < c.listener.limits.HeaderSize:
			if c.next = toGrow; !c.longer {
				c.rest = bytes.Clone(p)
			}
			return 0
		default:
			c.refuse(headTooLarge, skim(p))
			return 0
		}
		if !started {
			started = true
			c.phase.Store(heading)
			defer c.phase.Store(busy)
			now := time.Now()
			if c.headUntil.IsZero() {
				c.headUntil = now.Add(c.listener.limits.HeaderTimeout)
			}
			c.waitUntil(c.headUntil, now.Add(c.listener.socket.front.parking.afterHead(c.parkings)))
		}
		if !ending && c.listener.ending() { // see awaitRequest
			ending = true
			c.headUntil = minTime(c.headUntil, time.Now().Add(lastHead))
			c.raw.SetReadDeadline(c.headUntil)
		}
		k, err := c.receive(p[n:])
		n += k
		switch {
		case k > 0:
		case isInterrupt(err):
		case isTimeout(err) && time.Now().Before(c.headUntil):
			if !c.listener.ending() {
				c.next, c.rest = toPark, bytes.Clone(p[:n])
				c.parkings++
				return 0
			}
		case isTimeout(err):
			c.refuse(headTooSlow, skim(p[:n]))
			return 0
		default:
			return 0 // the client has gone
		}
	}
}

// acceptHead checks the whole head in p[:end] and prepares what follows it. It returns the head's length.
func (c *Conn) acceptHead(p []byte, end, n int) int {
	// What came beyond the head is not copied: p is fasthttp's buffer, in which nothing moves
	// before Read is called again.
	switch {
	case c.longer:
		c.rest = c.rest[end:]
	case n > end:
		c.rest = p[end:n]
	}
	blank := 0
	for p[blank] == '\r' && p[blank+1] == '\n' { // see headScan
		blank += 2
	}
	head := p[:copy(p, p[blank:end])]
	if err := c.head.Check(head, c.listener.limits.HeaderFields); err != nil {
		c.refuseHead(err, head)
		return 0
	}
	if c.head.Minor == 1 {
		c.head.Version[len("HTTP/1.")] = '1' // or fasthttp takes a higher one for HTTP/1.0
	}
	c.body.begin(&c.head, c.listener.limits.BodySize)
	return len(head)
}

// headScan finds the end of a head that arrives in pieces, and each line end that is not
// CRLF as soon as it is there, so that a client that sends no proper blank line
// is not waited for.
type headScan struct {
	at        int // looked at so far
	clean     int // up to which there is no NUL
	lineStart int
	blanks    int // empty lines before the request line
}

// maxBlanks is how many empty lines may precede a request (RFC 9112 section 2.2 asks for one).
const maxBlanks = 4

// find returns the length of the head once b holds all of it, else 0.
func (s *headScan) find(b []byte) (int, *wire.RequestError) {
	if s.at == 0 && len(b) > 0 && b[0] != '\r' && b[0] != '\n' && !wire.IsToken(b[:1]) {
		return 0, wire.ErrRequestLine // TLS on a plain port, say: no line end may ever come
	}
	for {
		i := bytes.IndexByte(b[s.at:], '\n')
		if i < 0 {
			if bytes.IndexByte(b[s.clean:], 0) >= 0 {
				return 0, wire.ErrValue // no line end may ever come, nor would it help
			}
			s.at, s.clean = len(b), len(b)
			return 0, nil
		}
		lf := s.at + i
		if lf == 0 || b[lf-1] != '\r' {
			return 0, wire.ErrBareLineEnd
		}
		empty := lf-1 == s.lineStart
		leading := empty && s.lineStart == 2*s.blanks
		s.at, s.lineStart = lf+1, lf+1
		if leading {
			if s.blanks++; s.blanks > maxBlanks {
				return 0, wire.ErrRequestLine
			}
		} else if empty {
			return lf + 1, nil
		}
	}
}

// dropLimit is how much of a body that the handler left is read to keep the connection.
const dropLimit = 256 << 10

// dropBody reads what the handler has left of the body. It reports false if that is too much, or
// may never come.
func (c *Conn) dropBody() bool {
	b := &c.body
	if !b.pending() {
		return true
	}
	c.linger = true
	b.stopped.Store(false)
	if b.err != nil || b.owes100 || b.left > dropLimit {
		return false
	}
	waste := wastePool.Get().(*[4096]byte)
	defer wastePool.Put(waste)
	b.until = time.Now().Add(c.listener.limits.HeaderTimeout)
	for dropped := 0; dropped <= dropLimit; {
		n, err := b.Read(waste[:])
		dropped += n
		if err == io.EOF {
			c.linger = false
			return true
		}
		if err != nil {
			return false
		}
	}
	return false
}

const (
	// smallBody is the most of a body that DropArrivedBody reads.
	smallBody = 64 << 10
	// recordTime is how long it waits for the rest of a TLS record that has begun to come.
	recordTime = 100 * time.Millisecond
)

// DropArrivedBody reads what has come of the request's body, if that is small, and drops it, so that the connection can go on
// after a response that does not depend on it. It does not wait for more of it, nor ask the client for it by a 100.
// Nobody else may be reading the body.
func (c *Conn) DropArrivedBody() {
	b := &c.body
	if !b.pending() || b.owes100 || b.left > smallBody {
		return
	}
	waste := wastePool.Get().(*[4096]byte)
	defer wastePool.Put(waste)
	defer c.HurryBody(time.Time{})
	for dropped := 0; b.pending() && dropped <= smallBody; {
		until := time.Now()
		switch {
		case len(c.rest) > 0: // which is read without a wait
		case readable(&c.socket):
			until = until.Add(recordTime)
		case c.tls == nil:
			return
		}
		c.HurryBody(until)
		n, err := b.Read(waste[:])
		if dropped += n; err != nil {
			return
		}
	}
}
