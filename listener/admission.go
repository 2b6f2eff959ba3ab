package listener

import (
	"net/netip"
	"sync"
)

// addressCounter counts connections by client address. It is used when a connection opens, begins a lingering close, or closes.
type addressCounter struct {
	mu        sync.Mutex
	addresses map[netip.Addr]*addressConns
}

// addressConns are the connections of one address.
type addressConns struct {
	refusing  int                // being refused with a response
	open      int                // the others
	lingering map[*conn]struct{} // those of open that linger
}

// maxRefusingEach is how many connections of one address get a refusal with a response at a time; further ones are closed, so that
// one address does not use up maxRefusing.
const maxRefusingEach = maxRefusing / 4

// maxChecks is how many lingering connections of an address are checked when it is at its limit.
const maxChecks = 32

// enter counts c, unless its address already has limit connections. Then respond says whether the refusal may be a response, in which
// case c is counted as being refused. A lingering connection that the client has closed does not count, even if its loop has not closed
// it yet.
func (a *addressCounter) enter(c *conn, limit int) (in, respond bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	conns := a.at(c.Info.Peer.Addr(), limit)
	switch {
	case conns.open < limit:
		conns.open++
		return true, false
	case conns.refusing < maxRefusingEach:
		conns.refusing++
		return false, true
	}
	return false, false
}

// at returns the connections of an address. If there are limit of them, those that the client has closed are no longer counted.
func (a *addressCounter) at(address netip.Addr, limit int) *addressConns {
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
	return conns
}

// dropClosed stops counting lingering connections that the client has closed. They may belong to another loop; that is safe because a
// loop calls leave before it closes the socket.
func (a *addressConns) dropClosed() {
	checks := 0
	for c := range a.lingering {
		if checks++; checks > maxChecks {
			return
		}
		if hasHungUp(c.Socket.Descriptor()) {
			delete(a.lingering, c)
			a.open--
		}
	}
}

// linger marks a counted connection as lingering. It counts until leave.
func (a *addressCounter) linger(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	conns := a.addresses[c.Info.Peer.Addr()]
	if conns.lingering == nil {
		conns.lingering = map[*conn]struct{}{}
	}
	conns.lingering[c] = struct{}{}
}

// leave undoes enter.
func (a *addressCounter) leave(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	address := c.Info.Peer.Addr()
	conns := a.addresses[address]
	if conns == nil {
		return // see dropClosed
	}
	if c.refusing {
		conns.refusing--
	} else if _, lingers := conns.lingering[c]; lingers || !c.lingering {
		delete(conns.lingering, c)
		conns.open--
	}
	if conns.open <= 0 && conns.refusing <= 0 {
		delete(a.addresses, address)
	}
}

// enterAddress counts a connection of an address, unless that has limit connections already. See leaveAddress.
func (a *addressCounter) enterAddress(address netip.Addr, limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	conns := a.at(address, limit)
	if conns.open >= limit {
		return false
	}
	conns.open++
	return true
}

// isFull reports whether an address has limit connections.
func (a *addressCounter) isFull(address netip.Addr, limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	conns := a.addresses[address]
	return conns != nil && conns.open >= limit
}

// leaveAddress undoes enterAddress.
func (a *addressCounter) leaveAddress(address netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	conns := a.addresses[address]
	if conns == nil {
		return
	}
	if conns.open--; conns.open <= 0 && conns.refusing <= 0 {
		delete(a.addresses, address)
	}
}

// connectionsAllowed derives the connection limit from the descriptor limit: a proxied connection may need two descriptors, and some
// are reserved for listeners, logs, files and health checks.
func connectionsAllowed() int {
	descriptors, ok := descriptorLimit()
	if !ok {
		return 1 << 20
	}
	reserve := min(descriptors/4, 256)
	return max((descriptors-reserve)/2, 1)
}
