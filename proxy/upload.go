package proxy

import (
	"io"
	"sync/atomic"
	"time"

	"lb/internal/dormant"
	"lb/transport"
)

// upload is a streamed body on its way to a backend, in a goroutine of its own so that a response
// which comes before the request's end is not lost. A nil upload has ended.
type upload struct {
	conn     *transport.Conn
	client   Client
	done     chan struct{}
	complete atomic.Bool
	failed   atomic.Bool  // the client's side did; see requestBody.err after done
	progress atomic.Int64 // Unix nanoseconds of the last bytes sent
	reading  atomic.Bool  // it waits for the client
	paused   bool         // it can be started again; after done
}

// startUpload sends the body on conn, or what of it has not been sent when the upload was paused.
func (x *Exchange) startUpload(conn *transport.Conn) *upload {
	up := &upload{conn: conn, client: x.client, done: make(chan struct{})}
	up.progress.Store(time.Now().UnixNano())
	body := &x.body
	if !body.spent {
		body.spent, body.sent = true, int64(len(body.kept))
	}
	go func() {
		defer close(up.done)
		err := up.run(body)
		if up.paused = err == dormant.ErrPaused; up.paused {
			return
		}
		if body.err = err; err != nil {
			up.failed.Store(true)
			conn.Interrupt() // nobody waits for a response to half a request
		}
	}()
	return up
}

// run copies what has not been sent of the body; its error is the client's. When the backend takes
// no more, the response that it may have sent decides, so that is no error.
func (up *upload) run(body *requestBody) error {
	buf := newBuffer()
	defer func() { giveBack(buf) }()
	length := body.length
	for length != body.sent {
		up.reading.Store(true)
		n, err := body.stream.Read(*buf)
		up.reading.Store(false)
		if n > 0 {
			piece := (*buf)[:n]
			body.keep(piece)
			body.whole = !body.passed && (int64(len(body.kept)) == length || length < 0 && !up.client.BodyPending())
			if up.conn.SendBody(piece) != nil {
				return nil
			}
			body.sent += int64(n)
			up.progress.Store(time.Now().UnixNano())
			if n == smallBuffer && len(*buf) == smallBuffer {
				buf = enlarge(buf)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if length < 0 {
		body.whole = !body.passed
		if up.conn.FinishBody(up.client.Trailers()) != nil {
			return nil
		}
	} else if body.sent < length {
		return io.ErrUnexpectedEOF
	}
	up.complete.Store(true)
	return nil
}

// over reports whether the body's last bytes went out longer than wait ago, so that the wait for an
// response is over. While the body is on its way the timeouts of both its ends watch over it.
func (up *upload) over(wait time.Duration) bool {
	if up == nil || up.failed.Load() {
		return true
	}
	select {
	case <-up.done:
		return wait > 0 && up.idle() > wait
	default:
		return false
	}
}

// patience returns for how long a response is to be waited for, if the wait for it may last so long from the body's last
// bytes on (0: without limit): what is left of that, and before the body's end no longer than until the request may rest.
func (up *upload) patience(wait, rest time.Duration) time.Duration {
	select {
	case <-up.done:
		if wait <= 0 {
			return 0
		}
		return max(wait-up.idle(), time.Millisecond)
	default:
		return rest
	}
}

// idle returns how long ago the last bytes went out.
func (up *upload) idle() time.Duration { return time.Since(time.Unix(0, up.progress.Load())) }

// quiet reports whether the client has been waited for so long.
func (up *upload) quiet(wait time.Duration) bool { return up.reading.Load() && up.idle() >= wait }

// pause ends the upload so that it can be started again, and reports whether it has.
func (up *upload) pause() bool {
	up.client.PauseBody()
	select {
	case <-up.done:
	case <-time.After(pausing):
	}
	if up.client.TakeBackPause() {
		return false // it goes on, or is at its end
	}
	<-up.done
	return up.paused
}

// ended reports whether the whole body was sent.
func (up *upload) ended() bool { return up == nil || up.complete.Load() }

// lastWrite is how long a response that has overtaken the last write of a body waits for that to return.
const lastWrite = 50 * time.Millisecond

// sentWhole is ended, but waits for so long if all of the body has been read and only its last write may be on its way.
func (up *upload) sentWhole(x *Exchange, wait time.Duration) bool {
	if !up.ended() && !x.client.BodyPending() {
		select {
		case <-up.done:
		case <-time.After(wait):
		}
	}
	return up.ended()
}

// stop ends the upload and waits for it. The client's connection cannot go on afterwards
// unless its body had been read whole; then all that may be left is the last write, which the
// response has overtaken.
func (up *upload) stop(x *Exchange) {
	if up == nil {
		return
	}
	if up.complete.Load() {
		<-up.done
		return
	}
	failed, pending := up.failed.Load(), x.client.BodyPending()
	up.conn.Interrupt()
	if pending {
		x.client.StopBody()
		x.client.EndAfter()
	}
	<-up.done
	if !failed {
		x.body.err = nil // it was stopped, and has not failed
	}
}
