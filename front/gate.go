package front

import (
	"net/netip"
	"sync"
)

// ipCounter counts connections by client address. It is touched when a connection comes or goes.
type ipCounter struct {
	mu    sync.Mutex
	count map[netip.Addr]int
}

// enter counts one more, unless there are limit already.
func (i *ipCounter) enter(a netip.Addr, limit int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.count[a] >= limit {
		return false
	}
	if i.count == nil {
		i.count = map[netip.Addr]int{}
	}
	i.count[a]++
	return true
}

func (i *ipCounter) leave(a netip.Addr) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.count[a]--; i.count[a] <= 0 {
		delete(i.count, a)
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
