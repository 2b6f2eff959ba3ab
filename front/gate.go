package front

import (
	"net/netip"
	"sync"
)

// ipCounter counts connections by client address. It is touched when a connection comes, begins to linger or goes.
type ipCounter struct {
	mu        sync.Mutex
	addresses map[netip.Addr]*addressConns
}

// addressConns are the connections of one address.
type addressConns struct {
	away      int                // that are being turned away, and are told so
	open      int                // the others
	lingering map[*Conn]struct{} // of them
}

// turningAwayEach is how many of one address are told so at a time; more are closed, so that there is room for others.
const turningAwayEach = turningAway / 4

// mostLooks is how many lingering connections of an address are looked at for each that it may not have any more.
const mostLooks = 32

// enter counts c, unless its address has limit connections already; then respond says whether there is room to tell the
// client so, in which case c is counted as one that is turned away. Those that linger and that the client has closed do not
// stand in its way, even if lb has not come to close them.
func (i *ipCounter) enter(c *Conn, limit int) (in, respond bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	a := i.addresses[c.peer.Addr()]
	if a == nil {
		if i.addresses == nil {
			i.addresses = map[netip.Addr]*addressConns{}
		}
		a = &addressConns{}
		i.addresses[c.peer.Addr()] = a
	}
	if a.open >= limit {
		a.dropClosed()
	}
	switch {
	case a.open < limit:
		a.open++
		return true, false
	case a.away < turningAwayEach:
		a.away++
		return false, true
	}
	return false, false
}

// dropClosed stops counting lingering connections that their client has closed.
func (a *addressConns) dropClosed() {
	looks := 0
	for c := range a.lingering {
		if looks++; looks > mostLooks {
			return
		}
		if c.hungUp() {
			delete(a.lingering, c)
			a.open--
		}
	}
}

// linger marks a connection that was counted as one that lingers. It counts until it leaves.
func (i *ipCounter) linger(c *Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	a := i.addresses[c.peer.Addr()]
	if a.lingering == nil {
		a.lingering = map[*Conn]struct{}{}
	}
	a.lingering[c] = struct{}{}
}

// leave ends what enter began.
func (i *ipCounter) leave(c *Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	a := i.addresses[c.peer.Addr()]
	if a == nil {
		return // see dropClosed
	}
	if c.away {
		a.away--
	} else if _, lingers := a.lingering[c]; lingers || !c.leaving {
		delete(a.lingering, c)
		a.open--
	}
	if a.open <= 0 && a.away <= 0 {
		delete(i.addresses, c.peer.Addr())
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
