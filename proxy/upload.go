package proxy

import (
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"lb/transport"
)

// upload is a streamed body on its way to a backend, in a goroutine of its own so that an answer
// which comes before the request's end is not lost. A nil upload has ended.
type upload struct {
	conn     *transport.Conn
	client   Client
	done     chan struct{}
	complete atomic.Bool
	failed   atomic.Bool  // the client's side did; see requestBody.err after done
	progress atomic.Int64 // Unix nanoseconds of the last bytes sent
}

// startUpload sends the body on conn.
func (x *Exchange) startUpload(conn *transport.Conn) *upload {
	up := &upload{conn: conn, client: x.client, done: make(chan struct{})}
	up.progress.Store(time.Now().UnixNano())
	x.body.spent = true
	stream, body := x.ctx.RequestBodyStream(), &x.body
	go func() {
		defer close(up.done)
		if body.err = up.run(stream, body); body.err != nil {
			up.failed.Store(true)
			conn.Interrupt() // nobody waits for an answer to half a request
		}
	}()
	return up
}

// run copies the body behind what of it is kept, which has been sent; its error is the client's. When the backend takes
// no more, the answer that it may have sent decides, so that is no error.
func (up *upload) run(stream io.Reader, body *requestBody) error {
	buf := newBuffer()
	defer func() { giveBack(buf) }()
	const room = 10 // for a chunk's size line before the bytes and the line end behind
	length, sent := body.length, int64(len(body.kept))
	for length != sent {
		n, err := stream.Read((*buf)[room : len(*buf)-2])
		if n > 0 {
			body.keep((*buf)[room : room+n])
			body.whole = !body.passed && (int64(len(body.kept)) == length || length < 0 && !up.client.BodyPending())
			piece := (*buf)[room : room+n]
			if length < 0 {
				piece = chunk(*buf, room, n)
			}
			if _, werr := up.conn.Write(piece); werr != nil {
				return nil
			}
			sent += int64(n)
			up.progress.Store(time.Now().UnixNano())
			if n == smallBuffer-room-2 && len(*buf) == smallBuffer {
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
		if _, err := up.conn.Write(appendLastChunk((*buf)[:0], up.client.Trailer())); err != nil {
			return nil
		}
	} else if sent < length {
		return io.ErrUnexpectedEOF
	}
	up.complete.Store(true)
	return nil
}

// chunk frames the n bytes at buf[room:] in place (RFC 9112 section 7.1).
func chunk(buf []byte, room, n int) []byte {
	var size [8]byte
	line := append(strconv.AppendInt(size[:0], int64(n), 16), '\r', '\n')
	start := room - len(line)
	copy(buf[start:], line)
	buf[room+n], buf[room+n+1] = '\r', '\n'
	return buf[start : room+n+2]
}

// over reports whether the body's last bytes went out longer than wait ago, so that the wait for an
// answer is over. While the body is on its way the timeouts of both its ends watch over it.
func (up *upload) over(wait time.Duration) bool {
	if up == nil || up.failed.Load() {
		return true
	}
	select {
	case <-up.done:
		return time.Since(time.Unix(0, up.progress.Load())) > wait
	default:
		return false
	}
}

// left returns how much of wait is to come, which begins with the body's last bytes; it is not 0, which
// would be no limit. Before the body's end it is all.
func (up *upload) left(wait time.Duration) time.Duration {
	select {
	case <-up.done:
		return max(wait-time.Since(time.Unix(0, up.progress.Load())), time.Millisecond)
	default:
		return wait
	}
}

// ended reports whether the whole body was sent.
func (up *upload) ended() bool { return up == nil || up.complete.Load() }

// lastWrite is how long an answer that has overtaken the last write of a body waits for that to return.
const lastWrite = 50 * time.Millisecond

// sentWhole is ended, but waits a moment if all of the body has been read and only its last write may be on its way.
func (up *upload) sentWhole(x *Exchange) bool {
	if !up.ended() && !x.client.BodyPending() {
		select {
		case <-up.done:
		case <-time.After(lastWrite):
		}
	}
	return up.ended()
}

// stop ends the upload and waits for it. The client's connection cannot go on afterwards
// unless its body had been read whole; then all that may be left is the last write, which the
// answer has overtaken.
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
		x.ctx.SetConnectionClose()
		x.close = true
	}
	<-up.done
	if !failed {
		x.body.err = nil // it was stopped, and has not failed
	}
}
