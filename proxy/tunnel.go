package proxy

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"lb/transport"
)

// tunnel relays the bytes of a connection that has left HTTP, both ways.
type tunnel struct {
	idle      time.Duration // without a byte either way, after which it ends; 0: no limit
	moved     atomic.Int64  // when the last byte did, in Unix nanoseconds
	begun     atomic.Bool   // the lanes are set
	ending    atomic.Bool
	cut       atomic.Bool // interrupt was called
	halved    atomic.Bool // one side has ended its stream: what the other has to say may still come
	idled     atomic.Bool // it ended for lack of bytes
	toClient  lane
	toBackend lane
}

// lane is one direction of a tunnel. After relay has begun, only its own goroutine touches more than the deadlines of dst and src.
type lane struct {
	dst, src   Stream
	frames     *frames // of a WebSocket; nil: anything else
	closeFrame []byte  // the close frame with which the balancer ends it
	over       bool    // the closeFrame is out: what still comes is dropped
	warned     bool    // copy has seen that the tunnel is ending

	// How it ended.
	ended   bool // src ended its stream in order, and dst has been told
	lost    bool // src failed
	refused bool // dst failed
	short   bool // dst did not take in time what src had sent
}

// lastWords is how long a tunnel that must end has, to end as its protocol wants it. halfTime is how long the
// one side of a WebSocket may pause when the other has ended its stream: long enough for a response
// that takes work, and short enough that clients which are gone for good do not pile up.
const (
	lastWords = time.Second
	halfTime  = 10 * time.Second
)

func newTunnel(idle time.Duration, websocket bool) *tunnel {
	t := &tunnel{idle: idle}
	if websocket {
		t.toClient.frames, t.toClient.closeFrame = &frames{}, goingAway
		t.toBackend.frames, t.toBackend.closeFrame = &frames{}, goingAwayMasked
	}
	return t
}

// relay copies both ways, first unread to the client. When one side ends its stream the other is
// told so and may go on; when one side fails both are ended.
func (t *tunnel) relay(client, backend Stream, unread []byte) {
	t.toClient.dst, t.toClient.src = client, backend
	t.toBackend.dst, t.toBackend.src = backend, client
	t.touch()
	t.begun.Store(true)
	if t.ending.Load() {
		t.wake()
	}
	var both sync.WaitGroup
	both.Go(func() { t.copy(&t.toBackend) })
	if t.write(&t.toClient, unread) {
		t.copy(&t.toClient)
	}
	both.Wait()
}

func (t *tunnel) touch() { t.moved.Store(time.Now().UnixNano()) }

// copy relays one lane to its end.
func (t *tunnel) copy(l *lane) {
	buf := newBuffer()
	defer func() { giveBack(buf) }()
	t.renew(l)
	for {
		n, err := l.src.Read(*buf)
		if n > 0 {
			t.touch()
			if !t.write(l, (*buf)[:n]) {
				return
			}
			t.renew(l)
			if n == smallBuffer && len(*buf) == smallBuffer {
				buf = enlarge(buf)
			}
		}
		switch {
		case err == nil:
		case transport.IsEOF(err) && !t.cut.Load(): // else a write has met the reset of which no more is to be read
			if t.closeLane(l) {
				t.halve(l)
			} else {
				t.interrupt()
			}
			return
		case errors.Is(err, os.ErrDeadlineExceeded) && t.goesOn(l):
		default:
			l.lost = broke(err)
			t.interrupt()
			return
		}
	}
}

// broke reports whether err is a connection's failure, and not our own doing.
func broke(err error) bool {
	return err != nil && !transport.IsEOF(err) && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed)
}

// brokenTo is asked when relay has returned. It reports whether the side that l leads to must not take its end for
// an orderly one: the other has failed without having ended its stream before, or some of it has not gone on.
func (t *tunnel) brokenTo(l *lane) bool {
	return (l.lost || l.short || t.other(l).refused) && !l.ended && !t.ending.Load()
}

// breach says why brokenTo holds for l.
func (l *lane) breach(from, to string) string {
	if l.short {
		return to + " took no more of the upgraded connection in time"
	}
	return from + " broke the upgraded connection off"
}

func (t *tunnel) other(l *lane) *lane {
	if l == &t.toClient {
		return &t.toBackend
	}
	return &t.toClient
}

// closeLane ends a lane whose source has ended.
func (t *tunnel) closeLane(l *lane) bool {
	if !t.ending.Load() {
		err := l.dst.CloseWrite()
		l.ended, l.refused = err == nil, broke(err)
		return l.ended
	}
	l.finish()
	return l.over || l.dst.CloseWrite() == nil
}

// halve bounds what follows on the other lane when l's source has ended. A side of a WebSocket may do so
// without a close frame, and can never answer one, so nothing else would end the connection. Of whatever
// protocol it is, nobody reads from that side any more, so nobody would notice that writes to it are stuck.
func (t *tunnel) halve(l *lane) {
	t.halved.Store(true)
	if !t.ending.Load() {
		t.renewUnwarned(t.other(l))
		t.renewWrite(t.other(l))
	}
}

// renew lets the next read wait as long as the tunnel may be idle.
func (t *tunnel) renew(l *lane) {
	if !l.warned {
		t.renewUnwarned(l)
	}
}

// renewUnwarned sets a read's deadline. Whoever changes what it depends on marks that first and sets
// the deadline then, so it looks again behind its own.
func (t *tunnel) renewUnwarned(l *lane) {
	halved := t.halved.Load()
	if wait := t.patience(halved); wait > 0 {
		_ = l.src.SetReadDeadline(time.Now().Add(wait))
	}
	if !halved && t.halved.Load() {
		t.renewUnwarned(l)
	}
	if t.ending.Load() || t.cut.Load() {
		_ = l.src.SetReadDeadline(longAgo)
	}
}

// renewWrite is renewUnwarned for the writes of the lane that is left.
func (t *tunnel) renewWrite(l *lane) {
	if wait := t.patience(true); wait > 0 {
		_ = l.dst.SetWriteDeadline(time.Now().Add(wait))
	}
	if t.ending.Load() {
		_ = l.dst.SetWriteDeadline(time.Now().Add(lastWords))
	}
	if t.cut.Load() {
		_ = l.dst.SetWriteDeadline(longAgo)
	}
}

// patience is how long a read may wait; 0: without limit.
func (t *tunnel) patience(halved bool) time.Duration {
	if halved && t.isWebSocket() && (t.idle == 0 || t.idle > halfTime) {
		return halfTime
	}
	return t.idle
}

func (t *tunnel) isWebSocket() bool { return t.toClient.frames != nil }

// goesOn is asked when a read has met its deadline. It reports whether to read on: bytes went
// the other way, or the tunnel is ending and this lane has its last words before it.
func (t *tunnel) goesOn(l *lane) bool {
	if l.warned || t.cut.Load() {
		return false
	}
	if !t.ending.Load() {
		if t.halved.Load() && t.isWebSocket() {
			return false
		}
		if left := t.idle - time.Since(time.Unix(0, t.moved.Load())); left > 0 {
			_ = l.src.SetReadDeadline(time.Now().Add(left))
			return true
		}
		t.idled.Store(true)
		t.end()
	}
	l.warned = true
	l.finish()
	_ = l.src.SetReadDeadline(time.Now().Add(lastWords))
	return true
}

// end makes the tunnel end soon: a WebSocket is closed with 1001 (going away, RFC 6455 section 7.4.1) towards
// both sides as soon as the frame under way is complete, anything else by the end of its streams.
func (t *tunnel) end() {
	if !t.ending.Swap(true) && t.begun.Load() {
		t.wake()
	}
}

// wake makes both lanes see that the tunnel is ending.
func (t *tunnel) wake() {
	for _, l := range [...]*lane{&t.toClient, &t.toBackend} {
		_ = l.dst.SetWriteDeadline(time.Now().Add(lastWords))
		_ = l.src.SetReadDeadline(longAgo)
	}
}

var longAgo = time.Unix(1, 0) // a deadline that has passed

// finish ends the lane if no frame is under way.
func (l *lane) finish() {
	switch {
	case l.over:
		return
	case l.frames == nil:
	case !l.frames.between():
		return // write will, at the frame's end
	case !l.frames.closed:
		_, _ = l.dst.Write(l.closeFrame)
	}
	l.over = true
	_ = l.dst.CloseWrite()
}

// write sends p on. It reports false, and ends both lanes, if it cannot.
func (t *tunnel) write(l *lane, p []byte) bool {
	for len(p) > 0 && !l.over {
		n := len(p)
		if l.frames != nil {
			if !t.ending.Load() {
				l.frames.pass(p)
			} else if n = l.frames.next(p); n == 0 {
				l.finish()
				continue
			}
		}
		if t.halved.Load() {
			t.renewWrite(l)
		}
		if _, err := l.dst.Write(p[:n]); err != nil {
			l.refused, l.short = broke(err), errors.Is(err, os.ErrDeadlineExceeded) && !t.cut.Load()
			t.interrupt()
			return false
		}
		p = p[n:]
		if t.ending.Load() {
			l.finish()
		}
	}
	return true
}

// interrupt makes reads and writes of both lanes fail.
func (t *tunnel) interrupt() {
	t.cut.Store(true)
	_ = t.toClient.dst.SetDeadline(longAgo)
	_ = t.toBackend.dst.SetDeadline(longAgo)
}
