package proxy

import (
	"errors"
	"io"
	"net"
	"time"

	"lb/netloop"
	"lb/pool"
)

// tunnel relays the bytes of an upgraded connection in both directions.
type tunnel struct {
	idle      time.Duration // idle timeout; 0: none
	closing   bool
	idled     bool // closed by the idle timeout
	toClient  direction
	toBackend direction
}

// direction is one direction of a tunnel, from src to dst.
type direction struct {
	src, dst   netloop.Stream
	out        netloop.Output
	frames     *frames // of a WebSocket; nil: another protocol
	closeFrame []byte  // sent when lb closes the WebSocket
	over       bool    // dst's sending side has been closed, or will be when out is empty; further data is dropped

	// How it ended.
	ended     bool // src has closed its sending side
	srcFailed bool
	dstFailed bool
	stalled   bool // dst did not read in time what src had sent
}

const (
	// closeTime is how long both sides have to close a tunnel that lb closes.
	closeTime = time.Second
	// halfCloseIdle is the idle timeout of a WebSocket of which one side has closed its sending side. It is long enough for a response
	// that takes work, and short enough that connections of vanished clients do not accumulate.
	halfCloseIdle = 10 * time.Second
	// tunnelReads is how many reads are relayed before other connections get their turn.
	tunnelReads = 8
)

// startTunnel starts to relay when the 101 has been written to the client's socket.
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
	backend, fromBackend := x.conn.Tunnel()
	t.toClient.src, t.toClient.dst = backend, client
	t.toBackend.src, t.toBackend.dst = client, backend
	t.write(&t.toBackend, fromClient)
	t.write(&t.toClient, fromBackend)
	x.tunnelReady()
}

// ClientReady implements Upgraded.
func (x *Exchange) ClientReady(ev netloop.Events) {
	defer x.recover()
	if ev&netloop.Failed != 0 {
		x.tunnel.toBackend.srcFailed = true
		x.endTunnel()
		return
	}
	x.tunnelReady()
}

// Ending implements Upgraded.
func (x *Exchange) Ending() { x.closeTunnel() }

// closeTunnel starts to close the tunnel: a WebSocket by a close frame with 1001 (going away, RFC 6455 section 7.4.1) to both sides as
// soon as the current frame is complete, another protocol by closing both sending sides.
func (x *Exchange) closeTunnel() {
	t := x.tunnel
	if t.closing {
		return
	}
	t.closing = true
	x.wait(closeTime)
	t.closeWrite(&t.toClient)
	t.closeWrite(&t.toBackend)
	x.tunnelReady()
}

// tunnelTimeout handles the idle timeout of a tunnel, and the end of closeTime.
func (x *Exchange) tunnelTimeout() {
	t := x.tunnel
	switch {
	case t.closing, t.halfClosed() && t.toClient.frames != nil:
		t.toClient.stalled, t.toBackend.stalled = t.toClient.out.Pending(), t.toBackend.out.Pending()
		x.endTunnel()
	case t.halfClosed() && (t.toClient.out.Pending() || t.toBackend.out.Pending()):
		t.toClient.stalled, t.toBackend.stalled = t.toClient.out.Pending(), t.toBackend.out.Pending()
		x.endTunnel()
	default:
		t.idled = true
		x.closeTunnel()
	}
}

// tunnelDisconnected is called when the client disconnects before the tunnel is open.
func (x *Exchange) tunnelDisconnected() { x.endTunnel() }

// tunnelReady relays what has been received.
func (x *Exchange) tunnelReady() {
	t := x.tunnel
	if t.toClient.dst == nil {
		return
	}
	if !x.pump(&t.toClient) || !x.pump(&t.toBackend) || t.toClient.done() && t.toBackend.done() {
		x.endTunnel()
		return
	}
	if !t.closing {
		x.wait(t.idleTimeout())
	}
}

// idleTimeout returns how long the tunnel may be idle; 0: no limit.
func (t *tunnel) idleTimeout() time.Duration {
	if t.halfClosed() && t.toClient.frames != nil && (t.idle == 0 || t.idle > halfCloseIdle) {
		return halfCloseIdle
	}
	return t.idle
}

// halfClosed reports whether at least one side has closed its sending side. The other may still send.
func (t *tunnel) halfClosed() bool { return t.toClient.ended || t.toBackend.ended }

func (d *direction) done() bool { return d.ended && !d.out.Pending() }

// pump relays one direction until it has to wait. It reports false if the tunnel must end.
func (x *Exchange) pump(d *direction) bool {
	t := x.tunnel
	for reads := 0; ; reads++ {
		if d.out.Pending() {
			if _, err := d.out.Flush(d.dst); err != nil {
				d.dstFailed = true
				return false
			}
			if d.out.Pending() {
				return true
			}
			if d.over {
				_ = d.dst.CloseWrite()
			}
		}
		if d.ended {
			return true
		}
		if reads == tunnelReads {
			d.src.Again()
			return true
		}
		scratch := x.worker.Loop.Scratch()
		n, err := d.src.Read(scratch)
		switch {
		case errors.Is(err, netloop.ErrWouldBlock):
			return true
		case err == io.EOF:
			d.ended = true
			t.closeWrite(d)
			return true
		case err != nil:
			d.srcFailed = !errors.Is(err, net.ErrClosed)
			return false
		}
		if !t.write(d, scratch[:n]) {
			return false
		}
	}
}

// closeWrite closes the sending side of the destination. If lb closes a WebSocket between two frames, it sends a close frame first.
func (t *tunnel) closeWrite(d *direction) {
	switch {
	case d.over:
		return
	case !t.closing, d.frames == nil:
	case !d.frames.between():
		return // write calls it at the end of the frame
	case !d.frames.closed:
		_, _ = d.out.Write(d.dst, d.closeFrame, nil, false)
	}
	d.over = true
	if !d.out.Pending() {
		_ = d.dst.CloseWrite()
	}
}

// write forwards p. It reports false if that fails.
func (t *tunnel) write(d *direction, p []byte) bool {
	for len(p) > 0 && !d.over {
		n := len(p)
		if d.frames != nil {
			if !t.closing {
				d.frames.pass(p)
			} else if n = d.frames.next(p); n == 0 {
				t.closeWrite(d)
				continue
			}
		}
		if _, err := d.out.Write(d.dst, p[:n], nil, false); err != nil {
			d.dstFailed = true
			return false
		}
		p = p[n:]
		if t.closing {
			t.closeWrite(d)
		}
	}
	return true
}

// endTunnel closes both sides and ends the exchange. A side is reset, not closed, if the other side failed before it closed its sending
// side, or if data for it was lost.
func (x *Exchange) endTunnel() {
	t := x.tunnel
	x.site.Metrics.Upgraded.Add(-1)
	if t.idled {
		x.reason = "the upgraded connection was idle for " + x.forward.TunnelIdle.String()
	}
	if t.broken(&t.toBackend, &t.toClient) {
		x.conn.Abort()
		x.reason = t.toBackend.abortReason("the client", "the backend")
	}
	abort := t.broken(&t.toClient, &t.toBackend)
	if abort {
		x.reason = t.toClient.abortReason("the backend", "the client")
	}
	t.drop(x.worker.Loop)
	x.releaseConn(false)
	x.backend.Report(pool.Success)
	x.releaseBackend()
	x.tunnel = nil
	if abort {
		x.client.Abort()
	}
	x.end()
}

// broken reports whether the destination of d must be reset; other is the opposite direction.
func (t *tunnel) broken(d, other *direction) bool {
	return (d.srcFailed || d.stalled || other.dstFailed) && !d.ended && !t.closing
}

// abortReason says why broken holds for d.
func (d *direction) abortReason(from, to string) string {
	if d.stalled {
		return to + " did not read from the upgraded connection in time"
	}
	return from + " aborted the upgraded connection"
}

// drop releases the buffers of both lanes.
func (t *tunnel) drop(l *netloop.Loop) {
	t.toClient.out.Drop(l)
	t.toBackend.out.Drop(l)
}
