package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// upgraded returns a client whose connection has been upgraded to a protocol by a balancer with that limit for idle tunnels.
func upgraded(t *testing.T, protocol string, idle time.Duration, backend func(*lbtest.Conn)) (*balancer, *lbtest.Conn) {
	t.Helper()
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if c.ReadHead() != "" {
			c.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n")
			backend(c)
		}
	})
	b := start(t, options{forward: func(f *Forward) { f.TunnelIdle = idle }}, back.Addr)
	c := lbtest.Dial(t, b.address)
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	c.Send(get("/", "Connection: Upgrade", "Upgrade: "+protocol))
	if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("%q", head)
	}
	return b, c
}

// wantEnd waits until no connection is upgraded.
func (b *balancer) wantEnd() {
	b.t.Helper()
	lbtest.Eventually(b.t, "the tunnel ends", func() bool {
		return b.site.Metrics.Upgraded.Load() == 0 && b.site.Metrics.InFlight.Get() == 0
	})
}

// TestResetDuringWrite: a tunnel whose backend resets while bytes are on their way to it ends at once.
func TestResetDuringWrite(t *testing.T) {
	for _, protocol := range []string{"websocket", "x"} {
		b, c := upgraded(t, protocol, time.Hour, func(c *lbtest.Conn) {
			_, _ = c.Read(make([]byte, 1))
			c.Reset()
		})
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			c.Send(strings.Repeat("x", 32<<20))
		}()
		if rest, _ := c.Ended(); rest != "" { // the reset may coincide with output, and is reported once
			t.Errorf("%s: %q", protocol, rest)
		}
		b.wantEnd()
		<-sent
	}
}

// TestHalfClosedWebSocketContinues: when one side has half-closed its connection, the other may still send, with pauses. The tunnel ends
// in order when a pause is too long.
func TestHalfClosedWebSocketContinues(t *testing.T) {
	t.Parallel()
	const idle, frame = 600 * time.Millisecond, "\x82\x01x"
	b, c := upgraded(t, "websocket", idle, func(c *lbtest.Conn) {
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("the backend read %q, orderly: %v", rest, orderly)
		}
		pace := time.NewTicker(idle / 6) // the pace of the sender
		defer pace.Stop()
		for range 9 {
			<-pace.C
			c.Send(frame)
		}
		<-t.Context().Done() // it does not half-close its connection
	})
	c.CloseWrite()
	if rest, orderly := c.Ended(); rest != strings.Repeat(frame, 9) || !orderly {
		t.Errorf("%q, orderly: %v", rest, orderly)
	}
	b.wantEnd()
}

// TestTunnelIdleTimeout: how long a tunnel may be idle; less if one side of a WebSocket has half-closed its connection.
func TestTunnelIdleTimeout(t *testing.T) {
	for _, tc := range []struct {
		idle              time.Duration
		websocket, halved bool
		want              time.Duration
	}{
		{time.Hour, false, false, time.Hour},
		{time.Hour, true, false, time.Hour},
		{time.Hour, false, true, time.Hour},
		{time.Hour, true, true, halfCloseIdle},
		{0, true, true, halfCloseIdle},
		{0, false, true, 0},
		{time.Second, true, true, time.Second},
	} {
		x := &tunnel{idle: tc.idle}
		if tc.websocket {
			x.toClient.frames = &frames{}
		}
		x.toBackend.ended = tc.halved
		if got := x.idleTimeout(); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

// TestHalfCloseWithoutReader: a client that stops reading does not keep its tunnel open, whether it has half-closed its connection
// before or while the backend sends, and does not see an orderly end.
func TestHalfCloseWithoutReader(t *testing.T) {
	for _, protocol := range []string{"websocket", "x"} {
		for _, first := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ended first: %v", protocol, first), func(t *testing.T) {
				t.Parallel()
				const size = 64 << 20 // more than sockets hold
				proceed := make(chan struct{})
				var sent atomic.Int64
				b, c := upgraded(t, protocol, 2*time.Second, func(c *lbtest.Conn) {
					<-proceed
					piece := strings.Repeat("x", 64<<10)
					_, err := io.WriteString(c.Conn, "\x82\x7f\x00\x00\x00\x00\x04\x00\x00\x00")
					for n := 0; n < size && err == nil; n += len(piece) {
						_, err = io.WriteString(c.Conn, piece)
						sent.Add(int64(len(piece)))
					}
				})
				if first {
					c.CloseWrite()
				}
				close(proceed)
				if !first {
					lbtest.Eventually(t, "the backend sends", func() bool { return sent.Load() > 0 })
					c.CloseWrite()
				}
				b.wantEnd()
				if rest, orderly := c.Ended(); orderly || len(rest) >= size {
					t.Errorf("%d bytes, orderly: %v", len(rest), orderly)
				}
			})
		}
	}
}

// TestEndThenReset: a backend that resets after a half-close ends the tunnel as soon as its client sends something.
func TestEndThenReset(t *testing.T) {
	seen := make(chan struct{})
	b, c := upgraded(t, "x", time.Hour, func(c *lbtest.Conn) {
		c.Send("all")
		c.CloseWrite()
		<-seen
		c.Reset()
	})
	if rest, orderly := c.Ended(); rest != "all" || !orderly {
		t.Errorf("%q, orderly: %v", rest, orderly)
	}
	close(seen)
	lbtest.Eventually(t, "the tunnel ends", func() bool {
		c.Send("x")
		return b.site.Metrics.Upgraded.Load() == 0
	})
}

// TestBrokenTunnel: a failure of one side resets the other, except that an orderly end already delivered stays.
func TestBrokenTunnel(t *testing.T) {
	for _, tc := range []struct {
		name      string
		tunnel    tunnel
		toClient  bool
		toBackend bool
	}{
		{"both end in order", tunnel{toClient: direction{ended: true}, toBackend: direction{ended: true}}, false, false},
		{"the backend resets", tunnel{toClient: direction{srcFailed: true}}, true, false},
		{"the client resets", tunnel{toBackend: direction{srcFailed: true}}, false, true},
		{"the backend takes nothing", tunnel{toBackend: direction{dstFailed: true}}, true, false},
		{"the backend ends, and takes nothing", tunnel{toClient: direction{ended: true}, toBackend: direction{dstFailed: true}}, false, false},
		{"the client does not read", tunnel{toClient: direction{stalled: true}}, true, false},
		{"lb closes it", tunnel{closing: true, toClient: direction{stalled: true}, toBackend: direction{srcFailed: true}}, false, false},
	} {
		x := &tc.tunnel
		if got := x.broken(&x.toClient, &x.toBackend); got != tc.toClient {
			t.Errorf("%s: towards the client: %v", tc.name, got)
		}
		if got := x.broken(&x.toBackend, &x.toClient); got != tc.toBackend {
			t.Errorf("%s: towards the backend: %v", tc.name, got)
		}
	}
}
