package proxy

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"lb/filter"
	"lb/message"
	"lb/netloop"
	"lb/pool"
	"lb/transport"
)

// sendRequest sends the request to the backend.
func (x *Exchange) sendRequest() {
	f, b := x.forward, &x.body
	x.began = x.worker.Loop.Now()
	x.sent, x.uploaded = 0, false
	f.request(x)
	var body []byte
	if !b.expected {
		body = b.kept
		x.sent = int64(len(body))
	}
	x.uploaded = b.whole && b.held == nil && !b.expected
	x.flushed = x.conn.Begin(&x.worker.outgoing, body, x.uploaded, x.trailers())
	if b.expected {
		x.phase = phaseContinue
		x.wait(expectWait)
		x.readHead()
		return
	}
	x.phase = phaseHead
	if x.uploaded {
		x.awaitResponse()
	} else {
		x.startUpload()
		if x.phase != phaseHead {
			return
		}
	}
	x.readHead()
}

// awaitResponse sets the timeout for the response, or for sending the request.
func (x *Exchange) awaitResponse() {
	switch t := x.timeouts(); {
	case !x.flushed:
		x.wait(t.Idle)
	case x.uploaded:
		x.wait(t.Response)
	default:
		x.wait(0) // the client determines how long this takes
	}
}

// expectWait is how long to wait for a 100 (Continue) before sending the body anyway. A backend that does not implement
// 100-continue sends nothing before it has the body (RFC 9110 section 10.1.1).
const expectWait = 500 * time.Millisecond

// startUpload starts to send the rest of the body.
func (x *Exchange) startUpload() {
	if h := x.body.held; h != nil {
		h.rewind()
	}
	x.body.expected = false
	x.upload()
}

// upload sends what has been received of the body, until it has to wait for the client or the backend.
func (x *Exchange) upload() {
	if x.phase == phaseContinue { // expectWait is over
		x.phase = phaseHead
	}
	if x.conn == nil { // the whole response has been read ahead of the client
		return
	}
	b := &x.body
	b.expected = false
	x.flushed = !x.conn.Pending()
	for pieces := 0; x.flushed && !x.uploaded && !x.uploadOver; pieces++ {
		if pieces == piecesAtOnce {
			x.worker.Loop.Later((*bodyTask)(x))
			break
		}
		piece, err := x.nextPiece()
		if err == netloop.ErrWouldBlock {
			break
		}
		last := err == io.EOF
		if err != nil && !last {
			x.uploadFailed(err)
			return
		}
		x.sent += int64(len(piece))
		x.uploaded = last
		x.flushed = x.conn.SendBody(piece, last, x.trailersAt(last))
	}
	if x.phase == phaseHead {
		x.awaitResponse()
	} else if x.phase == phaseRelay {
		x.awaitBody()
	}
}

// nextPiece returns the next piece of the body to send.
func (x *Exchange) nextPiece() ([]byte, error) {
	b := &x.body
	if x.sent < int64(len(b.kept)) {
		piece := b.kept[x.sent:]
		if b.whole && b.held == nil {
			return piece, io.EOF
		}
		return piece, nil
	}
	if b.held != nil {
		if piece, err := b.held.next(x.worker.Loop.Scratch()); piece != nil || err != nil {
			return piece, err
		}
	}
	if b.whole {
		return nil, io.EOF
	}
	piece, err := x.client.Read()
	if len(piece) > 0 {
		x.keep(piece)
	}
	if err == io.EOF && !b.passed {
		b.whole = true
	}
	return piece, err
}

// uploadFailed ends a try whose request body could not be read. There is no point in waiting for a response to an incomplete request.
func (x *Exchange) uploadFailed(err error) {
	x.body.err = err
	x.uploadOver = true
	if x.phase == phaseRelay { // the response has begun, and is relayed to its end
		return
	}
	x.settle(0)
	x.releaseConn(false)
	x.backend.Report(pool.Aborted)
	x.releaseBackend()
	x.refuseBody(err)
}

// headTimeout handles a timeout of the wait for the response, or of sending the request.
func (x *Exchange) headTimeout() {
	phase := transport.Head
	if !x.flushed {
		phase = transport.Write
	}
	x.tryEnded(x.conn.TimedOut(phase))
}

// interimsAtOnce is how many interim responses are passed on before other connections get their turn.
const interimsAtOnce = 16

// readHead reads the head of the response, and passes on interim responses as fast as the client reads them.
func (x *Exchange) readHead() {
	for n := 0; !x.blocked; n++ {
		if n == interimsAtOnce {
			x.conn.Yield()
			return
		}
		err := x.conn.ReadHead(x.Head())
		if err == netloop.ErrWouldBlock {
			return
		}
		if err != nil {
			x.tryEnded(err.(*transport.Error))
			return
		}
		switch status := x.conn.Head().Status; {
		case status >= 200 || status == http.StatusSwitchingProtocols:
			x.responded()
			return
		case status == http.StatusContinue:
			if x.phase == phaseContinue {
				x.client.SendContinue()
				x.phase = phaseHead
				x.conn.Keep() // the body is read into the buffer in which a response may follow
				x.upload()
				if x.phase != phaseHead || x.conn == nil {
					return
				}
			}
		default:
			x.relayInterim()
		}
	}
}

// interimFlushed continues when an interim response has been written to the client's socket.
func (x *Exchange) interimFlushed() {
	x.blocked = false
	x.readHead()
}

// relayInterim passes an interim response on.
func (x *Exchange) relayInterim() {
	in := x.conn.Head()
	x.informed = true
	x.response.Reset(in.Status)
	x.response.Reason = in.Reason
	x.addOriginFields(in)
	x.filterResponse(filter.Interim)
	x.blocked = !x.client.SendInterim(&x.response)
}

// tryEnded ends a try without a response.
func (x *Exchange) tryEnded(err *transport.Error) {
	x.settle(0)
	x.releaseConn(false)
	if x.expired(err) {
		x.backend.Report(pool.Aborted)
		x.releaseBackend()
		x.Fail(http.StatusGatewayTimeout, "the deadline of the call has passed", err)
		return
	}
	if err.Err == transport.ErrNoWebSocket {
		x.releaseBackend()
		x.Fail(http.StatusNotImplemented, "there is no WebSocket here", fmt.Errorf(
			`%w: enable it there, or use a pool with protocol = "http1" for the route`, err.Err))
		return
	}
	if (err.StaleConn() || err.Unprocessed && !x.resent) && !err.Sent && x.body.repeatable(false) {
		x.resent = true
		x.connect(true) // not a new try and not a failure: the backend has received nothing of the request, or not processed it
		return
	}
	x.attemptFailed(err)
}

// responded handles a response head. The response is relayed, or dropped for a retry if retry.on has its status and another backend is
// available.
func (x *Exchange) responded() {
	f, b := x.forward, x.backend
	status := x.conn.Head().Status
	x.upstream = time.Since(x.began)
	b.Observe(x.Loop(), x.upstream)
	took := x.upstream
	failure := isFailure(status)
	if failure {
		took = 0
	}
	x.settle(took)
	b.Metrics.Requests.IncOn(x.Loop(), status)
	unavailable := f.Retry.Unavailable && x.turnedDown()
	again := unavailable || failure && f.Retry.onStatus(status) && x.idempotent()
	if again && !x.informed && x.retries() < f.Retry.Attempts && x.body.repeatable(true) {
		if next := f.another(x); next != nil {
			if unavailable {
				b.Report(pool.Success) // what a gRPC server says of itself is for its health checks
				f.Pool.Metrics().RetriedUnavailable()
			} else {
				b.Report(pool.Status)
				f.Pool.Metrics().Retried(pool.Status, status)
			}
			x.releaseConn(false)
			x.releaseBackend()
			x.try(next)
			return
		}
	}
	if failure || unavailable {
		f.Pool.RetriesFailed(x.retries())
	} else {
		b.HeadArrived()
	}
	if x.caching != nil && x.cacheResponded() {
		return
	}
	f.Sticky.setCookie(x, b)
	if status == http.StatusSwitchingProtocols {
		x.switchProtocols()
		return
	}
	x.startRelay()
}

// isFailure reports whether a status says that the backend, or a server behind it, failed.
func isFailure(status int) bool { return status == 502 || status == 503 || status == 504 }

// trailers returns the trailer fields of the request if its body has been read completely.
func (x *Exchange) trailers() []message.Field { return x.trailersAt(x.body.whole && x.body.length < 0) }

func (x *Exchange) trailersAt(end bool) []message.Field {
	if !end {
		return nil
	}
	return x.route.Request.Unguarded(x.client.Trailers())
}
