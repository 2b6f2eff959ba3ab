package listener

import (
	"net/netip"
	"sync"
)

// addressCounter counts connections by client address. It is touched when a connection comes, begins to linger or goes.
type addressCounter struct {
	mu        sync.Mutex
	addresses map[netip.Addr]*addressConns
}

// addressConns are the connections of one address.
type addressConns struct {
	away      int                // that are being refused, with a response
	open      int                // the others
	lingering map[*conn]struct{} // of them
}

// turningAwayEach is how many of one address get that response at a time; more are closed, so that there is room for others.
const turningAwayEach = turningAway / 4

// mostLooks is how many lingering connections of an address are looked at for each that it may not have any more.
const mostLooks = 32

// enter counts c, unless its address has limit connections already; then respond says whether there is room for a
// response, in which case c is counted as one that is being refused. A connection that lingers and that the client has closed
// does not count, even if its loop has not closed it yet.
func (a *addressCounter) enter(c *conn, limit int) (in, respond bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	address := c.Info.Peer.Addr()
	conns := a.addresses[address]
	if conns == nil {
		if a.addresses == nil {
			a.addresses = map[netip.Addr]*addressConns{}
		}
		conns = &addressConns{}
		a.addresses[address] = conns
	}
	if conns.open >= limit {
		conns.dropClosed()
	}
	switch {
	case conns.open < limit:
		conns.open++
		return true, false
	case conns.away < turningAwayEach:
		conns.away++
		return false, true
	}
	return false, false
}

// dropClosed stops counting lingering connections that their client has closed. They may be another loop's, which closes no
// socket before it has taken it out of here.
func (a *addressConns) dropClosed() {
	looks := 0
	for c := range a.lingering {
		if looks++; looks > mostLooks {
			return
		}
		if hasHungUp(c.Socket.Descriptor()) {
			delete(a.lingering, c)
			a.open--
		}
	}
}

// linger marks a connection that was counted as one that lingers. It counts until it leaves.
func (a *addressCounter) linger(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	conns := a.addresses[c.Info.Peer.Addr()]
	if conns.lingering == nil {
		conns.lingering = map[*conn]struct{}{}
	}
	conns.lingering[c] = struct{}{}
}

// leave ends what enter began.
func (a *addressCounter) leave(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	address := c.Info.Peer.Addr()
	conns := a.addresses[address]
	if conns == nil {
		return // see dropClosed
	}
	if c.away {
		conns.away--
	} else if _, lingers := conns.lingering[c]; lingers || !c.lingering {
		delete(conns.lingering, c)
		conns.open--
	}
	if conns.open <= 0 && conns.away <= 0 {
		delete(a.addresses, address)
	}
}

// connectionsAllowed derives a limit from that of descriptors: a proxied connection may need two,
// and some are kept back for listeners, logs, files and health checks.
func connectionsAllowed() int {
	descriptors, ok := descriptorLimit()
	if !ok {
		return 1 << 20
	}
	reserve := min(descriptors/4, 256)
	return max((descriptors-reserve)/2, 1)
}
