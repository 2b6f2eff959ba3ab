package proxy

import (
	"bytes"
	"errors"
	"time"

	"lb/internal/dormant"
	"lb/message"
	"lb/pool"
	"lb/transport"
)

// resting is where an exchange goes on that waits without a goroutine.
type resting struct {
	other *dormant.Conn // sleeps beside the client's connection, and is waited for too if it is not for room; nil: nothing does
	room  bool          // the wait is for room to send to the client
	goOn  func()
}

// errResting is returned where a request waits for its client: whoever gets it returns, and nothing is at an end.
var errResting = errors.New("the request rests")

const (
	// restAfter is how long a client does nothing before its request rests, restAgain the same when it has rested, as pieces
	// of many may come at a time, and restLater from the time on when it has rested often: each time costs several times
	// what a piece costs that somebody waits for.
	restAfter = 20 * time.Millisecond
	restAgain = 5 * time.Millisecond
	restLater = time.Second
	often     = 8
	// pausing is how long is waited for an upload to pause.
	pausing = 50 * time.Millisecond
)

func (x *Exchange) restAfter() time.Duration {
	switch {
	case x.rests == 0:
		return restAfter
	case x.rests < often:
		return restAgain
	}
	return restLater
}

// leave is the end of an exchange, or of its goroutine: then it goes on by resume.
func (x *Exchange) leave() {
	if r := x.resting; r != nil {
		x.client.Suspend(r.room, r.other, x.resume)
		return
	}
	x.end()
}

// resume goes on with an exchange that rests.
func (x *Exchange) resume() {
	r := x.resting
	x.resting = nil
	x.read(x.client.Request())
	defer x.leave()
	r.goOn()
}

// keepHead has the exchange let go of the request, which is at another place when the exchange goes on.
func (x *Exchange) keepHead() {
	if x.id != nil && &x.id[0] != &x.idBuf[0] {
		x.id = bytes.Clone(x.id)
	}
	x.clean = bytes.Clone(x.clean)
	x.Request, x.path, x.query = nil, nil, nil
	x.outgoing, x.response = message.Request{}, message.Response{}
}

// rest has the request rest while its body is on its way, if that can be: nothing comes from either side.
func (f *Forward) rest(x *Exchange, b *pool.Backend, conn *transport.Conn, up *upload, begin time.Time) bool {
	quiet := x.body.live() && up.quiet(x.restAfter())
	x.rests++ // counted even if it cannot be, so that few look for it
	if !quiet || !x.client.CanSuspend() {
		return false
	}
	socket := conn.Suspend()
	if socket == nil || !up.pause() {
		return false
	}
	x.keepHead()
	x.body.rest()
	x.resting = &resting{other: socket, goOn: func() { f.awake(x, b, conn, begin) }}
	return true
}

// awake goes on where rest has stopped.
func (f *Forward) awake(x *Exchange, b *pool.Backend, conn *transport.Conn, begin time.Time) {
	x.client.Await(x.onLeaving)
	defer x.client.EndAwait()
	conn.Resume()
	x.departure.ends(conn)
	up := x.startUpload(conn)
	err := f.await(x, b, conn, up, begin, x.awaitHead(conn, up))
	next, again := f.asked(x, b, conn, up, begin, 0, err)
	if again {
		next = f.attempt(x, b)
	}
	f.try(x, next)
}
