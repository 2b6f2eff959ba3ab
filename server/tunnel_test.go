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

// TestStopClosesWebSockets: at the end of the grace time both ends of a WebSocket are told that the balancer
// goes away, in a frame of its own, even if one is under way at that time.
func TestStopClosesWebSockets(t *testing.T) {
	for _, underWay := range []bool{false, true} {
		got := make(chan string, 1)
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			c.ReadHead()
			if underWay {
				c.Send(goWebSocket + "\x82\x04ab")
				c.Expect(t, goingAwayMasked) // so the time is up
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

// TestIdleTunnel: an upgraded connection in which nothing moves for the tunnel's timeout ends, one in
// which bytes move one way only goes on.
func TestIdleTunnel(t *testing.T) {
	quiet := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		c.Send(goWebSocket)
		for range 8 {
			c.Send("\x82\x01x")
			time.Sleep(100 * time.Millisecond) // its own pace
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
	lbtest.Eventually(t, "the reason in the log", func() bool { return strings.Contains(lb.read("access.log"), "nothing was sent either way for 400ms") })
}

// TestTunnelReset: when one side of an upgraded connection fails the other learns it at once, even if it is
// silent and may be so for long, and by an end that is no orderly one either.
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
		_ = c.SetDeadline(time.Time{}) // so that its end is the balancer's doing
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

// TestHalfOfWebSocket: a side that has ended its stream can say nothing more, not even close, so a WebSocket
// ends then, although the other side keeps its connection; what that had under way still arrives.
func TestHalfOfWebSocket(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"client", "backend"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel() // both wait for the end of the time that the other side has
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
