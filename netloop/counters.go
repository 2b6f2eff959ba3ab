package netloop

// Counters of a loop since its start.
type Counters struct {
	Batches int64 // of events, tasks and timers
	Wakes   int64 // batches before which the loop slept
	Events  int64 // delivered to sockets
	Stale   int64 // events for sockets that had been closed in the same batch
	Tasks   int64 // by Post and Later
	Opened  int64 // sockets, accepted and dialed
	Closed  int64
	Clients int64 // accepted connections that are open now
	Lent    int64 // bytes of buffers that are lent now
	Kept    int64 // bytes of free buffers
}

const (
	batches = iota
	wakes
	events
	stale
	tasksRun
	opened
	closed
	lent
	kept
)

// counts are the loop's private counters. Changes are published once a batch, since an atomic store costs as much as ten others.
type counts [kept + 1]int64

func (l *Loop) publish() {
	l.count[lent], l.count[kept] = l.buffers.lent, l.buffers.kept()
	for i, n := range l.count {
		if l.public[i].Load() != n {
			l.public[i].Store(n)
		}
	}
}

// Counters returns the counters as of a recent batch. It may be called from any goroutine.
func (l *Loop) Counters() Counters {
	get := func(i int) int64 { return l.public[i].Load() }
	return Counters{
		Batches: get(batches), Wakes: get(wakes), Events: get(events), Stale: get(stale), Tasks: get(tasksRun),
		Opened: get(opened), Closed: get(closed), Clients: l.open.Load(), Lent: get(lent), Kept: get(kept),
	}
}
