package proxy

import (
	"os"
	"time"

	"lb/internal/descriptor"
	"lb/internal/dormant"
	"lb/message"
	"lb/pool"
	"lb/transport"
)

// remainder is what of a response is still to be sent when its request rests.
type remainder struct {
	body     []byte
	last     bool // it is the end, and the trailer fields follow
	trailers []message.Field
	file     *os.File // n bytes of it from off; nil: body is meant
	off, n   int64
}

// send sends a part of the response, the last one perhaps. Where the client takes nothing for a while the rest is in x.remainder, the error is
// errResting, and the caller is to have the request rest.
func (x *Exchange) send(body []byte, last bool, trailers []message.Field) error {
	send := func(patience time.Duration) error {
		var n int
		var err error
		if last {
			n, err = x.client.Finish(body, trailers, patience)
		} else {
			n, err = x.client.Send(body, patience)
		}
		body = body[n:]
		return err
	}
	err := send(x.restAfter())
	if err == dormant.ErrPaused {
		if x.client.CanSuspend() {
			x.remainder = &remainder{body: body, last: last, trailers: trailers}
			return errResting
		}
		err = send(0)
	}
	return x.sent(err)
}

// sendFile is send with n bytes of f from off.
func (x *Exchange) sendFile(f *os.File, off, n int64) error {
	sent, err := x.client.SendFile(f, off, n, x.restAfter())
	if err == dormant.ErrPaused {
		off, n = off+sent, n-sent
		if x.client.CanSuspend() {
			if own, dupErr := descriptor.File(f, f.Name()); dupErr == nil { // f is closed by whoever has opened it
				x.remainder = &remainder{file: own, off: off, n: n}
				return errResting
			}
		}
		_, err = x.client.SendFile(f, off, n, 0)
	}
	return x.sent(err)
}

// sendRemainder goes on with a send that has stopped.
func (x *Exchange) sendRemainder() error {
	u := x.remainder
	x.remainder = nil
	if u.file == nil {
		return x.send(u.body, u.last, u.trailers)
	}
	defer u.file.Close()
	return x.sendFile(u.file, u.off, u.n)
}

// restSending has the request rest until the client takes more. Then is called with what became of the rest; other, if it
// is not nil, sleeps meanwhile.
func (x *Exchange) restSending(other *dormant.Conn, then func(error)) {
	x.rests++
	x.keepHead()
	x.resting = &resting{room: true, other: other, goOn: func() {
		if err := x.sendRemainder(); err == errResting {
			x.restSending(other, then)
		} else {
			then(err)
		}
	}}
}

// finish sends what is the last part of a response of our own.
func (x *Exchange) finish(err error) error {
	if err == errResting {
		x.restSending(nil, func(error) {})
	}
	return err
}

// restRelaying has a request rest whose response is passed on.
func (f *Forward) restRelaying(x *Exchange, b *pool.Backend, conn *transport.Conn, up *upload) {
	var other *dormant.Conn
	last := x.remainder.last
	if !x.givenBack {
		other = conn.Plain()
	}
	x.restSending(other, func(err error) {
		x.client.Await(x.onLeaving)
		defer x.client.EndAwait()
		if other != nil {
			conn.Resume()
		}
		outcome := pool.Success
		switch {
		case err != nil:
			outcome = pool.Aborted
		case !last:
			outcome = x.relayBody(conn, up)
		}
		f.relayed(x, b, conn, up, outcome)
	})
}
