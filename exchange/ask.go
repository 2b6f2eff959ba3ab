package exchange

import (
	"io"
	"net/http"
	"time"

	"lb/filter"
	"lb/message"
	"lb/netloop"
	"lb/pool"
	"lb/transport"
)

// ask sends the request.
func (x *Exchange) ask() {
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
	x.flushed = x.conn.Begin(&x.outgoing, body, x.uploaded, x.trailers())
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

// awaitResponse bounds the wait for the response, or for the backend to take the request.
func (x *Exchange) awaitResponse() {
	switch t := x.timeouts(); {
	case !x.flushed:
		x.wait(t.Idle)
	case x.uploaded:
		x.wait(t.Response)
	default:
		x.wait(0) // the client's pace
	}
}

// expectWait is how long a backend may take to say whether it wants the body. One that knows nothing of
// 100-continue says nothing before it has it (RFC 9110 section 10.1.1).
const expectWait = 500 * time.Millisecond

// startUpload begins to pass the rest of the body on.
func (x *Exchange) startUpload() {
	if h := x.body.held; h != nil {
		h.at = 0
	}
	x.body.expected = false
	x.upload()
}

// upload passes on what has come of the body, until one of the two sides has to be waited for.
func (x *Exchange) upload() {
	if x.phase == phaseContinue { // the backend has said nothing in time
		x.phase = phaseHead
	}
	b := &x.body
	b.expected = false
	x.flushed = !x.conn.Pending()
	for x.flushed && !x.uploaded && !x.uploadOver {
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

// nextPiece returns the next piece of the body that the backend has not got.
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

// uploadFailed ends a try whose request body could not be read: nothing waits for a response to half a request.
func (x *Exchange) uploadFailed(err error) {
	x.body.err = err
	x.uploadOver = true
	if x.phase == phaseRelay { // the response is on its way; it decides
		return
	}
	x.backend.Settle(x.waiting, 0)
	x.releaseConn(false)
	x.backend.Report(pool.Aborted)
	x.releaseBackend()
	x.refuseBody(err)
}

// headTimeout is called when the response, or the backend's taking of the request, has been waited for too long.
func (x *Exchange) headTimeout() {
	phase := transport.Head
	if !x.flushed {
		phase = transport.Write
	}
	x.tryEnded(x.conn.TimedOut(phase))
}

// readHead reads the head of the response as far as it has come.
func (x *Exchange) readHead() {
	for {
		err := x.conn.ReadHead(x.Head())
		if err == netloop.ErrWouldBlock {
			return
		}
		if err != nil {
			x.tryEnded(err.(*transport.Error))
			return
		}
		switch status := x.conn.Head.Status; {
		case status >= 200 || status == http.StatusSwitchingProtocols:
			x.responded()
			return
		case status == http.StatusContinue:
			if x.phase == phaseContinue {
				x.client.SendContinue()
				x.phase = phaseHead
				x.upload()
				if x.phase != phaseHead || x.conn == nil {
					return
				}
			}
		default:
			x.inform()
		}
	}
}

// inform passes an interim response on.
func (x *Exchange) inform() {
	in := &x.conn.Head.Response
	x.informed = true
	x.response.Reset(in.Status)
	x.response.Reason = in.Reason
	x.addOriginFields(in)
	x.filterResponse(filter.Interim)
	x.client.SendInterim(&x.response)
}

// tryEnded ends a try that has brought no response.
func (x *Exchange) tryEnded(err *transport.Error) {
	b := x.backend
	b.Settle(x.waiting, 0)
	x.releaseConn(false)
	if err.Died() && !err.Sent && x.body.repeatable() {
		x.connect(true) // neither a try nor a failure: the backend has heard nothing of the request
		return
	}
	x.attemptFailed(err)
}

// responded handles a response head: it is relayed, or, where its status asks for that and another
// backend is there, given up for another try.
func (x *Exchange) responded() {
	f, b := x.forward, x.backend
	status := x.conn.Head.Status
	x.upstream = time.Since(x.began)
	b.Observe(x.upstream)
	took := x.upstream
	failure := isFailure(status)
	if failure {
		took = 0
	}
	b.Settle(x.waiting, took)
	b.Metrics.Requests.Inc(status)
	if failure && f.Retry.onStatus(status) && x.idempotent() && !x.informed && x.retries() < f.Retry.Attempts && x.body.repeatable() {
		if next := f.another(x); next != nil {
			b.Report(pool.Status)
			f.Pool.Metrics().Retried(pool.Status, status)
			x.releaseConn(false)
			x.releaseBackend()
			x.try(next)
			return
		}
	}
	if failure {
		f.Pool.RetriesFailed(x.retries())
	} else {
		b.HeadArrived()
	}
	f.Sticky.setCookie(x, b)
	if status == http.StatusSwitchingProtocols {
		x.switchProtocols()
		return
	}
	x.startRelay()
}

// isFailure reports whether a status says that the backend, or what is behind it, failed.
func isFailure(status int) bool { return status == 502 || status == 503 || status == 504 }

// trailers are those of a body that has been read whole.
func (x *Exchange) trailers() []message.Field { return x.trailersAt(x.body.whole && x.body.length < 0) }

func (x *Exchange) trailersAt(end bool) []message.Field {
	if !end {
		return nil
	}
	return x.client.Trailers()
}
