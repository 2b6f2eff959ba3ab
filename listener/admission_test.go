package listener

import (
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"

	"lb/http1"
)

func TestMaxConnections(t *testing.T) {
	s := start(t, Options{Limits: Limits{MaxConnections: 2}})
	first, second := dial(t, s), dial(t, s)
	for _, c := range []*client{first, second} {
		c.send(ok + "\r\n")
		c.expect("GET / ")
	}
	c := dial(t, s)
	c.send(ok + "\r\n")
	if resp, _ := c.response("GET"); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !resp.Close {
		t.Errorf("third connection: %d %v", resp.StatusCode, resp.Header)
	}
	if got := c.closed(); got != "" {
		t.Errorf("%q", got)
	}
	first.Close()
	eventually(t, func() bool {
		c := dial(t, s)
		defer c.Close()
		return statusOf(c, "GET / HTTP/1.0\r\n\r\n") == 200
	})
}

func TestMaxConnectionsOverTLSClosesAtOnce(t *testing.T) {
	s := start(t, Options{Limits: Limits{MaxConnections: 1}, Listeners: oneListener(t, true)})
	c := dialMaybeTLS(t, s, true)
	c.send(ok + "\r\n")
	c.expect("GET / ")
	if got := dial(t, s).closed(); got != "" {
		t.Errorf("%q", got)
	}
}

func TestConnectionsPerIP(t *testing.T) {
	s := start(t, Options{Limits: Limits{ConnectionsPerIP: 1}})
	c := dial(t, s)
	c.send(ok + "\r\n")
	c.expect("GET / ")
	over := dial(t, s)
	over.send(ok + "\r\n")
	if resp, _ := over.response("GET"); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d", resp.StatusCode)
	}
	other := dialFrom(t, s, 2)
	other.send(ok + "\r\n")
	other.expect("GET / ")
	over.Close()
	c.Close()
	other.Close()
	eventually(t, func() bool { return addresses(s) == 0 })
}

// addresses returns how many addresses have connections that are counted.
func addresses(s *Set) int {
	s.addresses.mu.Lock()
	defer s.addresses.mu.Unlock()
	return len(s.addresses.addresses)
}

// TestRefusedConnectionsDoNotCount: refused connections that stay open do not count towards the limit.
func TestRefusedConnectionsDoNotCount(t *testing.T) {
	s := start(t, Options{Limits: Limits{ConnectionsPerIP: 1, MaxConnections: 3}})
	status := func(last byte) int { return statusOf(dialFrom(t, s, last), ok+"\r\n") }
	first := dialFrom(t, s, 1)
	if got := statusOf(first, ok+"\r\n"); got != 200 {
		t.Fatal(got)
	}
	for range 10 {
		if got := status(1); got != 429 {
			t.Fatalf("another connection of the address: %d", got)
		}
	}
	if a, b := status(2), status(3); a != 200 || b != 200 {
		t.Errorf("connections of other addresses: %d and %d", a, b)
	}
	for range 10 {
		if got := status(4); got != 503 {
			t.Fatalf("a connection too many: %d", got)
		}
	}
	first.Close()
	eventually(t, func() bool { return status(5) == 200 })
}

// TestRefusalResponsesAreLimited: only a limited number of connections over a limit gets a response at a time; the others are closed.
func TestRefusalResponsesAreLimited(t *testing.T) {
	s := start(t, Options{Limits: Limits{MaxConnections: 1}})
	first := dial(t, s)
	first.send(ok + "\r\n")
	first.expect("GET / ")
	responses := 0
	for range 2 * maxRefusing {
		if statusOf(dial(t, s), ok+"\r\n") == 503 {
			responses++
		}
		if n := s.refusing.Load(); n > maxRefusing {
			t.Fatalf("%d get a response at a time", n)
		}
	}
	if responses < maxRefusing {
		t.Errorf("only %d got a response", responses)
	}
}

// TestConnectionsPerIPAfterTheEnd: a client that has seen the end of its connection can connect again at once.
func TestConnectionsPerIPAfterTheEnd(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := start(t, Options{Listeners: oneListener(t, secure), Limits: Limits{ConnectionsPerIP: 1}})
		for i := range 200 {
			c := dialMaybeTLS(t, s, secure)
			c.send("GET / HTTP/1.0\r\n\r\n")
			c.expect("GET / ")
			if got := c.closed(); got != "" {
				t.Fatalf("%d: %q", i, got)
			}
			c.Close()
		}
	}
}

func TestConnectionsAllowedKeepsAReserve(t *testing.T) {
	descriptors, known := descriptorLimit()
	if n := connectionsAllowed(); n < 1 || known && 2*n >= descriptors {
		t.Errorf("%d connections with %d descriptors", n, descriptors)
	}
}

// refused is a request that is refused, so that the connection lingers.
const refused = "GET / HTTP/1.1\r\n\r\n" // without Host

// turnedAway returns how many connections are being refused because of their address.
func turnedAway(s *Set) (n int) {
	s.addresses.mu.Lock()
	defer s.addresses.mu.Unlock()
	for _, a := range s.addresses.addresses {
		n += a.refusing
	}
	return n
}

// TestLingeringCountsPerIP: lingering connections that the client does not close count until lb has closed them, so that one
// address cannot exceed its limit.
func TestLingeringCountsPerIP(t *testing.T) {
	const limit = 10
	s := start(t, Options{Limits: Limits{ConnectionsPerIP: limit, MaxConnections: 300}})
	for i := range 300 {
		switch status := statusOf(dialFrom(t, s, 1), refused); status {
		case 400, 429, 0:
		default:
			t.Fatalf("connection %d: %d", i, status)
		}
		if open := s.Open(); open > limit {
			t.Fatalf("the address holds %d connections, %d are allowed", open, limit)
		}
		if away := turnedAway(s); away > maxRefusingEach {
			t.Fatalf("%d connections of the address are being turned away", away)
		}
	}
	if status := statusOf(dialFrom(t, s, 2), ok+"\r\n"); status != 200 {
		t.Errorf("another address gets %d", status)
	}
}

// TestReturnsAfterRefusal: a client that has seen the end of a refused connection and has closed it can connect again at
// once.
func TestReturnsAfterRefusal(t *testing.T) {
	if portable || runtime.GOOS != "linux" {
		t.Skip("that a client has closed is seen at once on Linux alone")
	}
	for _, secure := range []bool{false, true} {
		s := start(t, Options{Listeners: oneListener(t, secure), Limits: Limits{ConnectionsPerIP: 1}})
		for i := range 200 {
			c := dialMaybeTLS(t, s, secure)
			if status := statusOf(c, refused); status != 400 {
				t.Fatalf("connection %d: %d", i, status)
			}
			if rest := c.closed(); rest != "" {
				t.Fatalf("%q", rest)
			}
			c.Close()
		}
		eventually(t, func() bool { return addresses(s) == 0 })
	}
}

// TestLingeringIsCapped: all lingering connections together are at most a quarter of max_connections.
func TestLingeringIsCapped(t *testing.T) {
	s := start(t, Options{Limits: Limits{MaxConnections: 16}})
	for last := range byte(100) {
		if status := statusOf(dialFrom(t, s, last+1), refused); status != 400 {
			t.Fatalf("connection %d: %d", last, status)
		}
		eventually(t, func() bool { return s.Open() <= 4 })
	}
}

// TestOldestLingererIsClosed: if too many connections linger, the oldest ones are closed.
func TestOldestLingererIsClosed(t *testing.T) {
	const each = 2 // of a loop, with these limits
	var mu sync.Mutex
	lingered := map[int][]netip.AddrPort{} // by loop, in their order
	s := start(t, Options{Limits: Limits{MaxConnections: 16}, Refused: func(c *http1.Conn, _ *http1.Refusal) {
		mu.Lock()
		defer mu.Unlock()
		loop := c.Worker().Loop.Index()
		lingered[loop] = append(lingered[loop], c.Info.Peer)
	}})
	for range 8 {
		if status := statusOf(dial(t, s), refused); status != 400 {
			t.Fatal(status)
		}
	}
	for _, w := range s.workers {
		onLoop(w, func() {
			mu.Lock()
			defer mu.Unlock()
			var left []netip.AddrPort
			for e := w.lingerers.Front(); e != nil; e = e.Next() {
				left = append(left, e.Value.(*conn).Info.Peer)
			}
			want := lingered[w.Loop.Index()]
			if want = want[max(len(want)-each, 0):]; !slices.Equal(left, want) || len(w.conns) != len(want) {
				t.Errorf("%v linger on loop %d, of %d connections, want %v", left, w.Loop.Index(), len(w.conns), want)
			}
		})
	}
}
