package front

import (
	"net"
	"testing"
)

// refused is a request that is refused, upon which the connection lingers.
const refused = "GET / HTTP/1.1\r\n\r\n" // without Host

// dialFrom connects from 127.0.0.last.
func dialFrom(t testing.TB, f *Front, last byte) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
	nc, err := d.Dial("tcp", f.Listeners()[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, nc)
}

// statusOf sends a request and returns the status of its response; 0 if there is none.
func statusOf(c *client, request string) int {
	c.t.Helper()
	c.send(request)
	if _, err := c.r.Peek(1); err != nil {
		return 0
	}
	resp, _ := c.answer("GET")
	return resp.StatusCode
}

// turnedAway returns how many connections of single addresses are being turned away.
func turnedAway(f *Front) (n int) {
	f.perIP.mu.Lock()
	defer f.perIP.mu.Unlock()
	for _, a := range f.perIP.addresses {
		n += a.away
	}
	return n
}

// TestLingeringCountsPerIP: connections that were refused and that the client does not close count until lb has closed
// them, so that one address cannot hold more than it may.
func TestLingeringCountsPerIP(t *testing.T) {
	const limit = 10
	f := start(t, Options{Limits: Limits{ConnectionsPerIP: limit, MaxConnections: 300}})
	for i := range 300 {
		switch status := statusOf(dialFrom(t, f, 1), refused); status {
		case 400, 429, 0:
		default:
			t.Fatalf("connection %d: %d", i, status)
		}
		if open := f.Load().Open; open > limit {
			t.Fatalf("the address holds %d connections, %d are allowed", open, limit)
		}
		if away := turnedAway(f); away > turningAwayEach {
			t.Fatalf("%d connections of the address are being turned away", away)
		}
	}
	if status := statusOf(dialFrom(t, f, 2), ok+"\r\n"); status != 200 {
		t.Errorf("another address gets %d", status)
	}
}

// TestReturnsAfterRefusal: a client that has seen the end of a refused connection and has closed it may connect again at
// once.
func TestReturnsAfterRefusal(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Listeners: oneListener(t, secure), Limits: Limits{ConnectionsPerIP: 1}})
		for i := range 200 {
			c := dialMaybeTLS(t, f, secure)
			if status := statusOf(c, refused); status != 400 {
				t.Fatalf("connection %d: %d", i, status)
			}
			if rest := c.closed(); rest != "" {
				t.Fatalf("%q", rest)
			}
			c.Close()
		}
		eventually(t, func() bool {
			f.perIP.mu.Lock()
			defer f.perIP.mu.Unlock()
			return len(f.perIP.addresses) == 0
		})
	}
}

// TestLingeringIsCapped: all lingering connections together take a quarter of max_connections at most.
func TestLingeringIsCapped(t *testing.T) {
	f := start(t, Options{Limits: Limits{MaxConnections: 16}})
	for last := range byte(100) {
		if status := statusOf(dialFrom(t, f, last+1), refused); status != 400 {
			t.Fatalf("connection %d: %d", last, status)
		}
		eventually(t, func() bool { return f.Load().Open <= 4 })
	}
}

// TestOldestLingererIsClosed: where too many linger, those go that have done so for the longest time.
func TestOldestLingererIsClosed(t *testing.T) {
	l := &Listener{limits: Limits{MaxConnections: 8}}
	var all lingerers
	var conns []*Conn
	for range 5 {
		c := &Conn{listener: l}
		c.phase.Store(busy)
		all.add(c)
		conns = append(conns, c)
	}
	all.remove(conns[4])
	all.remove(conns[0]) // it was taken out already
	for i, c := range conns {
		if got, want := c.crowdedOut.Load(), i < 3; got != want {
			t.Errorf("connection %d is to be closed: %v", i, got)
		}
	}
	if all.list.Len() != 1 || all.list.Front().Value != conns[3] {
		t.Errorf("%d are left", all.list.Len())
	}
}
