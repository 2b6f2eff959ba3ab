package telemetry

import (
	"strconv"
	"sync/atomic"
)

// CodeCounters counts by exact status, of HTTP or of gRPC, without a lock, and without allocating once a status has been counted.
type CodeCounters struct {
	scope  *Scope
	name   string
	labels []string

	// A page has a hundred statuses, since most classes never occur; page 0 holds those of gRPC.
	pages [10]atomic.Pointer[codePage]
}

type codePage [100]atomic.Pointer[LoopCounter]

// Inc counts one response with that status. A status outside 0–999 counts as 0.
func (c *CodeCounters) Inc(status int) { c.IncOn(0, status) }

// IncOn is Inc on the loop with that index.
func (c *CodeCounters) IncOn(loop, status int) {
	if status < 0 || status > 999 {
		status = 0
	}
	if page := c.pages[status/100].Load(); page != nil {
		if counter := page[status%100].Load(); counter != nil {
			counter.Add(loop, 1)
			return
		}
	}
	c.add(status).Add(loop, 1)
}

// Count returns how often that status was seen.
func (c *CodeCounters) Count(status int) uint64 {
	if status < 0 || status > 999 {
		status = 0
	}
	if page := c.pages[status/100].Load(); page != nil {
		if counter := page[status%100].Load(); counter != nil {
			return uint64(counter.Get())
		}
	}
	return 0
}

// Total returns the sum over all statuses.
func (c *CodeCounters) Total() uint64 {
	var n uint64
	for i := range c.pages {
		page := c.pages[i].Load()
		if page == nil {
			continue
		}
		for j := range page {
			if counter := page[j].Load(); counter != nil {
				n += uint64(counter.Get())
			}
		}
	}
	return n
}

// add makes the series of a status on its first use. If two requests call it at once, the scope gives both the same
// counter, and the first page stays.
func (c *CodeCounters) add(status int) *LoopCounter {
	labels := make([]string, 0, len(c.labels)+2)
	labels = append(append(labels, c.labels...), "code", strconv.Itoa(status))
	counter := c.scope.LoopCounter(c.name, labels...)
	slot := &c.pages[status/100]
	slot.CompareAndSwap(nil, new(codePage))
	slot.Load()[status%100].Store(counter)
	return counter
}
