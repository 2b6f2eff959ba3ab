package http2

import (
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/netloop"
)

// away is how far the orderly end of a connection is: a client may have sent requests that are still on their way when it learns of
// it, so there are two GOAWAY frames (RFC 9113 section 6.8).
type away uint8

const (
	awayNone      away = iota
	awayAnnounced      // the client knows that it should open no more streams
	awayLast           // and which stream is the last that is served
)

// awayPing is sent behind the announcement: when it comes back, so has what the client sent before.
var awayPing = [8]byte{'g', 'o', 'a', 'w', 'a', 'y'}

const (
	awayPatience = time.Second // for the PING to come back, and for the client to take the last frames
	lingerTime   = time.Second // for the client to close
	lastDropped  = 1 << 20     // bytes that a client may send after the end
	lastHead     = time.Second // for the preface of a connection that must end
)

// End ends the connection as soon as no request is in progress. The client gets a GOAWAY, and requests that it sent before that are
// served.
func (c *Conn) End() {
	switch c.phase {
	case phasePreface:
		c.frameBy = c.sooner(c.frameBy, lastHead)
		c.rearm()
	case phaseOpen:
		c.retire()
	case phaseLingering:
		c.close(false)
	}
}

// retire makes the client open no more streams.
func (c *Conn) retire() {
	if c.away != awayNone || c.phase != phaseOpen {
		return
	}
	c.away = awayAnnounced
	c.awayBy = c.after(awayPatience)
	f := c.frames()
	_ = f.WriteGoAway(mostSendWindow, codeNo, nil)
	_ = f.WritePing(false, awayPing)
	c.wake()
	c.rearm()
}

// sayLast reports to the client which streams are served; the connection ends with the last of them.
func (c *Conn) sayLast() {
	c.away, c.awayBy, c.servedID = awayLast, noTime, c.lastID
	_ = c.frames().WriteGoAway(c.lastID, codeNo, nil)
	c.wake()
	c.awaitOutput()
	c.rearm()
}

// awaitOutput bounds the wait for the client to take the rest of the output, once the last stream has ended behind the last GOAWAY. Streams
// that are refused do not extend it.
func (c *Conn) awaitOutput() {
	if c.away == awayLast && len(c.streams) == 0 && c.awayBy.IsZero() {
		c.awayBy = c.after(c.settings.Limits.BodyIdleTimeout)
	}
}

// checkEnd ends the connection if nothing is left to be done.
func (c *Conn) checkEnd() {
	if len(c.out) > 0 {
		return
	}
	switch {
	case c.phase == phaseFlushing, c.phase == phaseOpen && c.away == awayLast && len(c.streams) == 0:
		c.finish()
	}
}

// streamEnded is called for each stream that has left the connection.
func (c *Conn) streamEnded() {
	if len(c.streams) == 0 && c.phase == phaseOpen {
		c.awaitOutput()
		c.idle()
		if c.away == awayLast {
			c.wake() // see checkEnd
		}
	}
}

// idle begins the time that a connection without streams has.
func (c *Conn) idle() {
	if len(c.streams) == 0 {
		c.idleBy = c.after(c.settings.Limits.IdleTimeout)
		c.rearm()
	}
}

// error ends the connection for what the client has done wrong (RFC 9113 section 5.4.1).
func (c *Conn) error(code xhttp2.ErrCode, reason string) {
	if c.phase > phaseOpen {
		return
	}
	last := c.lastID
	if c.away == awayLast {
		last = c.servedID
	}
	_ = c.frames().WriteGoAway(last, code, []byte(reason))
	c.phase = phaseFlushing
	c.block = block{}
	c.frameBy, c.idleBy = noTime, noTime
	c.awayBy = c.after(awayPatience)
	c.rearm()
	c.failStreams(ErrMalformed)
	c.wake()
}

// failStreams ends all streams. Some may go on for a while: those whose exchange waits for a goroutine.
func (c *Conn) failStreams(err error) {
	for i := len(c.streams) - 1; i >= 0; i-- {
		if i < len(c.streams) {
			c.streams[i].fail(codeNone, err)
		}
	}
}

// finish is the orderly end, after the last frame: a client that is still sending is waited for, since to close while bytes are unread resets
// the connection, and what was sent with it.
func (c *Conn) finish() {
	lingers := c.owner.Linger() || c.owner.Ending()
	if !lingers || c.socket.CloseWrite() != nil {
		c.close(false)
		return
	}
	c.phase = phaseLingering
	c.dropIn()
	c.frameBy, c.idleBy = noTime, noTime
	c.awayBy = c.after(lingerTime)
	c.rearm()
	c.read()
}

// fail ends a connection whose client has disconnected, or must be disconnected.
func (c *Conn) fail(err error) {
	if c.phase == phaseClosed {
		return
	}
	busy := len(c.streams) > 0
	c.phase = phaseFlushing // nothing is sent any more
	c.failStreams(err)
	c.close(busy)
}

// lost is the end of a connection that cannot be written to.
func (c *Conn) lost() { c.fail(ErrClientDisconnected) }

// Cut ends the connection at once, whatever it does.
func (c *Conn) Cut() { c.fail(ErrClientDisconnected) }

// close closes the socket.
func (c *Conn) close(reset bool) {
	if c.phase == phaseClosed {
		return
	}
	c.timer.Stop()
	c.dropAll()
	c.queue, c.flushed, c.heads = nil, nil, nil
	c.owner.Closed()
	if reset {
		c.socket.Reset()
	} else {
		c.socket.Close()
	}
}

// AnnounceEnd notifies the upgraded streams that they will be cut. It reports whether there are any.
func (c *Conn) AnnounceEnd() (any bool) {
	for i := len(c.streams) - 1; i >= 0; i-- {
		if i < len(c.streams) && c.streams[i].tunnel != nil && !c.streams[i].aborted {
			any = true
			c.streams[i].tunnel.upgraded.Ending()
		}
	}
	return any
}

// awaitFrames bounds the wait for the rest of a frame or a header block, from its beginning on.
func (c *Conn) awaitFrames() {
	switch {
	case c.phase > phaseOpen:
		if c.dropped > lastDropped {
			c.close(true)
		}
		return
	case c.phase == phasePreface || !c.settled:
		return
	case len(c.in) == 0 && c.block.id == 0:
		c.frameBy = noTime
		return
	case !c.frameBy.IsZero():
		return
	}
	limit := c.settings.Limits.BodyIdleTimeout
	if c.block.id != 0 || len(c.in) > 3 && xhttp2.FrameType(c.in[3]) != xhttp2.FrameData {
		limit = c.settings.Limits.HeaderTimeout
	}
	c.frameBy = c.after(limit)
	c.rearm()
}

// after returns when d will have passed; never for 0.
func (c *Conn) after(d time.Duration) time.Time {
	if d <= 0 {
		return noTime
	}
	return c.worker.Loop.Now().Add(d)
}

// sooner returns the earlier one of a time and when d will have passed.
func (c *Conn) sooner(t time.Time, d time.Duration) time.Time {
	if by := c.after(d); t.IsZero() || by.Before(t) {
		return by
	}
	return t
}

// rearm has the timer expire at the earliest of the times.
func (c *Conn) rearm() {
	var by time.Time
	for _, t := range [...]time.Time{c.frameBy, c.idleBy, c.awayBy} {
		if !t.IsZero() && (by.IsZero() || t.Before(by)) {
			by = t
		}
	}
	if !by.IsZero() {
		c.timer.Reset(by.Sub(c.worker.Loop.Now()))
	}
}

// timeout is a Conn as the handler of its timer.
type timeout Conn

func (t *timeout) Expired(*netloop.Timer) {
	c := (*Conn)(t)
	now := c.worker.Loop.Now()
	over := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case c.phase == phaseClosed:
		return
	case over(c.awayBy):
		if c.phase == phaseOpen && c.away != awayLast {
			c.sayLast()
		} else {
			c.close(c.phase != phaseLingering)
			return
		}
	case over(c.frameBy):
		c.settings.Handler.Refused(c, &Refusal{Label: LabelHeaderTimeout, Reason: "A frame did not arrive in time."})
		c.error(codeCalm, "a frame did not arrive in time")
	case over(c.idleBy):
		c.idleBy = noTime
		c.retire()
	}
	c.rearm()
}
