package transport

import (
	"net/netip"
	"testing"

	"lb/internal/lbtest"
	"lb/internal/proxyprotocol"
	"lb/netloop"
)

// readProxyHeader reads a PROXY header of version 2 without extensions.
func readProxyHeader(t testing.TB, c *lbtest.Conn) (source netip.AddrPort, ok bool) {
	t.Helper()
	var b []byte
	for {
		source, end, need, err := proxyprotocol.Parse(b)
		if err != nil {
			t.Errorf("%q: %v", b, err)
			return source, false
		}
		if end > 0 {
			return source, true
		}
		piece := make([]byte, need)
		n, err := c.Read(piece)
		if err != nil {
			return source, false
		}
		b = append(b, piece[:n]...)
	}
}

// askAs sends a request for the client with an address.
func (l *testLoop) askAs(s *Client, source string) *exchange {
	l.t.Helper()
	x := &exchange{loop: l, request: get, done: make(chan struct{}), described: proxyprotocol.Connection{Source: netip.MustParseAddrPort(source)}}
	l.do(func() {
		x.conn, x.ready = s.Get(l.loop, x, false)
		if x.ready {
			x.send()
		}
	})
	lbtest.Wait(l.t, "the response", x.done)
	return x
}

// TestProxyHeaderIsPrivate: a connection serves only the client that its header names, and the one that has been idle the longest is closed
// where too many are.
func TestProxyHeaderIsPrivate(t *testing.T) {
	l := startLoop(t)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		source, ok := readProxyHeader(t, c)
		if !ok {
			return
		}
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			c.Send(lbtest.OK(source.String()))
		}
	})
	for _, v := range []proxyprotocol.Version{proxyprotocol.V1, proxyprotocol.V2} {
		opt := options(b)
		opt.ProxyProtocol, opt.MaxIdle = v, 2
		s := New(opt, NewWorkers([]*netloop.Loop{l.loop}))
		for i, step := range []struct {
			client string
			reused bool
		}{
			{"192.0.2.1:1", false}, {"192.0.2.1:1", true}, {"192.0.2.1:2", false}, {"192.0.2.1:1", true},
			{"[2001:db8::1]:1", false}, // takes the place of the second
			{"192.0.2.1:1", true}, {"[2001:db8::1]:1", true}, {"192.0.2.1:2", false}, {"192.0.2.1:1", false},
		} {
			x := l.askAs(s, step.client)
			if x.err != nil || x.body.String() != step.client || x.reused != step.reused {
				t.Errorf("version %d, step %d: %v, the backend knows %s, want %s; reused: %v, want %v", v, i, x.err, &x.body, step.client, x.reused, step.reused)
			}
		}
		if _, idle := s.Counts(); idle != 2 {
			t.Errorf("%d connections are idle, want 2", idle)
		}
		closeClient(l, s)
		l.do(func() {
			if n := len(s.loops[0].announced); n != 0 {
				t.Errorf("%d closed connections are still found", n)
			}
		})
	}
}

// TestProxyHeaderOfManyConnections: connections with the same header are found and removed in any order.
func TestProxyHeaderOfManyConnections(t *testing.T) {
	l := startLoop(t)
	s := New(Options{Address: "192.0.2.1:1", ProxyProtocol: proxyprotocol.V1, MaxIdle: 9}, NewWorkers([]*netloop.Loop{l.loop}))
	var all []*Conn
	for range 4 {
		all = append(all, &Conn{client: s, loop: l.loop, announced: &announcement{key: "a"}})
	}
	own := &s.loops[0]
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}, {2, 3, 0, 1}} {
		for _, c := range all {
			own.pushIdle(c)
		}
		if own.reusable([]byte("a")) != all[3] || own.idle.last != all[0] || own.reusable([]byte("b")) != nil {
			t.Fatal("the latest one is not the first to be reused")
		}
		removed := map[*Conn]bool{}
		for _, i := range order {
			own.removeIdle(all[i])
			removed[all[i]] = true
			n := 0
			for c := own.reusable([]byte("a")); c != nil; c = c.announced.next {
				if removed[c] {
					t.Fatalf("order %v: a removed one is found", order)
				}
				n++
			}
			if n != len(all)-len(removed) {
				t.Fatalf("order %v: %d are found, %d removed", order, n, len(removed))
			}
		}
		if own.idle.first != nil || own.idle.last != nil || len(own.announced) != 0 {
			t.Fatalf("order %v: %v", order, own)
		}
	}
}

// TestDialWithProxyHeader: a connection without a client has a header that says so.
func TestDialWithProxyHeader(t *testing.T) {
	for v, want := range map[proxyprotocol.Version]string{
		proxyprotocol.V1: "PROXY UNKNOWN\r\n", proxyprotocol.V2: "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
	} {
		seen := make(chan struct{})
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			c.Expect(t, want+"GET")
			close(seen)
		})
		opt := options(b)
		opt.ProxyProtocol = v
		nc, err := New(opt, nil).Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = nc.Write([]byte("GET"))
		lbtest.Wait(t, "the header", seen)
		_ = nc.Close()
	}
}
