package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

const (
	askWebSocket = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	goWebSocket  = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	goingAway    = "\x88\x02\x03\xe9"

	goingAwayMasked = "\x88\x82\x00\x00\x00\x00\x03\xe9"
)

// TestStopClosesWebSockets: at the end of the grace time both ends of a WebSocket get a close frame with "going away", even while
// another frame is being sent.
func TestStopClosesWebSockets(t *testing.T) {
	for _, underWay := range []bool{false, true} {
		got := make(chan string, 1)
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			c.ReadHead()
			if underWay {
				c.Send(goWebSocket + "\x82\x04ab")
				c.Expect(t, goingAwayMasked) // the grace time is over
				c.Send("cd\x82\x02ef")
			} else {
				c.Send(goWebSocket + "\x82\x04abcd")
				c.Expect(t, goingAwayMasked)
			}
			rest, _ := c.Ended()
			got <- rest
		})
		lb := start(t, "shutdown {\n  grace = \"50ms\"\n}\n"+proxyTo("", b.Addr))
		c := lb.dial()
		c.Send(askWebSocket)
		if r := c.ReadResponse("GET"); r.Status() != 101 || !c.Expect(t, "\x82\x04ab") {
			t.Fatalf("%q", r.Head)
		}
		lb.wantMetric(`lb_upgraded_connections{site="s"}`, "1")
		stopped := make(chan error, 1)
		go func() { stopped <- lb.Stop(context.Background()) }()
		rest, orderly := c.Ended()
		if want := "cd" + goingAway; rest != want || !orderly {
			t.Errorf("the client read %q, orderly %v", rest, orderly)
		}
		c.Close()
		if rest, _ := lbtest.Wait(t, "the backend's end", got); rest != "" {
			t.Errorf("the backend read %q", rest)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}
}

// TestIdleTunnel: an upgraded connection without traffic for the tunnel timeout is closed. One with traffic in one direction stays
// open.
func TestIdleTunnel(t *testing.T) {
	quiet := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		c.Send(goWebSocket)
		for range 8 {
			c.Send("\x82\x01x")
			time.Sleep(100 * time.Millisecond) // the pace of the sender
		}
		close(quiet)
		_, _ = c.Ended()
	})
	lb := start(t, proxyTo("  timeouts {\n    tunnel = \"400ms\"\n  }\n", b.Addr))
	c := lb.dial()
	c.Send(askWebSocket)
	c.ReadHead()
	for range 8 {
		if !c.Expect(t, "\x82\x01x") {
			return
		}
	}
	<-quiet
	if rest, orderly := c.Ended(); rest != goingAway || !orderly {
		t.Errorf("read %q, orderly %v", rest, orderly)
	}
	c.Close()
	lb.wantMetric(`lb_upgraded_connections{site="s"}`, "0")
	lbtest.Eventually(t, "the reason in the log", func() bool {
		return strings.Contains(lb.read("access.log"), "the upgraded connection was idle for 400ms")
	})
}

// TestTunnelReset: when one side of an upgraded connection is reset, the other side is reset at once, even if it is silent.
func TestTunnelReset(t *testing.T) {
	for _, protocol := range []string{"websocket", "x"} {
		for _, side := range []string{"client", "backend"} {
			for _, secure := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s TLS %v", protocol, side, secure), func(t *testing.T) {
					testTunnelReset(t, protocol, side, secure)
				})
			}
		}
	}
}

func testTunnelReset(t *testing.T, protocol, side string, secure bool) {
	reset, orderlyEnd := make(chan struct{}), make(chan bool, 1)
	script := func(c *lbtest.Conn) {
		_ = c.SetDeadline(time.Time{}) // only the balancer can end it
		c.ReadHead()
		c.Send(strings.ReplaceAll(goWebSocket, "websocket", protocol))
		if side == "backend" {
			<-reset
			c.Reset()
			return
		}
		_, orderly := c.Ended()
		orderlyEnd <- orderly
	}
	var lb *running
	var c *lbtest.Conn
	if secure {
		dir := t.TempDir()
		listen := tlsListen(t, dir)
		pair, err := tls.LoadX509KeyPair(dir+"/c.pem", dir+"/c.key")
		if err != nil {
			t.Fatal(err)
		}
		b := lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{pair}}, script)
		lb = start(t, listen+proxyTo("  tls {\n    verify = false\n  }\n", b.Addr))
		c = lbtest.DialTLS(t, lb.addr(), &tls.Config{InsecureSkipVerify: true})
	} else {
		b := lbtest.NewBackend(t, script)
		lb = start(t, proxyTo("", b.Addr))
		c = lb.dial()
	}
	c.Send(strings.ReplaceAll(askWebSocket, "websocket", protocol))
	c.ReadHead()
	lb.wantMetric(`lb_upgraded_connections{site="s"}`, "1")
	if side == "client" {
		c.Reset()
		if orderly, _ := lbtest.Wait(t, "the backend's connection ends", orderlyEnd); orderly {
			t.Error("the backend takes the client's reset for an orderly end")
		}
	} else {
		close(reset)
		if rest, orderly := c.Ended(); rest != "" || orderly {
			t.Errorf("read %q, orderly %v", rest, orderly)
		}
	}
	lb.wantMetric(`lb_upgraded_connections{site="s"}`, "0")
}

// TestHalfClosedWebSocket: a side that has half-closed its connection cannot send a close frame, so the WebSocket ends, although
// the other side keeps its connection open. What was on its way still arrives.
func TestHalfClosedWebSocket(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"client", "backend"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel() // both wait for the other side's timeout
			done := make(chan struct{})
			defer close(done)
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				c.ReadHead()
				c.Send(goWebSocket)
				if side == "backend" {
					c.CloseWrite()
				} else if rest, orderly := c.Ended(); rest == "" && orderly {
					c.Send("\x82\x04abcd")
				}
				<-done
			})
			lb := start(t, proxyTo("  timeouts {\n    tunnel = \"3s\"\n  }\n", b.Addr))
			c := lb.dial()
			c.Send(askWebSocket)
			c.ReadHead()
			if side == "client" {
				c.CloseWrite()
				c.Expect(t, "\x82\x04abcd")
			}
			if rest, orderly := c.Ended(); rest != "" || !orderly {
				t.Errorf("read %q, orderly %v", rest, orderly)
			}
			lb.wantMetric(`lb_upgraded_connections{site="s"}`, "0")
		})
	}
}
