package exchange

import (
	"errors"
	"io"
	"net"
	"time"

	"lb/netloop"
	"lb/pool"
)

// tunnel relays the bytes of a connection that has left HTTP, both ways.
type tunnel struct {
	idle      time.Duration // without a byte either way, after which it ends; 0: no limit
	moved     time.Time     // when the last byte did
	ending    bool
	idled     bool // it ended for lack of bytes
	toClient  lane
	toBackend lane
}

// lane is one direction of a tunnel.
type lane struct {
	src, dst   *netloop.Socket
	out        netloop.Output
	frames     *frames // of a WebSocket; nil: anything else
	closeFrame []byte  // with which the balancer ends it
	over       bool    // the sending side of dst has ended, or ends when out is empty: what still comes is dropped

	// How it ended.
	ended   bool // src has ended its stream
	lost    bool // src failed
	refused bool // dst failed
	short   bool // dst did not take in time what src had sent
}

const (
	// lastWords is how long a tunnel that must end has to do so as its protocol wants it.
	lastWords = time.Second
	// halfTime is how long the one side of a WebSocket may pause when the other has ended its stream: long enough for a
	// response that takes work, and short enough that clients which are gone for good do not pile up.
	halfTime = 10 * time.Second
	// tunnelReads is how many reads are passed on before the other connections get their turn.
	tunnelReads = 8
)

// startTunnel begins to relay when the client has taken the 101.
func (x *Exchange) startTunnel(websocket, flushed bool) {
	t := &tunnel{idle: x.forward.TunnelIdle}
	if websocket {
		t.toClient.frames, t.toClient.closeFrame = &frames{}, goingAway
		t.toBackend.frames, t.toBackend.closeFrame = &frames{}, goingAwayMasked
	}
	x.tunnel, x.phase = t, phaseTunnel
	x.site.Metrics.Upgraded.Add(1)
	x.wait(0)
	if flushed {
		x.openTunnel()
	}
}

func (x *Exchange) openTunnel() {
	t := x.tunnel
	if t.toClient.dst != nil {
		return
	}
	client, fromClient := x.client.Upgrade(x)
	fromBackend := x.conn.Tunnel()
	t.toClient.src, t.toClient.dst = &x.conn.Socket, client
	t.toBackend.src, t.toBackend.dst = client, &x.conn.Socket
	t.touch(x)
	t.write(x, &t.toBackend, fromClient)
	t.write(x, &t.toClient, fromBackend)
	x.tunnelReady()
}

// ClientReady implements Upgraded.
func (x *Exchange) ClientReady(ev netloop.Events) {
	if ev&netloop.Failed != 0 {
		x.tunnel.toBackend.lost = true
		x.endTunnel()
		return
	}
	x.tunnelReady()
}

// Ending implements Upgraded.
func (x *Exchange) Ending() { x.windDown() }

// windDown makes the tunnel end soon: a WebSocket is closed with 1001 (going away, RFC 6455 section 7.4.1) towards
// both sides as soon as the frame under way is complete, anything else by the end of its streams.
func (x *Exchange) windDown() {
	t := x.tunnel
	if t.ending {
		return
	}
	t.ending = true
	x.wait(lastWords)
	t.closeLane(&t.toClient)
	t.closeLane(&t.toBackend)
	x.tunnelReady()
}

// tunnelTimeout is called when a tunnel has been idle for too long, or has not ended in time.
func (x *Exchange) tunnelTimeout() {
	t := x.tunnel
	switch {
	case t.ending, t.halved() && t.toClient.frames != nil:
		t.toClient.short, t.toBackend.short = t.toClient.out.Pending(), t.toBackend.out.Pending()
		x.endTunnel()
	case t.halved() && (t.toClient.out.Pending() || t.toBackend.out.Pending()):
		t.toClient.short, t.toBackend.short = t.toClient.out.Pending(), t.toBackend.out.Pending()
		x.endTunnel()
	default:
		t.idled = true
		x.windDown()
	}
}

// tunnelGone is called when the connection has not become a tunnel yet and its client has gone.
func (x *Exchange) tunnelGone() { x.endTunnel() }

// tunnelReady relays what there is.
func (x *Exchange) tunnelReady() {
	t := x.tunnel
	if t.toClient.dst == nil {
		return
	}
	if !x.pump(&t.toClient) || !x.pump(&t.toBackend) || t.toClient.done() && t.toBackend.done() {
		x.endTunnel()
		return
	}
	if !t.ending {
		x.wait(t.patience())
	}
}

// patience is how long the tunnel may be idle; 0: without limit.
func (t *tunnel) patience() time.Duration {
	if t.halved() && t.toClient.frames != nil && (t.idle == 0 || t.idle > halfTime) {
		return halfTime
	}
	return t.idle
}

// halved reports whether one side has ended its stream: what the other has to say may still come.
func (t *tunnel) halved() bool { return t.toClient.ended || t.toBackend.ended }

func (l *lane) done() bool { return l.ended && !l.out.Pending() }

// pump relays one lane until it has to wait. It reports false if the tunnel is to end.
func (x *Exchange) pump(l *lane) bool {
	t := x.tunnel
	for reads := 0; ; reads++ {
		if l.out.Pending() {
			n, err := l.out.Flush(l.dst)
			if n > 0 {
				t.touch(x)
			}
			if err != nil {
				l.refused = true
				return false
			}
			if l.out.Pending() {
				return true
			}
			if l.over {
				_ = l.dst.CloseWrite()
			}
		}
		if l.ended {
			return true
		}
		if reads == tunnelReads {
			l.src.Again()
			return true
		}
		scratch := x.worker.Loop.Scratch()
		n, err := l.src.Read(scratch)
		switch {
		case errors.Is(err, netloop.ErrWouldBlock):
			return true
		case err == io.EOF:
			l.ended = true
			t.closeLane(l)
			return true
		case err != nil:
			l.lost = !errors.Is(err, net.ErrClosed)
			return false
		}
		t.touch(x)
		if !t.write(x, l, scratch[:n]) {
			return false
		}
	}
}

func (t *tunnel) touch(x *Exchange) { t.moved = x.worker.Loop.Now() }

// closeLane ends the sending side of a lane's destination, with a close frame where the balancer ends a WebSocket between two frames.
func (t *tunnel) closeLane(l *lane) {
	switch {
	case l.over:
		return
	case !t.ending, l.frames == nil:
	case !l.frames.between():
		return // write does, at the frame's end
	case !l.frames.closed:
		_, _ = l.out.Write(l.dst, l.closeFrame, nil, false)
	}
	l.over = true
	if !l.out.Pending() {
		_ = l.dst.CloseWrite()
	}
}

// write sends p on. It reports false if it cannot.
func (t *tunnel) write(x *Exchange, l *lane, p []byte) bool {
	for len(p) > 0 && !l.over {
		n := len(p)
		if l.frames != nil {
			if !t.ending {
				l.frames.pass(p)
			} else if n = l.frames.next(p); n == 0 {
				t.closeLane(l)
				continue
			}
		}
		if _, err := l.out.Write(l.dst, p[:n], nil, false); err != nil {
			l.refused = true
			return false
		}
		p = p[n:]
		if t.ending {
			t.closeLane(l)
		}
	}
	return true
}

// endTunnel ends both sides, and the exchange. A side must not take its end for an orderly one if the other has failed without having
// ended its stream before, or some of that has not gone on.
func (x *Exchange) endTunnel() {
	t := x.tunnel
	x.site.Metrics.Upgraded.Add(-1)
	if t.idled {
		x.reason = "nothing was sent either way for " + x.forward.TunnelIdle.String()
	}
	if t.brokenTo(&t.toBackend, &t.toClient) {
		x.conn.Abort()
		x.reason = t.toBackend.breach("the client", "the backend")
	}
	abort := t.brokenTo(&t.toClient, &t.toBackend)
	if abort {
		x.reason = t.toClient.breach("the backend", "the client")
	}
	l := x.worker.Loop
	t.toClient.out.Drop(l)
	t.toBackend.out.Drop(l)
	x.releaseConn(false)
	x.backend.Report(pool.Success)
	x.releaseBackend()
	x.tunnel = nil
	if abort {
		x.client.Abort()
	}
	x.end()
}

func (t *tunnel) brokenTo(l, other *lane) bool {
	return (l.lost || l.short || other.refused) && !l.ended && !t.ending
}

// breach says why brokenTo holds for l.
func (l *lane) breach(from, to string) string {
	if l.short {
		return to + " took no more of the upgraded connection in time"
	}
	return from + " broke the upgraded connection off"
}
