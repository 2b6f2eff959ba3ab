package netloop

import "time"

// A Timer calls its handler on its loop when it expires. It is meant to be embedded. It is never early, and up to two milliseconds late if the
// loop is not busy.
type Timer struct {
	loop     *Loop
	handler  TimerHandler
	deadline int64 // on the loop's clock
	place    int32 // in the heap, from 1; 0: not in it
}

// A TimerHandler is called when a timer expires, with the timer, since it may have several.
type TimerHandler interface {
	Expired(*Timer)
}

// Init sets the loop and the handler of the timer. It does not start it.
func (t *Timer) Init(l *Loop, handler TimerHandler) {
	t.loop, t.handler = l, handler
}

// Reset starts the timer, or changes its time if it is running: it expires d after Loop.Now. To set a later time than before costs only a
// store.
func (t *Timer) Reset(d time.Duration) {
	l := t.loop
	// Rounded up, so that timers that expire at about the same time share a wake-up.
	at := (max(l.clock+int64(d), l.clock+1) + granularity - 1) &^ (granularity - 1)
	t.deadline = at
	switch {
	case t.place == 0:
		l.timers.push(timerEntry{at, t})
	case at < l.timers[t.place-1].at:
		l.timers.place(int(t.place-1), timerEntry{at, t})
	}
}

// Stop stops the timer, if it is running.
func (t *Timer) Stop() {
	if t.place != 0 {
		t.loop.timers.remove(int(t.place - 1))
	}
}

// Running reports whether the timer will expire.
func (t *Timer) Running() bool { return t.place != 0 }

// granularity is about a millisecond, a power of two.
const granularity = 1 << 20

// timerHeap is a heap with four children per node. An entry's time may be earlier than its timer's deadline, if that was changed since:
// such an entry is moved down when it reaches the top.
type timerHeap []timerEntry

type timerEntry struct {
	at    int64
	timer *Timer
}

// next returns when the first entry is due, or never.
func (h timerHeap) next() int64 {
	if len(h) == 0 {
		return never
	}
	return h[0].at
}

// run calls the handlers of expired timers and returns the longest delay.
func (h *timerHeap) run(l *Loop) (late int64) {
	for len(*h) > 0 && (*h)[0].at <= l.clock {
		t := (*h)[0].timer
		if t.deadline > l.clock {
			h.place(0, timerEntry{t.deadline, t})
			continue
		}
		late = max(late, l.clock-t.deadline)
		h.remove(0)
		l.expire(t)
	}
	return late
}

func (l *Loop) expire(t *Timer) {
	if l.set.options.Panicked != nil {
		defer func() { l.recovered(recover()) }()
	}
	t.handler.Expired(t)
}

func (h *timerHeap) push(e timerEntry) {
	*h = append(*h, e)
	h.place(len(*h)-1, e)
}

func (h *timerHeap) remove(i int) {
	s := *h
	s[i].timer.place = 0
	last := len(s) - 1
	moved := s[last]
	s[last] = timerEntry{}
	*h = s[:last]
	if i != last {
		h.place(i, moved)
	}
	if cap(s) > 1024 && last < cap(s)/8 { // release memory after a peak
		*h = append(make(timerHeap, 0, cap(s)/4), *h...)
	}
}

// place replaces the entry at i by e and restores the order of the heap.
func (h timerHeap) place(i int, e timerEntry) {
	for i > 0 {
		parent := (i - 1) / 4
		if h[parent].at <= e.at {
			break
		}
		h.set(i, h[parent])
		i = parent
	}
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for child := first + 1; child < min(first+4, len(h)); child++ {
			if h[child].at < h[least].at {
				least = child
			}
		}
		if h[least].at >= e.at {
			break
		}
		h.set(i, h[least])
		i = least
	}
	h.set(i, e)
}

func (h timerHeap) set(i int, e timerEntry) {
	h[i] = e
	e.timer.place = int32(i + 1)
}
