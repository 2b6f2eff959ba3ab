package proxy

import (
	"os"

	"lb/internal/descriptor"
	"lb/internal/dormant"
	"lb/pool"
	"lb/transport"
)

// leftover is what of an answer is still to be sent when its request rests.
type leftover struct {
	head, body []byte
	file       *os.File // n bytes of it from off come behind head; nil: body does
	off, n     int64
}

// send sends a part of the answer. Where the client takes nothing for a while the rest is in x.left, the error is
// errResting, and the caller is to have the request rest.
func (x *Exchange) send(head, body []byte) error {
	n, err := x.client.SendOrPause(head, body, x.restAfter())
	if err == dormant.ErrPaused {
		k := min(int(n), len(head))
		head, body = head[k:], body[int(n)-k:]
		if x.client.CanSuspend() {
			x.left = &leftover{head: head, body: body}
			return errResting
		}
		n, err = x.client.Send(head, body)
	}
	return x.sent(n, err)
}

// sendFile is send with n bytes of f from off behind head.
func (x *Exchange) sendFile(head []byte, f *os.File, off, n int64) error {
	sent, err := x.client.SendFileOrPause(head, f, off, n, x.restAfter())
	if err == dormant.ErrPaused {
		k := min(sent, int64(len(head)))
		head, off, n = head[k:], off+sent-k, n-(sent-k)
		if x.client.CanSuspend() {
			if own, dupErr := descriptor.File(f, f.Name()); dupErr == nil { // f is closed by whoever has opened it
				x.left = &leftover{head: head, file: own, off: off, n: n}
				return errResting
			}
		}
		sent, err = x.client.SendFile(head, f, off, n)
	}
	return x.sent(sent, err)
}

// sendLeft goes on with a send that has stopped.
func (x *Exchange) sendLeft() error {
	u := x.left
	x.left = nil
	if u.file == nil {
		return x.send(u.head, u.body)
	}
	defer u.file.Close()
	return x.sendFile(u.head, u.file, u.off, u.n)
}

// restSending has the request rest until the client takes more. Then is called with what became of the rest; other, if it
// is not nil, sleeps meanwhile.
func (x *Exchange) restSending(other *dormant.Conn, then func(error)) {
	x.rests++
	x.keepHead()
	x.resting = &resting{room: true, other: other, goOn: func() {
		if err := x.sendLeft(); err == errResting {
			x.restSending(other, then)
		} else {
			then(err)
		}
	}}
}

// finish sends what is the last part of an answer of our own.
func (x *Exchange) finish(err error) error {
	if err == errResting {
		x.restSending(nil, func(error) {})
	}
	return err
}

// restRelaying has a request rest whose answer is passed on.
func (f *Forward) restRelaying(x *Exchange, b *pool.Backend, conn *transport.Conn, up *upload) {
	var other *dormant.Conn
	chunked := false
	if !x.givenBack {
		other, chunked = conn.Plain(), x.chunks(conn)
	}
	x.restSending(other, func(err error) {
		x.client.Await(x.onLeaving)
		defer x.client.EndAwait()
		if other != nil {
			conn.Rouse()
		}
		outcome := pool.Success
		switch {
		case err != nil:
			outcome = pool.Aborted
		case !x.givenBack:
			x.client.MidChunks(chunked)
			x.res = x.res[:0]
			outcome = x.relayBody(conn, up, chunked)
		}
		f.relayed(x, b, conn, up, outcome)
	})
}
