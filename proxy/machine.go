package proxy

import (
	"errors"
	"runtime/debug"
	"time"

	"lb/netloop"
	"lb/pool"
	"lb/transport"
)

// phase is what an exchange waits for.
type phase uint8

const (
	phaseIdle       phase = iota // it has not begun, or has ended
	phaseHint                    // the client to read the early hints
	phaseFlight                  // the response to the same request of another client, see Cached
	phaseBody                    // the beginning of the request's body, or all of it
	phaseQueue                   // a backend of the pool
	phaseDial                    // a connection to the backend
	phaseContinue                // 100 (Continue) from the backend
	phaseHead                    // the head of the response, while the request is being sent
	phaseRelay                   // more of the response's body, or the client to read, while the rest of the request is being sent
	phaseParts                   // the client to read, before the next part of lb's own response
	phaseBackground              // work in a goroutine
	phaseReceive                 // the whole of the request's body, for a handler
	phaseHandler                 // a handler, which runs in a goroutine
	phaseTunnel                  // bytes from either side, after an upgrade
	phaseFlush                   // the client to read the end of the response
	phases
)

// event is what can happen to an exchange.
type event uint8

const (
	eventBodyReady      event = iota // more of the request's body can be read, or its end, or an error
	eventFlushed                     // everything sent has been written to the client's socket
	eventDisconnected                // the client has disconnected, or is too slow; nothing can be sent
	eventGranted                     // the pool has granted or refused a backend
	eventDialed                      // the dial has succeeded or failed
	eventResponseReady               // more of the response can be read, or its end, or an error
	eventRequestFlushed              // everything sent has been written to the backend's socket
	eventTimer                       // the deadline of the current wait has passed
	eventDone                        // what was done in a goroutine is done
	eventCalled                      // the goroutine of a handler waits for more of the request's body, or to send more of the response
	events
)

type action func(*Exchange)

// none is for events that a phase ignores: they were already under way when it began, or a later phase handles their effect.
func none(*Exchange) {}

// never is for events that cannot occur in a phase, because their source does not exist then; but see responseTask.
func never(*Exchange) {}

// transitions defines what each event does in each phase. The actions set the next phase themselves.
//
//	events: BodyReady, Flushed, Disconnected, Granted, Dialed, ResponseReady, RequestFlushed, Timer, Done, Called
var transitions = [phases][events]action{
	phaseIdle:       {never, never, never, none, never, never, never, none, never, never},
	phaseHint:       {none, (*Exchange).hinted, (*Exchange).abandon, none, never, never, never, none, never, never},
	phaseFlight:     {none, none, (*Exchange).flightDisconnected, none, never, never, never, (*Exchange).flightTimeout, (*Exchange).landed, never},
	phaseBody:       {(*Exchange).readBody, none, (*Exchange).abandon, none, never, never, never, (*Exchange).bodyTimeout, never, never},
	phaseQueue:      {none, none, (*Exchange).leaveQueue, (*Exchange).granted, never, never, never, (*Exchange).queueTimeout, never, never},
	phaseDial:       {none, none, (*Exchange).leaveBackend, none, (*Exchange).dialed, never, never, none, never, never},
	phaseContinue:   {none, (*Exchange).interimFlushed, (*Exchange).leaveBackend, none, never, (*Exchange).readHead, none, (*Exchange).upload, never, never},
	phaseHead:       {(*Exchange).upload, (*Exchange).interimFlushed, (*Exchange).leaveBackend, none, never, (*Exchange).readHead, (*Exchange).upload, (*Exchange).headTimeout, never, never},
	phaseRelay:      {(*Exchange).upload, (*Exchange).clientFlushed, (*Exchange).leaveBackend, none, never, (*Exchange).relay, (*Exchange).upload, (*Exchange).relayTimeout, never, never},
	phaseParts:      {none, (*Exchange).sendParts, (*Exchange).abandon, none, never, never, never, none, never, never},
	phaseBackground: {none, none, (*Exchange).disconnectedInBackground, none, never, none, none, none, (*Exchange).returned, never},
	phaseReceive:    {(*Exchange).receive, none, (*Exchange).abandon, none, never, never, never, none, never, never},
	phaseHandler:    {(*Exchange).serveHandler, (*Exchange).handlerFlushed, (*Exchange).handlerDisconnected, none, never, never, never, none, (*Exchange).handled, (*Exchange).serveHandler},
	phaseTunnel:     {never, (*Exchange).openTunnel, (*Exchange).tunnelDisconnected, none, never, (*Exchange).tunnelReady, (*Exchange).tunnelReady, (*Exchange).tunnelTimeout, never, never},
	phaseFlush:      {none, (*Exchange).end, (*Exchange).abandon, none, never, never, never, none, never, never},
}

// take handles an event.
func (x *Exchange) take(ev event) {
	defer x.recover()
	transitions[x.phase][ev](x)
	if x.conn != nil {
		x.conn.Keep()
	}
}

// recover ends an exchange in which a bug has caused a panic: with 500 if the response has not begun.
func (x *Exchange) recover() {
	v := recover()
	if v == nil {
		return
	}
	p := &panicked{v, debug.Stack()}
	x.reportPanic(p)
	if x.client == nil {
		return // the exchange has ended
	}
	client := x.client
	defer func() { // what the panic left cannot be cleaned up: nothing of it is used again
		if v := recover(); v != nil {
			x.reportPanic(&panicked{v, debug.Stack()})
			client.Abort()
		}
	}()
	if x.background.cancel != nil { // a goroutine still works for the exchange, which ends after it
		x.disconnected = errPanicked
		x.background.cancel()
		x.client.Abort()
		return
	}
	if x.tunnel != nil {
		x.site.Metrics.Upgraded.Add(-1)
		x.tunnel.drop(x.worker.Loop)
		x.tunnel = nil
	}
	if x.phase == phaseQueue {
		x.place.Cancel()
	}
	if x.backend != nil {
		x.settle(0)
		x.releaseConn(false)
		x.backend.Report(pool.Aborted)
		x.releaseBackend()
	}
	if x.client.Begun() {
		x.cut(errPanicked.Error())
		return
	}
	x.Extra = x.Extra[:0]
	x.route = nil // one of its response filters may have panicked, and would again
	x.failPanicked(p)
}

var errPanicked = errors.New("the balancer failed")

func (x *Exchange) reportPanic(p *panicked) {
	if f := x.handler.Panicked; f != nil {
		f(p.value, p.stack)
	}
}

// BodyReady is called by the client's side.
func (x *Exchange) BodyReady() { x.take(eventBodyReady) }

// Flushed is called by the client's side.
func (x *Exchange) Flushed() { x.take(eventFlushed) }

// Disconnected is called by the client's side.
func (x *Exchange) Disconnected(err error) {
	x.disconnected = err
	x.take(eventDisconnected)
}

// Dialed is called by the backend's connection.
func (x *Exchange) Dialed(err *transport.Error) {
	x.dialErr = err
	x.take(eventDialed)
}

// ResponseReady is called by the backend's connection.
func (x *Exchange) ResponseReady() { x.take(eventResponseReady) }

// RequestFlushed is called by the backend's connection.
func (x *Exchange) RequestFlushed() { x.take(eventRequestFlushed) }

// Expired is called by the timer. The timer is not stopped when a wait ends, since that would cost more than an expiry that does
// nothing.
func (x *Exchange) Expired(*netloop.Timer) {
	if x.until.IsZero() {
		return
	}
	if left := x.until.Sub(x.worker.Loop.Now()); left > 0 {
		x.timer.Reset(left)
		return
	}
	x.until = time.Time{}
	x.take(eventTimer)
}

// wait sets the deadline of the current wait; 0: none.
func (x *Exchange) wait(d time.Duration) {
	if d <= 0 {
		x.until = time.Time{}
		return
	}
	x.until = x.worker.Loop.Now().Add(d)
	x.timer.Reset(d)
}

// These are an exchange as tasks of its loop. responseTask and bodyTask continue what gave other connections their turn; if the exchange
// has ended meanwhile, the one that uses the same struct tries in vain to read.
type (
	grantedTask  Exchange
	doneTask     Exchange
	responseTask Exchange
	bodyTask     Exchange
)

func (g *grantedTask) Run() { (*Exchange)(g).take(eventGranted) }
func (d *doneTask) Run()    { (*Exchange)(d).take(eventDone) }

func (r *responseTask) Run() { (*Exchange)(r).take(eventResponseReady) }
func (b *bodyTask) Run()     { (*Exchange)(b).take(eventBodyReady) }
