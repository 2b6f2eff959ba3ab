package netloop

import (
	"net"
	"net/netip"
	"time"
)

// How long a loop waits after accepting has failed before it tries again; the wait doubles with each failure in a row.
const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
)

// How far a loop may be ahead of another before it passes on the connections that it accepts: by more than 1/aheadShare in open
// connections, else by more than aheadTaken in connections accepted.
const (
	aheadShare = 16
	aheadTaken = 4
)

// An Incoming is a connection that was accepted. The function that gets it must open it before it returns; otherwise the connection is
// closed.
type Incoming struct {
	loop *Loop
	peer netip.AddrPort
	incoming
}

// Loop returns the loop that owns the connection.
func (in *Incoming) Loop() *Loop { return in.loop }

// Peer returns the client's address; the zero value for a unix socket.
func (in *Incoming) Peer() netip.AddrPort { return in.peer }

// owner chooses the loop for a connection that this loop has accepted, and counts it there.
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

// hand calls accept, and closes the connection if that has not opened it.
func (in *Incoming) hand(accept func(*Incoming)) {
	if !in.loop.stopping {
		accept(in)
	}
	in.Close()
}

// given is an accepted connection as a task for the loop that will own it.
type given struct {
	Incoming
	accept func(*Incoming)
}

func (g *given) Run() { g.hand(g.accept) }

// Addr returns the address of the listening socket.
func (ln *Listener) Addr() net.Addr { return ln.addr }
