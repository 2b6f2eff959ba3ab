package exchange

import (
	"context"
	"time"

	"lb/netloop"
	"lb/transport"
)

// phase is what an exchange waits for.
type phase uint8

const (
	phaseIdle      phase = iota // it has not begun, or has ended
	phaseBody                   // the beginning of the request's body, or all of it
	phaseQueue                  // a backend of the pool
	phaseDial                   // a connection to the backend
	phaseContinue               // the backend's word whether it wants the body
	phaseHead                   // the head of the response, while the request goes on its way
	phaseRelay                  // more of the response's body, or room at the client, while the rest of the request goes on its way
	phaseParts                  // room at the client, for the next part of a response of our own
	phaseElsewhere              // something that is done in a goroutine
	phaseTunnel                 // bytes from either side, after an upgrade
	phaseFlush                  // the client to take the end of the response
	phases
)

// event is what may happen to an exchange.
type event uint8

const (
	eventBodyReady      event = iota // more of the request's body can be read, or its end, or why it cannot
	eventFlushed                     // the client has taken all that was sent
	eventGone                        // the client has disconnected, or is too slow; nothing can be sent
	eventGranted                     // the pool has granted a backend, or refused to
	eventDialed                      // the connection is there, or could not be made
	eventResponseReady               // more of the response can be read, or its end, or why it cannot
	eventRequestFlushed              // the backend has taken all that was sent
	eventTimer                       // the time of the present wait is over
	eventDone                        // what was done in a goroutine is done
	events
)

type action func(*Exchange)

// none is for events that mean nothing in a phase: they were on their way when it began, or are looked at by a later one.
func none(*Exchange) {}

// never is for events that cannot come in a phase, since what they tell of does not exist then.
func never(*Exchange) {}

// transitions is all that may happen. Each action takes the exchange into its next phase itself.
//
//	events: BodyReady, Flushed, Gone, Granted, Dialed, ResponseReady, RequestFlushed, Timer, Done
var transitions = [phases][events]action{
	phaseIdle:      {never, never, never, none, never, never, never, none, never},
	phaseBody:      {(*Exchange).readBody, none, (*Exchange).abandon, none, never, never, never, (*Exchange).bodyTimeout, never},
	phaseQueue:     {none, none, (*Exchange).leaveQueue, (*Exchange).granted, never, never, never, (*Exchange).queueTimeout, never},
	phaseDial:      {none, none, (*Exchange).leaveBackend, none, (*Exchange).dialed, never, never, none, never},
	phaseContinue:  {none, none, (*Exchange).leaveBackend, none, never, (*Exchange).readHead, none, (*Exchange).upload, never},
	phaseHead:      {(*Exchange).upload, none, (*Exchange).leaveBackend, none, never, (*Exchange).readHead, (*Exchange).upload, (*Exchange).headTimeout, never},
	phaseRelay:     {(*Exchange).upload, (*Exchange).clientFlushed, (*Exchange).leaveBackend, none, never, (*Exchange).relay, (*Exchange).upload, (*Exchange).relayTimeout, never},
	phaseParts:     {none, (*Exchange).sendParts, (*Exchange).abandon, none, never, never, never, none, never},
	phaseElsewhere: {none, none, (*Exchange).goneElsewhere, none, never, none, none, none, (*Exchange).returned},
	phaseTunnel:    {never, (*Exchange).openTunnel, (*Exchange).tunnelGone, none, never, (*Exchange).tunnelReady, (*Exchange).tunnelReady, (*Exchange).tunnelTimeout, never},
	phaseFlush:     {none, (*Exchange).end, (*Exchange).abandon, none, never, never, never, none, never},
}

// take has an event change the exchange.
func (x *Exchange) take(ev event) {
	transitions[x.phase][ev](x)
	if x.conn != nil {
		x.conn.Keep()
	}
}

// BodyReady is called by the client's side.
func (x *Exchange) BodyReady() { x.take(eventBodyReady) }

// Flushed is called by the client's side.
func (x *Exchange) Flushed() { x.take(eventFlushed) }

// Gone is called by the client's side.
func (x *Exchange) Gone(err error) {
	x.gone = err
	x.take(eventGone)
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

// Expired is called by the timer, which is often set for longer than the present wait lasts, and then does nothing: to stop it for
// each exchange would cost more.
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

// wait bounds the present wait; 0: there is no bound.
func (x *Exchange) wait(d time.Duration) {
	if d <= 0 {
		x.until = time.Time{}
		return
	}
	x.until = x.worker.Loop.Now().Add(d)
	x.timer.Reset(d)
}

// grantedTask and doneTask are an exchange as tasks of its loop.
type (
	grantedTask Exchange
	doneTask    Exchange
)

func (g *grantedTask) Run() { (*Exchange)(g).take(eventGranted) }
func (d *doneTask) Run()    { (*Exchange)(d).take(eventDone) }

// Elsewhere has work, which may block, run in a goroutine, and then has the exchange go on on its loop. Work must not touch
// the exchange, nor anything that it hands out; then, or unwanted if the client has gone meanwhile.
func (x *Exchange) Elsewhere(work func(), then, unwanted func()) {
	x.phase, x.then, x.unwanted = phaseElsewhere, then, unwanted
	x.wait(0)
	x.worker.Loop.Go(func(context.Context) { work() }, (*doneTask)(x))
}

// returned goes on after Elsewhere.
func (x *Exchange) returned() {
	then := x.then
	x.then = nil
	if x.gone != nil {
		if x.unwanted != nil {
			x.unwanted()
		}
		x.leaveBackend()
		return
	}
	then()
}

// goneElsewhere waits for the work, which cannot be interrupted.
func (x *Exchange) goneElsewhere() {}
