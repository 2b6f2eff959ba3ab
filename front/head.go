package front

import (
	"io"
	"runtime"
	"time"

	"lb/http1"
)

// nextRequest reads the head of the next request. It reports false if there is none, after a refusal was sent where one is due,
// or if the connection is to be parked (see Conn.parks).
func (c *Conn) nextRequest() bool {
	if c.parks = false; len(c.rest) == 0 && !c.awaitRequest() || !c.readHead() {
		c.ended = !c.parks
		return false
	}
	c.idleUntil, c.headUntil, c.parkings = time.Time{}, time.Time{}, 0
	c.sent, c.early, c.begun, c.responded = 0, 0, false, false
	c.requests++
	return true
}

// awaitRequest waits for the first bytes of a request, which are then in c.rest.
func (c *Conn) awaitRequest() bool {
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
		// we see the mark here or it interrupts the read below.
		if !ending && c.listener.ending() {
			ending = true
			c.raw.SetReadDeadline(minTime(c.idleUntil, time.Now().Add(idleGrace)))
		}
		n, err := c.receiveFirst()
		switch {
		case n > 0:
			c.rest = c.room()[:n]
			return true
		case isInterrupt(err):
		case isTimeout(err) && !ending && time.Now().Before(c.idleUntil):
			if !c.listener.ending() {
				c.parks = true
				return false
			}
		case isTimeout(err) && !lastLook && readable(&c.socket):
			lastLook = true // a request has come this moment; or the client's end of the connection
			c.raw.RenewRead(closeTime)
		default:
			return false
		}
	}
}

// receiveFirst reads once into the room for a head, which is given back for the time of a wait. TLS needs room
// before it is known that something has come.
func (c *Conn) receiveFirst() (int, error) {
	if c.tls != nil || len(c.link.ahead) > 0 {
		return c.receive(c.Lend())
	}
	n, err := c.raw.ReadLent(c)
	if n > 0 && !c.link.heard.Load() {
		c.link.heard.Store(true)
	}
	return n, err
}

// waitUntil has the reads that follow wait until end, or until it is time to park the connection.
func (c *Conn) waitUntil(end, park time.Time) {
	if !c.resident {
		end = minTime(end, park)
	}
	c.raw.SetReadDeadline(end)
}

// readHead completes the head that c.rest begins with, and leaves what came beyond it there. It reports false if the connection ends or
// is to be parked.
func (c *Conn) readHead() bool {
	var scan http1.HeadScan
	limits := &c.listener.limits
	head := &c.lendWork().head
	for waiting, ending := false, false; ; {
		n, refused := head.Read(c.rest[:min(len(c.rest), limits.HeaderSize)], &scan, limits.HeaderFields)
		switch {
		case refused != nil:
			c.refuseHead(refused, c.rest)
			return false
		case n > 0:
			c.rest = c.rest[n:]
			c.ended = head.Close
			c.body.begin(&head.Request, limits.BodySize)
			return true
		case !c.makeRoom():
			c.refuse(headTooLarge, readPreferences(c.rest))
			return false
		}
		if !waiting {
			waiting = true
			c.phase.Store(heading)
			defer c.phase.Store(busy)
			now := time.Now()
			if c.headUntil.IsZero() {
				c.headUntil = now.Add(limits.HeaderTimeout)
			}
			c.waitUntil(c.headUntil, now.Add(c.listener.socket.front.parking.afterHead(c.parkings)))
		}
		if !ending && c.listener.ending() { // see awaitRequest
			ending = true
			c.headUntil = minTime(c.headUntil, time.Now().Add(lastHead))
			c.raw.SetReadDeadline(c.headUntil)
		}
		k, err := c.receive(c.room()[len(c.rest):])
		c.rest = c.rest[:len(c.rest)+k]
		switch {
		case k > 0:
		case isInterrupt(err):
		case isTimeout(err) && time.Now().Before(c.headUntil):
			if !c.listener.ending() {
				c.parks = true
				c.parkings++
				return false
			}
		case isTimeout(err):
			c.refuse(headTooSlow, readPreferences(c.rest))
			return false
		default:
			return false // the client has gone
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
	if c.ended || !b.pending() || b.owes100 || b.left > smallBody {
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
