package netloop

import (
	"net"
	"net/netip"
	"time"
)

// How long a loop that cannot accept waits before it tries again; each failure in a row doubles it.
const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
)

// How far a loop may be ahead of another before it gives away what it accepts: in open connections one for every 16 that the other has, and
// one more; else in connections accepted, so many.
const (
	aheadShare = 16
	aheadTaken = 4
)

// An Incoming is a connection that was accepted. The function that gets it opens it, or closes it; what it has done neither of is
// closed when it returns.
type Incoming struct {
	loop *Loop
	peer netip.AddrPort
	incoming
}

// Loop is the one that the connection belongs to.
func (in *Incoming) Loop() *Loop { return in.loop }

// Peer is the client's address; the zero value for a Unix socket.
func (in *Incoming) Peer() netip.AddrPort { return in.peer }

// owner is the loop that a new connection goes to, when this one has accepted it. It is counted there.
func (l *Loop) owner() *Loop {
	mine, turn := l.open.Load(), l.taken.Load()
	least, fewest := l, mine
	next, lowest := l, turn
	for _, other := range l.set.loops {
		n, taken := other.open.Load(), other.taken.Load()
		if n < fewest || n == fewest && taken < least.taken.Load() {
			least, fewest = other, n
		}
		if n <= mine && taken < lowest {
			next, lowest = other, taken
		}
	}
	to := l
	switch {
	case mine > fewest+fewest/aheadShare:
		to = least
	case turn > lowest+aheadTaken:
		to = next
	}
	to.taken.Add(1)
	to.open.Add(1)
	return to
}

// hand gives the connection to whoever may open it.
func (in *Incoming) hand(accept func(*Incoming)) {
	if !in.loop.stopping {
		accept(in)
	}
	in.Close()
}

// given is a connection on its way to the loop that it belongs to.
type given struct {
	Incoming
	accept func(*Incoming)
}

func (g *given) Run() { g.hand(g.accept) }

// Addr is the address that it listens on.
func (ln *Listener) Addr() net.Addr { return ln.addr }
