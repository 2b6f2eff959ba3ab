package proxy

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"lb/internal/poison"
	"lb/internal/wire"
	"lb/transport"
)

// requestBody is the body of a request: none, kept whole so that it can be sent again, or
// streamed once.
type requestBody struct {
	framed   bool // the head announced a body, be it an empty one
	kept     []byte
	streamed bool
	expected bool    // the client sends it only when it is told to (100-continue)
	length   int64   // of a streamed body; -1: chunked
	spent    bool    // a streamed body has been read from
	err      error   // the client's side failed
	buf      *[]byte // behind kept
}

// withheld reports whether a body was announced to a backend and not even begun, since the answer came before.
func (b *requestBody) withheld() bool { return b.streamed && !b.spent }

var (
	errBodyTooLarge  = errors.New("the request body is larger than the limit")
	errBodyTimeout   = errors.New("the request body made no progress in time")
	errBodyMalformed = errors.New("the request body is malformed or ends early")
	errBodyShort     = errors.New("the client went away in the middle of its request body")
)

var bodyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// giveBack returns a buffer to its pool; nothing may read from it any more.
func giveBack(pool *sync.Pool, buf *[]byte) {
	poison.Fill(*buf)
	pool.Put(buf)
}

// readBody reads a body of known length up to limit bytes, so that it can be sent again; a longer
// or chunked one is left to be streamed, and so is one that the client sends only if the backend
// wants it. false says that the client has been answered.
func (x *Exchange) readBody(limit int64) bool {
	x.body = requestBody{}
	stream := x.ctx.RequestBodyStream()
	length := x.ctx.Request.Header.ContentLength()
	// Without a body there is nothing to wait with (RFC 9110 section 10.1.1).
	expected := stream != nil && length != 0 && !x.http10 && wire.EqualFold(x.Lookup(wire.Expect), "100-continue")
	switch {
	case length == -1:
		x.body = requestBody{framed: true, streamed: true, expected: expected, length: -1}
	case length < 0 || stream == nil && length == 0:
		x.body.framed = wire.Lookup(x.Fields, wire.ContentLengthField) != nil
	case expected || int64(length) > limit:
		x.body = requestBody{framed: true, streamed: true, expected: expected, length: int64(length)}
	default:
		x.body.framed = true
		return x.keepBody(stream, length)
	}
	return true
}

func (x *Exchange) keepBody(stream io.Reader, length int) bool {
	buf := bodyBuffers.Get().(*[]byte)
	if cap(*buf) < length {
		*buf = make([]byte, length)
	}
	x.body.buf, x.body.kept = buf, (*buf)[:length]
	if _, err := io.ReadFull(stream, x.body.kept); err != nil {
		x.refuseBody(err)
		return false
	}
	return true
}

// releaseBody gives back what keepBody took.
func (x *Exchange) releaseBody() {
	if buf := x.body.buf; buf != nil && cap(*buf) <= keepBuffer {
		giveBack(&bodyBuffers, buf)
	}
	x.body = requestBody{}
}

// refuseBody answers for a request body that could not be read.
func (x *Exchange) refuseBody(err error) {
	status, r := x.handler.bodyStatus(err), &x.handler.rejections
	switch status {
	case 0:
		x.close = true
		x.status, x.reason = statusClientGone, errBodyShort.Error()
		x.client.Abort()
		x.ctx.SetConnectionClose()
		return
	case http.StatusRequestEntityTooLarge:
		x.refuseLargeBody()
		return
	case http.StatusRequestTimeout:
		r.BodyTimeout.Inc()
		err = errBodyTimeout
	case http.StatusBadRequest:
		r.BadRequest.Inc()
		err = errBodyMalformed
	}
	x.close = true
	x.Refuse(status, err.Error())
}

func (x *Exchange) refuseLargeBody() {
	x.handler.rejections.BodySize.Inc()
	x.close = true
	x.Refuse(http.StatusRequestEntityTooLarge, errBodyTooLarge.Error())
}

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
	stream, length, err := x.ctx.RequestBodyStream(), x.body.length, &x.body.err
	go func() {
		defer close(up.done)
		if *err = up.run(stream, length); *err != nil {
			up.failed.Store(true)
			conn.Interrupt() // nobody waits for an answer to half a request
		}
	}()
	return up
}

// run copies the body; its error is the client's. When the backend takes no more, the
// answer that it may have sent decides, so that is no error.
func (up *upload) run(stream io.Reader, length int64) error {
	buf := bodyBuffers.Get().(*[]byte)
	defer giveBack(&bodyBuffers, buf)
	const room = 10 // for a chunk's size line before the bytes and the line end behind
	var sent int64
	for length != sent {
		n, err := stream.Read((*buf)[room : len(*buf)-2])
		if n > 0 {
			piece := (*buf)[room : room+n]
			if length < 0 {
				piece = chunk(*buf, room, n)
			}
			if _, werr := up.conn.Write(piece); werr != nil {
				return nil
			}
			sent += int64(n)
			up.progress.Store(time.Now().UnixNano())
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if length < 0 {
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
