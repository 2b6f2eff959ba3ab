package proxy

import (
	"lb/message"
	"lb/netloop"
)

// Worker holds what the exchanges of one loop share. Only the loop's goroutine uses it.
type Worker struct {
	Loop *netloop.Loop

	outgoing  message.Request // to a backend, while it is made and encoded
	exchanges []*Exchange
}

// keptExchanges is how many unused exchanges a loop keeps.
const keptExchanges = 256

func (w *Worker) take(h *Handler) *Exchange {
	if n := len(w.exchanges); n > 0 {
		x := w.exchanges[n-1]
		w.exchanges[n-1] = nil
		w.exchanges = w.exchanges[:n-1]
		return x
	}
	x := &Exchange{handler: h, worker: w}
	x.timer.Init(w.Loop, x)
	x.grantedFunc = func() { w.Loop.Post((*grantedTask)(x)) }
	return x
}

func (w *Worker) give(x *Exchange) {
	if len(w.exchanges) < keptExchanges {
		w.exchanges = append(w.exchanges, x)
		return
	}
	x.timer.Stop() // else the loop would refer to x until the timer expires
}
